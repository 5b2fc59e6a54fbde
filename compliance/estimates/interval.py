"""A figure with its 95 % interval, and the bounds of one from the figure's variance.

Bounds are the values that lie within 1.96 of their own errors of the figure. The error is taken
at the value asked about and not at the figure, so a figure of 0 or 1 keeps an interval with a
width.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

#: A 95 % interval reaches so many deviations to either side.
Z95 = 1.959963984540054
_HALVINGS, _MOST_STEPS, _CLOSE = 40, 60, 1e-12
_USUAL = NormalDist()
#: The chance with which a 95 % interval holds the truth.
_HOLDS = 0.95


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A released figure with its 95 % interval; ``value`` is None when not available.

    Guarantee: a figure with a note is withheld, and what is withheld is not kept:
    value, low and high are None, so nothing can draw, average or write them.
    """

    value: float | None
    low: float | None
    high: float | None
    note: str = ""

    @classmethod
    def withheld(cls, note: str) -> "Interval":
        """Returns the interval of a figure that is withheld, for this reason."""
        return cls(value=None, low=None, high=None, note=note)

    def __post_init__(self) -> None:
        if self.note:
            for name in ("value", "low", "high"):
                object.__setattr__(self, name, None)


def longer_side(value: float, low: float, high: float) -> float:
    """Returns how far an interval reaches from its figure, to the side where it reaches further.

    An interval that ends at a bound of the figure's range says on the other side alone how
    uncertain the figure is; half of its width would be too little.

    >>> round(longer_side(1.0, 0.85, 1.0), 2), round(longer_side(0.8, 0.7, 0.9), 2)
    (0.15, 0.1)
    """
    return max(high - value, value - low)


def score_bounds(value: float, variance: Callable[[float], float]) -> tuple[float, float]:
    """Returns the least and the greatest value in [0, 1] that agree with a figure.

    Args:
        value: the figure, in [0, 1].
        variance: of the figure, if the truth were its argument.

    Source: Wilson 1927, JASA 22 (shares); Newcombe 2006, Statistics in Medicine 25 (AUROC).
    """

    def beyond(truth: float, side: int) -> float:
        if truth == value:  # of a figure of 0 or 1 the variance is 0 there, and only there
            return -1.0
        return side * (value - truth) - Z95 * math.sqrt(max(variance(truth), 0.0))

    low = falling_root(lambda truth: beyond(truth, 1), (0.0, value))
    return low, -falling_root(lambda truth: beyond(-truth, -1), (-1.0, -value))


def falling_root(
    values: Callable[[float], float], ends: tuple[float, float], *, close: float = _CLOSE
) -> float:
    """Returns where a falling function is 0; an end where it is on one side throughout.

    Args:
        values: the function.
        ends: between these it is looked for.
        close: steps below this end the search.

    Source: Dowell and Jarratt 1971, BIT 11 (the Illinois form of the false position).
    """
    low, high = ends
    above, below = values(low), values(high)
    if above <= 0 or below >= 0:
        return low if above <= 0 else high
    at, side = low, 0
    for _ in range(_MOST_STEPS):
        before, at = at, (high * above - low * below) / (above - below)
        found = values(at)
        if found > 0:
            low, above, below = at, found, below / 2 if side > 0 else below
            side = 1
        else:
            high, below, above = at, found, above / 2 if side < 0 else above
            side = -1
        if abs(at - before) < close:
            break
    return at


def deviations_beside(hidden: float) -> float:
    """Returns by how many deviations an interval reaches beyond what is hidden of its figure.

    Args:
        hidden: how far apart the figures lie that what is hidden allows, in deviations of each.

    The truth is at one place between these, so the interval can miss it on one side only once they
    lie far apart: 1.96 deviations where nothing is hidden, 1.64 where much is.

    >>> round(deviations_beside(0.0), 2), round(deviations_beside(5.0), 2)
    (1.96, 1.64)

    Source: Imbens and Manski 2004, Econometrica 72.
    """
    low, high = 0.0, Z95
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        holds = _USUAL.cdf(middle + hidden) - _USUAL.cdf(-middle) >= _HOLDS
        low, high = (low, middle) if holds else (middle, high)
    return high


def auroc_variance(truth: float, positives: float, negatives: float) -> float:
    """Returns the variance of an AUROC over the patients drawn, if it were truly ``truth``.

    Source: Newcombe 2006, Statistics in Medicine 25, method 5, from Hanley and McNeil 1982.
    """
    count = max((positives + negatives) / 2 - 1, 0.0)
    spread = 1 + count * ((1 - truth) / (2 - truth) + truth / (1 + truth))
    return max(truth * (1 - truth) * spread, 0.0) / (positives * negatives)
