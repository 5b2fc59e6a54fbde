"""Tables: the cells of the columns that a study needs, as text, whatever they were read from."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.records import SourceNote
from pipelines.sources.cells import Cells
from pipelines.sources.faults import RecordFault, RowWord
from protocol.study.cohort.cohort import TableCohort
from protocol.study.study import nearest

#: Faults of lines that are no rows of a table.
_LEFT_OUT = frozenset({"uneven-line", "empty-last-column"})
#: So many lines are looked through for the columns' names where the first does not hold them.
_HEADER_WITHIN = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceTable:
    """Cells of the columns that a study needs, and where they were written.

    Attributes:
        site: whose records these are.
        file: the source's own name, for messages; of a file without folders.
        cells: of each column.
        lines: (records,) 1-based lines of the file, or rows of what was read otherwise.
        rows: (records,) the records, counted from 0.
        repeated: the rows of the source that equal another in every cell.
        faults: what reading found: a column that is missing has no ``cells``, a line of another
            length no row.
        row_word: what ``lines`` count.
        has_order: whether the source's own order of records means anything and stands when it is
            read again, as that of a file does; rows of a query come in any order.
        notes: what the source says of what it read.
        dates: by column, the format in which this hospital says that its dates are written.
        units: by column, the unit in which this hospital says that its numbers are.
        converted: by column, the rows whose number the source converted from another unit.
    """

    site: str
    file: str
    cells: Mapping[str, Cells]
    lines: NDArray[np.int64]
    rows: NDArray[np.int64]
    repeated: NDArray[np.int64]
    faults: tuple[RecordFault, ...] = ()
    row_word: RowWord = "line"
    has_order: bool = True
    notes: tuple[SourceNote, ...] = ()
    dates: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    converted: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    @property
    def rows_left_out(self) -> int:
        """The number of lines that are no rows here, being of another length than the header."""
        of_lines = (fault for fault in self.faults if fault.name in _LEFT_OUT)
        return sum(len(fault.lines) for fault in of_lines)

    def take(self, kept: NDArray[np.bool_]) -> "SourceTable":
        """Returns the records that a mask holds."""
        return replace(
            self,
            cells={name: cells.take(kept) for name, cells in self.cells.items()},
            lines=self.lines[kept],
            rows=self.rows[kept],
        )


def needed_columns(cohort: TableCohort, keep: Sequence[str]) -> tuple[str, ...]:
    """Returns the columns that must be in a source: what is read, patient key, kept ones."""
    key = () if cohort.patient_key == "row" else (cohort.patient_key,)
    names = [*cohort.reads, *key, *keep]
    return tuple(dict.fromkeys(names))


def places_of(
    names: Sequence[str], needed: Sequence[str], where: str = "file"
) -> tuple[dict[str, int], tuple[RecordFault, ...]]:
    """Returns where each needed column stands, and the faults of those that do not stand once.

    Args:
        names: the columns, in order.
        needed: those that are looked for.
        where: what holds them: a file, or the result of a query.
    """
    places: dict[str, int] = {}
    faults: list[RecordFault] = []
    for name in needed:
        count = names.count(name)
        if count == 1:
            places[name] = names.index(name)
        elif count:
            faults.append(
                RecordFault(
                    name="column-twice",
                    column=name,
                    what=f"occurs {count} times in the {'header' if where == 'file' else where}",
                    remedy="keep one, or give the others names of their own",
                )
            )
        else:
            remedy = f"the study needs it: export it, or mend its name{_hint(name, names)}"
            what = f"missing in the {where}"
            faults.append(RecordFault(name="missing-column", column=name, what=what, remedy=remedy))
    return places, tuple(faults)


def no_header(
    first: int,
    below: Iterable[tuple[int, Sequence[str]]],
    needed: Collection[str],
    remedy: str,
) -> RecordFault:
    """Returns the fault of a table whose first line holds none of the columns' names.

    Args:
        first: the number of that line.
        below: the lines after it, each with its number and cells.
        needed: the columns that the study needs.
        remedy: where no line below holds them either.
    """
    what = f"line {first} names none of the study's columns"
    named = [
        (len({*cells} & {*needed}), -number) for number, cells in islice(below, _HEADER_WITHIN)
    ]
    most, number = max(named, default=(0, 0))
    if not most:
        return RecordFault(name="no-header", what=what, remedy=remedy)
    return RecordFault(
        name="lines-above-header",
        what=f"{what}, and line {-number} does",
        remedy=f"delete the lines above line {-number}",
    )


def repeated_rows_of(hashes: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the places whose number occurs more than once.

    Args:
        hashes: (rows,) a number for each row, equal for rows that are equal in every cell.
    """
    numbers = np.asarray(hashes, dtype=np.int64)
    order = np.argsort(numbers, kind="stable")
    same = numbers[order][1:] == numbers[order][:-1]
    several = np.r_[False, same] | np.r_[same, False] if len(order) else order > 0
    return np.sort(order[several])


