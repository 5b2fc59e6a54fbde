"""Markdown of a model card: tables of a report as text, and texts that nothing can break."""

from collections.abc import Iterable

from compliance.facts.formatting import show
from compliance.reports.document import Table


def plain(text: str) -> str:
    r"""Returns a text on one line, with what Markdown or HTML would read in it made harmless.

    >>> plain("a | b\n<b> *c* [d](e)")
    'a \\| b &lt;b&gt; \\*c\\* \\[d\\](e)'
    """
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{letter}" if letter in "\\`*_[]|#" else letter for letter in line)


def table_text(table: Table) -> list[str]:
    """Returns a table's lines: its title, heading and rows, and its note."""
    if not table.rows:
        return []
    titles = [column.title for column in table.columns]
    rows = [
        [show(cell, column.form) for cell, column in zip(row, table.columns, strict=True)]
        for row in table.rows
    ]
    note = [plain(table.note), ""] if table.note else []
    return [
        f"**{plain(table.title)}**",
        "",
        _line(titles),
        "|" + "---|" * len(titles),
        *map(_line, rows),
        "",
        *note,
    ]


def items(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Returns a list of facts, each with the word that it is about; an empty line ends it."""
    return [*(f"* {plain(word)}: {plain(said)}" for word, said in pairs), ""]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(plain, cells)) + " |"
