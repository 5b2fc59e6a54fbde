"""Cells of rows made of clinical records: of each column, what a row takes of its person's records.

Rules:

1. What a cell holds follows from the records of its person and the contract alone, in whatever
   order the records are read: of two at one moment the smaller number is the earlier.
2. Of an event that is in the window on some days of its partial date and out of it on others nobody
   can say whether it counts: it is left out.
3. A label's event that did not come is a ``no`` only of a person who was observed to the end of the
   window; a death ends it. Else the label is missing, and the contract says what becomes of the
   row.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pipelines.sources.cells import Cells
from pipelines.sources.clinical.dates import whole_years
from pipelines.sources.clinical.records import NEVER, ClinicalRecords, Events
from pipelines.sources.clinical.tally import Reason, Tally
from pipelines.sources.clinical.wanted import DEATHS
from protocol.study.cohort.clinical import (
    NO,
    YES,
    AgeAtIndex,
    Clinical,
    ClinicalEvents,
    Death,
    Sex,
)
from protocol.study.cohort.cohort import TableCohort
from protocol.study.cohort.columns import NumberColumn
from protocol.study.cohort.labels import NumberLabel, SurvivalLabel

Days = NDArray[np.int64]
Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: A day after every other.
_NO_END = 10**7


@dataclass(frozen=True, kw_only=True, eq=False)
class ClinicalRows:
    """The person and day 0 of each row; without an index there is no day."""

    person: NDArray[np.int64]
    day: Days | None


def within_life(
    records: ClinicalRecords, events: Events, column: str | None, tally: Tally
) -> Events:
    """Returns the events that are neither before a person's birth nor after its death."""
    unborn = events.last < records.persons.born_first[events.person]
    died = np.full(len(records.persons), _NO_END)
    deaths = records.events[DEATHS]
    died[deaths.person] = deaths.last
    dead = events.first > died[events.person]
    for mask, what in ((unborn, "before the person's birth"), (dead, "after the person's death")):
        remedy = "mend their dates, or the person's; they are left out"
        reason = Reason(column=column, what=f"records lie {what}", remedy=remedy)
        tally.leave_out(reason, int(mask.sum()))
    return events.take(~(unborn | dead))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Found:
    """The events that count for each row, in the order of rows, then of time."""

    row: NDArray[np.int64]
    offset: Days
    value: Numbers
    converted: Mask

    @property
    def begins(self) -> NDArray[np.int64]:
        """The place of each row's first event."""
        return np.flatnonzero(np.r_[True, self.row[1:] != self.row[:-1]][: len(self.row)])


