"""The data quality report: what became of a hospital's rows and cells as they were encoded.

Rules:

1. It is the hospital's own: its people read it on their machine, and nothing of it
   is part of what a hospital sends.
2. It holds names of the contract and counts, never a value; where it is shown no count is from 1
   to 9, nor can one be computed from others (``small_counts``).
3. It is counted from what was noted while the records were encoded, and from the encoded records;
   no file is read a second time.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.inspection.histograms import BINS, Histogram, counts_in_bins
from pipelines.cohort.inspection.prepared_images import ImageInspection, inspect_images
from pipelines.records import EncodingNotes, Records, ScanNotes
from pipelines.sources.faults.small_counts import (
    HIDDEN,
    ShownCount,
    is_small,
    shown,
    shown_part,
    told,
)
from protocol.study.cohort.cohort import Cohort, ImageCohort, TableCohort
from protocol.study.cohort.columns import NumberColumn
from protocol.study.cohort.labels import (
    BinaryLabel,
    ClassLabel,
    EventLabel,
    FindingsLabel,
    Label,
    MaskLabel,
    SurvivalLabel,
    TimeToEventLabel,
)


@dataclass(frozen=True, kw_only=True)
class FileCounts:
    """Rows and missing cells of one whole file, before anything was dropped or partitioned.

    ``dropped`` rows lack at least one cell that the contract neither imputes nor
    allows to be missing; ``dropped_for`` counts them by column, a row once for each
    cell that it lacks.
    """

    rows: int
    dropped: int
    missing: Mapping[str, int]
    dropped_for: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class TimeCounts:
    """Rows of one whole file by what dates make of them.

    ``outside_window`` and ``unobserved`` are left out: of another time, or not observed for long
    enough; ``before_index`` had an event before the days that count, which was ignored. ``cut`` and
    ``completed`` count by column the dates whose time of day was cut off, or whose day or month the
    contract supplied.
    """

    outside_window: int
    unobserved: int
    before_index: int
    cut: Mapping[str, int]
    completed: Mapping[str, int]

    @classmethod
    def of(cls, noted: EncodingNotes) -> "TimeCounts":
        """Returns the counts of what was noted."""
        return cls(
            outside_window=len(noted.outside_window),
            unobserved=len(noted.unobserved),
            before_index=len(noted.before_index),
            cut={name: len(rows) for name, rows in noted.cut.items()},
            completed={name: len(rows) for name, rows in noted.completed.items()},
        )


@dataclass(frozen=True, kw_only=True)
class ClassCounts:
    """Records and patients of a part.

    ``records_ill`` and ``patients_ill`` count those that are labelled positive, patients at
    least once; None for a label of another form. ``classes`` counts the patients with a
    record of each class, or with an event and without, for labels that have such groups.
    """

    records: int
    records_ill: int | None
    patients: int
    patients_ill: int | None
    classes: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, records: Records, label: Label) -> "ClassCounts":
        """Returns the counts of some records."""
        ill = None
        if isinstance(label, BinaryLabel | EventLabel):
            ill = records.with_label(lambda labels: labels > 0)
        return cls(
            records=len(records),
            records_ill=None if ill is None else int(ill.sum()),
            patients=records.num_patients,
            patients_ill=None if ill is None else _patients_with(records, ill),
            classes={
                name: _patients_with(records, chosen)
                for name, chosen in _groups(records, label).items()
            },
        )

    def less(self, other: "ClassCounts") -> "ClassCounts":
        """Returns what is left of these counts without those of a part."""

        def left(own: int | None, theirs: int | None) -> int | None:
            return None if own is None or theirs is None else own - theirs

        return ClassCounts(
            records=self.records - other.records,
            records_ill=left(self.records_ill, other.records_ill),
            patients=self.patients - other.patients,
            patients_ill=left(self.patients_ill, other.patients_ill),
            classes={name: n - other.classes.get(name, 0) for name, n in self.classes.items()},
        )

    def counts_by_name(self) -> tuple[dict[str, int], list[tuple[str, tuple[str, ...]]]]:
        """Returns its counts by name, and which of them are sums of which.

        A name that begins with "not" counts those who are in no group of the rest of the name.
        """
        counts = {"records": self.records, "patients": self.patients}
        sums: list[tuple[str, tuple[str, ...]]] = []
        if self.records == self.patients:
            sums.append(("records", ("patients",)))
            if self.records_ill is not None:
                sums.append(("records_ill", ("patients_ill",)))
        else:
            counts["not first"] = self.records - self.patients
            sums.append(("records", ("patients", "not first")))
            if self.records_ill is not None and self.patients_ill is not None:
                counts["not first ill"] = self.records_ill - self.patients_ill
                sums.append(("records_ill", ("patients_ill", "not first ill")))
        groups = [("records", "records_ill", self.records_ill)]
        groups += [("patients", "patients_ill", self.patients_ill)]
        classes = {f"class {name}": count for name, count in self.classes.items()}
        if classes and sum(classes.values()) == self.patients:
            counts |= classes
            sums.append(("patients", tuple(classes)))
        else:
            groups += [("patients", name, count) for name, count in classes.items()]
        for of, name, count in groups:
            if count is not None:
                counts |= {name: count, f"not {name}": counts[of] - count}
                sums.append((of, (name, f"not {name}")))
        return counts, sums


def _groups(records: Records, label: Label) -> dict[str, NDArray[np.bool_]]:
    """Returns which records belong to each group that a label names."""
    if isinstance(label, ClassLabel | MaskLabel):
        return {
            name: records.with_label(partial(np.equal, number))
            for number, name in enumerate(label.classes)
        }
    if isinstance(label, FindingsLabel):
        return {
            name: records.with_label(partial(_has_finding, number))
            for number, name in enumerate(label.findings)
        }
    if isinstance(label, SurvivalLabel | TimeToEventLabel):
        return {
            "event": records.with_label(lambda labels: labels > 0),
            "censored": records.with_label(lambda labels: labels < 0),
        }
    return {}


def groups_of(records: Records, label: Label) -> dict[str, int]:
    """Returns how many patients are in each group of which a study may ask for a minimum.

    The ill and the healthy, those with a record of each class, with each finding, with an event.
    """
    found = ClassCounts.of(records, label)
    if found.patients_ill is not None:
        return {
            "a positive label": found.patients_ill,
            "a negative label": found.patients - found.patients_ill,
        }
    if isinstance(label, SurvivalLabel | TimeToEventLabel):
        return {"an event": found.classes["event"]}
    word = "finding" if isinstance(label, FindingsLabel) else "class"
    return {f"{word} {name}": count for name, count in found.classes.items()}


def _has_finding(number: int, labels: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(labels[:, number] > 0)


def _patients_with(records: Records, chosen: NDArray[np.bool_]) -> int:
    return len(np.unique(records.patients[chosen]))


@dataclass(frozen=True, kw_only=True)
class ColumnCounts:
    """Counts of one feature's cells in the ``records`` that are kept, and have or are given one.

    ``single_clipped_value``: the clipped cells of the whole file are one and the same number.
    """

    name: str
    records: int
    imputed: int
    replaced: int
    converted: int
    clipped: int
    single_clipped_value: bool

    @property
    def measured(self) -> int:
        """The cells that were not imputed."""
        return self.records - self.imputed

    @property
    def share_imputed(self) -> float:
        """The part of the cells that was imputed."""
        return self.imputed / self.records if self.records else 0.0

    @property
    def share_clipped(self) -> float:
        """The part of the measured numbers that was clipped."""
        return self.clipped / self.measured if self.measured else 0.0

    @property
    def shown_share_clipped(self) -> float:
        """The same as it is shown: a part of all, where those not measured are too few."""
        of = self.records if is_small(self.imputed) else self.measured
        return self.clipped / of if of else 0.0


@dataclass(frozen=True, kw_only=True)
class ImageCounts:
    """The images of a file: the sides that they have there, and what they become.

    ``preprocessing`` names the transforms, ``stored_bytes`` what the prepared images take of the
    folder for temporary files; 0 where they are few enough for memory. ``scans`` are the counts
    of images with headers, see ``scan_counts``; empty for others.
    """

    sides: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]
    preprocessing: tuple[str, ...]
    stored_bytes: int
    scans: Mapping[str, Any] = field(default_factory=dict)
    inspection: ImageInspection | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the counts of the prepared images as they are shown."""
        found = self.inspection
        if found is None:
            return {}
        return {
            name: shown_part(count, found.count)
            for name, count in (
                ("blank", found.blank),
                ("repeated", found.repeated),
                ("empty_masks", found.empty_masks),
            )
        } | {"brightness": _histogram_json(found.brightness)}


