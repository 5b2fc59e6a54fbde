"""Spellings that hospitals' exports are known for, told by their form alone.

Each function looks at one cell's text; what is done about it is decided elsewhere.
"""

import re
from collections.abc import Iterable

from protocol.study.cohort.vocabulary import NUMERAL

#: What a point becomes in a number that is read with a decimal comma: no number is left of it.
STRAY_POINT = "._"

_AGE_OVER_89 = re.compile(
    r"(>=?|≥|over|above)\s*(89|90)|(89|90)\s*(\+|and (over|above|older))", re.I
)
_LIMIT = re.compile(
    r"(<=?|>=?|≤|≥)\s*[+-]?[0-9]+([.,][0-9]+)?\s*(([^\W\d_]|[%°])[\w/%°^.²³*\s]{0,14})?"
)
_DAY_FIRST = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})(\s.*)?")
_YEAR_FIRST = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}([,.'_ \u00a0\u202f])\d{3}(\1\d{3})*([.,]\d*)?")
_WITH_UNIT = re.compile(
    r"(?!0[xX])([+-]?[0-9]+([.,][0-9]+)?)\s*([^\W\d_]|[%°])[\w/%°^.²³*\s]{0,14}"
)
_EXPONENT = re.compile(r"[+-]?[0-9]([.,][0-9]+)?[eE][+-][0-9]{2,3}")
_MISSING_WORDS = frozenset(
    "? - -- --- . n/a n.a. na #n/a nan nd null none nil unk unkn unknown missing blank empty "
    "not_known not_available not_done not_recorded not_measured unbekannt k.a. inconnu "
    "desconocido sconosciuto onbekend".replace("_", "\x00").split()
)
#: Whole numbers that stand for missing in coded exports.
_CODES = frozenset(
    float(sign + digit * length) for sign in ("", "-") for digit in "789" for length in (1, 2, 3, 4)
) | {-1.0, 99999.0, -99999.0}
#: Excel's numbers of the days from 1954-10-03 to 2064-04-08.
_EXCEL_DAYS = range(20000, 60001)


def is_age_over_89(cell: str) -> bool:
    """Whether a cell is the word for ages above 89 in de-identified records.

    >>> [is_age_over_89(cell) for cell in ("> 89", ">=90", "90+", "89")]
    [True, True, True, False]
    """
    return _AGE_OVER_89.fullmatch(cell) is not None


def is_limit(cell: str) -> bool:
    """Whether a cell says that a value is below or above what could be measured.

    >>> [is_limit(cell) for cell in ("<0,30", "> 1000", "≤5 mg/dL", "<none>", "< 5-10")]
    [True, True, True, False, False]
    """
    return _LIMIT.fullmatch(cell) is not None


def is_missing_word(cell: str) -> bool:
    """Whether a cell is a word or mark that usually means missing.

    >>> [is_missing_word(cell) for cell in ("UNK", "not done", "-", "no")]
    [True, True, True, False]
    """
    return cell.casefold().replace(" ", "\x00") in _MISSING_WORDS


def is_missing_number(number: float) -> bool:
    """Whether a number is one that coded exports write for missing, such as -1 or 999."""
    return number in _CODES


def is_date(cell: str) -> bool:
    """Whether a cell is a date.

    >>> [is_date(cell) for cell in ("1951-03-04", "4.3.1951", "03/04/51 12:00", "1951")]
    [True, True, True, False]
    """
    return bool(_YEAR_FIRST.fullmatch(cell) or _DAY_FIRST.fullmatch(cell))


def has_two_date_orders(cells: Iterable[str]) -> bool:
    """Whether some dates can only be day before month, and others only month before day.

    >>> has_two_date_orders(["31/12/2020", "12/31/2020"]), has_two_date_orders(["31/12/2020"])
    (True, False)
    """
    found = set()
    for match in filter(None, map(_DAY_FIRST.fullmatch, cells)):
        first, second = int(match[1]), int(match[3])
        if first > 12 >= second:
            found.add("day")
        elif second > 12 >= first:
            found.add("month")
    return len(found) == 2


def is_with_thousands(cell: str) -> bool:
    """Whether a cell is a number with marks between its thousands.

    >>> [is_with_thousands(cell) for cell in ("1,234.5", "1 234", "1.234.567", "1,23")]
    [True, True, True, False]
    """
    return _THOUSANDS.fullmatch(cell) is not None


def is_with_unit(cell: str) -> bool:
    """Whether a cell is a number and a word behind it.

    >>> [is_with_unit(cell) for cell in ("120 mmHg", "37.5°C", "54 years", "1e5", "A1")]
    [True, True, True, False, False]
    """
    return _WITH_UNIT.fullmatch(cell) is not None and not NUMERAL.fullmatch(cell)


def is_in_exponent_form(cell: str) -> bool:
    """Whether a cell is a number as Excel shows a long one: with a sign and two digits at its end.

    >>> [is_in_exponent_form(cell) for cell in ("1,0E+05", "1e+05", "1E5", "A1E+05")]
    [True, True, False, False]
    """
    return _EXPONENT.fullmatch(cell.strip()) is not None


def is_excel_day(number: float) -> bool:
    """Whether a number may be Excel's of a day between 1954 and 2064."""
    return number.is_integer() and int(number) in _EXCEL_DAYS
