"""Encoding a table: the contract alone makes numbers of cells, and names all that does not fit.

Rules:

1. What a feature's cell means is decided in ``column_cells``, by the contract alone.
2. Every fault of every column is told at once (``faults``).
3. With ``on_missing: drop_row`` a record that lacks a needed cell leaves before
   anything else about it is looked at.
4. Records stand in an order that their source does not choose (``record_order``); only where every
   row is a patient does that of a file stand.
5. With ``on_missing: count`` a missing cell of a feature or a label is NaN, for statistics.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.record_order import order_by_content, order_by_patient
from pipelines.records import (
    EncodingNotes,
    Records,
    longest_observed,
    number_patients,
    patient_token,
)
from pipelines.sources.cells import Cells
from pipelines.sources.column_cells import (
    CellProblem,
    Reading,
    SourceProblems,
    column_numbers,
    counting_missing,
    missing_among,
    notes_of,
    number_reading,
    read_cells,
    reading_of,
    rows_with,
    spelled,
)
from pipelines.sources.faults import RecordFault, refusal
from pipelines.sources.tables.table import SourceTable, needed_columns
from protocol.study.cohort.cohort import TableCohort
from protocol.study.cohort.columns import NumberColumn
from protocol.study.cohort.labels import (
    FindingsLabel,
    Label,
    NumberLabel,
    SurvivalLabel,
    signed_times,
)
from protocol.study.cohort.vocabulary import canonical_token

_NO_KEY = CellProblem(
    what="no patient key",
    remedy="every record needs its patient, or privacy by patient cannot be kept",
)
_IN_A_TABLE = SourceProblems(
    missing=CellProblem(
        what="the cell is missing",
        remedy="fill it, or in the study write impute: VALUE for the column, or on_missing: "
        "drop_row",
    ),
    comma=CellProblem(
        what="a number with a decimal comma",
        remedy="mend the cell; where the whole file has them, write decimal: ',' in the contract, "
        "or under data in a hospital's site file (a simulation reads every file as the contract "
        "says)",
    ),
)
_MISSING = CellProblem(
    what="the cell is missing",
    remedy="fill it, or in the study write on_missing: drop_row",
)


def encode_table(table: SourceTable, cohort: TableCohort, *, keep: Sequence[str]) -> Records:
    """Returns the table's records as numbers, by the contract alone.

    A number becomes ``(value - centre) / scale``; a category one column per
    vocabulary entry but the first; columns stand in the contract's order.

    Raises:
        CohortRefused: one line for each fault of each column: a column or cell that
            is missing, no number, outside its range or its vocabulary.
    """
    lacking = {name: _lacking(table, name, cohort) for name in table.cells}
    whole, table = table, _without(table, cohort, lacking)
    readings = _readings(cohort, keep, lacking)
    values: dict[str, NDArray[np.float64]] = {}
    faults = list(table.faults)
    for name, reading in readings.items():
        if name in table.cells:
            values[name], problems = read_cells(table.cells[name], reading)
            faults += [
                RecordFault(
                    column=name,
                    lines=table.lines[places].tolist(),
                    what=problem.what,
                    remedy=problem.remedy,
                    row_word=table.row_word,
                )
                for problem, places in problems.items()
            ]
    if faults:
        raise refusal(table.site, table.file, faults)
    features = column_numbers(values, cohort.features, len(table.rows))
    columns = {name: _tokens(table.cells[name]) for name in keep}
    labels = _labels(cohort.label, values)
    del values
    rows = table.rows
    order: NDArray[np.int64] | None = None
    if cohort.patient_key != "row":
        keys = table.cells[cohort.patient_key].respelled(patient_token)
        order = order_by_patient(keys, features, labels, columns)
    elif table.has_order:
        keys = Cells.of(map(str, rows.tolist()))
    else:
        keys = Cells.of(map(str, range(len(rows))))
        order = order_by_content(features, labels, columns)
    codes = keys.codes
    if order is not None and not np.array_equal(order, np.arange(len(rows))):
        features, labels, rows = features[order], labels[order], rows[order]
        columns = {name: tokens[order] for name, tokens in columns.items()}
        codes = codes if cohort.patient_key == "row" else codes[order]
    patients, places = number_patients(codes.astype(np.int64))
    if isinstance(cohort.label, SurvivalLabel):
        labels = longest_observed(labels, patients)
    return Records(
        features=features,
        labels=labels,
        patients=patients,
        patient_keys=tuple(keys.spellings[place] for place in places.tolist()),
        rows=rows,
        columns=columns,
        noted=_noted(whole, table, cohort, lacking),
    )


def _lacking(table: SourceTable, name: str, cohort: TableCohort) -> frozenset[str]:
    """Returns the spellings among a column's cells that mean missing."""
    found = set(table.cells[name].spellings)
    codes = set(cohort.missing)
    if name == cohort.patient_key:
        return frozenset(found & (codes | {""}))
    numbers = any(isinstance(c, NumberColumn) and c.name == name for c in cohort.features)
    return missing_among(found, codes, numbers=numbers)


