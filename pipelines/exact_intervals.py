"""95 % intervals of exact figures: for whoever may see the figures themselves.

They say how much a figure would move with other patients like these, and
nothing about privacy: exact figures stay in the hospital.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Z95 = 1.959963984540054
_HALVINGS = 60


@dataclass(frozen=True, kw_only=True)
class ExactFigure:
    """A figure and its 95 % interval; all None where the patients do not support one."""

    value: float | None
    low: float | None
    high: float | None


NOT_AVAILABLE = ExactFigure(value=None, low=None, high=None)


def auroc_interval(value: float | None, positives: int, negatives: int) -> ExactFigure:
    """Returns an AUROC with its interval, which keeps a width at 0 and 1 too.

    >>> found = auroc_interval(0.8, 20, 30)
    >>> round(found.low, 3), round(found.high, 3)
    (0.643, 0.894)

    Source: Newcombe 2006, Statistics in Medicine 25, method 5: the bounds are the values from
    which the figure lies 1.96 of their own standard errors away.
    """
    if value is None or not positives or not negatives:
        return NOT_AVAILABLE

    def deviation(theta: float) -> float:
        count = (positives + negatives) / 2 - 1
        spread = 1 + count * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return math.sqrt(max(theta * (1 - theta) * spread, 0.0) / (positives * negatives))

    def bound(start: float, end: float) -> float:
        """Halves towards ``end`` until the value is 1.96 deviations away."""
        inside, outside = start, end
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            near = abs(value - middle) <= _Z95 * deviation(middle)
            inside, outside = (middle, outside) if near else (inside, middle)
        return inside

    return ExactFigure(value=value, low=bound(value, 0.0), high=bound(value, 1.0))


def share_interval(successes: int, count: int) -> ExactFigure:
    """Returns a share of patients with its interval.

    >>> found = share_interval(8, 10)
    >>> round(found.low, 3), round(found.high, 3)
    (0.49, 0.943)

    Source: Wilson 1927, JASA 22.
    """
    if not count:
        return NOT_AVAILABLE
    share, square = successes / count, _Z95**2
    centre = (share + square / (2 * count)) / (1 + square / count)
    half = (
        _Z95
        * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
        / (1 + square / count)
    )
    return ExactFigure(value=share, low=max(0.0, centre - half), high=min(1.0, centre + half))


def auroc_difference(
    first: NDArray[np.float64], second: NDArray[np.float64], labels: NDArray[np.float64]
) -> ExactFigure:
    """Returns how much larger the AUROC of the first scores is, on the same patients.

    Args:
        first, second: (patients,) scores of two models.
        labels: (patients,) 0 or 1.

    Source: DeLong et al. 1988, Biometrics 44. Two patients of each class are needed.
    """
    positive = labels > 0
    if min(positive.sum(), (~positive).sum()) < 2:
        return NOT_AVAILABLE
    ours = [_placements(scores, positive) for scores in (first, second)]
    by_positive, by_negative = (ours[0][part] - ours[1][part] for part in (0, 1))
    value = float(by_positive.mean())
    variance = by_positive.var(ddof=1) / len(by_positive) + by_negative.var(ddof=1) / len(
        by_negative
    )
    half = _Z95 * math.sqrt(float(variance))
    return ExactFigure(value=value, low=value - half, high=value + half)


def _placements(
    scores: NDArray[np.float64], positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns, of each positive, the share of negatives below it; of each negative, above it."""
    ill, well = scores[positive], scores[~positive]

    def below(values: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
        ranked = np.sort(others)
        left, right = (np.searchsorted(ranked, values, side) for side in ("left", "right"))
        return np.asarray((left + right) / 2 / len(others))

    return below(ill, well), 1 - below(well, ill)
