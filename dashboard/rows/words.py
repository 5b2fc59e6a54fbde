"""Texts and figures as every page writes them."""

import re

from compliance.estimates.interval import Interval
from compliance.facts.formatting import Cell, Format, show
from compliance.reports.document import Table

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|<>~:$&-])")
#: What becomes a link or an icon also where its signs are escaped: looked for once that is undone.
_LINKED = re.compile(r"(://|@|\bwww(?=\.)|:(?=material|streamlit))", re.IGNORECASE)
#: What begins a list, a heading or a block of code at the beginning of a line.
_BEGINNING = re.compile(r"^(?:\s+|(\d+)(?=[.)](?:\s|$))|(?==))", re.MULTILINE)
_UNSEEN = "\u2060"  # a word joiner, which has no width


def plain(text: str) -> str:
    r"""Returns text for a place that reads Markdown: no link, picture or formatting comes of it.

    A study's author must not be able to make the page fetch something, nor lead anybody elsewhere.
    Within an address stands a sign without width, so that the browser makes no link of it.

    >>> plain("![x](y) *b*"), plain("1. a")
    ('\\!\\[x\\]\\(y\\) \\*b\\*', '1\\. a')
    >>> plain("http://a").replace("\u2060", "-")
    'http\\://-a'
    """
    lines = _LINKED.sub(rf"\1{_UNSEEN}", "  \n".join(filter(str.strip, text.splitlines())))
    return _BEGINNING.sub(_escaped_beginning, _MARKDOWN.sub(r"\\\1", lines))


def _escaped_beginning(found: re.Match[str]) -> str:
    return "" if found[0].isspace() else f"{found[0]}\\"


def figure(value: Cell, form: Format = Format.RATIO) -> str:
    """Returns a headline's figure; an interval gives its middle, or a dash when it has a note."""
    if isinstance(value, Interval):
        return show(value.value, form)
    return show(value, form)


def interval_note(interval: Interval | None, form: Format = Format.RATIO) -> str:
    """Returns what stands below a released figure: its interval, or why there is none."""
    if interval is None:
        return "nothing released"
    if interval.value is None or interval.low is None or interval.high is None:
        return interval.note or "not available"
    return f"95 %: {show(interval.low, form)} to {show(interval.high, form)}"


def readable(table: Table) -> list[dict[str, str]]:
    """Returns a table's rows as texts under their column titles."""
    return [
        {c.title: show(cell, c.form) for c, cell in zip(table.columns, row, strict=True)}
        for row in table.rows
    ]
