"""Records: one hospital's patients as arrays, with every record tied to its patient.

Rules:

1. Patients are counted 0..P-1 without gaps, in order of first appearance.
2. A record never loses its patient and its row: ``take`` keeps both.
3. Patient keys and rows stay inside the hospital.
4. Features, and masks, may be rows that are read as they are asked for: whoever uses them asks for
   some at a time.
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Key = TypeVar("Key", np.int64, np.str_)

_WHOLE_NUMBER = re.compile(r"([0-9]+)(\.0*)?")


#: So many numbers of rows that are read are in memory at once.
_NUMBERS = 1 << 21

Places: TypeAlias = slice | NDArray[np.int64] | NDArray[np.bool_]


class RowsInFile(Protocol):
    """Rows that are read as they are asked for (``pipelines.sources.images.stored_rows``)."""

    shape: tuple[int, ...]
    ndim: int

    def __len__(self) -> int: ...

    def __getitem__(self, places: Places, /) -> NDArray[np.float32]:
        """Returns a new array of the rows at these places."""

    def select(self, places: Places) -> "RowsInFile":
        """Returns some of the rows, without reading them."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The numbers of the open files that a process must inherit to read them."""


Rows: TypeAlias = NDArray[np.float32] | RowsInFile


def _no_rows() -> NDArray[np.int64]:
    return np.array([], dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class SourceNote:
    """One thing that a source says of what it read: counts and names, never a value.

    ``what`` is what ``found`` is about; empty where that says so itself. ``remedy`` is empty where
    there is nothing to do; else ``name`` is one of the catalogue of faults
    (``pipelines.sources.faults.catalogue``).
    """

    name: str = "records-left-out"
    what: str
    found: str
    remedy: str = ""


#: What is counted in ``ScanNotes.intensities`` of an image that uses the contract's range.
A_TENTH_OR_MORE = "a tenth or more"


@dataclass(frozen=True, kw_only=True)
class ScanNotes:
    """Counts of images that have headers: how many are of each kind, size and place.

    Attributes:
        kinds: by modality, or the file's format.
        orientations: by the letters of the axes as they are stored.
        spacings: by the distances of voxels in mm, rounded to two places.
        sizes: by the sides as they are stored.
        intensities: by how much of the contract's range an image's values take.
        studies, series: how many different ones the images' headers name.
        unnamed: the files, series or accessions of the folder that no line names.
        written_on: the images in whose pixels words may stand.
    """

    kinds: Mapping[str, int] = field(default_factory=dict)
    orientations: Mapping[str, int] = field(default_factory=dict)
    spacings: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    intensities: Mapping[str, int] = field(default_factory=dict)
    studies: int = 0
    series: int = 0
    unnamed: int = 0
    written_on: int = 0

    @property
    def narrow(self) -> int:
        """The images whose values take less than a tenth of the contract's range."""
        return sum(self.intensities.values()) - self.intensities.get(A_TENTH_OR_MORE, 0)


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodingNotes:
    """Notes on a source's rows (counted from 0), taken while they were encoded.

    Attributes:
        read: how many rows the source has.
        missing: by needed column, the rows whose cell is missing, dropped ones included.
        replaced: by number column, the rows whose text the contract replaces by a number.
        converted: by number column, the rows whose number was in another unit.
        other_units: by number column, that its numbers, most or some, seem to be in another unit:
            the fault's name, what shows it, and what to do.
        clipped: by number column, the rows whose number was clipped to the range.
        single_clipped_value: the number columns whose clipped cells are all the same number.
        cut: by column of dates, the rows whose time of day was cut off.
        completed: by column of dates, the rows whose day or month was supplied by the contract.
        outside_window: the rows outside the contract's window of time, which are left out.
        unobserved: the rows that are left out because nobody looked for long enough.
        before_index: the rows whose event came before the days that count, and was ignored.
        repeated: the rows that are equal to another row in every cell of the source.
        sides: of images, the different sides that they have in the source.
        has_order: whether the source's own order of rows means anything.
        source: what the source said of its own reading.
        scans: of images with headers, what these say.
    """

    read: int = 0
    missing: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    replaced: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    converted: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    other_units: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    clipped: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    single_clipped_value: frozenset[str] = frozenset()
    cut: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    completed: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    outside_window: NDArray[np.int64] = field(default_factory=_no_rows)
    unobserved: NDArray[np.int64] = field(default_factory=_no_rows)
    before_index: NDArray[np.int64] = field(default_factory=_no_rows)
    repeated: NDArray[np.int64] = field(default_factory=_no_rows)
    sides: tuple[tuple[int, ...], ...] = ()
    has_order: bool = True
    source: tuple[SourceNote, ...] = ()
    scans: ScanNotes | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Records:
    r"""Encoded records and whose they are.

    Attributes:
        features: (records, width) or (records, 1, \*shape) float32; of images with columns
            (records, pixels + width).
        labels: (records,) float32: 0 or 1, the number of a class, or a number to predict; or
            (records, \*shape): a mask of class numbers.
        patients: (records,) int64, the patient of each record.
        patient_keys: the hospital's key of each patient; never leaves it.
        rows: (records,) int64, the record's place in its source, counted from 0.
        columns: comparable spellings of the columns that split, partition or groups need.
        noted: what was noted of the whole source; selections keep all of it.
    """

    features: Rows
    labels: Rows
    patients: NDArray[np.int64]
    patient_keys: tuple[str, ...]
    rows: NDArray[np.int64]
    columns: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    noted: EncodingNotes = field(default_factory=EncodingNotes)

    def __post_init__(self) -> None:
        lengths = {len(self.features), len(self.labels), len(self.patients), len(self.rows)}
        lengths |= {len(values) for values in self.columns.values()}
        if len(lengths) != 1:
            raise ValueError(f"arrays of one cohort differ in length: {sorted(lengths)}")
        if not np.array_equal(number_patients(self.patients)[0], self.patients):
            raise ValueError("patients must be counted from 0 in order of first appearance")
        if len(self.patient_keys) != self.num_patients:
            raise ValueError(f"{len(self.patient_keys)} keys for {self.num_patients} patients")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_patients(self) -> int:
        """The number of different patients that the records belong to."""
        return int(self.patients.max()) + 1 if len(self.patients) else 0

    @property
    def digest(self) -> str:
        """SHA-256 over features, labels and patients: what training can depend on."""
        state = hashlib.sha256(repr(self.features.shape).encode())
        for values in (self.features, self.labels):
            for piece in _pieces(values):
                state.update(np.ascontiguousarray(piece, dtype="<f4").data)
        state.update(np.ascontiguousarray(self.patients, dtype="<i8").tobytes())
        return state.hexdigest()

    @property
    def is_stored(self) -> bool:
        """Whether features are read from a file as they are asked for."""
        return not isinstance(self.features, np.ndarray)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The numbers of the open files that a process must inherit to read these records."""
        several = (
            rows for rows in (self.features, self.labels) if not isinstance(rows, np.ndarray)
        )
        return tuple(sorted({number for rows in several for number in rows.descriptors}))

    def with_label(
        self, holds: Callable[[NDArray[np.float32]], NDArray[np.bool_]]
    ) -> NDArray[np.bool_]:
        """Returns (records,) whether any number of a record's label holds, some read at a time."""
        found = [holds(labels) for labels in _pieces(self.labels)]
        flat = [each.any(axis=tuple(range(1, each.ndim))) for each in found]
        return np.concatenate(flat) if flat else np.zeros(0, dtype=np.bool_)

    def apart(self) -> "Records":
        """Returns the same records, each counted as a patient of its own."""
        count = len(self)
        return replace(
            self,
            patients=np.arange(count, dtype=np.int64),
            patient_keys=tuple(f"record {row}" for row in self.rows.tolist()),
        )

    def take(self, selection: NDArray[np.bool_] | NDArray[np.int64]) -> "Records":
        """Returns the selected records (a mask, or places), patients counted anew."""
        patients, kept = number_patients(self.patients[selection])
        return Records(
            features=_selected(self.features, selection),
            labels=_selected(self.labels, selection),
            patients=patients,
            patient_keys=tuple(self.patient_keys[patient] for patient in kept.tolist()),
            rows=self.rows[selection],
            columns={name: values[selection] for name, values in self.columns.items()},
            noted=self.noted,
        )


def _selected(rows: Rows, places: Places) -> Rows:
    return rows[places] if isinstance(rows, np.ndarray) else rows.select(places)


def _pieces(rows: Rows) -> Iterator[NDArray[np.float32]]:
    """Yields the rows in order, some at a time."""
    at_once = max(1, _NUMBERS // max(1, math.prod(rows.shape[1:])))
    for begin in range(0, len(rows), at_once):
        yield rows[begin : begin + at_once]


def number_patients(keys: NDArray[Key]) -> tuple[NDArray[np.int64], NDArray[Key]]:
    """Returns each record's patient number, and the key that each number stands for.

    >>> numbers, keys = number_patients(np.array([7, 3, 7]))
    >>> numbers.tolist(), keys.tolist()
    ([0, 1, 0], [7, 3])
    """
    found, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    place = np.empty(len(found), dtype=np.int64)
    place[order] = np.arange(len(found))
    return place[inverse], found[order]


def longest_observed(
    times: NDArray[np.float32], patients: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Returns each patient's longest time for all of its records; an event before a censoring.

    Args:
        times: (records,) of survival, negative where the patient was censored.
        patients: (records,) the patient of each, from 0.

    >>> longest_observed(np.array([-3.0, 5.0, 2.0], np.float32), np.array([0, 0, 1])).tolist()
    [5.0, 5.0, 2.0]
    """
    order = np.lexsort((times > 0, np.abs(times), patients))
    last = np.r_[patients[order][1:] != patients[order][:-1], True] if len(order) else order > 0
    longest = np.empty(int(patients.max()) + 1 if len(patients) else 0, dtype=np.float32)
    longest[patients[order][last]] = times[order][last]
    return longest[patients]


def patient_token(cell: str) -> str:
    """Returns the one spelling of a patient key.

    ``12``, ``012`` and ``12.0`` (which is what a spreadsheet makes of a key
    beside an empty cell) are one patient: to see one patient as two would
    weaken the privacy promised, to see two as one would not. Unlike a
    vocabulary entry no key passes through a float, so long ones stay distinct.

    >>> patient_token(" 0012.0 "), patient_token("1e5"), patient_token("A-07")
    ('12', '1e5', 'A-07')
    """
    text = cell.strip()
    whole = _WHOLE_NUMBER.fullmatch(text)
    return (whole.group(1).lstrip("0") or "0") if whole else text
