"""Faults of a file of records: each with column, first line and count, all in one refusal.

A fault holds names, line numbers, counts and remedies; never the content of a cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from protocol.counted import counted
from protocol.errors import CohortRefused

#: What a record's place is called: a line of a file, or a row of what was read otherwise.
RowWord: TypeAlias = Literal["line", "row"]

#: More faults than these are counted, not told.
MAX_TOLD = 20


@dataclass(frozen=True, kw_only=True)
class RecordFault:
    """One thing that is wrong with a column, or with whole lines (``column`` None).

    ``lines`` are 1-based lines of the file, or rows (``row_word``); none where the whole column is
    meant. Of an ``array`` they are its entries, counted from 0.
    """

    column: str | None
    lines: Sequence[int] = ()
    what: str
    remedy: str
    of: Literal["column", "array"] = "column"
    row_word: RowWord = "line"

    def __str__(self) -> str:
        column = "" if self.column is None else f"{self.of} {self.column!r}"
        lines = _line_text(self.lines, self.row_word if self.of == "column" else "entry")
        where = ", ".join(part for part in (column, lines) if part)
        return f"{where}{': ' if where else ''}{self.what}; {self.remedy}"


def _line_text(lines: Sequence[int], word: str = "line") -> str:
    """Returns the first line, and how many more.

    >>> _line_text([3, 5, 9]), _line_text([3]), _line_text([])
    ('line 3 (and 2 more lines)', 'line 3', '')
    """
    if not lines:
        return ""
    more = len(lines) - 1
    return f"{word} {lines[0]}" + (f" (and {counted(more, f'more {word}')})" if more else "")


def refusal(site: str, file: str, faults: Sequence[RecordFault]) -> CohortRefused:
    """Returns the refusal of a file: one line for each fault, each with site and file."""
    told = [f"site {site}: {file}: {fault}" for fault in faults[:MAX_TOLD]]
    if len(faults) > MAX_TOLD:
        told.append(f"site {site}: {file}: and {counted(len(faults) - MAX_TOLD, 'more fault')}")
    return CohortRefused("\n".join(told))


def unreadable(site: str, path: Path, error: OSError) -> str:
    """Returns why a file cannot be read: its own name, never the folders above it."""
    reason = (error.strerror or type(error).__name__).lower()
    return f"site {site}: the file of records {path.name!r} cannot be read: {reason}"
