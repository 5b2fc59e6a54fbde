"""Encoding a table: the contract alone makes numbers of cells, and names all that does not fit.

Rules:

1. What a feature's cell means is decided in ``column_cells``, by the contract alone.
2. Every fault of every column is told at once (``faults``).
3. A record outside the contract's window of time leaves before anything else about it is looked
   at; then, with ``on_missing: drop_row``, one that lacks a needed cell; then one that was not
   observed for long enough, where the label drops such.
4. Records stand in an order that their source does not choose (``record_order``); only where every
   row is a patient does that of a file stand.
5. With ``on_missing: count`` a missing cell of a feature or a label is NaN, for statistics.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.encoding.record_order import order_by_content, order_by_patient
from pipelines.cohort.encoding.table_dates import DateReadings, TableDates
from pipelines.cohort.inspection.other_units import OtherUnit, other_unit
from pipelines.cohort.inspection.whole_rows import rows_that_are_none, shifted_rows
from pipelines.records import (
    EncodingNotes,
    Records,
    longest_observed,
    number_patients,
    patient_token,
)
from pipelines.sources.cell_patterns import is_in_exponent_form
from pipelines.sources.cells import Cells
from pipelines.sources.column_cells import (
    CellProblem,
    Reading,
    SourceProblems,
    column_numbers,
    conversions_of,
    counting_missing,
    missing_among,
    notes_of,
    number_reading,
    outside_the_range,
    read_cells,
    reading_of,
    rows_with,
    spelled,
    unknown_value,
)
from pipelines.sources.faults import RecordFault, refusal
from pipelines.sources.tables.table import SourceTable, needed_columns
from protocol.study.cohort.cohort import TableCohort
from protocol.study.cohort.columns import DateColumn, ElapsedColumn, NumberColumn
from protocol.study.cohort.labels import (
    DatedLabel,
    FindingsLabel,
    Label,
    NumberLabel,
    SurvivalLabel,
    TimeToEventLabel,
    signed_times,
)
from protocol.study.cohort.units import UNCHANGED, Conversion
from protocol.study.cohort.vocabulary import canonical_token, kept_token

_NO_KEY = CellProblem(
    name="no-patient-key",
    what="no patient key",
    remedy="every record needs its patient, or privacy by patient cannot be kept",
)
_EXPONENT = CellProblem(
    name="key-without-its-last-digits",
    what="a number with an exponent: its last digits are lost",
    remedy="store the column as text, from where it still has all its digits (Excel makes 1,0E+05 "
    "of 100001), and export it again",
)
_IN_A_TABLE = SourceProblems(
    missing=CellProblem(
        name="missing-cell",
        what="the cell is missing",
        remedy="fill it, or in the study write impute: VALUE for the column, or on_missing: "
        "drop_row",
    ),
    comma=CellProblem(
        name="decimal-comma",
        what="a number with a decimal comma",
        remedy="mend the cell; where the whole file has them, write decimal: ',' in the contract, "
        "or under data in a hospital's site file (a simulation reads every file as the contract "
        "says)",
    ),
)
_MISSING = CellProblem(
    name="missing-cell",
    what="the cell is missing",
    remedy="fill it, or in the study write on_missing: drop_row",
)
_NO_LABEL = replace(_MISSING, name="missing-label")


def encode_table(table: SourceTable, cohort: TableCohort, *, keep: Sequence[str]) -> Records:
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
    chosen = _chosen(table, cohort, readings)
    kept, lacking = chosen.kept, chosen.lacking
    dates = readings.at(kept)
    conversions, unknown = conversions_of(cohort.features, table.units)
    others = _other_units(kept, cohort, lacking, conversions)
    values: dict[str, NDArray[np.float64]] = {}
    faults = [*table.faults, *of_rows]
    faults += [_of_column(name, problem) for name, problem in unknown.items()]
    problems: dict[str, dict[CellProblem, list[int]]] = {}
    for name, reading in _readings(cohort, keep, lacking, conversions).items():
        if name in kept.cells:
            values[name], problems[name] = read_cells(kept.cells[name], reading)
            if any((f.name, f.column) == (_EXPONENT.name, name) for f in table.faults):
                problems[name].pop(_EXPONENT, None)  # told by its reader, of the same cells
            if name in others and _is_outside(problems[name], cohort, name, others[name]):
                faults.append(_of_column(name, others[name]))
    faults += _cell_faults(kept, problems)
    faults += dates.faults()
    if faults:
        raise refusal(table.site, table.file, faults)
    elapsed = {c.name: dates.elapsed(c) for c in cohort.features if isinstance(c, ElapsedColumn)}
    values |= {name: found.numbers for name, found in elapsed.items()}
    features = column_numbers(values, cohort.features, len(kept.rows))
    columns = {name: _tokens(kept.cells[name]) for name in keep}
    labels = _labels(cohort.label, values, dates)
    del values
    rows = kept.rows
    order: NDArray[np.int64] | None = None
    if cohort.patient_key != "row":
        keys = kept.cells[cohort.patient_key].respelled(patient_token)
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
    if isinstance(cohort.label, SurvivalLabel | TimeToEventLabel):
        labels = longest_observed(labels, patients)
    noted = _noted(chosen, cohort, conversions, others)
    return Records(
        features=features,
        labels=labels,
        patients=patients,
        patient_keys=tuple(keys.spellings[place] for place in places.tolist()),
        rows=rows,
        columns=columns,
        noted=_with_dates(noted, chosen, readings, cohort),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Chosen:
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


def _chosen(table: SourceTable, cohort: TableCohort, readings: DateReadings) -> _Chosen:
    outside = readings.at(table).outside_window
    in_window = table.take(~outside) if outside.any() else table
    lacking = {name: _lacking(in_window, name, cohort, readings) for name in table.cells}
    complete = _without(in_window, cohort, lacking)
    left_out = readings.at(complete).left_out
    return _Chosen(
        source=table,
        in_window=in_window,
        kept=complete.take(~left_out) if left_out.any() else complete,
        lacking=lacking,
        unobserved=complete.rows[left_out],
    )


def _cell_faults(
    table: SourceTable, problems: Mapping[str, Mapping[CellProblem, Sequence[int]]]
) -> list[RecordFault]:
    """Returns the faults of cells; a row that holds many of them is one fault."""
    shifted, found = shifted_rows(table, problems)
    for name, of_column in problems.items():
        for problem, all_places in of_column.items():
            places = [one for one in all_places if one not in shifted] if shifted else all_places
            if places:
                found.append(
                    RecordFault(
                        name=problem.name,
                        column=name,
                        lines=table.lines[places].tolist(),
                        what=problem.what,
                        remedy=problem.remedy,
                        row_word=table.row_word,
                    )
                )
    return found


def _of_column(name: str, problem: CellProblem | OtherUnit) -> RecordFault:
    return RecordFault(name=problem.name, column=name, what=problem.what, remedy=problem.remedy)


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
    table: SourceTable, cohort: TableCohort, lacking: Mapping[str, frozenset[str]]
) -> SourceTable:
    """Returns the table without the records that the contract drops."""
    if cohort.on_missing != "drop_row":
        return table
    optional = cohort.may_be_missing | {cohort.patient_key}
    needed = [name for name in table.cells if name not in optional]
    dropped = np.zeros(len(table.rows), dtype=bool)
    for name in needed:
        if lacking[name]:
            dropped |= table.cells[name].among(lacking[name])
    return table.take(~dropped) if dropped.any() else table


def _readings(
    cohort: TableCohort,
    keep: Sequence[str],
    lacking: Mapping[str, frozenset[str]],
    conversions: Mapping[str, Conversion],
) -> dict[str, Reading]:
    """Returns how each needed column's cells are read, in the contract's order."""
    features = {column.name: column for column in cohort.features}
    dates, optional, counts = cohort.dates, cohort.may_be_missing, cohort.on_missing == "count"

    def reading(name: str) -> Reading:
        column, missing = features.get(name), lacking.get(name, frozenset())
        if name in dates:  # the days themselves are read by ``TableDates``
            needed = name not in optional
            return lambda cell: _MISSING if needed and cell in missing else 0.0
        if column is not None:
            read = reading_of(column, missing, _IN_A_TABLE, conversions.get(name))
            return counting_missing(read, missing) if counts else read
        if name == cohort.patient_key:
            return lambda cell: _key(cell, missing)
        if name in cohort.label.columns:
            read = _label(cohort.label, name, missing)
            return counting_missing(read, missing) if counts else read
        return lambda cell: _MISSING if cell in missing else 0.0

    return {name: reading(name) for name in needed_columns(cohort, keep)}


def _key(cell: str, missing: Collection[str]) -> float | CellProblem:
    if cell in missing:
        return _NO_KEY
    return _EXPONENT if is_in_exponent_form(cell) else 0.0


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


def _label(label: Label, name: str, missing: frozenset[str]) -> Reading:
    if isinstance(label, NumberLabel):
        return _number_label(label, label.centre, label.scale, missing)
    if isinstance(label, SurvivalLabel) and name == label.column:
        return _number_label(label, 0.0, 1.0, missing)
    if isinstance(label, FindingsLabel):
        (meaning,) = (f.meaning for f in label.findings.values() if f.column == name)
    elif isinstance(label, DatedLabel):
        raise TypeError("days of a label are read by TableDates")
    else:
        meaning = label.meaning
    unknown = CellProblem(
        name="unknown-label",
        what="a label outside the vocabulary",
        remedy=f"it must be one of {spelled(tuple(meaning))}",
    )

    def read(cell: str) -> float | CellProblem:
        if cell in missing:
            return _NO_LABEL
        token = canonical_token(cell)
        return meaning[token] if token in meaning else unknown_value(token, unknown)

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
        found = _NO_LABEL if cell in missing else numbers(cell)
        return found if isinstance(found, CellProblem) else (found - centre) / scale

    return read


def _noted(
    chosen: _Chosen,
    cohort: TableCohort,
    conversions: Mapping[str, Conversion],
    others: Mapping[str, OtherUnit],
) -> EncodingNotes:
    """Returns what became of which rows, of a table that fits the contract."""
    whole, kept, lacking = chosen.in_window, chosen.kept, chosen.lacking
    features = [column for column in cohort.features if not isinstance(column, ElapsedColumn)]
    cells = notes_of(kept.cells, kept.rows, features, lacking, conversions)
    by_source = {n: rows[np.isin(rows, kept.rows)] for n, rows in kept.converted.items()}
    missing: dict[str, NDArray[np.int64]] = {}
    for name, codes in lacking.items():
        missing |= rows_with(whole.cells, whole.rows, name, codes)
    return EncodingNotes(
        read=len(chosen.source.rows),
        missing=missing,
        replaced=cells.replaced,
        converted={**by_source, **cells.converted},
        other_units={
            name: (other.name, other.what, other.remedy) for name, other in others.items()
        },
        clipped=cells.clipped,
        single_clipped_value=cells.single_clipped_value,
        repeated=whole.repeated,
        has_order=whole.has_order,
        source=whole.notes,
    )


def _with_dates(
    noted: EncodingNotes, chosen: _Chosen, readings: DateReadings, cohort: TableCohort
) -> EncodingNotes:
    """Returns the notes with what became of dates."""
    if not cohort.dates:
        return noted
    whole, kept = readings.at(chosen.in_window), readings.at(chosen.kept)
    missing, clipped = dict(noted.missing), dict(noted.clipped)
    for column in cohort.features:
        if isinstance(column, ElapsedColumn):
            lacking = chosen.in_window.rows[whole.elapsed(column).missing]
            outside = chosen.kept.rows[kept.elapsed(column).outside]
            missing |= {column.name: lacking} if len(lacking) else {}
            clipped |= {column.name: outside} if len(outside) else {}
    before = np.zeros(0, dtype=np.int64)
    if isinstance(cohort.label, DatedLabel) and kept.outcomes is not None:
        missing.pop(cohort.label.event_date, None)  # no event, which is no missing cell
        before = chosen.kept.rows[kept.outcomes.before_index]
    of_dates = kept.notes()
    inside = np.isin(chosen.source.rows, chosen.in_window.rows)
    return replace(
        noted,
        missing=missing,
        clipped=clipped,
        cut=of_dates["cut"],
        completed=of_dates["completed"],
        outside_window=chosen.source.rows[~inside],
        unobserved=chosen.unobserved,
        before_index=before,
    )


def _tokens(cells: Cells) -> NDArray[np.str_]:
    known = np.array([kept_token(text) for text in cells.spellings], dtype=np.str_)
    return known[cells.codes]
