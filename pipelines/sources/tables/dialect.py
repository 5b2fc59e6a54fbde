"""The dialect of a hospital's own file: how it writes what the contract asks for."""

import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

from pipelines.sources.cell_patterns import STRAY_POINT
from pipelines.sources.tables.growing_table import Respell
from protocol.study.cohort.cohort import Decimal, Delimiter, TableCohort
from protocol.study.cohort.columns import CategoryColumn, NumberColumn
from protocol.study.cohort.labels import (
    BinaryLabel,
    ClassLabel,
    FindingsLabel,
    NumberLabel,
    SurvivalLabel,
)
from protocol.study.cohort.vocabulary import canonical_token

__all__ = ["AS_DECLARED", "FileDialect", "FileEncoding", "Thousands", "respelling_of"]

#: How the letters of a hospital's own file are written as bytes.
FileEncoding: TypeAlias = Literal["utf-8", "latin-1", "utf-16"]
#: What stands between the thousands of a number.
Thousands: TypeAlias = Literal[",", ".", " ", "'"]

#: Blanks of every width that programs write between thousands.
_BLANKS = "  \u2009\u202f"
_MARKS = {",": ",", ".": r"\.", " ": f"[{_BLANKS}]", "'": "['\u2019]"}
_DIGITS = re.compile(r"[+-]?[0-9.,]+([eE][+-]?[0-9]+)?")
_WHOLE = re.compile("([0-9]+),0+")
_EXCHANGED = str.maketrans({",": ".", ".": STRAY_POINT})


@dataclass(frozen=True, kw_only=True)
class FileDialect:
    """The way a hospital's own file is written; None where it is as the contract says.

    ``sheet`` is that of an Excel workbook, ``header`` whether the first line holds the columns'
    names; ``delimiter`` and ``encoding`` are of CSV alone.
    """

    delimiter: Delimiter | None = None
    decimal: Decimal | None = None
    thousands: Thousands | None = None
    encoding: FileEncoding | None = None
    header: bool | None = None
    sheet: str | None = None

    def has_header(self, cohort: TableCohort) -> bool:
        """Returns whether the first line holds the columns' names."""
        return cohort.header if self.header is None else self.header


#: A file that is written as the contract says.
AS_DECLARED = FileDialect()


def respelling_of(cohort: TableCohort, dialect: FileDialect) -> dict[str, Respell]:
    """Returns how text is read by column, where it is not as the contract says.

    In a column of numbers each is written as the contract does. Elsewhere only a word that the
    contract lists as a number, or a patient's whole number, loses its comma: ``1,0`` is 1.
    """
    decimal = dialect.decimal or cohort.decimal
    if decimal == "." and dialect.thousands is None:
        return {}
    respell = number_respelling(decimal, dialect.thousands)
    names = [column.name for column in cohort.columns if isinstance(column, NumberColumn)]
    if isinstance(cohort.label, NumberLabel | SurvivalLabel):
        names.append(str(cohort.label.column))
    respellings = dict.fromkeys(names, respell)
    if decimal == ",":
        respellings[cohort.patient_key] = _whole
        for name, words in _vocabularies(cohort):
            respellings[name] = partial(_listed, words=frozenset(words), respell=respell)
    return respellings


def _vocabularies(cohort: TableCohort) -> Iterator[tuple[str, Iterable[str]]]:
    """Yields the columns of which the contract lists the words, and these in their one spelling."""
    for column in cohort.columns:
        if isinstance(column, CategoryColumn):
            yield column.name, column.tokens
    label = cohort.label
    if isinstance(label, FindingsLabel):
        for finding in label.findings.values():
            yield str(finding.column), finding.meaning
    elif isinstance(label, BinaryLabel | ClassLabel):
        yield str(label.column), label.meaning
    elif isinstance(label, SurvivalLabel):
        yield label.event, label.meaning


def _listed(cell: str, words: Set[str], respell: Respell) -> str:
    if "," not in cell or canonical_token(cell) in words:
        return cell
    number = respell(cell)
    return number if canonical_token(number) in words else cell


def _whole(cell: str) -> str:
    found = _WHOLE.fullmatch(cell)
    return found[1] if found else cell


def number_respelling(decimal: Decimal, thousands: Thousands | None) -> Respell:
    """Returns what writes a number as the contract does; what is no such number stays none.

    A point in a number with a decimal comma, as between thousands that nobody spoke of, leaves no
    number, and neither do marks that do not stand between thousands: nobody guesses what is meant.

    >>> comma = number_respelling(",", None)
    >>> [comma(cell) for cell in ("37,8", "1.250", "NA, since May")]
    ['37.8', '1._250', 'NA, since May']
    >>> german = number_respelling(",", ".")
    >>> [german(cell) for cell in ("1.250,5", "1250,5", "1.25", "12.5000")]
    ['1250.5', '1250.5', '1._25', '12._5000']
    >>> number_respelling(".", ",")("-1,234,567.8")
    '-1234567.8'
    """
    grouped: re.Pattern[str] | None = None
    mark = ""
    if thousands is not None:
        mark = _MARKS[thousands]
        tail = rf"({re.escape(decimal)}[0-9]*)?"
        grouped = re.compile(rf"[+-]?[0-9]{{1,3}}({mark}[0-9]{{3}})+{tail}")

    def respell(cell: str) -> str:
        if grouped is not None and grouped.fullmatch(cell):
            cell = re.sub(mark, "", cell)
        elif thousands is not None and decimal == "." and _DIGITS.fullmatch(cell):
            return cell.replace(thousands, "_")
        if decimal == "," and _DIGITS.fullmatch(cell):
            return cell.translate(_EXCHANGED)
        return cell

    return respell
