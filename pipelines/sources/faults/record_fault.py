"""Faults of a source of records: each with its name, place and count, all in one refusal.

A fault holds names, line numbers, counts and remedies; never the content of a cell.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from pipelines.sources.faults.catalogue import CATALOGUE, State
from protocol.counted import counted
from protocol.errors import CohortRefused

#: More faults than these are counted, not told.
MAX_TOLD = 20

#: What a record's place is called: a line of a file, or a row of what was read otherwise.
RowWord: TypeAlias = Literal["line", "row"]


@dataclass(frozen=True, kw_only=True)
class RecordFault:
    """One thing that is wrong with records, or may be: with a column, with lines, or with all.

    ``name`` is one of the catalogue. ``lines`` are 1-based lines of the file, or rows
    (``row_word``); none where the whole column is meant. Of an ``array`` they are its entries,
    counted from 0. ``source`` is the file's own name where it is not said elsewhere.

    Raises:
        ValueError: the catalogue has no such name.
    """

    name: str = "records"
    column: str | None = None
    lines: Sequence[int] = ()
    what: str
    remedy: str
    of: Literal["column", "array"] = "column"
    row_word: RowWord = "line"
    source: str = ""

    def __post_init__(self) -> None:
        if self.name not in CATALOGUE:
            raise ValueError(f"{self.name!r} is no fault of the catalogue: give it an entry")

    @property
    def state(self) -> State:
        """Whether it is ``bad``, or something to look at."""
        return CATALOGUE[self.name].state

    @property
    def found(self) -> str:
        """The fault and its place, without the remedy."""
        column = "" if self.column is None else f"{self.of} {self.column!r}"
        lines = _line_text(self.lines, self.row_word if self.of == "column" else "entry")
        where = ", ".join(part for part in (column, lines) if part)
        return ": ".join(part for part in (self.source, where, self.what) if part)

    def __str__(self) -> str:
        said = f"{self.found}; {self.remedy}" if self.remedy else self.found
        return f"{said} [{self.name}]"


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
    """Returns the refusal of a source: one line for each fault, each with site and file.

    The refusal's ``faults`` are all of them, also those that its text only counts.
    """
    placed = [replace(fault, source=fault.source or file) for fault in faults]
    told = [f"site {site}: {fault}" for fault in placed[:MAX_TOLD]]
    if len(placed) > MAX_TOLD:
        told.append(f"site {site}: {file}: and {counted(len(placed) - MAX_TOLD, 'more fault')}")
    return CohortRefused("\n".join(told), placed)


def refused(
    site: str, name: str, what: str, remedy: str, *, file: str = "", lines: Sequence[int] = ()
) -> CohortRefused:
    """Returns the refusal of records for one fault of all of them."""
    return refusal(site, file, [RecordFault(name=name, what=what, remedy=remedy, lines=lines)])


def refused_file(
    file: str, name: str, what: str, remedy: str, *, lines: Sequence[int] = ()
) -> CohortRefused:
    """Returns the refusal of a file for one fault, by what does not know whose file it is."""
    fault = RecordFault(name=name, what=what, remedy=remedy, lines=lines, source=file)
    return CohortRefused(str(fault), [fault])


def faults_of(error: CohortRefused) -> list[RecordFault]:
    """Returns the faults of a refusal, where they are known one by one."""
    return [fault for fault in error.faults if isinstance(fault, RecordFault)]


def reason_of(error: OSError) -> str:
    """Returns the system's reason, without the path that its own text holds."""
    return (error.strerror or type(error).__name__).lower()


def require_ordinary(path: Path) -> None:
    """Refuses a pipe, which would be waited for, and a device, which has no end.

    Raises:
        OSError: the path leads to something that is no ordinary file.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no ordinary file")


def unreadable(site: str, path: Path, error: OSError) -> CohortRefused:
    """Returns the refusal of a file that cannot be read: its own name, no folder above it."""
    return refused(
        site,
        "no-file",
        f"the file of records {path.name!r} cannot be read: {reason_of(error)}",
        "mend its path or its permissions",
    )
