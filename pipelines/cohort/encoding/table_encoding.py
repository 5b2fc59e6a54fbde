"""Encoding a table: the contract alone makes numbers of cells, and names all that does not fit.

Rules:

1. What a feature's cell means is decided in ``column_cells``, by the contract alone.
2. Every fault of every column is told at once (``faults``).
3. Which records are taken in is decided before their cells are read (``chosen_records``).
4. Records stand in an order that their source does not choose (``record_order``); only where every
   row is a patient does that of a file stand.
5. With ``on_missing: count`` a missing cell of a feature or a label is NaN, for statistics.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.encoding.chosen_records import chosen_records
from pipelines.cohort.encoding.column_readings import KEY_WITH_EXPONENT, column_readings
from pipelines.cohort.encoding.group_columns import GroupColumns, Tokens, tokens_of
from pipelines.cohort.encoding.record_order import order_by_content, order_by_patient
from pipelines.cohort.encoding.table_dates import DateReadings, TableDates
from pipelines.cohort.encoding.table_notes import table_notes
from pipelines.cohort.inspection.other_units import OtherUnit, other_unit
from pipelines.cohort.inspection.whole_rows import rows_that_are_none, shifted_rows
from pipelines.records import (
    Records,
    longest_observed,
    number_patients,
    patient_token,
)
from pipelines.sources.cells import Cells
from pipelines.sources.column_cells import (
    CellProblem,
    Reading,
    column_numbers,
    conversions_of,
    outside_the_range,
    read_cells,
)
from pipelines.sources.faults import RecordFault, refusal
from pipelines.sources.tables.table import SourceTable
from protocol.study.cohort.cohort import TableCohort
from protocol.study.cohort.columns import ElapsedColumn, NumberColumn
from protocol.study.cohort.labels import (
    FindingsLabel,
    Label,
    SurvivalLabel,
    TimeToEventLabel,
    signed_times,
)
from protocol.study.cohort.units import UNCHANGED, Conversion
from protocol.study.task.evaluation import Grouping


def encode_table(
    table: SourceTable,
    cohort: TableCohort,
    *,
    keep: Sequence[str],
    groupings: Collection[Grouping] = (),
) -> Records:
    """Returns the table's records as numbers, by the contract alone.

    A number becomes ``(value - centre) / scale``; a category one column per
    vocabulary entry but the first; columns stand in the contract's order.

    Raises:
        CohortRefused: one line for each fault of each column: a column or cell that
            is missing, no number, outside its range or its vocabulary.
    """
    none, of_rows = rows_that_are_none(table, cohort)
    if none.any():
        table = table.take(~none)
    readings = DateReadings(cohort, table.dates)
    grouped = GroupColumns(groupings, cohort, keep)
    chosen = chosen_records(table, cohort, readings, grouped.alone)
    kept, lacking = chosen.kept, chosen.lacking
    dates = readings.at(kept)
    conversions, unknown = conversions_of(cohort.features, table.units)
    others = _other_units(kept, cohort, lacking, conversions)
    values, of_columns = _read_columns(
        table, kept, cohort, column_readings(cohort, keep, lacking, conversions), others
    )
    faults = [*table.faults, *of_rows]
    faults += [problem.fault(name) for name, problem in unknown.items()]
    faults += [*of_columns, *dates.faults()]
    if faults:
        raise refusal(table.site, table.file, faults)
    elapsed = {c.name: dates.elapsed(c) for c in cohort.features if isinstance(c, ElapsedColumn)}
    values |= {name: found.numbers for name, found in elapsed.items()}
    features = column_numbers(values, cohort.features, len(kept.rows))
    columns = {name: tokens_of(kept.cells[name]) for name in keep}
    columns |= {
        name: grouped.tokens(name, kept.cells[name], lacking[name], values, elapsed)
        for name in grouped.names
    }
    labels = _labels(cohort.label, values, dates)
    del values
    rows = kept.rows
    keys, order = _keys_and_order(kept, table.has_order, cohort, features, labels, columns)
    codes = keys.codes
    if order is not None and not np.array_equal(order, np.arange(len(rows))):
        features, labels, rows = features[order], labels[order], rows[order]
        columns = {name: tokens[order] for name, tokens in columns.items()}
        codes = codes if cohort.patient_key == "row" else codes[order]
    patients, places = number_patients(codes.astype(np.int64))
    if isinstance(cohort.label, SurvivalLabel | TimeToEventLabel):
        labels = longest_observed(labels, patients)
    return Records(
        features=features,
        labels=labels,
        patients=patients,
        patient_keys=tuple(keys.spellings[place] for place in places.tolist()),
        rows=rows,
        columns=columns,
        noted=table_notes(chosen, cohort, readings, conversions, others),
    )


def _read_columns(
    table: SourceTable,
    kept: SourceTable,
    cohort: TableCohort,
    readings: Mapping[str, Reading],
    others: Mapping[str, OtherUnit],
) -> tuple[dict[str, NDArray[np.float64]], list[RecordFault]]:
    """Returns the numbers of each column that the table has, and all faults of cells.

    Args:
        table: as its source read it, with the faults that it found.
        kept: the records that are taken in.
        cohort: the contract.
        readings: how the cells of each column are read.
        others: the columns that seem to be in another unit.
    """
    values: dict[str, NDArray[np.float64]] = {}
    problems: dict[str, dict[CellProblem, list[int]]] = {}
    faults: list[RecordFault] = []
    for name, reading in readings.items():
        if name in kept.cells:
            values[name], problems[name] = read_cells(kept.cells[name], reading)
            if any((f.name, f.column) == (KEY_WITH_EXPONENT.name, name) for f in table.faults):
                problems[name].pop(KEY_WITH_EXPONENT, None)  # told by its reader, of the same cells
            if name in others and _is_outside(problems[name], cohort, name, others[name]):
                faults.append(others[name].fault(name))
    return values, faults + _cell_faults(kept, problems)


def _keys_and_order(
    kept: SourceTable,
    has_order: bool,
    cohort: TableCohort,
    features: NDArray[np.float32],
    labels: NDArray[np.float32],
    columns: Mapping[str, Tokens],
) -> tuple[Cells, NDArray[np.int64] | None]:
    """Returns each record's patient, and the records' order; None where they stand in it."""
    if cohort.patient_key != "row":
        keys = kept.cells[cohort.patient_key].respelled(patient_token)
        return keys, order_by_patient(keys, features, labels, columns)
    if has_order:
        return Cells.of(map(str, kept.rows.tolist())), None
    keys = Cells.of(map(str, range(len(kept.rows))))
    return keys, order_by_content(features, labels, columns)


def _cell_faults(
    table: SourceTable, problems: Mapping[str, Mapping[CellProblem, Sequence[int]]]
) -> list[RecordFault]:
    """Returns the faults of cells; a row that holds many of them is one fault."""
    shifted, found = shifted_rows(table, problems)
    for name, of_column in problems.items():
        for problem, all_places in of_column.items():
            places = [one for one in all_places if one not in shifted] if shifted else all_places
            if places:
                lines = table.lines[places].tolist()
                found.append(problem.fault(name, lines, row_word=table.row_word))
    return found


def _other_units(
    table: SourceTable,
    cohort: TableCohort,
    lacking: Mapping[str, frozenset[str]],
    conversions: Mapping[str, Conversion],
) -> dict[str, OtherUnit]:
    """Returns the columns whose numbers seem to be in another unit than they are read in."""
    found = {
        column.name: other_unit(
            table.cells[column.name],
            column,
            lacking[column.name],
            conversions.get(column.name, UNCHANGED),
        )
        for column in cohort.features
        if column.name in table.cells
        and isinstance(column, NumberColumn)
        and not isinstance(column, ElapsedColumn)
    }
    return {name: other for name, other in found.items() if other is not None}


def _is_outside(
    problems: dict[CellProblem, list[int]], cohort: TableCohort, name: str, other: OtherUnit
) -> bool:
    """Whether cells are outside the range; of a wrong unit they are then no problems."""
    (column,) = (c for c in cohort.features if c.name == name)
    said = outside_the_range(column) if isinstance(column, NumberColumn) else None
    outside = [problem for problem in problems if problem.what == said]
    if other.name == "wrong-unit":
        for problem in outside:
            del problems[problem]
    return bool(outside)


def _labels(
    label: Label, values: Mapping[str, NDArray[np.float64]], dates: TableDates
) -> NDArray[np.float32]:
    """Returns the records' labels from the columns that they are read from, each for itself."""
    if dates.outcomes is not None:
        return dates.outcomes.labels
    if isinstance(label, FindingsLabel):
        return np.stack([values[name] for name in label.columns], axis=1).astype(np.float32)
    if isinstance(label, SurvivalLabel):
        return signed_times(values[str(label.column)], values[label.event])
    return (values[str(label.column)] + 0.0).astype(np.float32)
