"""The trend of figures with intervals: the line that they allow, or none.

A line through figures says that what lies between them is known, and that they rise or fall. Where
their intervals explain all of that, it says something false. Rules:

1. The line is straight, fitted with the weights of the intervals. It is *shown* only where the 95 %
   interval of its slope leaves out 0; else no line is drawn.
2. Where the figures lie further from the line than their intervals explain, the slope's interval is
   made wider by as much.
3. Figures that were counted on the same patients have errors in common, which leave a slope as it
   is: the interval of the slope is then rather too wide.
4. A figure's error is told by the longer side of its interval: one that ends at a bound of the
   figure's range is short on that side whatever the error.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from compliance.estimates.interval import Z95, Interval, longer_side

#: Through two points there always is a line.
FEWEST = 3
_MISSES = 0.05


@dataclass(frozen=True, kw_only=True)
class Trend:
    """A straight line through figures.

    Attributes:
        slope: the change of the figure for each unit of the place.
        low, high: its 95 % interval.
        begin, end: the place and the height of the line at the first and the last figure.
        count: how many figures it goes through.
    """

    slope: float
    low: float
    high: float
    begin: tuple[float, float]
    end: tuple[float, float]
    count: int

    @property
    def is_shown(self) -> bool:
        """Whether the intervals allow the line: that of its slope leaves out 0."""
        return self.low > 0 or self.high < 0


def trend(found: Sequence[tuple[float, Interval]], *, families: int = 1) -> Trend | None:
    """Returns the line through figures; None where fewer than three are known, or at one place.

    Args:
        found: places, and the figure at each with its 95 % interval.
        families: how many such lines are drawn beside each other, this one among them; then all
            of them are right in 95 of 100 cases at once (Bonferroni).

    >>> def at(value):
    ...     return Interval(value=value, low=value - 0.05, high=value + 0.05)
    >>> rising = trend([(place, at(0.6 + 0.05 * place)) for place in range(5)])
    >>> round(rising.slope, 3), rising.is_shown
    (0.05, True)
    >>> trend([(0, at(0.6)), (1, at(0.62)), (2, at(0.61))]).is_shown
    False

    Source: weighted least squares; Birge 1932, Physical Review 40, for rule 2.
    """
    known = [
        (place, one.value, longer_side(one.value, one.low, one.high) / Z95)
        for place, one in found
        if one.value is not None and one.low is not None and one.high is not None
    ]
    if len(known) < FEWEST or len({place for place, _, _ in known}) < 2:
        return None
    places, values, errors = np.array(known).T
    weights = 1 / np.maximum(errors, 1e-9) ** 2
    middle = float(weights @ places / weights.sum())
    level = float(weights @ values / weights.sum())
    width = float(weights @ (places - middle) ** 2)
    slope = float(weights @ ((places - middle) * values) / width)
    left = values - level - slope * (places - middle)
    scatter = float(weights @ left**2) / (len(known) - 2)
    half = NormalDist().inv_cdf(1 - _MISSES / 2 / families) * math.sqrt(max(1.0, scatter) / width)
    first, last = float(places.min()), float(places.max())
    return Trend(
        slope=slope,
        low=slope - half,
        high=slope + half,
        begin=(first, level + slope * (first - middle)),
        end=(last, level + slope * (last - middle)),
        count=len(known),
    )


def trend_text(found: Trend | None, each: str) -> str:
    """Returns why a line is drawn, or why none is.

    Args:
        found: the trend.
        each: the unit of the places, such as ``round``.
    """
    if found is None:
        return f"No line is drawn: a trend needs {FEWEST} figures with intervals."
    change = f"{_signed(found.slope)} each {each} (95 %: {_signed(found.low)} to "
    change += f"{_signed(found.high)})"
    if found.is_shown:
        return f"The line is the trend that the intervals allow: {change}."
    return (
        f"No line is drawn: with these intervals there may be no trend at all; the change is "
        f"{change}."
    )


def _signed(change: float) -> str:
    """Returns a change with its sign and two digits; what only rounding leaves is none.

    >>> _signed(0.0512), _signed(-3e-18)
    ('+0.051', '+0')
    """
    return f"{round(change, 9) + 0.0:+.2g}"