@dataclass(frozen=True, kw_only=True, eq=False)
class RowCells:
    """The making of one table's columns.

    ``converted`` has, once a column is made, the rows whose number was in another unit, or was made
    of some that were.
    """

    records: ClinicalRecords
    cohort: TableCohort
    rows: ClinicalRows
    tally: Tally
    converted: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    def cells(self, name: str, meaning: Clinical) -> Cells:
        """Returns a column's cells."""
        missing = self.cohort.missing[0]
        persons, rows = self.records.persons, self.rows
        if isinstance(meaning, Sex):
            return Cells.of(persons.sexes[p] or missing for p in rows.person.tolist())
        if isinstance(meaning, AgeAtIndex):
            return Cells.of(self._ages(missing))
        return self._of_events(name, meaning, missing)

    def _ages(self, missing: str) -> list[str]:
        days = [] if self.rows.day is None else self.rows.day.tolist()
        born = self.records.persons.born[self.rows.person].tolist()
        return [
            missing if birth == NEVER else str(whole_years(birth, day))
            for birth, day in zip(born, days, strict=True)
        ]

    def _of_events(self, name: str, meaning: ClinicalEvents | Death, missing: str) -> Cells:
        label = self.cohort.label
        if isinstance(label, SurvivalLabel) and name == label.event:
            # The same events as the time's, which are counted there.
            return replace(self, tally=Tally())._survival(name, str(label.column), meaning)
        if isinstance(label, SurvivalLabel) and name == label.column:
            return self._survival(name, name, meaning)
        found = self._found(name, meaning)
        numbers = _taken(meaning, found, len(self.rows.person))
        converted = _converted(meaning, found)
        if len(converted):
            self.converted[name] = converted
        if name in label.columns:
            numbers = self._followed(name, numbers, found, meaning)
        words: Sequence[str] | None = None
        if isinstance(meaning, ClinicalEvents) and meaning.answers:
            words = tuple(meaning.answers)
        elif meaning.take == "exists" and not self._holds_numbers(name):
            words = (NO, YES)
        return _cells(numbers, missing, words)

    def _holds_numbers(self, name: str) -> bool:
        if name in self.cohort.label.columns:
            return isinstance(self.cohort.label, NumberLabel)
        return any(isinstance(c, NumberColumn) and c.name == name for c in self.cohort.features)

    def _found(self, name: str, meaning: ClinicalEvents | Death) -> _Found:
        """Returns the events in the window of each row."""
        window = meaning.window
        if isinstance(meaning, Death):
            events = self.records.events[DEATHS]
        else:
            events = within_life(self.records, self.records.events[name], name, self.tally)
        row, event = events.of_persons(self.rows.person)
        zero = np.zeros(len(row), np.int64) if self.rows.day is None else self.rows.day[row]
        first, last = events.first[event] - zero, events.last[event] - zero
        low = -_NO_END if window[0] is None else window[0]
        high = _NO_END if window[1] is None else window[1]
        sure = (first >= low) & (last <= high)
        self.tally.leave_out(
            Reason(
                column=name,
                what="records have a date in part, and may or may not lie in the window",
                remedy="write the day; they are left out",
            ),
            int((~sure & (last >= low) & (first <= high)).sum()),
        )
        row, first, event = row[sure], first[sure], event[sure]
        value = events.value[event]
        in_time = np.lexsort((value, events.second[event], first, row))
        return _Found(
            row=row[in_time],
            offset=first[in_time],
            value=value[in_time],
            converted=events.converted[event][in_time],
        )

    def _ends(self) -> Days:
        """Returns the last day, from day 0, to which each row was observed; -1 where not at all.

        Of several times the one that holds day 0 counts.
        """
        observed, day = self.records.observed, self.rows.day
        if day is None:
            raise ValueError("nothing is followed without a day 0")
        row, span = observed.of_persons(self.rows.person)
        first, last = observed.first[span] - day[row], observed.last[span] - day[row]
        ends = np.full(len(day), -1, dtype=np.int64)
        holds = (first <= 0) & (last >= 0)
        np.maximum.at(ends, row[holds], last[holds])
        died = np.full(len(self.records.persons), _NO_END)
        deaths = self.records.events[DEATHS]
        died[deaths.person] = deaths.first
        return np.minimum(ends, died[self.rows.person] - day)

    def _followed(
        self, name: str, numbers: Numbers, found: _Found, meaning: ClinicalEvents | Death
    ) -> Numbers:
        """Returns a label's numbers, without those of rows that were not observed long enough."""
        end = meaning.window[1] or 0
        if end <= 0:
            return numbers
        unknown = self._ends() < end
        if meaning.take in ("exists", "days"):
            has = np.zeros(len(numbers), dtype=bool)
            has[found.row] = True
            unknown &= ~has
        self._count_unobserved(name, int(unknown.sum()), end)
        return np.where(unknown, np.nan, numbers)

    def _count_unobserved(self, name: str, count: int, end: int | None) -> None:
        to = "from day 0" if end is None else f"to day {end}"
        self.tally.leave_out(
            Reason(
                column=name,
                what=f"rows were not observed {to}, and the event did not come before: their label "
                "is missing",
                remedy="nothing is wrong if it is so in the records; else mend how long persons "
                "were observed (OMOP observation_period, complete_until of FHIR)",
            ),
            count,
        )

    def _survival(self, name: str, asked: str, meaning: ClinicalEvents | Death) -> Cells:
        """Returns the times to the event or the end of observation, or whether the event came."""
        found, high = self._found(asked, meaning), meaning.window[1]
        first = np.full(len(self.rows.person), np.nan)
        first[found.row[found.begins]] = found.offset[found.begins]
        came = ~np.isnan(first)
        end = np.minimum(self._ends(), _NO_END if high is None else high)
        unknown = ~came & (end < 0)
        self._count_unobserved(name, int(unknown.sum()), None)
        missing = self.cohort.missing[0]
        if name == asked:
            return _cells(np.where(unknown, np.nan, np.where(came, first, end)), missing, None)
        return _cells(np.where(unknown, np.nan, came), missing, (NO, YES))


def _taken(meaning: ClinicalEvents | Death, found: _Found, count: int) -> Numbers:
    """Returns the number that each row takes of its events; NaN where it has none to take."""
    if meaning.take in ("count", "exists"):
        counts = np.bincount(found.row, minlength=count).astype(np.float64)
        return np.minimum(counts, 1) if meaning.take == "exists" else counts
    numbers = np.full(count, np.nan)
    begins = found.begins
    if not len(begins):
        return numbers
    ends = np.r_[begins[1:], len(found.row)]
    taken: dict[str, Callable[[], Numbers]] = {
        "days": lambda: found.offset[begins].astype(np.float64),
        "first": lambda: found.value[begins],
        "last": lambda: found.value[ends - 1],
        "min": lambda: np.minimum.reduceat(found.value, begins),
        "max": lambda: np.maximum.reduceat(found.value, begins),
        "mean": lambda: np.array(
            [
                math.fsum(found.value[low:high]) / (high - low)
                for low, high in zip(begins.tolist(), ends.tolist(), strict=True)
            ]
        ),
    }
    numbers[found.row[begins]] = taken[meaning.take]()
    return numbers


def _converted(meaning: ClinicalEvents | Death, found: _Found) -> NDArray[np.int64]:
    """Returns the rows whose number was in another unit, or was made of some that were."""
    chosen = found.converted.copy()
    if meaning.take in ("first", "last"):
        is_begin = np.r_[True, found.row[1:] != found.row[:-1]][: len(found.row)]
        is_end = np.r_[is_begin[1:], True][: len(found.row)]
        chosen &= is_begin if meaning.take == "first" else is_end
    return np.unique(found.row[chosen])


def _cells(numbers: Numbers, missing: str, words: Sequence[str] | None) -> Cells:
    """Returns numbers as text: themselves, or the words that they count; NaN is missing."""
    found, codes = np.unique(numbers, return_inverse=True)
    spelled = [
        missing if math.isnan(number) else repr(number) if words is None else words[int(number)]
        for number in found.tolist()
    ]
    return Cells(tuple(spelled), codes.astype(np.int32))
