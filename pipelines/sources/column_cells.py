"""Cells of number and category columns: text in, numbers by the contract out, or a fault.

Tables and the arrays beside images are read by these same functions.

Rules:

1. No cell's meaning depends on another cell, nor on a parser's guesses.
2. In a column of numbers a missing code is compared as a number: where ``-1``
   means missing, so do ``-1.0`` and ``-1e0``. Elsewhere it is compared as text, but for a
   column's own codes, which are compared as its vocabulary is.
3. A number in another unit is converted before anything but a missing code or a replaced text is
   looked for, and only where the hospital names a unit that the contract names.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.sources.cell_patterns import (
    STRAY_POINT,
    is_age_over_89,
    is_date,
    is_excel_day,
    is_limit,
    is_missing_word,
    is_with_thousands,
    is_with_unit,
)
from pipelines.sources.cells import Cells
from pipelines.sources.faults import RecordFault, RowWord
from protocol.study.cohort.columns import CategoryColumn, NumberColumn, OtherColumn, width_of
from protocol.study.cohort.units import UNCHANGED, Conversion, canonical_unit
from protocol.study.cohort.vocabulary import NUMERAL, canonical_token

Floats: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.int64]

_INFINITE = frozenset({"inf", "infinity", "nan"})


@dataclass(frozen=True, kw_only=True)
class CellProblem:
    """A fault of a cell that has no meaning by the contract, and its remedy.

    ``name`` is one of the catalogue of faults.
    """

    name: str = "records"
    what: str
    remedy: str

    def fault(
        self,
        column: str,
        lines: Sequence[int] = (),
        *,
        row_word: RowWord = "line",
        of: Literal["column", "array"] = "column",
    ) -> RecordFault:
        """Returns the fault of a column that has the problem on some lines; on none, in all."""
        return RecordFault(
            name=self.name,
            column=column,
            lines=lines,
            what=self.what,
            remedy=self.remedy,
            of=of,
            row_word=row_word,
        )


@dataclass(frozen=True, kw_only=True)
class SourceProblems:
    """The two problems whose remedy depends on what holds the cells: a table, or arrays."""

    missing: CellProblem
    comma: CellProblem


#: A column's cells by their spelling: a number, or the problem.
Reading: TypeAlias = Callable[[str], float | CellProblem]

_TEXT = CellProblem(
    name="text-for-number",
    what="text where a number was expected",
    remedy="mend the cell, or in the study write replace: {TEXT: NUMBER} for the column, or "
    "missing: [TEXT]",
)
_WIDER = "mend the cell, or in the study write a wider range or outside: clip for the column"
_NOT_FINITE = CellProblem(
    name="not-finite",
    what="not a finite number",
    remedy="mend the cell, or in the study write missing: [TEXT]",
)
#: Texts that are recognised where a number was expected; the first that fits is told.
_KNOWN_TEXTS: tuple[tuple[Callable[[str], bool], CellProblem], ...] = (
    (
        is_age_over_89,
        CellProblem(
            name="ages-over-89",
            what="the word for ages above 89 where a number was expected",
            remedy="in the study write replace: {TEXT: 90} for the column",
        ),
    ),
    (
        is_missing_word,
        CellProblem(
            name="unnamed-missing-code",
            what="a word that means missing, which the study does not list",
            remedy="in the study write missing: [TEXT], or empty the cell",
        ),
    ),
    (
        is_date,
        CellProblem(
            name="date-for-number",
            what="a date where a number was expected",
            remedy="export the number that the study asks for, such as an age or days",
        ),
    ),
    (
        is_with_unit,
        CellProblem(
            name="unit-in-cell",
            what="a number with its unit in the cell",
            remedy="export the number alone, in the study's unit",
        ),
    ),
)
_THOUSANDS = CellProblem(
    name="thousands-separator",
    what="a number with separators between thousands",
    remedy="export numbers without them",
)
_POINT = CellProblem(
    name="decimal-point",
    what="a number with a decimal point, where numbers are read with a decimal comma",
    remedy="mend the cell; where the whole file has points, write decimal: '.' in the "
    "contract, or under data in a hospital's site file",
)
_LIMIT = CellProblem(
    name="beyond-detection",
    what="a limit of detection where a number was expected: the value lies below or above it",
    remedy="in the study write replace: {TEXT: NUMBER} for the column, one for each spelling: the "
    "number that stands for a value beyond the limit",
)
_EXCEL_DAY = CellProblem(
    name="excel-date-number",
    what="as large as Excel's number of a day, far above the range",
    remedy="format the column as text or YYYY-MM-DD in Excel, and export the number that the "
    "study asks for",
)
_WORD_FOR_MISSING = CellProblem(
    name="unnamed-missing-code",
    what="a word that means missing, which the study does not list",
    remedy="in the study write missing: [TEXT], or list it among the values",
)


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


def unknown_value(token: str, unknown: CellProblem) -> CellProblem:
    """Returns the problem of a value that is not listed: as given, or that it means missing."""
    return _WORD_FOR_MISSING if is_missing_word(token) else unknown


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
            return _no_number(cell, problems, column)
        value = float(cell) if conversion is None else conversion.of(float(cell))
        if not math.isfinite(value):
            return _NOT_FINITE
        if column.outside == "clip":
            return min(max(value, low), high)
        if low <= value <= high:
            return value
        return _EXCEL_DAY if is_excel_day(value) and value > 2 * high else outside

    return read


def outside_the_range(column: NumberColumn) -> str:
    """Returns the words for a number that lies outside a column's range."""
    low, high = column.range
    return f"outside the range [{low:g}, {high:g}]"


