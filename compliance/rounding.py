"""One rounding: what is claimed or spent is rounded up, what is shown or left is rounded down.

So a figure that a person reads never promises more than the figure it stands for.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal


def rounded_up(value: float, digits: int = 3) -> float:
    """Returns the least number of so many significant digits that is not below the value.

    >>> rounded_up(1.2341), rounded_up(2.0), rounded_up(2.0000004), rounded_up(12.3412, 4)
    (1.24, 2.0, 2.01, 12.35)
    """
    return _rounded(value, digits, ROUND_CEILING)


def rounded_down(value: float, digits: int = 3) -> float:
    """Returns the greatest number of so many significant digits that is not above the value.

    >>> rounded_down(1.2399), rounded_down(2.0), rounded_down(0.0)
    (1.23, 2.0, 0.0)
    """
    return _rounded(value, digits, ROUND_FLOOR)


def _rounded(value: float, digits: int, direction: str) -> float:
    exact = Decimal(repr(value))
    step = Decimal((0, (1,), exact.adjusted() - digits + 1)) if exact else Decimal(1)
    return float(exact.quantize(step, rounding=direction))
