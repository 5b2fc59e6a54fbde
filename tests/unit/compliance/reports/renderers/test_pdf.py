"""A report as PDF: every letter, nothing interpreted, nothing cut off, the same bytes."""

import re
import zlib
from dataclasses import replace

import pytest
import typst
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.facts.dossier import LogVerification
from compliance.facts.formatting import Format
from compliance.reports.basis import Claims, Declared, Evidenced, Missing, ReportClaim
from compliance.reports.document import (
    Bullets,
    Column,
    Document,
    Fact,
    Facts,
    Listing,
    Paragraph,
    Section,
    Signatures,
    SigningPlace,
    Statement,
    Table,
    Tone,
)
from compliance.reports.kinds import KINDS
from compliance.reports.renderers import pdf
from compliance.reports.renderers.pdf import render_pdf
from compliance.reports.renderers.typst_source import _KNOWN, literal, shown, typst_source
from protocol.errors import WorkspaceRefused
from tests.support.simulated import dossiers
from tests.support.simulated.reports import subject_of

DATED = "2026-11-21T10:00:09.600Z"
MARKUP = (
    '#import "x"', "*b*", "_i_", "$x$", "[", "]", "\\", "<script>alert(1)</script>", "`raw`",
    '") + read("/etc/passwd") + ("', "= Heading", "/* no", "// no", "@label", "#{1+1}", '"', "~",
)  # fmt: skip


def document(text: str) -> Document:
    """A document with this text in every place where a text can stand."""
    claims = (
        ReportClaim(topic=text, text=text, basis=Evidenced(entries=(1,))),
        ReportClaim(topic=text, text=text, basis=Declared(by=text, on=text)),
        ReportClaim(topic=text, text=text, basis=Missing(why=text, remedy=text)),
    )
    columns = (Column(title=text), Column(title=text, form=Format.CODE))
    blocks = (
        Paragraph(text=text),
        Bullets(items=((text, text),)),
        Facts(title=text, rows=(Fact(label=text, value=text),)),
        Table(title=text, columns=columns, rows=((text, text),), note=text),
        Table(title=text, columns=columns * 6, rows=((text,) * 12,) * 9),
        Claims(title=text, items=claims),
        Listing(title=text, heading=text, lines=(text, text)),
        Signatures(title=text, places=(SigningPlace(name=text, role=text),)),
    )
    return Document(
        kind="sample",
        title=text,
        subtitle=text,
        banner=(Statement(text=text, detail=text, tone=Tone.BAD),),
        sections=(Section(key="a", title=text, blocks=blocks),),
        footer=(text,),
        dated=DATED,
    )


def headings(one: Document) -> list[str]:
    """The texts of a document's headings, as Typst itself has read them."""
    import json

    compiler = typst.Compiler(
        typst_source(one).encode(),
        font_paths=typst.Fonts(include_system_fonts=False),
        ignore_system_fonts=True,
    )
    found = json.loads(compiler.query("heading", field="body"))
    return ["".join(_texts(body)) for body in found]


def _texts(content: dict[str, object]) -> list[str]:
    if "text" in content:
        return [str(content["text"])]
    children = content.get("children", [content["body"]] if "body" in content else [])
    assert isinstance(children, list)
    return [text for child in children for text in (_texts(child) or [" "])]


@pytest.mark.parametrize("text", MARKUP)
def test_markup_of_typst_comes_out_as_text(text: str) -> None:
    one = document(text)
    assert render_pdf(one).startswith(b"%PDF-")
    assert text in headings(one)


@given(st.text(max_size=30))
@settings(max_examples=25, deadline=None)
def test_any_text_can_be_drawn(text: str) -> None:
    assert render_pdf(document(f"x{text}")).startswith(b"%PDF-")


def test_every_letter_that_is_not_replaced_is_in_the_fonts() -> None:
    letters = "".join(chr(code) for low, high in _KNOWN for code in range(low, high + 1))
    assert shown(letters) == letters.replace("µ", "μ") or "\u00b5" in letters
    one = replace(document("x"), subtitle=letters, footer=(letters,))
    assert render_pdf(one).startswith(b"%PDF-")
    assert shown("ε ≤ σ μ ÄÖÜ äöü ß δ ≥ –") == "ε ≤ σ μ ÄÖÜ äöü ß δ ≥ –"


def test_a_letter_that_no_font_has_stands_as_its_code_point() -> None:
    assert shown("a心\U0001f600\x07b") == "a[U+5FC3][U+1F600][U+0007]b"


def test_a_literal_ends_where_it_began() -> None:
    assert literal('a"b\\') == '"a\\"b\\\\"'


@pytest.mark.parametrize("kind", KINDS)
def test_two_drawings_are_the_same_bytes_dated_by_the_records(kind: str) -> None:
    one = KINDS[kind].make(subject_of(dossiers.finished()))
    drawn = render_pdf(one)
    assert drawn == render_pdf(KINDS[kind].make(subject_of(dossiers.finished())))
    assert b"<xmp:CreateDate>2026-11-21T10:00:0" in drawn
    assert b"<pdfaid:part>2</pdfaid:part>" in drawn
    assert b"<pdfaid:conformance>A</pdfaid:conformance>" in drawn
    assert b"<pdfuaid:part>1</pdfuaid:part>" in drawn


def test_a_document_of_no_moment_is_not_dated_by_the_clock() -> None:
    with pytest.raises(ValueError, match="dated by its records"):
        render_pdf(replace(document("x"), dated=""))


def test_what_is_not_verified_has_a_watermark_on_every_page() -> None:
    subject = subject_of(dossiers.finished())
    assert 'watermark: "NOT VERIFIED"' in typst_source(KINDS["model-card"].make(subject))
    verified = replace(dossiers.finished(), verification=LogVerification(key="ab" * 32))
    assert 'watermark: ""' in typst_source(KINDS["model-card"].make(subject_of(verified)))


def test_a_wide_table_of_few_rows_has_a_line_for_each_column() -> None:
    columns = tuple(Column(title=f"column {i}") for i in range(12))
    few = Table(title="few", columns=columns, rows=(tuple(range(12)),))
    many = Table(title="many", columns=columns, rows=(tuple(range(12)),) * 20)
    one = replace(
        document("x"), sections=(Section(key="a", title="a", blocks=(few, many)),), dated=DATED
    )
    source = typst_source(one)
    few_part, many_part = source.split('"few"')[1].split('"many"')
    assert "#wide-table(8.5pt, (2fr, 1fr,)" in few_part and "flipped: true" in few_part
    assert "#wide-table(6.5pt" in many_part
    assert widths(render_pdf(one)) == {595.2756, 841.8898}


def widths(drawn: bytes) -> set[float]:
    """The widths of a PDF's pages, in points: upright and on the side."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", drawn, re.DOTALL)
    texts = [drawn]
    for stream in streams:
        try:
            texts.append(zlib.decompress(stream))
        except zlib.error:
            continue
    boxes = re.findall(rb"/MediaBox\s*\[\s*0 0 ([0-9.]+) [0-9.]+\s*\]", b"".join(texts))
    return {float(width) for width in boxes}


def test_a_missing_tool_is_told_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pdf, "find_spec", lambda name: None)
    with pytest.raises(WorkspaceRefused, match=r"needs typst.*pip install 'collegium\[reports\]'"):
        render_pdf(document("x"))
