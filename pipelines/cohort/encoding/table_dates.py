"""Dates of a table: its columns of dates as days, the window of time, what is counted from them.

Rules:

1. A day is the number of a proleptic Gregorian day, a whole number; NaN where a cell is missing or
   no date. Whoever asks for days refuses what is no date.
2. Whether a record lies in the window is asked before anything else of it is looked at, so a
   record of another time is never a fault.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.encoding.date_cells import DateCells, ReadDate
from pipelines.cohort.encoding.outcomes import Outcomes, outcomes
from pipelines.sources.cells import Cells
from pipelines.sources.column_cells import CellProblem, outside_the_range, read_cells
from pipelines.sources.faults import RecordFault
from pipelines.sources.tables.table import SourceTable
from protocol.study.cohort.cohort import TableCohort
from protocol.study.cohort.columns import ElapsedColumn
from protocol.study.cohort.dates import day_named
from protocol.study.cohort.labels import DatedLabel, EventLabel, TimeToEventLabel

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Elapsed:
    """One feature that was counted from dates: numbers in its unit, and what became of them."""

    numbers: Floats
    missing: NDArray[np.bool_]
    outside: NDArray[np.bool_]


class DateReadings:
    """The readings of a contract's columns of dates.

    Args:
        cohort: the contract.
        written: by column, the format in which this hospital writes it.
    """

    def __init__(self, cohort: TableCohort, written: Mapping[str, str]) -> None:
        self._cohort = cohort
        self._cells = {
            name: DateCells(column, written.get(name)) for name, column in cohort.dates.items()
        }

    def lacking(self, name: str, cells: Cells) -> frozenset[str]:
        """Returns the spellings of a column of dates that mean missing."""
        return self._cells[name].missing_among(cells.spellings, self._cohort.missing)

    def at(self, table: SourceTable) -> "TableDates":
        """Returns the dates of some records."""
        return TableDates(self._cohort, table, self._cells)


class TableDates:
    """The dates of some records of a table.

    Args:
        cohort: the contract.
        table: the records.
        readings: of each column of dates.
    """

    def __init__(
        self, cohort: TableCohort, table: SourceTable, readings: Mapping[str, DateCells]
    ) -> None:
        self._cohort, self._table, self._readings = cohort, table, readings
        self._days: dict[str, Floats] = {}

    def days(self, named: str) -> Floats:
        """Returns (records,) days of a column, or the one day that is named, in each of them."""
        day = day_named(named)
        if day is not None:
            return np.full(len(self._table.rows), float(day.toordinal()))
        if named not in self._table.cells:  # a fault of its own, told where columns are looked for
            return np.full(len(self._table.rows), np.nan)
        if named not in self._days:
            self._days[named] = self._read(named)[0]
        return self._days[named]

    @property
    def outside_window(self) -> NDArray[np.bool_]:
        """(records,) Whether a record lies outside the window; not where a day is unknown."""
        window = self._cohort.window
        outside = np.zeros(len(self._table.rows), dtype=bool)
        if window is None:
            return outside
        days = self.days(window.column)
        if window.since is not None:
            outside |= days < window.since.toordinal()
        if window.until is not None:
            outside |= days > window.until.toordinal()
        if window.before is not None and window.max_age_days is not None:
            age = self.days(window.before) - days
            outside |= (age < 0) | (age > window.max_age_days)
        return outside

    @cached_property
    def outcomes(self) -> Outcomes | None:
        """The labels that are made of dates; None of another label."""
        label = self._cohort.label
        if not isinstance(label, DatedLabel):
            return None
        named = (label.event_date, label.index_date, label.observed_until)
        return outcomes(label, *map(self.days, named))

    @property
    def left_out(self) -> NDArray[np.bool_]:
        """(records,) Whether a record is left out because nobody looked for long enough."""
        found, label = self.outcomes, self._cohort.label
        if found is None or not isinstance(label, DatedLabel):
            return np.zeros(len(self._table.rows), dtype=bool)
        if label.unobserved == "refuse":
            return np.zeros_like(found.unobserved)
        refused = label.before_index == "refuse"
        return found.unobserved & ~found.before_index if refused else found.unobserved

    def elapsed(self, column: ElapsedColumn) -> Elapsed:
        """Returns the numbers of a feature that is counted from dates, imputed and clipped.

        Where the contract counts missing cells, a missing one is NaN.
        """
        numbers = (self.days(column.name) - self.days(column.since)) / column.per
        missing, (low, high) = np.isnan(numbers), column.range
        outside = (numbers < low) | (numbers > high)
        if column.outside == "clip":
            numbers = np.clip(numbers, low, high)
        counts = self._cohort.on_missing == "count"
        filled = np.where(missing, np.nan if counts else column.impute or 0.0, numbers)
        return Elapsed(numbers=filled, missing=missing, outside=outside)

    def faults(self) -> list[RecordFault]:
        """Returns the faults of dates, but for cells that are missing and must not be."""
        found = [
            self._fault(problem, name, places)
            for name in self._read_columns
            for problem, places in self._read(name)[1].items()
        ]
        for column in self._cohort.features:
            if isinstance(column, ElapsedColumn) and column.outside == "refuse":
                outside = self.elapsed(column).outside
                what = f"the time since {column.since} is {outside_the_range(column)}"
                problem = CellProblem(name="outside-range", what=what, remedy=_WIDER)
                found.append(self._fault(problem, column.name, np.flatnonzero(outside)))
        return [*(fault for fault in found if len(fault.lines)), *self._of_outcomes()]

    def notes(self) -> dict[str, dict[str, Rows]]:
        """Returns by ``cut`` and ``completed`` the rows of each column whose date was."""
        noted: dict[str, dict[str, Rows]] = {"cut": {}, "completed": {}}
        for name in self._read_columns:
            cells = self._table.cells[name]
            read = [self._readings[name].read(text) for text in cells.spellings]
            for kind, holds in (("cut", "is_cut"), ("completed", "is_completed")):
                meant = np.array([getattr(found, holds, False) for found in read], dtype=bool)
                rows = self._table.rows[meant[cells.codes]]
                if len(rows):
                    noted[kind][name] = rows
        return noted

    @property
    def _read_columns(self) -> list[str]:
        reads = {*self._cohort.reads} & self._table.cells.keys()
        return [name for name in self._readings if name in reads]

    def _read(self, name: str) -> tuple[Floats, dict[CellProblem, list[int]]]:
        reading, cells = self._readings[name], self._table.cells[name]
        lacking = reading.missing_among(cells.spellings, self._cohort.missing)
        dates = set(cells.spellings) - lacking
        two, in_other_forms = reading.two_orders(cells.spellings), reading.in_other_forms(dates)

        def read(cell: str) -> float | CellProblem:
            if cell in lacking:
                return np.nan
            found = reading.read(cell)
            if isinstance(found, ReadDate):
                return float(found.day)
            if found == reading.swapped:
                return two or found
            is_in_another = found.name == "date-in-another-order"
            return in_other_forms if is_in_another and in_other_forms else found

        days, problems = read_cells(cells, read)
        for places in problems.values():
            days[places] = np.nan
        return days, problems

    def _of_outcomes(self) -> list[RecordFault]:
        found, label = self.outcomes, self._cohort.label
        if found is None or not isinstance(label, DatedLabel):
            return []
        faults = []
        if label.before_index == "refuse":
            what = "an event before the index day" + (", or on it" if label.from_day else "")
            problem = CellProblem(name="event-before-index", what=what, remedy=_BEFORE)
            places = np.flatnonzero(found.before_index)
            faults.append(self._fault(problem, label.event_date, places))
        if label.unobserved == "refuse":
            what = "no event, and not observed for long enough"
            if isinstance(label, EventLabel):
                what = f"no event, and not observed through day {label.within_days}"
            problem = CellProblem(name="outcome-not-observed", what=what, remedy=_UNOBSERVED)
            places = np.flatnonzero(found.unobserved)
            faults.append(self._fault(problem, label.index_date, places))
        if isinstance(label, TimeToEventLabel):
            low, high = label.range
            outside = ((found.days < low) | (found.days > high)) & ~found.unobserved
            what = f"days to event or censoring outside the range [{low:g}, {high:g}]"
            problem = CellProblem(name="outside-range", what=what, remedy=_TIMES)
            faults.append(self._fault(problem, label.index_date, np.flatnonzero(outside)))
        return [fault for fault in faults if len(fault.lines)]

    def _fault(
        self, problem: CellProblem, column: str, places: Rows | Sequence[int]
    ) -> RecordFault:
        lines = self._table.lines[places].tolist()
        return problem.fault(column, lines, row_word=self._table.row_word)


_WIDER = "mend the dates, or in the study write a wider range or outside: clip for the column"
_BEFORE = "mend the dates, or in the study write before_index: ignore for the label"
_UNOBSERVED = (
    "in the study write unobserved: drop for the label, which leaves such records out and counts "
    "them; or export records of whom the outcome is known"
)
_TIMES = "mend the dates, or in the study write a wider range for the label"