def _hint(name: str, names: Sequence[str]) -> str:
    """Returns the column that was probably meant: other capitals, or a slip of the pen."""
    same = next((other for other in names if other.casefold() == name.casefold()), None)
    return f"; did you mean {same!r}?" if same else nearest(name, list(names))


_TOTALS = re.compile(
    r"(grand |sub)?totals?:?|sum:?|mean:?|average:?|median:?|somme:?|moyenne:?|totale:?"
    r"|(zwischen|gesamt)?summe:?|gesamt:?|mittelwert:?|durchschnitt:?"
    r"|\(?\d+ (rows?( (affected|selected|returned))?|zeilen?( betroffen)?|lignes?)\)?\.?",
    re.IGNORECASE,
)


def is_total(cell: str) -> bool:
    """Whether a cell says that its row is a summary of others.

    >>> [is_total(cell) for cell in ("Total", "Mittelwert", "(303 rows affected)", "12")]
    [True, True, True, False]
    """
    text = cell.strip()
    return not text[-1:].isdigit() and _TOTALS.fullmatch(text) is not None


class UnevenLine(NamedTuple):
    """A line of another length than the header's: its number, its cells, and what they look like.

    ``is_total``: a cell says that the line sums up others. ``ends_empty``: its last cell is empty.
    """

    number: int
    cells: int
    is_total: bool
    ends_empty: bool

    @classmethod
    def of(cls, number: int, cells: Sequence[str]) -> "UnevenLine":
        """Returns a line by its cells."""
        return cls(number, len(cells), any(map(is_total, cells)), not cells[-1].strip())


def uneven_lines(odd: Sequence[UnevenLine], width: int) -> tuple[RecordFault, ...]:
    """Returns the faults of lines of another length than the header's, which is ``width``."""
    totals = [line.number for line in odd if line.is_total]
    others = [line for line in odd if not line.is_total]
    faults = [summary_fault(totals)] if totals else []
    if len(others) > 1 and all(line.cells == width + 1 and line.ends_empty for line in others):
        faults.append(
            RecordFault(
                name="empty-last-column",
                lines=[line.number for line in others],
                what=f"{width + 1} cells where {width} were expected, and the last is empty",
                remedy="export without a mark at the end of a line, or name the column in the "
                "header",
            )
        )
    elif others:
        faults.append(
            RecordFault(
                name="uneven-line",
                lines=[line.number for line in others],
                what=f"{others[0].cells} cells where {width} were expected",
                remedy="mend the line, or put a cell that holds the delimiter in quotes",
            )
        )
    return tuple(faults)


def summary_fault(lines: Sequence[int], row_word: RowWord = "line") -> RecordFault:
    """Returns the fault of lines that sum up others."""
    return RecordFault(
        name="summary-row",
        lines=lines,
        row_word=row_word,
        what="a total or a count of rows stands here, not a record",
        remedy="delete the line",
    )
