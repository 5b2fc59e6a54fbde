"""Encoding a table: the contract alone makes numbers of cells, and names all that does not fit.

Rules:

1. No cell's meaning depends on another cell, nor on a parser's guesses.
2. Every fault of every column is told at once (``faults``).
3. In a column of numbers a missing code is compared as a number: where ``-1``
   means missing, so do ``-1.0`` and ``-1e0``. Elsewhere it is compared as text.
4. With ``on_missing: drop_row`` a record that lacks a needed cell leaves before
   anything else about it is looked at.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.records import (
    EncodingNotes,
    Records,
    longest_observed,
    number_patients,
    patient_token,
)
from pipelines.sources.csv_table import CsvTable, needed_columns
from pipelines.sources.faults import RecordFault, refusal
from protocol.study.cohort.cohort import TableCohort
from protocol.study.cohort.columns import CategoryColumn, NumberColumn
from protocol.study.cohort.labels import (
    FindingsLabel,
    Label,
    NumberLabel,
    SurvivalLabel,
    signed_times,
)
from protocol.study.cohort.vocabulary import NUMERAL, canonical_token

_INFINITE = frozenset({"inf", "infinity", "nan"})


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """A fault of a cell that has no meaning by the contract, and its remedy."""

    what: str
    remedy: str


#: A column's cells by their spelling: a number, or the problem.
_Reading = Callable[[str], float | _Problem]

_NO_KEY = _Problem(
    what="no patient key",
    remedy="every record needs its patient, or privacy by patient cannot be kept",
)
_FEATURE_MISSING = _Problem(
    what="the cell is missing",
    remedy="fill it, or in the study write impute: VALUE for the column, or on_missing: drop_row",
)
_MISSING = _Problem(
    what="the cell is missing",
    remedy="fill it, or in the study write on_missing: drop_row",
)
_TEXT = _Problem(
    what="text where a number was expected",
    remedy="mend the cell, or in the study write replace: {TEXT: NUMBER} for the column, or "
    "missing: [TEXT]",
)
_WIDER = "mend the cell, or in the study write a wider range or outside: clip for the column"
_COMMA = _Problem(
    what="a number with a decimal comma",
    remedy="mend the cell; where the whole file has them, write decimal: ',' in the contract, or "
    "under data in a hospital's site file (a simulation reads every file as the contract says)",
)
_NOT_FINITE = _Problem(
    what="not a finite number",
    remedy="mend the cell, or in the study write missing: [TEXT]",
)


def encode_table(table: CsvTable, cohort: TableCohort, *, keep: Sequence[str]) -> Records:
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
            values[name], found = _read_cells(table, name, reading)
            faults += found
    if faults:
        raise refusal(table.site, table.file, faults)
    if cohort.patient_key == "row":
        keys = [str(row) for row in table.rows]
    else:
        keys = [patient_token(cell) for cell in table.cells[cohort.patient_key]]
    patients, known = number_patients(np.array(keys, dtype=np.str_))
    blocks = [_block(values[column.name], column) for column in cohort.features]
    features = np.concatenate([np.zeros((len(table.rows), 0)), *blocks], axis=1)
    return Records(
        features=features.astype(np.float32),
        labels=_labels(cohort.label, values, patients),
        patients=patients,
        patient_keys=tuple(known.tolist()),
        rows=np.array(table.rows, dtype=np.int64),
        columns={name: _tokens(table.cells[name]) for name in keep},
        noted=_noted(whole, table, cohort, lacking),
    )


def _lacking(table: CsvTable, name: str, cohort: TableCohort) -> frozenset[str]:
    """Returns the spellings among a column's cells that mean missing."""
    found = set(table.cells[name])
    codes = set(cohort.missing)
    if name == cohort.patient_key:
        return frozenset(found & (codes | {""}))
    if not any(isinstance(c, NumberColumn) and c.name == name for c in cohort.features):
        return frozenset(found & codes)
    numbers = {float(code) for code in codes if NUMERAL.fullmatch(code)}
    same = {cell for cell in found if NUMERAL.fullmatch(cell) and float(cell) in numbers}
    return frozenset((found & codes) | same)


