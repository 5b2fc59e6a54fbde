"""A table as it is read: values of any type in pieces, kept as cells of one spelling each.

Rules:

1. Memory holds four bytes for each cell that the study needs, each spelling once, and eight bytes
   for each row, by which rows that are equal in every cell are found.
2. What cannot be a cell (bytes, lists, a text as long as a document) is a fault of its column.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.sources.cells import Cells
from pipelines.sources.faults import RecordFault, RowWord
from pipelines.sources.progress import rows_read
from pipelines.sources.tables.table import SourceTable, needed_columns, places_of, repeated_rows_of
from pipelines.sources.tables.typed_cells import (
    Spelling,
    is_instant,
    spell_by_own_clock,
    spelling_of,
)
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import TableCohort

#: A longer cell is a document, not a value.
MAX_CELL = 1 << 17
#: What the cells may take of memory.
MAX_BYTES = 8 * 10**9
#: So many rows are looked at together.
ROWS_AT_ONCE = 1 << 14
#: From here on a floating-point number has not every digit that was typed; Excel keeps fifteen.
_ROUNDED = 10**15
#: So many different values of a column are remembered with their spelling.
_REMEMBERED = 1 << 16
#: What a spelling takes beside its letters.
_TEXT_BYTES = 160
#: An odd number whose bits look random, to tell rows apart by (2^64 over the golden ratio).
_MIX = np.uint64(0x9E3779B97F4A7C15)

#: Writes a text as the contract does, for a hospital that writes its numbers in another way.
Respell: TypeAlias = Callable[[str], str]


_ROUNDED_KEY = RecordFault(
    name="key-without-its-last-digits",
    what="a number of 16 digits or more that is stored with a floating point: its last digits are "
    "lost",
    remedy="store the column as text, from where it still has all its digits",
)
_INSTANT = RecordFault(
    name="instant-for-a-day",
    what="a moment in UTC, which is another day on the hospital's clock around midnight",
    remedy="write it by the hospital's own clock: in a query (COLUMN AT TIME ZONE "
    "'Europe/Berlin'), in a file a column without a time zone",
)


class Coded(NamedTuple):
    """A piece of a column as its different values, and where among them each cell stands."""

    values: Sequence[object]
    places: NDArray[np.int64]


class _Remembered(dict[object, int]):
    """Numbers of the values of one type, worked out once for each of the first many."""

    def __init__(self, work_out: Callable[[object], int]) -> None:
        super().__init__()
        self._work_out = work_out

    def __missing__(self, value: object) -> int:
        found = self._work_out(value)
        if len(self) < _REMEMBERED:
            self[value] = found
        return found


class _Unreadable(_Remembered):
    """Values of a type that is no cell, and may not even be hashable."""

    def __getitem__(self, value: object) -> int:
        return self._work_out(value)


class _Column:
    """A column that is not needed: of each cell a number that equal cells share.

    Args:
        blank: the spelling of what is missing.
        empty_is_missing: whether empty text is missing too: where a source knows empty cells.
        respell: of a column of numbers that are written as text.
    """

    def __init__(
        self, *, blank: str, empty_is_missing: bool, respell: Respell | None = None
    ) -> None:
        self._blank, self._empty_is_missing = blank, empty_is_missing
        self._respell = respell
        self._known: dict[type, _Remembered] = {}

    def numbers(self, values: Sequence[object] | Coded) -> NDArray[np.int64]:
        """Returns a number for each cell."""
        if isinstance(values, Coded):
            return self.numbers(values.values)[values.places]
        known = {kind: self._of_kind(kind) for kind in set(map(type, values))}
        if len(known) == 1:
            (only,) = known.values()
            return np.fromiter(map(only.__getitem__, values), np.int64, len(values))
        found = (known[type(value)][value] for value in values)
        return np.fromiter(found, np.int64, len(values))

    def _of_kind(self, kind: type) -> _Remembered:
        if kind not in self._known:
            spell = self._spelling(kind)
            if spell is None:
                self._known[kind] = _Unreadable(lambda _: self._number_of(self._blank))
            else:
                respell = self._respell if issubclass(kind, str) else None

                def work_out(value: object) -> int:
                    text = spell(value)
                    if text is None or (not text and self._empty_is_missing):
                        return self._number_of(self._blank)
                    number = self._number_of(respell(text) if respell else text)
                    self._note(value, number)
                    return number

                self._known[kind] = _Remembered(work_out)
        return self._known[kind]

    def _spelling(self, kind: type) -> Spelling | None:
        return spelling_of(kind)

    def _number_of(self, text: str) -> int:
        return hash(text)

    def _note(self, value: object, number: int) -> None:
        """Takes note of a value and its number."""


class _NeededColumn(_Column):
    """A column whose cells are kept: the numbers are the codes of ``Cells``.

    ``is_key``: a whole number in it may be a person's, of which every digit counts. ``is_day``: a
    moment in it is a day on the clock that it is written by.
    """

    def __init__(
        self,
        *,
        blank: str,
        empty_is_missing: bool,
        respell: Respell | None = None,
        is_key: bool = False,
        is_day: bool = False,
    ) -> None:
        super().__init__(blank=blank, empty_is_missing=empty_is_missing, respell=respell)
        self._is_key, self._is_day = is_key, is_day
        self._places: dict[str, int] = {}
        self._hashes = array("q")
        self._pieces: list[NDArray[np.int32]] = []
        self._long: set[int] = set()
        self._rounded: set[int] = set()
        self._instants: set[int] = set()
        self._no_cells: dict[str, list[int]] = {}
        self.size = 0

    def add(self, values: Sequence[object] | Coded, lines: NDArray[np.int64]) -> NDArray[np.int64]:
        """Adds the next cells; returns a number for each that equal cells share."""
        codes = self.numbers(values)
        for kind, known in self._known.items():
            if isinstance(known, _Unreadable) and not isinstance(values, Coded):
                found = [n for n, value in enumerate(values) if type(value) is kind]
                self._no_cells.setdefault(kind.__name__, []).extend(lines[found].tolist())
        self._append(codes)
        hashes: NDArray[np.int64] = np.array(self._hashes, dtype=np.int64)[codes]
        return hashes

    def add_text(self, values: Sequence[str]) -> None:
        """Adds the next cells, all of them text."""
        known = self._of_kind(str)
        self._append(np.fromiter(map(known.__getitem__, values), np.int32, len(values)))

    def _append(self, codes: NDArray[Any]) -> None:
        self._pieces.append(codes.astype(np.int32, copy=False))
        self.size += 4 * len(codes)

    def _number_of(self, text: str) -> int:
        code = self._places.get(text)
        if code is None:
            code = self._places[text] = len(self._places)
            self._hashes.append(hash(text))
            self.size += _TEXT_BYTES + len(text)
            if len(text) > MAX_CELL:
                self._long.add(code)
        return code

    def _spelling(self, kind: type) -> Spelling | None:
        is_moment = self._is_day and issubclass(kind, datetime)
        return spell_by_own_clock if is_moment else spelling_of(kind)

    def _note(self, value: object, number: int) -> None:
        if self._is_key and isinstance(value, float) and abs(value) >= _ROUNDED:
            self._rounded.add(number)
        if self._is_day and isinstance(value, datetime) and is_instant(value):
            self._instants.add(number)

    def cells(self) -> Cells:
        """Returns all that were added."""
        codes = np.concatenate([np.zeros(0, np.int32), *self._pieces])
        return Cells(tuple(self._places), codes).take(slice(None))

    def faults(self, name: str, lines: NDArray[np.int64], row_word: RowWord) -> list[RecordFault]:
        """Returns what cannot be a cell."""
        found = [
            RecordFault(
                name="cell-of-another-type",
                column=name,
                lines=where,
                what=f"of the type {kind}, which is no number, category or date",
                remedy="write it as one of them, or leave the column out where nothing needs it",
                row_word=row_word,
            )
            for kind, where in self._no_cells.items()
            if where
        ]
        for fault, marked in ((_ROUNDED_KEY, self._rounded), (_INSTANT, self._instants)):
            if marked:
                where = lines[np.isin(np.concatenate(self._pieces), sorted(marked))].tolist()
                found.append(replace(fault, column=name, lines=where, row_word=row_word))
        if self._long:
            codes = np.concatenate(self._pieces)
            found.append(
                RecordFault(
                    name="long-cell",
                    column=name,
                    lines=lines[np.isin(codes, sorted(self._long))].tolist(),
                    what=f"a text of more than {MAX_CELL} letters",
                    remedy="is a quote left open, or a document in the column?",
                    row_word=row_word,
                )
            )
        return found


class GrowingTable:
    """The table that a source's rows become, piece by piece.

    Args:
        names: the source's columns, in order.
        cohort: the contract.
        site: whose records they are.
        keep: see ``Source``.
        file: the source's name, for messages.
        row_word: what a row is called in messages.
        has_order: see ``SourceTable``.
        typed: whether the source knows empty cells: empty text is then missing too.
        respell: of each column of numbers, where text in it is written in the hospital's own way.
    """

    def __init__(
        self,
        names: Sequence[str],
        cohort: TableCohort,
        *,
        site: str,
        keep: Sequence[str],
        file: str,
        row_word: RowWord = "line",
        has_order: bool = True,
        typed: bool = False,
        respell: Mapping[str, Respell] | None = None,
    ) -> None:
        self._site, self._file, self._row_word = site, file, row_word
        self._has_order = has_order
        where = "file" if has_order else "result"
        places, self._faults = places_of(names, needed_columns(cohort, keep), where)
        self._needed: dict[int, tuple[str, _NeededColumn]] = {}
        for name, place in places.items():
            column = _NeededColumn(
                blank="" if name == cohort.patient_key else blank_of(cohort),
                empty_is_missing=typed,
                respell=(respell or {}).get(name),
                is_key=name == cohort.patient_key or name in keep,
                is_day=name in cohort.dates,
            )
            self._needed[place] = (name, column)
        self._others = {
            place: _Column(blank="", empty_is_missing=False)
            for place in range(len(names))
            if place not in self._needed
        }
        self._lines: list[NDArray[np.int64]] = []
        self._whole: list[NDArray[np.int64]] = []
        self._read = 0

    @property
    def needed(self) -> Mapping[int, str]:
        """The needed columns' names, by their places in the source."""
        return {place: name for place, (name, _) in self._needed.items()}

    def add(self, columns: Sequence[Sequence[object] | Coded], lines: NDArray[np.int64]) -> None:
        """Adds rows: the values of every column of the source, and each row's line.

        Raises:
            CohortRefused: the table takes more memory than it may.
        """
        whole = np.zeros(len(lines), dtype=np.uint64)
        for place, values in enumerate(columns):
            if place in self._needed:
                numbers = self._needed[place][1].add(values, lines)
            else:
                numbers = self._others[place].numbers(values)
            whole ^= numbers.view(np.uint64)
            whole *= _MIX
            whole ^= whole >> np.uint64(29)
        self._note(whole.view(np.int64), lines)

    def add_text(
        self,
        columns: Sequence[Sequence[str]],
        lines: NDArray[np.int64],
        whole: NDArray[np.int64],
    ) -> None:
        """Adds rows of text: the needed columns alone, in the order of ``needed``.

        Args:
            columns: of each needed column the cells.
            lines: each row's line.
            whole: of each row a number that rows share which are equal in every cell.

        Raises:
            CohortRefused: as ``add`` does.
        """
        for (_, column), values in zip(self._needed.values(), columns, strict=True):
            column.add_text(values)
        self._note(whole, lines)

    def _note(self, whole: NDArray[np.int64], lines: NDArray[np.int64]) -> None:
        self._whole.append(whole)
        self._lines.append(lines)
        self._read += len(lines)
        rows_read(self._read)
        if sum(column.size for _, column in self._needed.values()) > MAX_BYTES:
            raise CohortRefused(
                f"site {self._site}: {self._file}: {self._row_word} {int(lines[-1])}: the cells up "
                f"to here take more than {MAX_BYTES / 1e9:g} GB of memory: split the data set"
            )

    def table(self, more_faults: Sequence[RecordFault] = ()) -> SourceTable:
        """Returns the whole table, with the faults that whoever read the source found."""
        lines = np.concatenate([_NO_ROWS, *self._lines])
        faults = [*more_faults, *self._faults]
        for name, column in self._needed.values():
            faults += column.faults(name, lines, self._row_word)
        return SourceTable(
            site=self._site,
            file=self._file,
            cells={name: column.cells() for name, column in self._needed.values()},
            lines=lines,
            rows=np.arange(len(lines), dtype=np.int64),
            repeated=repeated_rows_of(np.concatenate([_NO_ROWS, *self._whole])),
            faults=tuple(faults),
            row_word=self._row_word,
            has_order=self._has_order,
        )


def blank_of(cohort: TableCohort) -> str:
    """Returns the spelling of a cell that a typed source knows to be missing.

    It is empty where the contract takes that for missing, else the contract's own code for it.
    """
    return "" if "" in cohort.missing or not cohort.missing else cohort.missing[0]


_NO_ROWS: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
