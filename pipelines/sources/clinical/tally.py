"""A tally of what reading clinical records found: what was left out, and what cannot be taken."""

from collections import Counter
from dataclasses import dataclass, field

from pipelines.records import SourceNote
from pipelines.sources.faults import RecordFault
from pipelines.sources.faults.small_counts import in_words, told


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
    """The records by the reason why they were left out, or why they are refused."""

    left_out: Counter[Reason] = field(default_factory=Counter)
    refused: Counter[Reason] = field(default_factory=Counter)
    units: dict[str, Counter[str]] = field(default_factory=dict)

    def note_unit(self, column: str, unit: str) -> None:
        """Notes the unit of a record, of a column for which the study names none."""
        self.units.setdefault(column, Counter())[unit] += 1

    def leave_out(self, reason: Reason, count: int = 1) -> None:
        """Counts records that the table is made without."""
        if count:
            self.left_out[reason] += count

    def refuse(self, reason: Reason, count: int = 1) -> None:
        """Counts records that no table can be made of."""
        if count:
            self.refused[reason] += count

    @property
    def faults(self) -> tuple[RecordFault, ...]:
        """The refused records by reason, as a table's faults."""
        several = {
            Reason(
                column=column,
                what=f"records are in other units than the most, of {len(found)} units in all",
                remedy="convert them to one unit; and ask the study to name it",
            ): found.total() - max(found.values())
            for column, found in self.units.items()
            if len(found) > 1
        }
        return tuple(
            RecordFault(
                name="clinical-records",
                column=reason.column,
                what=f"{in_words(told(count))} {reason.what}",
                remedy=reason.remedy,
            )
            for reason, count in (*self.refused.items(), *several.items())
        )

    @property
    def notes(self) -> tuple[SourceNote, ...]:
        """The records left out by reason, as a table's notes."""
        return tuple(
            SourceNote(
                name="records-left-out",
                what="left out" if reason.column is None else f"column {reason.column!r}",
                found=f"{in_words(told(count))} {reason.what}",
                remedy=reason.remedy,
            )
            for reason, count in self.left_out.items()
        )
