"""The list of a cohort's patients by their marks, and how two lists differ.

A line is a patient's mark, the digest of its records and its parts in the study. Lines stand in
the order of the marks, so that equal cohorts have equal lists however their rows stand.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from pipelines.sources.faults.small_counts import HIDDEN, in_words, shown
from protocol.encoding import digest
from protocol.errors import StoreBroken
from silos.patients.marks import MARK_BYTES, Marks, as_marks

_LINE = np.dtype([("mark", f"S{MARK_BYTES}"), ("content", f"S{MARK_BYTES}"), ("part", "u1")])


class Part(IntFlag):
    """The parts of a study that a patient's records are in; more than one where a key is no person.

    ``LEFT_OUT``: no record of the patient was taken in when the cohort was frozen.
    """

    TRAINING = 1
    EVALUATION = 2
    LEFT_OUT = 4

    @property
    def words(self) -> str:
        """The parts in words."""
        names = {Part.TRAINING: "training", Part.EVALUATION: "evaluation", Part.LEFT_OUT: "none"}
        return " and ".join(name for part, name in names.items() if part in self)


@dataclass(frozen=True, kw_only=True)
class CohortDifference:
    """The number of patients whose records differ between a frozen cohort and what is read now."""

    changed: int
    added: int
    missing: int

    def __bool__(self) -> bool:
        return bool(self.changed or self.added or self.missing)

    @property
    def words(self) -> str:
        """The counts in words, small ones hidden, for a refusal stands in logs.

        >>> CohortDifference(changed=1, added=0, missing=2).words
        'fewer than 10 patients differ (fewer than 10 changed, fewer than 10 missing)'
        >>> CohortDifference(changed=0, added=40, missing=0).words
        '40 patients differ (40 added)'
        """
        kinds = {"changed": self.changed, "added": self.added, "missing": self.missing}
        counts = {"patients": sum(kinds.values()), **kinds}
        found = shown(counts, [("patients", tuple(kinds))])
        words = {name: "some" if n == HIDDEN else in_words(n) for name, n in found.items()}
        said = ", ".join(f"{words[kind]} {kind}" for kind, count in kinds.items() if count)
        return f"{words['patients']} patients differ ({said})"


class CohortList:
    """A list of patients.

    Args:
        lines: sorted by their marks, none twice.
    """

    def __init__(self, lines: NDArray[np.void]) -> None:
        self._lines = lines

    @classmethod
    def of(cls, marks: Marks, contents: Marks, parts: NDArray[np.uint8]) -> "CohortList":
        """Returns the list of some patients, in whatever order they come."""
        lines = np.empty(len(marks), dtype=_LINE)
        lines["mark"], lines["content"], lines["part"] = marks, contents, parts
        return cls(lines[np.argsort(lines["mark"], kind="stable")])

    @classmethod
    def read(cls, data: bytes) -> "CohortList":
        """Returns the list that ``to_bytes`` gave.

        Raises:
            StoreBroken: these are no lines.
        """
        if len(data) % _LINE.itemsize:
            raise StoreBroken("a cohort's list was changed: restore the hospital's database")
        return cls(np.frombuffer(data, dtype=_LINE))

    def to_bytes(self) -> bytes:
        """Returns the lines as they are kept."""
        return self._lines.tobytes()

    @property
    def digest(self) -> str:
        """SHA-256 of the lines; nobody without the hospital's key can guess what gives it."""
        return digest(self.to_bytes())

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def marks(self) -> Marks:
        """The patients' marks, sorted."""
        return self._lines["mark"]

    def num_in(self, part: Part) -> int:
        """Returns how many patients are in a part."""
        return int((self._lines["part"] & part > 0).sum())

    def part_of(self, marks: Collection[bytes]) -> Part | None:
        """Returns the parts of a patient who can stand under any of these marks; None of nobody."""
        found = self._lines["part"][np.isin(self.marks, as_marks(marks))]
        return Part(int(np.bitwise_or.reduce(found))) if len(found) else None

    def taken_in(self) -> "CohortList":
        """Returns the list of those of whom a record was taken in."""
        return CohortList(self._lines[self._lines["part"] & Part.LEFT_OUT == 0])

    @property
    def left_out_marks(self) -> Marks:
        """The marks of those of whom no record was taken in."""
        return self.marks[self._lines["part"] & Part.LEFT_OUT > 0]

    def without(self, marks: Marks) -> "CohortList":
        """Returns the list without some patients."""
        return CohortList(self._lines[~np.isin(self.marks, marks)])

    def difference(self, now: "CohortList") -> CohortDifference:
        """Returns how many patients' records are others now, by mark, content and part."""
        _, own, new = np.intersect1d(self.marks, now.marks, assume_unique=True, return_indices=True)
        before, after = self._lines[own], now._lines[new]
        changed = (before["content"] != after["content"]) | (before["part"] != after["part"])
        return CohortDifference(
            changed=int(changed.sum()), added=len(now) - len(new), missing=len(self) - len(own)
        )
