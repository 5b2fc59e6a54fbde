"""Draws a document as HTML, JSON or CSV; the same document gives the same bytes.

Rules:

1. A renderer adds no fact: no clock, no host name, no random identifier.
2. The HTML page needs no other file, no script and no network; a content
   security policy in the page forbids all three.
3. Every text is escaped; in CSV no cell can become a spreadsheet's formula.
"""

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from compliance.documents import (
    Block,
    Bullets,
    Cell,
    Column,
    Commands,
    Document,
    Facts,
    Figure,
    Form,
    Highlights,
    Paragraph,
    Section,
    Table,
    show,
    tables,
)
from compliance.dossier import Interval

SCHEMA = "collegium/document/1"
_TEMPLATES = Path(__file__).parent / "templates"
_NUMERIC = frozenset(
    {Form.COUNT, Form.RATIO, Form.SHARE, Form.EPSILON, Form.SMALL, Form.NUMBER, Form.SECONDS}
)
#: What a spreadsheet may take for the start of a formula, the full-width forms included.
_FORMULA_STARTS = tuple("=+-@＝＋－＠")


def render_html(document: Document) -> str:
    """Returns one self-contained page, for screens light and dark, and for paper."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["is_numeric"] = _is_numeric
    environment.globals["show"] = show
    style = (_TEMPLATES / "document.css").read_text(encoding="utf-8")
    return environment.get_template("document.html").render(
        document=document,
        style=Markup(style),  # noqa: S704 -- our own file
        kind_of=lambda block: type(block).__name__.lower(),
        drawing=lambda figure: Markup(figure.svg),  # noqa: S704 -- drawn by charts.to_svg
    )


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
    """Returns every statement and table as one RFC 4180 file.

    Each line is ``section, table, line, field 1 ... field k`` with the same k
    throughout; line ``title`` holds a table's column titles, lines 1, 2, ... its
    rows. An interval takes four fields: value, low, high, note. A text that a
    spreadsheet could take for a formula is preceded by an apostrophe.
    """
    lines = list(_csv_lines(document))
    width = max(len(line) for line in lines) - 3
    titles = ["section", "table", "line", *(f"field {n}" for n in range(1, width + 1))]
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(titles)
    for line in lines:
        writer.writerow([_guarded(cell) for cell in line] + [""] * (width + 3 - len(line)))
    return out.getvalue()


def _is_numeric(form: Form) -> bool:
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


def _csv_lines(document: Document) -> Iterator[list[Cell]]:
    yield ["document", document.kind, "title", document.title, document.subtitle]
    for number, statement in enumerate(document.banner, start=1):
        yield ["document", "statements", str(number), statement.text, statement.detail]
    for number, text in enumerate(document.footer, start=1):
        yield ["document", "notes", str(number), text]
    for section, table in tables(document):
        wide = _holds_interval(table)
        yield [section.title, table.title, "title", *_csv_titles(table.columns, wide)]
        for number, row in enumerate(table.rows, start=1):
            yield [section.title, table.title, str(number), *_csv_cells(row, wide)]


def _holds_interval(table: Table) -> tuple[bool, ...]:
    return tuple(
        any(isinstance(row[place], Interval) for row in table.rows)
        for place in range(len(table.columns))
    )


def _csv_titles(columns: tuple[Column, ...], wide: tuple[bool, ...]) -> Iterator[Cell]:
    for column, is_wide in zip(columns, wide, strict=True):
        yield column.title
        if is_wide:
            yield from (f"{column.title}: {part}" for part in ("low", "high", "note"))


def _csv_cells(row: tuple[Cell, ...], wide: tuple[bool, ...]) -> Iterator[Cell]:
    for cell, is_wide in zip(row, wide, strict=True):
        if isinstance(cell, Interval):
            yield from (cell.value, cell.low, cell.high, cell.note)
        else:
            yield from (cell, *([None] * 3 if is_wide else []))


def _guarded(cell: Cell) -> str | int | float:
    if cell is None or isinstance(cell, Interval):
        return ""
    if not isinstance(cell, str):
        return cell
    first = cell.lstrip()
    is_formula = first.startswith(_FORMULA_STARTS) or cell.startswith(("\t", "\r", "\n"))
    return f"'{cell}" if is_formula else cell


#: The formats that a report can be written in, by the name that people type.
RENDERERS = {"html": render_html, "json": render_json, "csv": render_csv}
