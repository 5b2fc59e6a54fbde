"""Typed values as cells: one spelling for each value, whichever source it was read from.

Rules:

1. A number has no needless zeros: ``63``, ``63.0`` and ``Decimal("63.00")`` are one cell.
2. A day is ``2024-03-01``, and so is midnight of that day without a zone, which is what many
   programs make of a day; other times follow after a ``T``, those with a zone in UTC.
3. Nothing, and what is not a number (NaN), is missing. Text keeps no blanks around it.
"""

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

import numpy as np

#: The spelling of a value, None where it is missing.
Spelling: TypeAlias = Callable[[Any], str | None]

#: Below this a float holds every whole number; beyond, its digits would promise too much.
_WHOLE = 2**53
#: How Python, Arrow and databases' drivers name the zone of UTC.
_UTC = frozenset({"UTC", "Etc/UTC", "UTC+00:00", "+00:00"})
#: Decimals of more digits before or after the point are left in scientific notation.
_MOST_DIGITS = 400


def spell_float(value: float) -> str | None:
    """Returns a float's spelling.

    >>> spell_float(63.0), spell_float(0.1), spell_float(-0.0), spell_float(float("nan"))
    ('63', '0.1', '0', None)
    """
    if math.isnan(value):
        return None
    if value.is_integer() and abs(value) < _WHOLE:
        return str(int(value))
    return repr(value)


def spell_single(value: float) -> str | None:
    """Returns the spelling of a float that was stored in four bytes: the shortest that means it.

    >>> spell_single(0.10000000149011612)
    '0.1'
    """
    return spell_float(float(str(np.float32(value))))


def spell_decimal(value: Decimal) -> str | None:
    """Returns a decimal's spelling.

    >>> spell_decimal(Decimal("1.50")), spell_decimal(Decimal("1E+2"))
    ('1.5', '100')
    """
    if not value.is_finite():
        return None if value.is_nan() else str(value)
    if not value:
        return "0"
    if abs(value.adjusted()) > _MOST_DIGITS:
        return str(value)
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def spell_moment(value: datetime) -> str:
    """Returns the spelling of a day with a time.

    >>> spell_moment(datetime(2024, 3, 1)), spell_moment(datetime(2024, 3, 1, 8, 5))
    ('2024-03-01', '2024-03-01T08:05:00')
    """
    if value.tzinfo is not None:
        return value.astimezone(UTC).isoformat()
    if value.time() == time.min:
        return value.date().isoformat()
    return value.isoformat()


def spell_by_own_clock(value: datetime) -> str:
    """Returns the spelling of a moment by the clock that it is written by, with its zone.

    >>> spell_by_own_clock(datetime.fromisoformat("2024-03-01T00:30:00+01:00"))
    '2024-03-01T00:30:00+01:00'
    """
    return spell_moment(value) if value.tzinfo is None else value.isoformat()


def is_instant(value: datetime) -> bool:
    """Whether a moment is told in UTC, which is the clock of databases and not of hospitals.

    >>> is_instant(datetime(2024, 3, 1, tzinfo=UTC)), is_instant(datetime(2024, 3, 1))
    (True, False)
    """
    return value.tzinfo is not None and str(value.tzinfo) in _UTC


def _spell_bool(value: bool) -> str:
    return "true" if value else "false"


def _isoformat(value: date | time) -> str:
    return value.isoformat()


_SPELLINGS: dict[type, Spelling] = {
    type(None): lambda _: None,
    str: str.strip,
    bool: _spell_bool,
    int: str,
    float: spell_float,
    Decimal: spell_decimal,
    datetime: spell_moment,
    date: _isoformat,
    time: _isoformat,
    UUID: str,
}


def spelling_of(kind: type) -> Spelling | None:
    """Returns how values of a type are spelled; None where no contract can read them.

    >>> spelling_of(bool)(True), spelling_of(list)
    ('true', None)
    """
    for base in kind.__mro__:
        if base in _SPELLINGS:
            return _SPELLINGS[base]
    return None