def _no_number(cell: str, problems: SourceProblems, column: NumberColumn) -> CellProblem:
    if cell.lower().lstrip("+-") in _INFINITE:
        return _NOT_FINITE
    low, high = column.range
    has_comma = "," in cell and NUMERAL.fullmatch(cell.replace(",", "."))
    if has_comma and low <= float(cell.replace(",", ".")) <= high:
        return problems.comma
    written = cell.replace(STRAY_POINT, ".")
    if is_with_thousands(written):
        return _THOUSANDS
    if has_comma:
        return problems.comma
    if written != cell and NUMERAL.fullmatch(written):
        return _POINT
    if is_limit(written) and not (is_age_over_89(written) and _may_be_years(column)):
        return _LIMIT
    return next((problem for is_one, problem in _KNOWN_TEXTS if is_one(written)), _TEXT)


def _may_be_years(column: NumberColumn) -> bool:
    return column.unit is None or canonical_unit(column.unit) == "a"


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


def read_cells(cells: Cells, read: Reading) -> tuple[Floats, dict[CellProblem, list[int]]]:
    """Returns a column as numbers, and the places of each kind of problem in it, in their order."""
    meant = [read(text) for text in cells.spellings]
    numbers = [0.0 if isinstance(found, CellProblem) else found for found in meant]
    of_problem: dict[CellProblem, list[int]] = {}
    for code, found in enumerate(meant):
        if isinstance(found, CellProblem):
            of_problem.setdefault(found, []).append(code)
    places = {
        problem: np.flatnonzero(np.isin(cells.codes, codes)).tolist()
        for problem, codes in of_problem.items()
    }
    in_order = sorted(places.items(), key=lambda item: item[1][0])
    return np.array(numbers, dtype=np.float64)[cells.codes], dict(in_order)


def column_numbers(
    values: Mapping[str, Floats], features: Sequence[NumberColumn | CategoryColumn], count: int
) -> NDArray[np.float32]:
    """Returns the (records, width) numbers that some columns become, in their order.

    Args:
        values: each column as ``read_cells`` gives it; NaN where a cell is missing and counted.
        features: the columns.
        count: the number of records.
    """
    found = np.empty((count, width_of(features)), dtype=np.float32)
    place = 0
    for column in features:
        _fill(found[:, place : place + column.width], values[column.name], column)
        place += column.width
    return found


def _fill(
    block: NDArray[np.float32], values: Floats, column: NumberColumn | CategoryColumn
) -> None:
    """Writes the columns of numbers that one feature becomes: (records, width)."""
    if isinstance(column, NumberColumn):
        # Adding nothing makes a zero of either sign the same one, in bytes too.
        block[:, 0] = (values - column.centre) / column.scale + 0.0
        return
    for entry in range(1, len(column.tokens)):
        block[:, entry - 1] = values == entry
    block[np.isnan(values)] = np.nan


@dataclass(frozen=True, kw_only=True)
class CellNotes:
    """The rows, by number column, of what became of a cell, as ``EncodingNotes`` has them."""

    replaced: Mapping[str, Rows]
    converted: Mapping[str, Rows]
    clipped: Mapping[str, Rows]
    single_clipped_value: frozenset[str]


def notes_of(
    cells: Mapping[str, Cells],
    rows: Rows,
    features: Sequence[NumberColumn | CategoryColumn],
    lacking: Mapping[str, frozenset[str]],
    conversions: Mapping[str, Conversion] | None = None,
) -> CellNotes:
    """Returns what became of the cells of number columns that fit the contract.

    Args:
        cells: of each column.
        rows: where each of its cells stands in the source.
        features: the columns.
        lacking: of each column the spellings that mean missing.
        conversions: of the columns whose numbers were converted.
    """
    clipped: dict[str, Rows] = {}
    replaced: dict[str, Rows] = {}
    converted: dict[str, Rows] = {}
    how = conversions or {}
    single: set[str] = set()
    for column in (c for c in features if isinstance(c, NumberColumn)):
        low, high = column.range
        texts = set(column.replace)
        measured = set(cells[column.name].spellings) - lacking[column.name] - texts
        conversion = how.get(column.name, UNCHANGED)
        numbers = {cell: conversion.of(float(cell)) for cell in measured}
        outside = {cell for cell, number in numbers.items() if not low <= number <= high}
        clipped |= rows_with(cells, rows, column.name, outside)
        if len({numbers[cell] for cell in outside}) == 1:
            single.add(column.name)
        replaced |= rows_with(cells, rows, column.name, texts)
        if conversion != UNCHANGED:
            converted |= rows_with(cells, rows, column.name, measured)
    return CellNotes(
        replaced=replaced,
        converted=converted,
        clipped=clipped,
        single_clipped_value=frozenset(single),
    )


def rows_with(
    cells: Mapping[str, Cells], rows: Rows, name: str, spellings: Collection[str]
) -> dict[str, Rows]:
    """Returns the rows whose cell is one of the spellings, under the column's name; or nothing."""
    found = rows[cells[name].among(spellings)] if spellings else rows[:0]
    return {name: found} if len(found) else {}


def spelled(tokens: Sequence[str]) -> str:
    """Returns a vocabulary for a message: the first eight, and how many more."""
    shown = ", ".join(tokens[:8])
    return shown if len(tokens) <= 8 else f"{shown} and {len(tokens) - 8} more"