def _without(
    table: CsvTable, cohort: TableCohort, lacking: Mapping[str, frozenset[str]]
) -> CsvTable:
    """Returns the table without the records that the contract drops."""
    if cohort.on_missing == "refuse":
        return table
    imputed = {column.name for column in cohort.features if column.impute is not None}
    needed = [name for name in table.cells if name not in imputed | {cohort.patient_key}]
    dropped = {
        place
        for name in needed
        if lacking[name]
        for place, cell in enumerate(table.cells[name])
        if cell in lacking[name]
    }
    if not dropped:
        return table
    return table.select([place for place in range(len(table.rows)) if place not in dropped])


def _readings(
    cohort: TableCohort, keep: Sequence[str], lacking: Mapping[str, frozenset[str]]
) -> dict[str, _Reading]:
    """Returns how each needed column's cells are read, in the contract's order."""
    features = {column.name: column for column in cohort.features}

    def reading(name: str) -> _Reading:
        column, missing = features.get(name), lacking.get(name, frozenset())
        if isinstance(column, NumberColumn):
            return _number(column, missing)
        if isinstance(column, CategoryColumn):
            return _category(column, missing)
        if name == cohort.patient_key:
            return lambda cell: _NO_KEY if cell in missing else 0.0
        if name in cohort.label.columns:
            return _label(cohort.label, name, missing)
        return lambda cell: _MISSING if cell in missing else 0.0

    return {name: reading(name) for name in needed_columns(cohort, keep)}


def _number(column: NumberColumn, missing: frozenset[str], remedy: str = _WIDER) -> _Reading:
    low, high = column.range
    outside = _Problem(
        what=f"outside the range [{low:g}, {high:g}]",
        remedy=remedy,
    )

    def read(cell: str) -> float | _Problem:
        if cell in missing:
            return _FEATURE_MISSING if column.impute is None else column.impute
        if cell in column.replace:
            return column.replace[cell]
        if not NUMERAL.fullmatch(cell):
            return _no_number(cell)
        value = float(cell)
        if not math.isfinite(value):
            return _NOT_FINITE
        if column.outside == "clip":
            return min(max(value, low), high)
        return value if low <= value <= high else outside

    return read


def _no_number(cell: str) -> _Problem:
    if cell.lower().lstrip("+-") in _INFINITE:
        return _NOT_FINITE
    return _COMMA if "," in cell and NUMERAL.fullmatch(cell.replace(",", ".")) else _TEXT


def _category(column: CategoryColumn, missing: frozenset[str]) -> _Reading:
    place = {token: float(i) for i, token in enumerate(column.tokens)}
    imputed = None if column.impute is None else place[canonical_token(column.impute)]
    unknown = _Problem(
        what="a value outside the vocabulary",
        remedy=f"it must be one of {_spelled(column.tokens)}",
    )

    def read(cell: str) -> float | _Problem:
        if cell in missing:
            return _FEATURE_MISSING if imputed is None else imputed
        return place.get(canonical_token(cell), unknown)

    return read


