"""The records that a study asks for: by the name of a column, or for day 0."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from protocol.study.cohort.clinical import ClinicalEvents, Coding, Death, Index
from protocol.study.cohort.cohort import Cohort, TableCohort
from protocol.study.cohort.columns import NumberColumn
from protocol.study.cohort.labels import SurvivalLabel
from protocol.study.cohort.units import UNCHANGED

#: The name under which the events of day 0 are asked for; no column can have it.
DAY_ZERO = ""
#: The name under which deaths are.
DEATHS = " "


class Value(NamedTuple):
    """The number of an event, or its answer's place, and whether it was in another unit."""

    number: float
    is_converted: bool = False


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Records of one thing, asked for under one name.

    Attributes:
        name: of the column, or ``DAY_ZERO``.
        events: what they are and what is taken of them.
        column: the column of numbers that they fill, if it is one.
    """

    name: str
    events: ClinicalEvents | Index
    column: NumberColumn | None = None

    @property
    def what(self) -> str:
        """The kind of record."""
        return self.events.what

    @property
    def coding(self) -> Coding:
        """Their numbers in OMOP, and their codes in FHIR."""
        return self.events

    @property
    def at_end(self) -> bool:
        """Whether a visit's last day counts, and not its first."""
        return isinstance(self.events, Index) and self.events.at == "end"

    @property
    def valued(self) -> ClinicalEvents | None:
        """The events, where their own numbers or answers are taken; else None."""
        is_valued = isinstance(self.events, ClinicalEvents) and self.events.has_values
        return self.events if is_valued and isinstance(self.events, ClinicalEvents) else None

    @property
    def unit(self) -> str | None:
        """The unit of the column, where the study names it."""
        own = None if self.valued is None else self.valued.unit
        return own or (None if self.column is None else self.column.unit)

    def converted(self, number: float, unit: str) -> Value | None:
        """Returns a number of a unit as one of the column's; None where they do not fit."""
        if self.unit in (None, unit):
            return Value(number)
        how = None if self.column is None else self.column.conversion(unit)
        return None if how is None else Value(how.of(number), is_converted=how != UNCHANGED)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """All that a study asks of a hospital's clinical records.

    ``deaths`` and ``follow_up``: whether deaths, and how long each person was observed, must be in
    the records.
    """

    asks: tuple[Ask, ...]
    deaths: bool
    follow_up: bool


def wanted_by(cohort: TableCohort) -> Wanted:
    """Returns what a contract asks for.

    Where several columns have one meaning, each asks for itself.
    """
    numbers = {each.name: each for each in cohort.features if isinstance(each, NumberColumn)}
    asks = [] if cohort.index is None else [Ask(name=DAY_ZERO, events=cohort.index)]
    for name, meaning in cohort.clinical_meanings.items():
        is_same = isinstance(cohort.label, SurvivalLabel) and name == cohort.label.event
        if isinstance(meaning, ClinicalEvents) and not is_same:
            column = numbers.get(name)
            asks.append(Ask(name=name, events=meaning, column=column))
    label = cohort.label.clinical_meanings.values()
    return Wanted(
        asks=tuple(asks),
        deaths=any(isinstance(each, Death) for each in cohort.clinical_meanings.values()),
        follow_up=any(
            isinstance(each, Death | ClinicalEvents) and (each.window[1] or 0) > 0 for each in label
        ),
    )


def asked_for(cohort: Cohort, kind: Literal["omop", "fhir"]) -> tuple[str, ...]:
    """Returns what a study asks for: ``age``, ``sex``, ``death``, and concepts or codes.

    Nothing where its columns have no clinical meanings.
    """
    if not isinstance(cohort, TableCohort):
        return ()
    meanings = [cohort.index, *cohort.clinical_meanings.values()]
    asked: set[str] = set()
    for meaning in meanings:
        if isinstance(meaning, Coding):
            asked.update(map(str, meaning.concepts) if kind == "omop" else meaning.codes)
        elif meaning is not None:
            asked.add(meaning.what)
    return tuple(sorted(asked))
