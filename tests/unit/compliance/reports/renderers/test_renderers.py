"""The document model and its renderings: escaped, reproducible, whole."""

import csv
import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.estimates.interval import Interval
from compliance.facts.formatting import Format, show
from compliance.reports.document import (
    Bullets,
    Column,
    Document,
    Fact,
    Facts,
    Section,
    Statement,
    Table,
    tables,
)
from compliance.reports.renderers import render_csv, render_html, render_json

_CELLS = st.one_of(st.none(), st.integers(-(2**53), 2**53), st.floats(), st.text(max_size=12))
_ROWS = st.lists(st.tuples(_CELLS, _CELLS), max_size=6)


def _document(*rows: tuple[object, ...], title: str = "A title") -> Document:
    columns = (Column(title="Name"), Column(title="Figure", form=Format.RATIO))
    table = Table(title="A table", columns=columns, rows=rows)  # type: ignore[arg-type]
    return Document(
        kind="sample",
        title=title,
        subtitle="A subtitle",
        banner=(Statement(text="Read this first."),),
        sections=(Section(key="part", title="A part", blocks=(table,)),),
        footer=("A footer",),
    )


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(page: str) -> _Reader:
    reader = _Reader()
    reader.feed(page)
    return reader


def _csv(document: Document) -> list[list[str]]:
    return list(csv.reader(io.StringIO(render_csv(document), newline="")))


@settings(max_examples=15, deadline=None)
@given(_ROWS)
def test_every_rendering_is_the_same_bytes_twice(rows: list[tuple[object, ...]]) -> None:
    for render in (render_html, render_json, render_csv):
        assert render(_document(*rows)) == render(_document(*rows))


def test_page_escapes_what_a_study_author_wrote() -> None:
    page = render_html(_document(("<img src=x onerror=alert(1)>", 1), title="<script>1</script>"))
    reader = _read(page)
    assert not {"script", "img"} & set(reader.tags)
    assert "<img src=x onerror=alert(1)>" in reader.text


def test_page_forbids_every_request_and_script() -> None:
    page = render_html(_document())
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert not {"script", "link", "img", "iframe"} & set(_read(page).tags)
    assert "url(" not in page and "@import" not in page


def test_page_serves_dark_screens_and_paper() -> None:
    page = render_html(_document())
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_empty_table_says_so() -> None:
    assert "Nothing to show." in _read(render_html(_document())).text


@settings(max_examples=60, deadline=None)
@given(_ROWS)
def test_json_is_strict_and_keeps_every_cell(rows: list[tuple[object, ...]]) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    found = json.loads(render_json(_document(*rows)), parse_constant=refuse)
    got = found["sections"][0]["blocks"][0]["rows"]
    want = [
        [str(c) if isinstance(c, float) and not math.isfinite(c) else c for c in row]
        for row in rows
    ]
    assert got == want


def test_json_has_sorted_keys_and_names_its_schema() -> None:
    text = render_json(_document(("a", 1)))
    assert text == json.dumps(json.loads(text), sort_keys=True, indent=2) + "\n"
    assert json.loads(text)["schema"] == "collegium/document/1"


def _table_lines(*rows: tuple[object, ...]) -> list[list[str]]:
    """Returns what is read back of the sample's table: row, column, value, low, high, note."""
    return [line[2:] for line in _csv(_document(*rows)) if line[:2] == ["A part", "A table"]]


@settings(max_examples=60, deadline=None)
@given(_ROWS)
def test_csv_has_one_width_and_reads_back(rows: list[tuple[object, ...]]) -> None:
    assert {len(line) for line in _csv(_document(*rows))} == {8}
    got = [line[2] for line in _table_lines(*rows)]
    want = [cell for row in rows for cell in row]
    assert len(got) == len(want)
    for text, cell in zip(got, want, strict=True):
        assert text.removeprefix("'") == ("" if cell is None else str(cell)).removeprefix("'")


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=" \t\r\n=+-@＝＋－＠ax", max_size=6))
def test_csv_cell_never_begins_a_formula(text: str) -> None:
    value = _table_lines((text, 1))[0][2]
    first = value.lstrip(" \t\r\n")[:1]
    assert value.startswith("'") or first not in tuple("=+-@＝＋－＠") or not first


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1"])
def test_csv_marks_a_text_that_looks_like_a_formula(text: str) -> None:
    assert _table_lines((text, 0.5))[0][:3] == ["1", "Name", "'" + text]
    named = replace(_document(), sections=(Section(key="k", title=text, blocks=(_prose(text),)),))
    assert {cell for line in _csv(named) for cell in line if cell.endswith(text)} == {"'" + text}


