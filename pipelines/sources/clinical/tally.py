"""A tally of what reading clinical records found: what was left out, and what cannot be taken."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from pipelines.records import SourceNote
from pipelines.sources.faults import RecordFault
from pipelines.sources.faults.small_counts import in_words, told


class Place(NamedTuple):
    """The place of a record: a file's own name, and a 1-based line of it."""

    file: str
    line: int


@dataclass(frozen=True, kw_only=True)
class Reason:
    """A reason why records are left out or cannot be taken: ``what`` follows their count.

    ``column`` is the study's, None where it is about all of them.
    """

    what: str
    remedy: str
    column: str | None = None


@dataclass(frozen=True)
class Tally:
    """The records by the reason why they were left out, or why they are refused.

    ``places`` has the first record of each reason, where its reader knows its place.
    """

    left_out: Counter[Reason] = field(default_factory=Counter)
    refused: Counter[Reason] = field(default_factory=Counter)
    units: dict[str, Counter[str]] = field(default_factory=dict)
    places: dict[Reason | tuple[str, str], Place] = field(default_factory=dict)

    def note_unit(self, column: str, unit: str, at: Place | None = None) -> None:
        """Notes the unit of a record, of a column for which the study names none."""
        self.units.setdefault(column, Counter())[unit] += 1
        self._note_place((column, unit), at)

    def leave_out(self, reason: Reason, count: int = 1, at: Place | None = None) -> None:
        """Counts records that the table is made without; the first of them stands there."""
        if count:
            self.left_out[reason] += count
            self._note_place(reason, at)

    def refuse(self, reason: Reason, count: int = 1, at: Place | None = None) -> None:
        """Counts records that no table can be made of; the first of them stands there."""
        if count:
            self.refused[reason] += count
            self._note_place(reason, at)

    def _note_place(self, of: Reason | tuple[str, str], at: Place | None) -> None:
        if at is not None:
            self.places.setdefault(of, at)

    @property
    def faults(self) -> tuple[RecordFault, ...]:
        """The refused records by reason, as a table's faults."""
        found = [(reason, count, self.places.get(reason)) for reason, count in self.refused.items()]
        found += [self._several_units(name) for name, met in self.units.items() if len(met) > 1]
        return tuple(
            RecordFault(
                name="clinical-records",
                column=reason.column,
                what=_said(reason, count, at),
                remedy=reason.remedy,
            )
            for reason, count, at in found
        )

    def _several_units(self, column: str) -> tuple[Reason, int, Place | None]:
        met = self.units[column]
        most = max(met, key=lambda unit: met[unit])
        reason = Reason(
            column=column,
            what=f"records are in other units than the most, of {len(met)} units in all",
            remedy="convert them to one unit; and ask the study to name it",
        )
        others = (self.places.get((column, unit)) for unit in met if unit != most)
        return reason, met.total() - met[most], next(others)

    @property
    def notes(self) -> tuple[SourceNote, ...]:
        """The records left out by reason, as a table's notes."""
        return tuple(
            SourceNote(
                name="records-left-out",
                what="" if reason.column is None else f"column {reason.column!r}",
                found=_said(reason, count, self.places.get(reason)),
                remedy=reason.remedy,
            )
            for reason, count in self.left_out.items()
        )


def _said(reason: Reason, count: int, at: Place | None) -> str:
    where = "" if at is None else f", the first in line {at.line} of {at.file}"
    return f"{in_words(told(count))} {reason.what}{where}"


def nobody(of: str) -> Reason:
    """Returns that records of a table, or resources of a type, are of no person of the source."""
    return Reason(
        what=f"records of {of} belong to no person of the source",
        remedy="export the persons together with their records, or leave those records out",
    )


DATE_THEM = "write their dates as YYYY-MM-DD; they are left out"


def undated(of: str, column: str | None) -> Reason:
    """Returns that records tell no date."""
    return Reason(
        column=column,
        what=f"records of {of} have no date that can be read",
        remedy=DATE_THEM,
    )
