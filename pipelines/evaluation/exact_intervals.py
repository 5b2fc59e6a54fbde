"""95 % intervals of exact figures, for people who may see the figures themselves.

They say how much a figure would move with other patients like these, and
nothing about privacy: exact figures stay in the hospital.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from compliance.estimates.interval import Z95, auroc_variance, score_bounds


@dataclass(frozen=True, kw_only=True)
class ExactFigure:
    """A figure and its 95 % interval; all None where the patients do not support one."""

    value: float | None
    low: float | None
    high: float | None


Name = TypeVar("Name", bound=Hashable)

#: Samples of a bootstrap.
DRAWS = 1000
#: The test patients of each class without whom a difference of AUROCs has no interval: of fewer it
#: would leave out the truth more often than it says.
FEWEST_OF_A_CLASS = 5
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

    low, high = score_bounds(value, lambda truth: auroc_variance(truth, positives, negatives))
    return ExactFigure(value=value, low=low, high=high)


def share_interval(successes: float, count: int) -> ExactFigure:
    """Returns a share of patients with its interval.

    >>> found = share_interval(8, 10)
    >>> round(found.low, 3), round(found.high, 3)
    (0.49, 0.943)

    Source: Wilson 1927, JASA 22.
    """
    if not count:
        return NOT_AVAILABLE
    share = successes / count
    low, high = score_bounds(share, lambda truth: truth * (1 - truth) / count)
    return ExactFigure(value=share, low=low, high=high)


def auroc_difference(
    first: NDArray[np.float64], second: NDArray[np.float64], labels: NDArray[np.float64]
) -> ExactFigure:
    """Returns how much larger the AUROC of the first scores is, on the same patients.

    Args:
        first, second: (patients,) scores of two models; of one that was trained several times
            (trainings, patients), and it is about the mean of their AUROCs.
        labels: (patients,) 0 or 1.

    Returns:
        The difference; without bounds where a class has fewer than ``FEWEST_OF_A_CLASS`` patients.

    Source: DeLong et al. 1988, Biometrics 44.
    """
    positive = labels > 0
    fewest = int(min(positive.sum(), (~positive).sum()))
    if not fewest or np.isnan(first).any() or np.isnan(second).any():
        return NOT_AVAILABLE
    ours = [_mean_placements(np.atleast_2d(scores), positive) for scores in (first, second)]
    by_positive, by_negative = (ours[0][part] - ours[1][part] for part in (0, 1))
    value = float(by_positive.mean())
    if fewest < FEWEST_OF_A_CLASS:
        return ExactFigure(value=value, low=None, high=None)
    variance = by_positive.var(ddof=1) / len(by_positive) + by_negative.var(ddof=1) / len(
        by_negative
    )
    half = Z95 * math.sqrt(float(variance))
    return ExactFigure(value=value, low=value - half, high=value + half)


def bootstrapped(
    figures: Callable[[NDArray[np.int64]], Mapping[Name, float | None]], count: int, seed: int
) -> dict[Name, ExactFigure]:
    """Returns figures of patients with the intervals that drawing them again gives.

    Args:
        figures: of the places of patients, some of them several times, figures by name; None
            where they do not support one.
        count: how many patients there are.
        seed: of the drawing.

    Source: Efron 1979, Annals of Statistics 7; percentiles of ``DRAWS`` samples.
    """
    random, whole = np.random.default_rng(seed), figures(np.arange(count))
    drawn = [figures(random.integers(count, size=count)) for _ in range(DRAWS if count else 0)]
    return {name: _between(value, [one[name] for one in drawn]) for name, value in whole.items()}


def _between(value: float | None, drawn: Sequence[float | None]) -> ExactFigure:
    known = [one for one in drawn if one is not None]
    if value is None or not known:
        return NOT_AVAILABLE
    low, high = np.quantile(known, (0.025, 0.975))
    return ExactFigure(value=value, low=float(low), high=float(high))


def _mean_placements(
    trainings: NDArray[np.float64], positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns each patient's placements, their mean over trainings: AUROC is linear in them."""
    parts = [_placements(scores, positive) for scores in trainings]
    ill, well = (np.mean(each, axis=0) for each in zip(*parts, strict=True))
    return np.asarray(ill), np.asarray(well)


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
