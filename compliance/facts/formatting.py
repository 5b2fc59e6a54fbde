"""Values as a person reads them: one form for each kind of figure, wherever it is shown."""

import math
from enum import Enum
from typing import TypeAlias

from compliance.estimates.interval import Interval
from compliance.privacy.rounding import percent, percent_left, rounded_up

Cell: TypeAlias = str | int | float | Interval | None

MISSING = "—"
_NOT_AVAILABLE = "not available"


class Format(Enum):
    """The form in which a value is shown to people."""

    TEXT = "text"
    CODE = "code"  # digests, heads, commands: never shortened, one width for each character
    COUNT = "count"
    RATIO = "ratio"  # an AUROC or the like: three decimals
    SHARE = "share"  # a part of a budget: per cent
    SHARE_LEFT = "share left"
    EPSILON = "epsilon"  # a privacy loss: three significant digits, rounded up
    SMALL = "small"  # a probability such as delta: three significant digits, rounded up
    NUMBER = "number"  # a setting such as a noise multiplier: four significant digits
    SECONDS = "seconds"
    TIME = "time"  # a moment in ISO 8601, UTC


#: The forms of numbers, which stand at the right of their column.
NUMERIC = frozenset(
    {
        Format.COUNT,
        Format.RATIO,
        Format.SHARE,
        Format.SHARE_LEFT,
        Format.EPSILON,
        Format.SMALL,
        Format.NUMBER,
        Format.SECONDS,
    }
)


def show(value: Cell, form: Format = Format.TEXT) -> str:
    """Returns a value as a person reads it; a missing one is never shown as zero.

    An interval with a note (too few patients) shows the note, not the figure.

    >>> show(0.84321, Format.RATIO), show(1e-4, Format.SMALL), show(12345, Format.COUNT)
    ('0.843', '1e-4', '12,345')
    >>> show(Interval(value=0.8, low=0.71, high=0.89), Format.RATIO)
    '0.800 (0.710 to 0.890)'
    >>> show(2.001, Format.EPSILON), show(1.99979, Format.EPSILON), show(2.0, Format.EPSILON)
    ('2.01', '2', '2')
    >>> show(None), show(Interval(value=None, low=None, high=None, note="too few patients"))
    ('—', 'too few patients')
    >>> show("2026-11-21T10:00:09.600Z", Format.TIME)
    '2026-11-21 10:00:09 UTC'
    """
    if value is None:
        return MISSING
    if isinstance(value, Interval):
        return _show_interval(value, form)
    if isinstance(value, str):
        return _show_time(value) if form is Format.TIME else value
    return _show_number(value, form)


def _show_interval(interval: Interval, form: Format) -> str:
    if interval.value is None:
        return interval.note or _NOT_AVAILABLE
    text = _show_number(interval.value, form)
    if interval.low is None or interval.high is None:
        return text
    return f"{text} ({_show_number(interval.low, form)} to {_show_number(interval.high, form)})"


def _show_number(value: float, form: Format) -> str:
    if not math.isfinite(value):
        return "without bound" if value > 0 else _NOT_AVAILABLE
    match form:
        case Format.COUNT:
            return f"{value:,.0f}"
        case Format.RATIO:
            return f"{value:.3f}"
        case Format.SHARE:
            return percent(value)
        case Format.SHARE_LEFT:
            return percent_left(value)
        case Format.EPSILON:
            return f"{rounded_up(value):g}"
        case Format.NUMBER:
            return f"{value:.4g}"
        case Format.SMALL:
            return _scientific(value)
        case Format.SECONDS:
            return f"{value:,.1f} s"
        case _:
            return str(value)


def _show_time(moment: str) -> str:
    day, _, rest = moment.partition("T")
    return f"{day} {rest[:8]} UTC" if rest.endswith("Z") else moment


def _scientific(value: float) -> str:
    digits, exponent = f"{rounded_up(value):.2e}".split("e")
    return f"{float(digits):g}e{int(exponent)}" if value else "0"