def _without(
    table: SourceTable, cohort: TableCohort, lacking: Mapping[str, frozenset[str]]
) -> SourceTable:
    """Returns the table without the records that the contract drops."""
    if cohort.on_missing != "drop_row":
        return table
    imputed = {column.name for column in cohort.features if column.impute is not None}
    needed = [name for name in table.cells if name not in imputed | {cohort.patient_key}]
    dropped = np.zeros(len(table.rows), dtype=bool)
    for name in needed:
        if lacking[name]:
            dropped |= table.cells[name].among(lacking[name])
    return table.take(~dropped) if dropped.any() else table


def _readings(
    cohort: TableCohort, keep: Sequence[str], lacking: Mapping[str, frozenset[str]]
) -> dict[str, Reading]:
    """Returns how each needed column's cells are read, in the contract's order."""
    features = {column.name: column for column in cohort.features}

    def reading(name: str) -> Reading:
        column, missing = features.get(name), lacking.get(name, frozenset())
        counts = cohort.on_missing == "count"
        if column is not None:
            read = reading_of(column, missing, _IN_A_TABLE)
            return counting_missing(read, missing) if counts else read
        if name == cohort.patient_key:
            return lambda cell: _NO_KEY if cell in missing else 0.0
        if name in cohort.label.columns:
            read = _label(cohort.label, name, missing)
            return counting_missing(read, missing) if counts else read
        return lambda cell: _MISSING if cell in missing else 0.0

    return {name: reading(name) for name in needed_columns(cohort, keep)}


def _labels(label: Label, values: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float32]:
    """Returns the records' labels from the columns that they are read from, each for itself."""
    if isinstance(label, FindingsLabel):
        return np.stack([values[name] for name in label.columns], axis=1).astype(np.float32)
    if isinstance(label, SurvivalLabel):
        return signed_times(values[str(label.column)], values[label.event])
    return (values[str(label.column)] + 0.0).astype(np.float32)


def _label(label: Label, name: str, missing: frozenset[str]) -> Reading:
    if isinstance(label, NumberLabel):
        return _number_label(label, label.centre, label.scale, missing)
    if isinstance(label, SurvivalLabel) and name == label.column:
        return _number_label(label, 0.0, 1.0, missing)
    if isinstance(label, FindingsLabel):
        (meaning,) = (f.meaning for f in label.findings.values() if f.column == name)
    else:
        meaning = label.meaning
    unknown = CellProblem(
        what="a label outside the vocabulary",
        remedy=f"it must be one of {spelled(tuple(meaning))}",
    )

    def read(cell: str) -> float | CellProblem:
        return _MISSING if cell in missing else meaning.get(canonical_token(cell), unknown)

    return read


def _number_label(
    label: NumberLabel | SurvivalLabel, centre: float, scale: float, missing: frozenset[str]
) -> Reading:
    column = NumberColumn(
        name=str(label.column),
        kind="number",
        range=label.range,
        outside=label.outside if isinstance(label, NumberLabel) else "refuse",
    )
    clip = " or outside: clip" if isinstance(label, NumberLabel) else ""
    remedy = f"mend the cell (is it in another unit?), or write a wider range{clip} for the label"
    numbers = number_reading(column, missing, _IN_A_TABLE, remedy)

    def read(cell: str) -> float | CellProblem:
        found = _MISSING if cell in missing else numbers(cell)
        return found if isinstance(found, CellProblem) else (found - centre) / scale

    return read


def _noted(
    whole: SourceTable,
    kept: SourceTable,
    cohort: TableCohort,
    lacking: Mapping[str, frozenset[str]],
) -> EncodingNotes:
    """Returns what became of which rows, of a table that fits the contract."""
    cells = notes_of(kept.cells, kept.rows, cohort.features, lacking)
    missing: dict[str, NDArray[np.int64]] = {}
    for name, codes in lacking.items():
        missing |= rows_with(whole.cells, whole.rows, name, codes)
    return EncodingNotes(
        read=len(whole.rows),
        missing=missing,
        replaced=cells.replaced,
        clipped=cells.clipped,
        single_clipped_value=cells.single_clipped_value,
        repeated=whole.repeated,
        has_order=whole.has_order,
        source=whole.notes,
    )


def _tokens(cells: Cells) -> NDArray[np.str_]:
    known = np.array([canonical_token(text) for text in cells.spellings], dtype=np.str_)
    return known[cells.codes]
