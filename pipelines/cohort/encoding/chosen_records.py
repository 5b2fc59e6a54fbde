"""Records of a table that the contract takes in, chosen before their cells are read.

Rules:

1. A record outside the contract's window of time leaves before anything else about it is looked
   at; then, with ``on_missing: drop_row``, one that lacks a needed cell; then one that was not
   observed for long enough, where the label drops such.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.encoding.table_dates import DateReadings
from pipelines.sources.column_cells import missing_among
from pipelines.sources.tables.table import SourceTable
from protocol.study.cohort.cohort import TableCohort
from protocol.study.cohort.columns import DateColumn


@dataclass(frozen=True, kw_only=True, eq=False)
class ChosenRecords:
    """A table's records by what becomes of them before their cells are read.

    Attributes:
        source: all of them.
        in_window: those of the contract's time.
        kept: those of them that lack no needed cell and were observed for long enough, where the
            contract leaves others out.
        lacking: of each column the spellings that mean missing.
        unobserved: the rows that are left out for what was not observed.
    """

    source: SourceTable
    in_window: SourceTable
    kept: SourceTable
    lacking: Mapping[str, frozenset[str]]
    unobserved: NDArray[np.int64]


def chosen_records(
    table: SourceTable, cohort: TableCohort, readings: DateReadings, aside: Collection[str] = ()
) -> ChosenRecords:
    """Returns what a contract takes in of a table.

    Args:
        table: without rows that are no records.
        cohort: the contract.
        readings: of its columns of dates.
        aside: columns of which a cell may be missing although the contract does not read them.
    """
    outside = readings.at(table).outside_window
    in_window = table.take(~outside) if outside.any() else table
    lacking = {name: _lacking(in_window, name, cohort, readings) for name in table.cells}
    complete = _without(in_window, cohort, lacking, aside)
    left_out = readings.at(complete).left_out
    return ChosenRecords(
        source=table,
        in_window=in_window,
        kept=complete.take(~left_out) if left_out.any() else complete,
        lacking=lacking,
        unobserved=complete.rows[left_out],
    )


def _lacking(
    table: SourceTable, name: str, cohort: TableCohort, readings: DateReadings
) -> frozenset[str]:
    """Returns the spellings among a column's cells that mean missing."""
    found = set(table.cells[name].spellings)
    codes = set(cohort.missing)
    if name == cohort.patient_key:
        return frozenset(found & (codes | {""}))
    column = next((column for column in cohort.columns if column.name == name), None)
    if isinstance(column, DateColumn):
        return readings.lacking(name, table.cells[name])
    return missing_among(found, codes, column)


def _without(
    table: SourceTable,
    cohort: TableCohort,
    lacking: Mapping[str, frozenset[str]],
    aside: Collection[str],
) -> SourceTable:
    """Returns the table without the records that the contract drops."""
    if cohort.on_missing != "drop_row":
        return table
    optional = cohort.may_be_missing | {cohort.patient_key, *aside}
    needed = [name for name in table.cells if name not in optional]
    dropped = np.zeros(len(table.rows), dtype=bool)
    for name in needed:
        if lacking[name]:
            dropped |= table.cells[name].among(lacking[name])
    return table.take(~dropped) if dropped.any() else table
