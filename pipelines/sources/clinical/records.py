"""Clinical records in memory: persons, and of their events only what a study asks for.

An event takes 25 bytes. Nothing of it but its days, its second, one number and whether that was in
another unit is kept.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipelines.records import patient_token
from pipelines.sources.clinical.dates import When, assumed_birth
from pipelines.sources.clinical.tally import Place, Reason, Tally

#: The day of what is not known.
NEVER = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Events:
    """The events of one ask, in no order.

    Attributes:
        person: (events,) int32, whose each is.
        first: (events,) int32, its day, or the first on which it may have been.
        last: (events,) int32, the last on which it may have been.
        second: (events,) int32, that of the day.
        value: (events,) float64, its number, or the place of its answer among the answers.
        converted: (events,) bool, whether its number was in another unit than the column's.
    """

    person: NDArray[np.int32]
    first: NDArray[np.int32]
    last: NDArray[np.int32]
    second: NDArray[np.int32]
    value: NDArray[np.float64]
    converted: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.person)

    def take(self, kept: NDArray[np.bool_]) -> "Events":
        """Returns the events that a mask holds."""
        return Events(
            person=self.person[kept],
            first=self.first[kept],
            last=self.last[kept],
            second=self.second[kept],
            value=self.value[kept],
            converted=self.converted[kept],
        )

    def of_persons(self, persons: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns every pair of a row and an event of its person.

        Args:
            persons: (rows,) the person of each row.

        Returns:
            (pairs,) the row, and (pairs,) the place of the event.
        """
        order = np.argsort(self.person, kind="stable")
        owners = self.person[order]
        begins = np.searchsorted(owners, persons, side="left")
        counts = np.searchsorted(owners, persons, side="right") - begins
        row = np.repeat(np.arange(len(counts)), counts)
        within = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        return row, order[np.repeat(begins, counts) + within]


class GrowingEvents:
    """One ask's events as a source is read."""

    def __init__(self) -> None:
        self._whole = [array("i") for _ in range(4)]
        self._values = array("d")
        self._converted = bytearray()

    def add(self, person: int, when: When, value: float = 0.0, is_converted: bool = False) -> None:
        """Adds an event of a person."""
        for column, number in zip(self._whole, (person, *when), strict=True):
            column.append(number)
        self._values.append(value)
        self._converted.append(is_converted)

    def events(self) -> Events:
        """Returns all that were added."""
        person, first, last, second = (np.array(each, dtype=np.int32) for each in self._whole)
        value = np.array(self._values, dtype=np.float64)
        return Events(
            person=person,
            first=first,
            last=last,
            second=second,
            value=value,
            converted=np.array(self._converted, dtype=np.bool_),
        )


class GrowingPersons:
    """Persons as a source is read, each under its patient key."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._sexes: list[str] = []
        self._born = array("i")
        self._born_first = array("i")

    def __len__(self) -> int:
        return len(self._sexes)

    def add(self, key: str, sex: str, born: When | None) -> int | None:
        """Adds a person and returns its place; None where the key is another person's."""
        token = patient_token(key)
        if token in self._places:
            return None
        self._places[token] = len(self._sexes)
        self._sexes.append(sex)
        self._born.append(NEVER if born is None else assumed_birth(born))
        self._born_first.append(NEVER if born is None else born.first)
        return self._places[token]

    def place(self, key: str) -> int | None:
        """Returns a person's place; None where nobody has that key."""
        return self._places.get(patient_token(key))

    def persons(self) -> "SourcePersons":
        """Returns all that were added."""
        return SourcePersons(
            keys=tuple(self._places),
            sexes=tuple(self._sexes),
            born=np.array(self._born, dtype=np.int32),
            born_first=np.array(self._born_first, dtype=np.int32),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class SourcePersons:
    """The persons of a source.

    Attributes:
        keys: of patients, in their one spelling.
        sexes: ``female``, ``male``, ``other``, or nothing.
        born: (persons,) int32, the day on which each counts as born, or ``NEVER``.
        born_first: (persons,) int32, the first day on which each may have been, or ``NEVER``.
    """

    keys: Sequence[str]
    sexes: Sequence[str]
    born: NDArray[np.int32]
    born_first: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, kw_only=True, eq=False)
class Studies:
    """The imaging studies that were met: each counts once, however many series are listed."""

    tally: Tally
    _met: set[tuple[str, int, str]] = field(default_factory=set)
    _accessions: dict[tuple[int, str], str] = field(default_factory=dict)

    def is_new(self, column: str, person: int, study: str, at: Place | None = None) -> bool:
        """Whether a column has not met a person's study before; one without a name counts not."""
        if not study:
            self.tally.leave_out(_NO_STUDY, at=at)
            return False
        if (column, person, study) in self._met:
            self.tally.leave_out(_SERIES)
            return False
        self._met.add((column, person, study))
        return True

    def note_accession(
        self, person: int, study: str, accession: str, at: Place | None = None
    ) -> None:
        """Counts the records of a study whose accession number is another study's too."""
        if study and accession and self._accessions.setdefault((person, accession), study) != study:
            self.tally.leave_out(_SHARED_ACCESSION, at=at)


_NO_STUDY = Reason(
    what="imaging records name no study",
    remedy="fill the study's UID: studies are counted by it; they are left out",
)
_SERIES = Reason(
    what="imaging records are further series of a study that is counted once",
    remedy="nothing is wrong: a study has several series",
)
_SHARED_ACCESSION = Reason(
    what="imaging records have the accession number of another study of the same person",
    remedy="each study is counted by its own UID; compare the two, if one study was meant",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class ClinicalRecords:
    """The part of a hospital's clinical records that was read for one study.

    Attributes:
        persons: all of them, of the cohort or not.
        events: by the name under which they were asked for; deaths under ``DEATHS``, one a person.
        observed: by person the first and the last day of a time in which all its records were kept;
            its ``value`` is not used.
        tally: what was left out, and what is refused.
    """

    persons: SourcePersons
    events: Mapping[str, Events]
    observed: Events
    tally: Tally
