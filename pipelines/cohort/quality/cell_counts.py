"""Rows of a source and cells of its columns, counted by what became of them in encoding."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.records import EncodingNotes, Records
from pipelines.sources.faults.small_counts import is_small
from protocol.study.cohort.cohort import Cohort, TableCohort
from protocol.study.cohort.columns import NumberColumn

_NO_ROWS = np.array([], dtype=np.int64)


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
    def shown_measured(self) -> int:
        """The cells beside which clipped ones are shown: all, where too few were not measured."""
        return self.records if is_small(self.imputed) else self.measured

    @property
    def shown_share_clipped(self) -> float:
        """The part of ``shown_measured`` that was clipped."""
        return self.clipped / self.shown_measured if self.shown_measured else 0.0


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
