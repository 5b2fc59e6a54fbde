"""Texts and figures as every page writes them."""

import re

from compliance.estimates.interval import Interval
from compliance.facts.formatting import Cell, Format, show
from compliance.reports.document import Table

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|<>~:$&-])")


def plain(text: str) -> str:
    r"""Returns text for a place that reads Markdown: no link, picture or formatting comes of it.

    A study's author must not be able to make the page fetch something.

    >>> plain("![x](http://a) *b*")
    '\\!\\[x\\]\\(http\\://a\\) \\*b\\*'
    """
    return _MARKDOWN.sub(r"\\\1", text)


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
