"""Statistics: what a patient adds to the counts of a study's columns.

A patient's value of a column is the mean of its records' numbers, or the category of the first
of its records that has one; records in which the cell is missing do not count, and a patient
without any other is missing. Where the cells stand, and how much one patient changes at most:
``protocol.vectors.column_counts``.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from pipelines.tasks.dithered_units import in_dithered_units
from pipelines.tasks.task import Counts, Floats, Singles
from protocol.study.cohort.cohort import Cohort
from protocol.study.cohort.columns import NumberColumn
from protocol.study.cohort.labels import NumberLabel
from protocol.study.task.statistics import Statistics
from protocol.vectors.column_counts import PATIENTS, CountedColumn, places, size_of
from protocol.vectors.evaluation import COUNT_UNITS


class ColumnCounter:
    """The counts of a statistics study, as functions of patients' encoded records.

    Args:
        task: the study's task.
        cohort: its contract, by which records are encoded; a missing cell is NaN.
    """

    def __init__(self, task: Statistics, cohort: Cohort) -> None:
        self.columns = task.columns(cohort)
        self._read = task.record_columns(cohort)
        self._cohort = cohort

    def values(self, features: Singles, labels: Singles, weights: Singles) -> Floats:
        """Returns each patient's value of each column of records, NaN where missing.

        (patients, columns); a model's scores, where they are counted too, stand behind them.

        A number is its place in the column's range, from -1 to 1; a category its number.

        Args:
            features: (patients, records, width) as the contract encodes them.
            labels: (patients, records), or (patients, records, findings).
            weights: (patients, records); a record of weight 0 is none.
        """
        present = weights > 0
        found = [
            _mean(_place(cells, column), present)
            if column.range is not None
            else _first(cells, present)
            for column, cells in zip(
                self._read, self._cells(features.astype(np.float64), labels), strict=True
            )
        ]
        return np.stack(found, axis=1)

    def _cells(self, features: Floats, labels: Singles) -> Iterator[Floats]:
        """Yields the (patients, records) cells of each column: the number, or the category's."""
        begin, names = 0, {column.name for column in self._read}
        for column in self._cohort.features:
            block = features[..., begin : begin + column.width]
            begin += column.width
            if column.name not in names:
                continue
            if isinstance(column, NumberColumn):
                yield block[..., 0] * column.scale + column.centre
            else:  # one-hot without the first
                yield block @ np.arange(1.0, column.width + 1)
        label = self._cohort.label
        numbers = labels.astype(np.float64)
        if isinstance(label, NumberLabel):
            numbers = numbers * label.scale + label.centre
        yield from np.moveaxis(numbers.reshape(*features.shape[:2], -1), 2, 0)

    def counts(self, values: Floats) -> Counts:
        """Returns the sum of what each patient adds, in units of a patient.

        Guarantee: one patient changes it by ``influence_of(columns)`` at most, exactly.
        """
        summed: Counts = self.each(values).sum(axis=0)
        return summed

    def each(self, values: Floats) -> Counts:
        """Returns what each patient adds: (patients, cells), in units of a patient."""
        added = np.zeros((len(values), size_of(self.columns)), dtype=np.int64)
        added[:, PATIENTS] = COUNT_UNITS
        for (column, begin), own in zip(places(self.columns), values.T, strict=True):
            missing = np.isnan(own)
            added[missing, begin] = COUNT_UNITS
            at = begin + 1 + column.moments
            if column.moments:
                moments = np.stack([own, 2 * own**2 - 1], axis=1)
                added[~missing, begin + 1 : at] = in_dithered_units(moments[~missing])
            if column.parts:
                some = np.flatnonzero(~missing)
                added[some, at + _part(column, own[some])] = COUNT_UNITS
        return added

    def exact(self, values: Floats) -> dict[str, Any]:
        """Returns the exact figures of these patients: a simulation's only."""
        return {
            "patients": float(len(values)),
            "columns": [
                dict(_exact(column, own))
                for column, own in zip(self.columns, values.T, strict=True)
            ],
        }


def _place(cells: Floats, column: CountedColumn) -> Floats:
    """Returns numbers as places in the column's range, -1 to 1; beyond it they are its ends."""
    low, high = column.range or (0.0, 1.0)
    return np.asarray(np.clip((2 * cells - low - high) / (high - low), -1.0, 1.0))


def _mean(cells: Floats, present: Any) -> Floats:
    known = present & ~np.isnan(cells)
    count = known.sum(axis=1)
    total = np.where(known, cells, 0.0).sum(axis=1)
    return np.where(count > 0, np.clip(total / np.maximum(count, 1), -1.0, 1.0), np.nan)


def _first(cells: Floats, present: Any) -> Floats:
    known = present & ~np.isnan(cells)
    first = known.argmax(axis=1)
    found: Floats = np.take_along_axis(cells, first[:, None], axis=1)[:, 0]
    return np.where(known.any(axis=1), found, np.nan)


def _part(column: CountedColumn, values: Floats) -> Any:
    """Returns the number of each value's bin, or of its category."""
    if column.range is None:
        return np.rint(values).astype(np.int64)
    bins = np.floor((values + 1) / 2 * len(column.parts)).astype(np.int64)
    return np.minimum(bins, len(column.parts) - 1)


def _exact(column: CountedColumn, own: Floats) -> Iterator[tuple[str, Any]]:
    known = own[~np.isnan(own)]
    yield "missing", float(1 - len(known) / len(own)) if len(own) else None
    if column.range is not None and column.moments:
        low, high = column.range
        half = (high - low) / 2
        yield "mean", float(known.mean() * half + (low + high) / 2) if len(known) else None
        yield "deviation", float(known.std() * half) if len(known) else None
    count = len(column.parts)
    parts = np.bincount(_part(column, known), minlength=count) if count else np.zeros(0)
    yield "parts", [float(one / len(known)) if len(known) else None for one in parts]
