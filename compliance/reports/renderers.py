"""Draws a document as HTML, JSON or CSV; the same document gives the same bytes.

Rules:

1. A renderer adds no fact: no clock, no host name, no random identifier.
2. The HTML page needs no other file, no script and no network; a content
   security policy in the page forbids all three. Pictures stand inside the page, and only there.
3. Every text is escaped; in CSV no cell can become a spreadsheet's formula.
"""

import base64
import csv
import functools
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from compliance.estimates.interval import Interval
from compliance.facts.formatting import Cell, Format, show
from compliance.reports.document import (
    Block,
    Bullets,
    Commands,
    Document,
    Facts,
    Figure,
    Highlights,
    Paragraph,
    Pictures,
    Section,
    Statement,
    Table,
    has_pictures,
    section_tables,
)

SCHEMA = "collegium/document/1"
_TEMPLATES = Path(__file__).parent / "templates"
_NUMERIC = frozenset(
    {
        Format.COUNT,
        Format.RATIO,
        Format.SHARE,
        Format.SHARE_LEFT,
        Format.EPSILON,
        Format.SMALL,
        Format.NUMBER,
        Format.SECONDS,
    }
)
#: What a spreadsheet may take for the start of a formula, the full-width forms included.
_FORMULA_STARTS = tuple("=+-@＝＋－＠")


def render_html(document: Document) -> str:
    """Returns one self-contained page, for screens light and dark, and for paper."""
    return _rendered("document", document=document, has_pictures=has_pictures(document))


def render_fragment(
    statements: Sequence[Statement], blocks: Sequence[Block], *, title: str = ""
) -> str:
    """Returns statements and blocks as HTML to stand inside another page, such as a notebook.

    It takes the page's colours and needs no other file, no script and no network. Its rules
    of style are about its own parts only.
    """
    return _rendered("fragment", title=title, statements=statements, blocks=blocks)


def _rendered(name: str, **parts: Any) -> str:
    style = (_TEMPLATES / f"{name}.css").read_text(encoding="utf-8")
    page = _templates().get_template(f"{name}.html")
    return page.render(style=Markup(style), **parts)  # noqa: S704 -- our own file


@functools.cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["is_numeric"] = _is_numeric
    environment.globals |= {
        "show": show,
        "kind_of": lambda block: type(block).__name__.lower(),
        "base64": lambda data: base64.b64encode(data).decode(),
        "drawing": lambda figure: Markup(figure.svg),  # noqa: S704 -- drawn by charts.to_svg
    }
    return environment


