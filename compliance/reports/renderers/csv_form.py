"""Draws a document as CSV: every value on a line of its own, or a table as people read it.

In neither can a cell become a spreadsheet's formula.
"""

import csv
import io
from collections.abc import Iterator
from typing import TypeAlias

from compliance.estimates.interval import Interval
from compliance.facts.formatting import Cell, show
from compliance.reports.basis import MARKS, Claims, basis_text
from compliance.reports.document import (
    Bullets,
    Commands,
    Document,
    Figure,
    Highlights,
    Listing,
    Paragraph,
    Pictures,
    Section,
    Signatures,
    Table,
    section_tables,
)
from compliance.reports.renderers.recipe_text import recipe_text

#: What a spreadsheet may take for the start of a formula, the full-width forms included.
_FORMULA_STARTS = tuple("=+-@＝＋－＠")


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


#: A section, a table or ``text``, the row, the column, and what stands there.
_CsvCell: TypeAlias = tuple[str, str, int, str, Cell]


def _csv_cells(document: Document) -> Iterator[_CsvCell]:
    yield "document", "about", 1, "kind", document.kind
    yield "document", "about", 1, "title", document.title
    yield "document", "about", 1, "subtitle", document.subtitle
    if document.recipe:
        yield "document", "about", 1, "recipe", recipe_text(document)
    for number, statement in enumerate(document.banner, start=1):
        yield "document", "statements", number, "text", statement.text
        yield "document", "statements", number, "detail", statement.detail
    for section in document.sections:
        for number, (about, said) in enumerate(_prose(section), start=1):
            yield section.title, "text", number, about, said
        yield from _claim_cells(section)
        for table in section_tables(section):
            for number, row in enumerate(table.rows, start=1):
                for heading, cell in zip(table.columns, row, strict=True):
                    yield section.title, table.title, number, heading.title, cell
            if table.note:
                yield section.title, table.title, len(table.rows) + 1, "note", table.note
    for number, text in enumerate(document.footer, start=1):
        yield "document", "notes", number, "text", text


def _claim_cells(section: Section) -> Iterator[_CsvCell]:
    """Yields the statements of a section, each with its basis, and its long listings."""
    for block in section.blocks:
        match block:
            case Claims():
                for number, claim in enumerate(block.items, start=1):
                    cells = {
                        "topic": claim.topic,
                        "statement": claim.text,
                        "basis": MARKS[type(claim.basis)][1],
                        "basis in words": basis_text(claim.basis),
                    }
                    for column, cell in cells.items():
                        yield section.title, block.title or section.title, number, column, cell
            case Listing():
                for number, line in enumerate(block.lines, start=1):
                    yield section.title, block.title, number, block.heading, line
            case Signatures():
                for number, place in enumerate(block.places, start=1):
                    for column, cell in (("name", place.name), ("role", place.role)):
                        yield section.title, block.title, number, column, cell


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
