"""Regression: errors and the part of the variance that is explained, from six noised sums.

All sums are of parts of the declared range, so in [0, 1] for a patient; figures are in the
unit of the label's column.
"""

import math

from compliance.facts.interval import Z95, Interval
from compliance.facts.released.auroc import TOO_FEW, WIDEST
from compliance.facts.released.proportion import MARGIN
from coordinator.evaluation.released import EvaluationReader, Figures, Floats, NoisedCounts
from protocol.study.cohort import NumberLabel
from protocol.study.study import Study

_NONE = Interval(value=None, low=None, high=None, note=TOO_FEW)
#: Patients of no more than this are no patients: a sum without noise has whole ones.
_NOBODY = 0.5


def _pooled(study: Study, noised: NoisedCounts) -> Figures:
    sums, deviation = noised.pooled, noised.deviation
    count, absolute, squared, fourth, values, value_squares = map(float, sums)
    if _too_few(count, deviation):
        return {"r2": _NONE, "mae": _NONE, "rmse": _NONE}
    width = _width(study)
    mse, mse_half = _mean(squared, fourth, count, deviation)
    return {
        "r2": _explained(mse, mse_half, values / count, value_squares / count, count, deviation),
        "mae": _scaled(*_mean(absolute, squared, count, deviation), width),
        "rmse": _root(mse, mse_half, width),
    }


def _site(study: Study, cells: Floats, deviation: float) -> Figures:
    count, absolute, squared = map(float, cells[:3])
    if _too_few(count, deviation):
        return {"mae": _NONE, "rmse": _NONE}
    width = _width(study)
    # Without a sum of fourth powers: a square of an error is no more than the error's own bound.
    return {
        "mae": _scaled(*_mean(absolute, squared, count, deviation), width),
        "rmse": _root(*_mean(squared, squared, count, deviation), width),
    }


def _too_few(count: float, deviation: float) -> bool:
    """Whether noise hides the patients: asked of their number alone, which chooses no error."""
    if count - MARGIN * deviation <= (1.0 if deviation else _NOBODY):
        return True
    usual = math.sqrt(0.25 / count + 2 * (deviation / count) ** 2)
    return bool(deviation) and Z95 * usual > WIDEST


def _mean(total: float, squares: float, count: float, deviation: float) -> tuple[float, float]:
    """Returns the mean of numbers in [0, 1], and the half width of its 95 % interval.

    Args:
        total: the noised sum of the numbers.
        squares: that of their squares, or more.
        count: how many they are, noised.
        deviation: the noise of each of the three.

    The variance of the numbers is taken for no less than that of one patient at the other
    end. Source: delta method for a ratio of noised sums.
    """
    mean = min(1.0, max(0.0, total / count))
    spread = min(max(squares / count - mean**2, 1 / count), 0.25)
    variance = spread / count + (deviation / count) ** 2 * (1 + mean**2)
    return mean, Z95 * math.sqrt(variance)


def _scaled(mean: float, half: float, width: float) -> Interval:
    return Interval(
        value=mean * width, low=max(0.0, mean - half) * width, high=(mean + half) * width
    )


def _root(mse: float, half: float, width: float) -> Interval:
    low, high = math.sqrt(max(0.0, mse - half)), math.sqrt(mse + half)
    return Interval(value=math.sqrt(mse) * width, low=low * width, high=high * width)


def _explained(
    mse: float, mse_half: float, mean: float, squares: float, count: float, deviation: float
) -> Interval:
    """Returns R² = 1 - MSE / variance; its interval holds every pair of their intervals.

    The variance of a number in [0, 1] has a variance of at most v (1/4 - v) over the patients
    (Bhatia and Davis 2000), and the noise of its two sums.
    """
    variance = squares - mean**2
    drawn = max(variance, 0.0) * max(0.25 - variance, 0.0) / count
    noise = (deviation / count) ** 2 * (1 + 4 * mean**2 + (2 * mean**2 - squares) ** 2)
    half = Z95 * math.sqrt(drawn + noise)
    if variance - half <= 0:
        return _NONE if deviation else Interval(value=None, low=None, high=None, note="no variance")
    low = 1 - (mse + mse_half) / (variance - half)
    high = min(1.0, 1 - max(0.0, mse - mse_half) / (variance + half))
    return Interval(value=1 - mse / variance, low=low, high=high)


def _width(study: Study) -> float:
    label = study.cohort.label
    if not isinstance(label, NumberLabel):
        raise ValueError("a regression has a label with a range")
    low, high = label.range
    return high - low


REGRESSION = EvaluationReader(pooled=_pooled, site=_site)