def _prose(text: str) -> Bullets:
    return Bullets(items=((text, text),))


def test_csv_leaves_negative_numbers_alone() -> None:
    assert _table_lines(("x", -0.25))[1][:3] == ["1", "Figure", "-0.25"]


def test_csv_gives_an_interval_its_bounds_and_its_note() -> None:
    interval = Interval(value=0.8, low=0.7, high=0.9)
    withheld = Interval(value=None, low=None, high=None, note="too few")
    lines = _table_lines(("x", interval), ("y", withheld), ("z", None))
    assert lines[1] == ["1", "Figure", "0.8", "0.7", "0.9", ""]
    assert lines[3] == ["2", "Figure", "", "", "", "too few"]
    assert lines[5] == ["3", "Figure", "", "", "", ""]


def test_csv_is_read_by_a_program_by_names() -> None:
    text = render_csv(_document(("x", 0.5), ("y", 0.25)))
    frame = pandas.read_csv(io.StringIO(text))
    assert list(frame) == ["section", "table", "row", "column", "value", "low", "high", "note"]
    table = frame[frame.table == "A table"].pivot(index="row", columns="column", values="value")
    assert table["Figure"].astype(float).tolist() == [0.5, 0.25]


def test_csv_lines_end_as_rfc_4180_says() -> None:
    text = render_csv(_document(("two\nlines", 1)))
    assert text.endswith("\r\n")
    assert '"two\nlines"' in text


def test_missing_figure_is_never_shown_as_zero() -> None:
    assert show(None, Format.RATIO) == "—"
    assert show(Interval(value=None, low=None, high=None), Format.RATIO) == "not available"
    assert show(float("nan"), Format.EPSILON) == "not available"
    assert show(float("inf"), Format.EPSILON) == "without bound"


@settings(deadline=None)
@given(st.floats(min_value=1e-9, max_value=1e4))
def test_shown_privacy_loss_is_never_smaller_than_the_claim(claim: float) -> None:
    for form in (Format.EPSILON, Format.SMALL):
        assert claim <= float(show(claim, form)) <= claim * 1.0101


def test_table_refuses_a_row_of_another_length() -> None:
    with pytest.raises(ValueError, match="row 1 of 'T' has 2 cells, 1 columns are declared"):
        Table(title="T", columns=(Column(title="A"),), rows=(("a",), ("a", "b")))


def test_facts_refuse_a_repeated_label() -> None:
    with pytest.raises(ValueError, match="labels of 'T' are repeated: A"):
        Facts(title="T", rows=(Fact(label="A", value=1), Fact(label="A", value=2)))


def test_facts_are_tables_too() -> None:
    facts = Facts(title="T", rows=(Fact(label="A", value=1),))
    document = _document()
    whole = Document(**{**vars(document), "sections": (
        Section(key="k", title="S", blocks=(facts,)),)})  # fmt: skip
    ((section, table),) = tables(whole)
    assert (section.key, table.rows) == ("k", (("A", 1),))


def _wide(number: int) -> Document:
    columns = tuple(Column(title=f"Column {n}", form=Format.NUMBER) for n in range(number))
    table = Table(title="Wide", columns=columns, rows=(tuple(range(number)),))
    return replace(
        _document(("x", 1)), sections=(Section(key="wide", title="Wide", blocks=(table,)),)
    )


def test_styles_for_paper_leave_room_for_every_column() -> None:
    page = render_html(_wide(13))
    style, _, paper = page.partition("@media print {")
    paper = paper.partition("</style>")[0]
    assert 'class="scroll wide"' in page and 'class="scroll wide"' not in render_html(_wide(9))
    assert "@page wide { size: A4 landscape" in style
    assert ".scroll.wide { page: wide; }" in paper and ".scroll { overflow: visible; }" in paper
    widths = r"^\s*([^@{}\n]*\bt[hd]\b[^{}]*)\{[^}]*\bmin-width: ([\d.]+)[^}]*\}"
    wanted = {
        selector.strip(): float(least)
        for selectors, least in re.findall(widths, paper, re.M)
        for selector in selectors.split(",")
    }
    on_screen = [selector.strip() for selector, _ in re.findall(widths, style, re.M)]
    assert on_screen and all(selector in wanted for selector in on_screen)
    # Nine columns stand upright in 178 mm, thirteen on their side in 269 mm; 1 rem is 16 px.
    assert 9 * max(wanted.values()) * 16 < 178 / 25.4 * 96
    assert 13 * max(wanted.values()) * 16 < 269 / 25.4 * 96
