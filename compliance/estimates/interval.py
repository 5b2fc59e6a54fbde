"""A figure with its 95 % interval, and the bounds of one from the figure's variance.

Bounds are the values that lie within 1.96 of their own errors of the figure. The error is taken
at the value asked about and not at the figure, so a figure of 0 or 1 keeps an interval with a
width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

#: A 95 % interval reaches so many deviations to either side.
Z95 = 1.959963984540054
_HALVINGS = 40
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


def score_bounds(value: float, variance: Callable[[float], float]) -> tuple[float, float]:
    """Returns the least and the greatest value in [0, 1] that agree with a figure.

    Args:
        value: the figure, in [0, 1].
        variance: of the figure, if the truth were its argument.

    Source: Wilson 1927, JASA 22 (shares); Newcombe 2006, Statistics in Medicine 25 (AUROC).
    """

    def agrees(truth: float) -> bool:
        return (value - truth) ** 2 <= Z95**2 * max(variance(truth), 0.0)

    def bound(end: float) -> float:
        if agrees(end):
            return end
        inside, outside = value, end
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if agrees(middle) else (inside, middle)
        return inside

    return bound(0.0), bound(1.0)


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