def _labels(
    label: Label, values: Mapping[str, NDArray[np.float64]], patients: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Returns the records' labels from the columns that they are read from."""
    if isinstance(label, FindingsLabel):
        return np.stack([values[name] for name in label.columns], axis=1).astype(np.float32)
    if isinstance(label, SurvivalLabel):
        times = signed_times(values[str(label.column)], values[label.event])
        return longest_observed(times, patients)
    return values[str(label.column)].astype(np.float32)


def _label(label: Label, name: str, missing: frozenset[str]) -> _Reading:
    if isinstance(label, NumberLabel):
        return _number_label(label, label.centre, label.scale, missing)
    if isinstance(label, SurvivalLabel) and name == label.column:
        return _number_label(label, 0.0, 1.0, missing)
    if isinstance(label, FindingsLabel):
        (meaning,) = (f.meaning for f in label.findings.values() if f.column == name)
    else:
        meaning = label.meaning
    unknown = _Problem(
        what="a label outside the vocabulary",
        remedy=f"it must be one of {_spelled(tuple(meaning))}",
    )

    def read(cell: str) -> float | _Problem:
        return _MISSING if cell in missing else meaning.get(canonical_token(cell), unknown)

    return read


def _number_label(
    label: NumberLabel | SurvivalLabel, centre: float, scale: float, missing: frozenset[str]
) -> _Reading:
    column = NumberColumn(
        name=str(label.column),
        kind="number",
        range=label.range,
        outside=label.outside if isinstance(label, NumberLabel) else "refuse",
    )
    clip = " or outside: clip" if isinstance(label, NumberLabel) else ""
    remedy = f"mend the cell (is it in another unit?), or write a wider range{clip} for the label"
    numbers = _number(column, missing, remedy)

    def read(cell: str) -> float | _Problem:
        found = _MISSING if cell in missing else numbers(cell)
        return found if isinstance(found, _Problem) else (found - centre) / scale

    return read


def _read_cells(
    table: CsvTable, name: str, read: _Reading
) -> tuple[NDArray[np.float64], list[RecordFault]]:
    """Returns a column as numbers, and a fault for each kind of problem in it, first line first."""
    known = {cell: read(cell) for cell in set(table.cells[name])}
    values = np.zeros(len(table.rows))
    problems: dict[_Problem, list[int]] = {}
    for place, cell in enumerate(table.cells[name]):
        value = known[cell]
        if isinstance(value, _Problem):
            problems.setdefault(value, []).append(table.lines[place])
        else:
            values[place] = value
    return values, [
        RecordFault(column=name, lines=lines, what=problem.what, remedy=problem.remedy)
        for problem, lines in problems.items()
    ]


def _block(
    values: NDArray[np.float64], column: NumberColumn | CategoryColumn
) -> NDArray[np.float64]:
    """Returns the columns of numbers that one feature becomes: (records, width)."""
    if isinstance(column, NumberColumn):
        scaled: NDArray[np.float64] = ((values - column.centre) / column.scale)[:, None]
        return scaled
    one_hot: NDArray[np.float64] = np.eye(len(column.tokens))[values.astype(np.int64), 1:]
    return one_hot


def _noted(
    whole: CsvTable, kept: CsvTable, cohort: TableCohort, lacking: Mapping[str, frozenset[str]]
) -> EncodingNotes:
    """Returns what became of which rows, of a table that fits the contract."""
    clipped: dict[str, NDArray[np.int64]] = {}
    replaced: dict[str, NDArray[np.int64]] = {}
    single_clipped_value: set[str] = set()
    for column in (c for c in cohort.features if isinstance(c, NumberColumn)):
        low, high = column.range
        texts = set(column.replace)
        numbers = set(kept.cells[column.name]) - lacking[column.name] - texts
        outside = {cell for cell in numbers if not low <= float(cell) <= high}
        clipped |= _rows_with(kept, column.name, outside)
        if len({float(cell) for cell in outside}) == 1:
            single_clipped_value.add(column.name)
        replaced |= _rows_with(kept, column.name, texts)
    missing: dict[str, NDArray[np.int64]] = {}
    for name, codes in lacking.items():
        missing |= _rows_with(whole, name, codes)
    return EncodingNotes(
        read=len(whole.rows),
        missing=missing,
        replaced=replaced,
        clipped=clipped,
        single_clipped_value=frozenset(single_clipped_value),
        repeated=whole.repeated,
    )


def _rows_with(
    table: CsvTable, name: str, spellings: set[str] | frozenset[str]
) -> dict[str, NDArray[np.int64]]:
    """Returns the rows whose cell is one of the spellings, under the column's name; or nothing."""
    if not spellings:
        return {}
    rows = [
        row for row, cell in zip(table.rows, table.cells[name], strict=True) if cell in spellings
    ]
    return {name: np.array(rows, dtype=np.int64)} if rows else {}


def _spelled(tokens: Sequence[str]) -> str:
    shown = ", ".join(tokens[:8])
    return shown if len(tokens) <= 8 else f"{shown} and {len(tokens) - 8} more"


def _tokens(cells: Sequence[str]) -> NDArray[np.str_]:
    known = {cell: canonical_token(cell) for cell in set(cells)}
    return np.array([known[cell] for cell in cells], dtype=np.str_)
