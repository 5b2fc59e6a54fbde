"""Readings of a table's columns: for each needed column the function that its cells are read by."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from pipelines.sources.cell_patterns import is_in_exponent_form
from pipelines.sources.column_cells import (
    CellProblem,
    Reading,
    SourceProblems,
    counting_missing,
    number_reading,
    reading_of,
    spelled,
    unknown_value,
)
from pipelines.sources.tables.table import needed_columns
from protocol.study.cohort.cohort import TableCohort
from protocol.study.cohort.columns import NumberColumn
from protocol.study.cohort.labels import (
    DatedLabel,
    FindingsLabel,
    Label,
    NumberLabel,
    SurvivalLabel,
)
from protocol.study.cohort.units import Conversion
from protocol.study.cohort.vocabulary import canonical_token

_NO_KEY = CellProblem(
    name="no-patient-key",
    what="no patient key",
    remedy="every record needs its patient, or privacy by patient cannot be kept",
)
#: A key whose last digits an export has lost.
KEY_WITH_EXPONENT = CellProblem(
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


def column_readings(
    cohort: TableCohort,
    keep: Sequence[str],
    lacking: Mapping[str, frozenset[str]],
    conversions: Mapping[str, Conversion],
) -> dict[str, Reading]:
    """Returns how each needed column's cells are read, in the contract's order.

    Args:
        cohort: the contract.
        keep: columns that are kept as text.
        lacking: of each column the spellings that mean missing.
        conversions: of the columns whose numbers are in another unit.
    """
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
            read = _label_reading(cohort.label, name, missing)
            return counting_missing(read, missing) if counts else read
        return lambda cell: _MISSING if cell in missing else 0.0

    return {name: reading(name) for name in needed_columns(cohort, keep)}


def _key(cell: str, missing: Collection[str]) -> float | CellProblem:
    if cell in missing:
        return _NO_KEY
    return KEY_WITH_EXPONENT if is_in_exponent_form(cell) else 0.0


def _label_reading(label: Label, name: str, missing: frozenset[str]) -> Reading:
    if isinstance(label, NumberLabel):
        return _number_label_reading(label, label.centre, label.scale, missing)
    if isinstance(label, SurvivalLabel) and name == label.column:
        return _number_label_reading(label, 0.0, 1.0, missing)
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


def _number_label_reading(
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