def render_json(document: Document) -> str:
    """Returns the document as JSON with sorted keys; a figure is given by its numbers and words.

    Numbers are whole, not rounded for reading; one without bound is the text ``"inf"``.
    """
    whole = {
        "schema": SCHEMA,
        "kind": document.kind,
        "title": document.title,
        "subtitle": document.subtitle,
        "banner": [
            {"text": s.text, "detail": s.detail, "tone": s.tone.value} for s in document.banner
        ],
        "sections": [_section_json(section) for section in document.sections],
        "footer": list(document.footer),
    }
    return json.dumps(whole, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def render_csv(document: Document) -> str:
    """Returns everything that a document says as one RFC 4180 file, a line for each value.

    The columns are ``section, table, row, column, value, low, high, note``, so that a
    program reads them by name, and a table comes back with
    ``frame[frame.table == title].pivot(index="row", columns="column", values="value")``.
    Claims, their conditions and what is not covered are in it: ``table`` is then
    ``text``. An interval fills ``low``, ``high`` and ``note`` too. A text that a
    spreadsheet could take for a formula is preceded by an apostrophe.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(("section", "table", "row", "column", "value", "low", "high", "note"))
    for section, table, row, column, cell in _csv_cells(document):
        figure = cell if isinstance(cell, Interval) else Interval(value=None, low=None, high=None)
        value = figure.value if isinstance(cell, Interval) else cell
        words = (section, table, row, column, value, figure.low, figure.high, figure.note)
        writer.writerow(guarded(word) for word in words)
    return out.getvalue()


def wide_csv(table: Table) -> str:
    """Returns a table as RFC 4180 text, as people read it: a line a row, a column a figure."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(column.title for column in table.columns)
    for row in table.rows:
        cells = zip(row, table.columns, strict=True)
        writer.writerow(guarded(show(cell, column.form)) for cell, column in cells)
    return out.getvalue()


def _is_numeric(form: Format) -> bool:
    return form in _NUMERIC


def _section_json(section: Section) -> dict[str, Any]:
    return {
        "key": section.key,
        "title": section.title,
        "blocks": [_block_json(block) for block in section.blocks],
    }


def _block_json(block: Block) -> dict[str, Any]:
    content: dict[str, Any] = {"type": type(block).__name__.lower()}
    match block:
        case Paragraph():
            content["text"] = block.text
        case Bullets():
            content["items"] = [{"about": about, "text": text} for about, text in block.items]
        case Commands():
            content["lines"] = [{"command": line, "does": does} for line, does in block.lines]
        case Highlights():
            content["items"] = [
                {"label": i.label, "value": _value_json(i.value), "note": i.note}
                for i in block.items
            ]
        case Facts():
            content["title"] = block.title
            content["rows"] = {row.label: _value_json(row.value) for row in block.rows}
        case Table():
            content |= _table_json(block)
        case Figure():
            content |= {"title": block.title, "alt": block.alt, "caption": block.caption}
            content["table"] = _table_json(block.table)
        case Pictures():
            content |= {"title": block.title, "caption": block.caption}
            content["pictures"] = len(block.pictures)
    return content


def _table_json(table: Table) -> dict[str, Any]:
    titles = [column.title for column in table.columns]
    return {
        "title": table.title,
        "note": table.note,
        "columns": titles,
        "rows": [[_value_json(cell) for cell in row] for row in table.rows],
    }


def _value_json(value: Cell) -> Any:
    if isinstance(value, Interval):
        return {name: _value_json(part) for name, part in asdict(value).items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


#: A section, a table or ``text``, the row, the column, and what stands there.
_CsvCell: TypeAlias = tuple[str, str, int, str, Cell]


def _csv_cells(document: Document) -> Iterator[_CsvCell]:
    yield "document", "about", 1, "kind", document.kind
    yield "document", "about", 1, "title", document.title
    yield "document", "about", 1, "subtitle", document.subtitle
    for number, statement in enumerate(document.banner, start=1):
        yield "document", "statements", number, "text", statement.text
        yield "document", "statements", number, "detail", statement.detail
    for section in document.sections:
        for number, (about, said) in enumerate(_prose(section), start=1):
            yield section.title, "text", number, about, said
        for table in section_tables(section):
            for number, row in enumerate(table.rows, start=1):
                for heading, cell in zip(table.columns, row, strict=True):
                    yield section.title, table.title, number, heading.title, cell
            if table.note:
                yield section.title, table.title, len(table.rows) + 1, "note", table.note
    for number, text in enumerate(document.footer, start=1):
        yield "document", "notes", number, "text", text


def _prose(section: Section) -> Iterator[tuple[str, Cell]]:
    """Yields what a section says outside its tables, each with what it is about."""
    for block in section.blocks:
        match block:
            case Paragraph():
                yield "text", block.text
            case Bullets():
                yield from block.items
            case Highlights():
                for item in block.items:
                    yield item.label, item.value
                    yield f"{item.label}: note", item.note
            case Commands():
                yield from ((does, line) for line, does in block.lines)
            case Figure():
                yield block.title, block.alt
            case Pictures():
                yield block.title, block.caption


def guarded(cell: Cell) -> str | int | float:
    """Returns a cell for a CSV file; a text that a spreadsheet might compute has an apostrophe."""
    if cell is None or isinstance(cell, Interval):
        return ""
    if not isinstance(cell, str):
        return cell
    first = cell.lstrip()
    is_formula = first.startswith(_FORMULA_STARTS) or cell.startswith(("\t", "\r", "\n"))
    return f"'{cell}" if is_formula else cell


#: The formats that a report can be written in, by the name that people type.
RENDERERS = {"html": render_html, "json": render_json, "csv": render_csv}
