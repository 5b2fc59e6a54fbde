"""Problems of cells that have no meaning by the contract, each with its name and remedy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.sources.cell_patterns import (
    STRAY_POINT,
    is_age_over_89,
    is_date,
    is_limit,
    is_missing_word,
    is_with_thousands,
    is_with_unit,
)
from pipelines.sources.faults import RecordFault, RowWord
from protocol.study.cohort.columns import NumberColumn
from protocol.study.cohort.units import canonical_unit
from protocol.study.cohort.vocabulary import NUMERAL

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


_TEXT = CellProblem(
    name="text-for-number",
    what="text where a number was expected",
    remedy="mend the cell, or in the study write replace: {TEXT: NUMBER} for the column, or "
    "missing: [TEXT]",
)
#: Of a number that is infinite, or none.
NOT_FINITE = CellProblem(
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
#: Of a number that may be Excel's of a day.
EXCEL_DAY = CellProblem(
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


def unknown_value(token: str, unknown: CellProblem) -> CellProblem:
    """Returns the problem of a value that is not listed: as given, or that it means missing."""
    return _WORD_FOR_MISSING if is_missing_word(token) else unknown


def no_number(cell: str, problems: SourceProblems, column: NumberColumn) -> CellProblem:
    """Returns the problem of a text where a number was expected, by the form that it has.

    Args:
        cell: the text, which is no numeral.
        problems: of the source.
        column: its range and unit tell some forms apart.
    """
    if cell.lower().lstrip("+-") in _INFINITE:
        return NOT_FINITE
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