def scan_counts(noted: ScanNotes) -> dict[str, Any]:
    """Returns the counts of images with headers as they are shown, those of a kind together."""
    return {
        name: _shown_kinds(value) if isinstance(value, dict) else told(value)
        for name, value in asdict(noted).items()
    }


def _shown_kinds(counts: Mapping[str, int]) -> dict[str, ShownCount]:
    """Returns counts whose sum is known as they are shown."""
    of_all = {"": sum(counts.values())}
    found = shown({**counts, **of_all}, [("", tuple(counts))])
    return {name: found[name] for name in counts}


@dataclass(frozen=True, kw_only=True)
class DataQuality:
    """The quality of a hospital's records before a run.

    ``file`` counts the whole file, of which a simulation may give this hospital a
    part. ``max_records`` is the contract's ``max_records_per_patient``:
    ``patients_beyond`` patients have more, and ``records_beyond`` records are left
    out when each of them is in a step.
    """

    file: FileCounts
    whole: ClassCounts
    train: ClassCounts
    test: ClassCounts
    max_records: int
    patients_with_several_records: int
    patients_beyond: int
    records_beyond: int
    repeated_rows: int
    columns: tuple[ColumnCounts, ...]
    histograms: tuple[Histogram, ...] = ()
    images: ImageCounts | None = None
    times: TimeCounts | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns all of it as it is shown: counts are numbers, or say why they are not.

        Nothing stands there about images or dates where there are none.
        """
        found = asdict(self)
        counts = self._shown_parts()
        for part in ("whole", "train", "test"):
            own = found[part]
            for name in ("records", "records_ill", "patients", "patients_ill"):
                own[name] = counts.get(f"{part}.{name}")
            own["classes"] = {name: counts[f"{part}.class {name}"] for name in own["classes"]}
        found["patients_with_several_records"] = counts["several"]
        whole, file = self.whole, found["file"]
        file |= {"rows": counts["rows"], "dropped": counts["dropped"]}
        of_dropped = counts["dropped"] != HIDDEN
        for name in ("missing", "dropped_for"):
            file[name] = {
                column: shown_part(count, self.file.rows)
                if of_dropped or column not in self.file.dropped_for
                else HIDDEN
                for column, count in file[name].items()
            }
        for counted in self.columns:  # the rest is in rows that are not kept
            missing = self.file.missing.get(counted.name, 0)
            if is_small(missing - counted.imputed) and not is_small(missing):
                file["missing"][counted.name] = HIDDEN
        found["patients_beyond"] = shown_part(self.patients_beyond, whole.patients)
        found["records_beyond"] = shown_part(self.records_beyond, whole.records)
        found["repeated_rows"] = shown_part(self.repeated_rows, self.file.rows)
        for column, counted in zip(found["columns"], self.columns, strict=True):
            for name in ("records", "imputed", "replaced", "converted", "clipped"):
                column[name] = shown_part(column[name], counted.records)
            column["records"] = counts["whole.records"]
        found["histograms"] = [_histogram_json(one) for one in self.histograms]
        if self.images is None:
            del found["images"]
        else:
            found["images"] |= self.images.to_json()
            del found["images"]["inspection"]
            if not self.images.scans:
                del found["images"]["scans"]
        if self.times is None:
            del found["times"]
        else:
            found["times"] = self._shown_times(counts)
        return found

    def _shown_times(self, counts: Mapping[str, ShownCount]) -> dict[str, Any]:
        times, rows = self.times, self.file.rows
        if times is None:
            return {}
        return {
            "outside_window": counts["outside"],
            "unobserved": counts["unobserved"],
            "before_index": shown_part(times.before_index, rows),
            "cut": _shown_by_column(times.cut, rows),
            "completed": _shown_by_column(times.completed, rows),
        }

    def _shown_parts(self) -> dict[str, ShownCount]:
        """Returns the counts of rows and parts as they are shown, by ``part.name``."""
        counts = {"rows": self.file.rows, "dropped": self.file.dropped}
        counts["several"] = self.patients_with_several_records
        counts["single"] = self.whole.patients - counts["several"]
        sums: list[tuple[str, tuple[str, ...]]] = [("whole.patients", ("several", "single"))]
        implied = {"single"}
        neither = self.whole.less(self.train).less(self.test)
        parts = {"whole": self.whole, "train": self.train, "test": self.test}
        if neither.records:
            parts["neither"] = neither
        for part, found in parts.items():
            named, of_part = found.counts_by_name()
            counts |= {f"{part}.{name}": count for name, count in named.items()}
            sums += [(f"{part}.{total}", tuple(f"{part}.{n}" for n in names))
                     for total, names in of_part]  # fmt: skip
            implied |= {f"{part}.{name}" for name in named if name.startswith("not ")}
        for name in self.whole.counts_by_name()[0]:
            several = tuple(f"{part}.{name}" for part in parts if part != "whole")
            if all(one in counts for one in several):
                sums.append((f"whole.{name}", several))
        implied |= {name for name in counts if name.startswith("neither.")}
        left_out = ["dropped"]
        if self.times is not None:
            counts |= {"outside": self.times.outside_window, "unobserved": self.times.unobserved}
            left_out += ["outside", "unobserved"]
        elsewhere = self.file.rows - sum(counts[one] for one in left_out) - self.whole.records
        if elsewhere:  # of patients who are left out, or of another site of a simulation
            counts["elsewhere"] = elsewhere
            left_out.append("elsewhere")
        counts["not taken"] = sum(counts[one] for one in left_out)
        sums += [("not taken", tuple(left_out)), ("rows", ("not taken", "whole.records"))]
        implied |= {"elsewhere", "not taken"}
        first = frozenset({"rows"})  # no remark names them where few are dropped
        return shown(counts, sums, frozenset(implied & counts.keys()), first)


def _shown_by_column(counts: Mapping[str, int], rows: int) -> dict[str, ShownCount]:
    return {name: shown_part(count, rows) for name, count in counts.items()}


def _histogram_json(found: Histogram) -> dict[str, Any]:
    return {"name": found.name, "low": found.low, "high": found.high, "counts": found.shown}


def quality_of(records: Records, train: Records, test: Records, cohort: Cohort) -> DataQuality:
    """Returns the report of one hospital's records.

    Args:
        records: all of them, as encoded.
        train, test: the parts that the study splits them into.
        cohort: the contract by which they were encoded.
    """
    most = 1 if cohort.patient_key == "row" else cohort.max_records_per_patient
    of_each = [np.bincount(part.patients) for part in (train, test)]
    image = isinstance(cohort, ImageCohort)
    beyond = np.concatenate(of_each) - most
    return DataQuality(
        file=file_counts(records.noted, cohort),
        whole=ClassCounts.of(records, cohort.label),
        train=ClassCounts.of(train, cohort.label),
        test=ClassCounts.of(test, cohort.label),
        max_records=most,
        patients_beyond=int((beyond > 0).sum()),
        patients_with_several_records=int((np.bincount(records.patients) > 1).sum()),
        records_beyond=int(beyond[beyond > 0].sum()),
        repeated_rows=int(np.isin(records.rows, records.noted.repeated).sum()),
        columns=column_counts(records, cohort=cohort),
        histograms=() if image else _histograms(records, cohort),
        images=_image_counts(records, cohort),
        times=TimeCounts.of(records.noted)
        if isinstance(cohort, TableCohort) and cohort.dates
        else None,
    )


def _image_counts(records: Records, cohort: Cohort) -> ImageCounts | None:
    if not isinstance(cohort, ImageCohort):
        return None
    size = math.prod(records.features.shape) * np.dtype(np.float32).itemsize
    return ImageCounts(
        sides=records.noted.sides,
        shape=cohort.image.shape,
        preprocessing=tuple(each.target for each in cohort.image.preprocessing),
        stored_bytes=size if records.is_stored else 0,
        scans={} if records.noted.scans is None else scan_counts(records.noted.scans),
        inspection=inspect_images(records, cohort) if len(records) else None,
    )


def _histograms(records: Records, cohort: Cohort) -> tuple[Histogram, ...]:
    """Returns the histogram of each column of numbers: of its measured cells, clipped ones too."""
    places: list[tuple[NumberColumn, int]] = []
    place = 0
    for column in cohort.features:
        if isinstance(column, NumberColumn):
            places.append((column, place))
        place += column.width
    counts = {column.name: np.zeros(BINS, dtype=np.int64) for column, _ in places}
    for begin in range(0, len(records), _AT_ONCE):
        encoded = records.features[begin : begin + _AT_ONCE]
        rows = records.rows[begin : begin + _AT_ONCE]
        for column, place in places:
            absent = np.isin(rows, records.noted.missing.get(column.name, _NO_ROWS))
            own = encoded[~absent & np.isfinite(encoded[:, place]), place].astype(np.float64)
            counts[column.name] += counts_in_bins(own * column.scale + column.centre, column.range)
    return tuple(
        Histogram(
            name=column.name,
            low=column.range[0],
            high=column.range[1],
            counts=tuple(counts[column.name].tolist()),
            absent=len(records) - int(counts[column.name].sum()),
        )
        for column, _ in places
    )


def file_counts(noted: EncodingNotes, cohort: Cohort) -> FileCounts:
    """Returns the counts of the whole file that some records come from."""
    dropping = isinstance(cohort, TableCohort) and cohort.on_missing == "drop_row"
    optional = cohort.may_be_missing
    lacking = {name: rows for name, rows in noted.missing.items() if name not in optional}
    dropped = np.unique(np.concatenate([_NO_ROWS, *lacking.values()])) if dropping else _NO_ROWS
    return FileCounts(
        rows=noted.read,
        dropped=len(dropped),
        missing={name: len(rows) for name, rows in noted.missing.items()},
        dropped_for={name: len(rows) for name, rows in lacking.items()} if dropping else {},
    )


def column_counts(*parts: Records, cohort: Cohort) -> tuple[ColumnCounts, ...]:
    """Returns what became of each column's cells, in the contract's order."""
    rows, noted = rows_of(parts), parts[0].noted
    imputed = _imputed(cohort)
    counted = isinstance(cohort, TableCohort) and cohort.on_missing == "count"

    def count(found: Mapping[str, NDArray[np.int64]], name: str) -> int:
        return int(np.isin(rows, found[name]).sum()) if name in found else 0

    return tuple(
        ColumnCounts(
            name=column.name,
            records=len(rows) - (count(noted.missing, column.name) if counted else 0),
            imputed=count(noted.missing, column.name) if column.name in imputed else 0,
            replaced=count(noted.replaced, column.name),
            converted=count(noted.converted, column.name),
            clipped=count(noted.clipped, column.name),
            single_clipped_value=column.name in noted.single_clipped_value,
        )
        for column in cohort.features
    )


def rows_of(parts: tuple[Records, ...]) -> NDArray[np.int64]:
    """Returns the places of several parts' records in their common source."""
    return np.concatenate([part.rows for part in parts])


def number_columns(cohort: Cohort) -> Mapping[str, NumberColumn]:
    """Returns the columns that are numbers, by name."""
    return {c.name: c for c in cohort.features if isinstance(c, NumberColumn)}


def _imputed(cohort: Cohort) -> frozenset[str]:
    return frozenset(column.name for column in cohort.features if column.impute is not None)


#: So many records are looked at together.
_AT_ONCE = 1 << 16
_NO_ROWS = np.array([], dtype=np.int64)
