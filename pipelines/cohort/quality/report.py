"""The data quality report of one hospital's records, and which of its counts are shown."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipelines.cohort.inspection.histograms import BINS, Histogram, counts_in_bins
from pipelines.cohort.quality.cell_counts import (
    ColumnCounts,
    FileCounts,
    TimeCounts,
    column_counts,
    file_counts,
)
from pipelines.cohort.quality.class_counts import ClassCounts
from pipelines.cohort.quality.image_counts import ImageCounts, image_counts
from pipelines.records import Records
from pipelines.sources.faults.small_counts import (
    HIDDEN,
    ShownCount,
    Sum,
    is_small,
    shown,
    shown_part,
)
from protocol.study.cohort.cohort import Cohort, ImageCohort, TableCohort
from protocol.study.cohort.columns import NumberColumn

#: So many records are looked at together.
_AT_ONCE = 1 << 16
_NO_ROWS = np.array([], dtype=np.int64)


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
        found["histograms"] = [one.to_json() for one in self.histograms]
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
        sums: list[Sum] = [("whole.patients", ("several", "single"))]
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


def quality_of(records: Records, train: Records, test: Records, cohort: Cohort) -> DataQuality:
    """Returns the report of one hospital's records.

    Args:
        records: all of them, as encoded.
        train, test: the parts that the study splits them into.
        cohort: the contract by which they were encoded.
    """
    most = 1 if cohort.patient_key == "row" else cohort.max_records_per_patient
    of_each = [np.bincount(part.patients) for part in (train, test)]
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
        histograms=() if isinstance(cohort, ImageCohort) else _histograms(records, cohort),
        images=image_counts(records, cohort) if isinstance(cohort, ImageCohort) else None,
        times=TimeCounts.of(records.noted)
        if isinstance(cohort, TableCohort) and cohort.dates
        else None,
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
