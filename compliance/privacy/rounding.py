"""One rounding: what is claimed or spent is rounded up, what is shown or left is rounded down.

So a figure that a person reads never promises more than the figure it stands for. A price is
shown everywhere in one unit, the share of a hospital's budget for life as its ledger counts it.
"""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

#: What the arithmetic of a share may be off by, in hundredths or thousandths.
_EXACT = 1e-9
#: Why there are two figures, and which one adds up.
TWO_FIGURES = (
    "ε is what a study promises a patient on its own. The share of the budget is what the "
    "hospital's ledger counts over all studies of a life: shares add up, ε does not."
)


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


def percent(share: float) -> str:
    """Returns a share that is taken, for people: rounded up, with digits that mean something.

    >>> [percent(share) for share in (0.0, 0.0004, 0.0312, 0.236, 0.2849, 1.584)]
    ['0 %', 'under 0.1 %', '3.2 %', '24 %', '29 %', '159 %']
    """
    if 0 < share < 0.001:
        return "under 0.1 %"
    if 0 < share < 0.0999:
        return f"{math.ceil(1000 * share - _EXACT) / 10:.1f} %"
    return f"{math.ceil(100 * share - _EXACT)} %"


def percent_left(share: float) -> str:
    """Returns a share that is left, for people: rounded down, so never all of it once some is gone.

    >>> [percent_left(share) for share in (0.0, 0.0004, 0.0312, 0.236, 0.99999999, 1.0)]
    ['0 %', 'under 0.1 %', '3.1 %', '23 %', '99 %', '100 %']
    """
    if 0 < share < 0.001:
        return "under 0.1 %"
    if 0 < share < 0.1:
        return f"{math.floor(1000 * share + _EXACT) / 10:.1f} %"
    return "99 %" if 0.99 <= share < 1 else f"{math.floor(100 * share + _EXACT)} %"


def _rounded(value: float, digits: int, direction: str) -> float:
    exact = Decimal(repr(value))
    step = Decimal((0, (1,), exact.adjusted() - digits + 1)) if exact else Decimal(1)
    return float(exact.quantize(step, rounding=direction))
