"""Readings: what a spelling means in a column, by the contract and nothing else."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeAlias

from pipelines.sources.cell_patterns import is_excel_day
from pipelines.sources.column_cells.cell_problems import (
    EXCEL_DAY,
    NOT_FINITE,
    CellProblem,
    SourceProblems,
    no_number,
    unknown_value,
)
from protocol.study.cohort.columns import CategoryColumn, NumberColumn, OtherColumn
from protocol.study.cohort.units import Conversion
from protocol.study.cohort.vocabulary import NUMERAL, canonical_token

#: A column's cells by their spelling: a number, or the problem.
Reading: TypeAlias = Callable[[str], float | CellProblem]

_WIDER = "mend the cell, or in the study write a wider range or outside: clip for the column"


def missing_among(
    found: Collection[str],
    codes: Collection[str],
    column: NumberColumn | CategoryColumn | OtherColumn | None = None,
) -> frozenset[str]:
    """Returns the spellings among a column's cells that mean missing.

    Args:
        found: the spellings.
        codes: of the whole cohort.
        column: its declaration, with codes of its own; None where there is none.

    >>> ages = NumberColumn(name="age", kind="number", range=(0, 120), missing=(999,))
    >>> sorted(missing_among({"-1.0", "999", "7", "NA"}, {"-1", "NA"}, ages))
    ['-1.0', '999', 'NA']
    """
    own = frozenset() if column is None else column.missing_codes
    same = set(found) & set(codes)
    if own:
        same |= {cell for cell in found if canonical_token(cell) in own}
    if isinstance(column, NumberColumn):
        meant = {float(code) for code in codes if NUMERAL.fullmatch(code)}
        same |= {cell for cell in found if NUMERAL.fullmatch(cell) and float(cell) in meant}
    return frozenset(same)


def reading_of(
    column: NumberColumn | CategoryColumn,
    missing: frozenset[str],
    problems: SourceProblems,
    conversion: Conversion | None = None,
) -> Reading:
    """Returns how a feature's cells are read, as ``column_numbers`` takes them.

    ``conversion`` makes the column's unit of that in which this hospital's numbers are.
    """
    if isinstance(column, NumberColumn):
        return number_reading(column, missing, problems, conversion=conversion)
    place = {token: float(i) for i, token in enumerate(column.tokens)}
    imputed = None if column.impute is None else place[canonical_token(column.impute)]
    unknown = CellProblem(
        name="outside-vocabulary",
        what="a value outside the vocabulary",
        remedy=f"it must be one of {spelled(column.tokens)}",
    )

    def read(cell: str) -> float | CellProblem:
        if cell in missing:
            return problems.missing if imputed is None else imputed
        token = canonical_token(cell)
        return place[token] if token in place else unknown_value(token, unknown)

    return read


def number_reading(
    column: NumberColumn,
    missing: frozenset[str],
    problems: SourceProblems,
    remedy: str = _WIDER,
    conversion: Conversion | None = None,
) -> Reading:
    """Returns how the cells of a column of numbers are read, before centre and scale.

    Args:
        column: its range, what is imputed, replaced and clipped.
        missing: the spellings that mean missing.
        problems: of the source.
        remedy: where a number lies outside the range.
        conversion: what makes the column's unit of the numbers'; None leaves them.
    """
    low, high = column.range
    outside = CellProblem(name="outside-range", what=outside_the_range(column), remedy=remedy)

    def read(cell: str) -> float | CellProblem:
        if cell in missing:
            return problems.missing if column.impute is None else column.impute
        if cell in column.replace:
            return column.replace[cell]
        if not NUMERAL.fullmatch(cell):
            return no_number(cell, problems, column)
        value = float(cell) if conversion is None else conversion.of(float(cell))
        if not math.isfinite(value):
            return NOT_FINITE
        if column.outside == "clip":
            return min(max(value, low), high)
        if low <= value <= high:
            return value
        return EXCEL_DAY if is_excel_day(value) and value > 2 * high else outside

    return read


def outside_the_range(column: NumberColumn) -> str:
    """Returns the words for a number that lies outside a column's range."""
    low, high = column.range
    return f"outside the range [{low:g}, {high:g}]"


def counting_missing(read: Reading, missing: frozenset[str]) -> Reading:
    """Returns a reading of the same cells that gives NaN for a missing one."""
    return lambda cell: math.nan if cell in missing else read(cell)


def conversions_of(
    features: Sequence[NumberColumn | CategoryColumn], units: Mapping[str, str]
) -> tuple[dict[str, Conversion], dict[str, CellProblem]]:
    """Returns the conversions that a hospital's units ask for, and a problem for each it lacks.

    Args:
        features: the columns.
        units: the hospital's, by column; of columns that the study has not, nothing follows.
    """
    found: dict[str, Conversion] = {}
    problems: dict[str, CellProblem] = {}
    for column in features:
        unit = units.get(column.name)
        if unit is None:
            continue
        conversion = column.conversion(unit) if isinstance(column, NumberColumn) else None
        if conversion is not None:
            found[column.name] = conversion
            continue
        own = getattr(column, "unit", None)
        known = [own, *column.units] if isinstance(column, NumberColumn) and own else []
        problems[column.name] = CellProblem(
            name="unknown-unit",
            what=f"units under data in the site file say {unit}, which the study does not convert"
            + (f" (it knows {', '.join(map(str, known))})" if known else ""),
            remedy="convert the column and take it out there, or ask the study's author to name "
            f"unit and units: {{{unit}: ...}} for the column",
        )
    return found, problems


def spelled(tokens: Sequence[str]) -> str:
    """Returns a vocabulary for a message: the first eight, and how many more."""
    shown = ", ".join(tokens[:8])
    return shown if len(tokens) <= 8 else f"{shown} and {len(tokens) - 8} more"
