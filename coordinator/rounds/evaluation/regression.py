"""Regression: errors, and the part of the variance that is explained, from five noised sums.

All sums are of parts of the label's bound (``protocol.vectors.evaluation``); figures are in the
unit of the label's column.
"""

import math

from compliance.estimates.interval import Z95, Interval
from compliance.estimates.withholding import MARGIN, NO_PATIENT, TOO_FEW, WIDEST
from coordinator.rounds.evaluation.released import (
    EvaluationReader,
    Figures,
    NoisedCounts,
    PartCounts,
    patients_first,
)
from protocol.study.cohort.labels import NumberLabel
from protocol.study.study import Study

_NONE = Interval.withheld(TOO_FEW)
#: The kurtosis that errors and values are taken to have at most; normal ones have 3. No sum of
#: fourth powers is released: it would cost as much as the others and say nothing else.
_KURTOSIS = 9.0

#: Whether R² is shown is asked of values that deviate by one scale, a quarter of the bound.
_USUAL_VARIANCE = 1 / 16


def _pooled(study: Study, noised: NoisedCounts) -> Figures:
    count, absolute, squared, values, value_squares = map(float, noised.pooled)
    deviation = noised.deviation
    if _too_few(count, deviation):
        return dict.fromkeys(("mae", "r2", "rmse"), _NONE)
    unit, square = _unit(study), _square(squared, count, deviation)
    return {
        "mae": _absolute(absolute, square[0], count, deviation, unit),
        "r2": _explained(square, values / count, value_squares / count, count, deviation),
        "rmse": _root(square, unit),
    }


def _part(study: Study, part: PartCounts) -> Figures:
    (count, absolute, squared), deviation = map(float, part.cells[:3]), part.deviation
    if _too_few(count, deviation):
        return dict.fromkeys(("mae", "rmse"), _NONE)
    unit, square = _unit(study), _square(squared, count, deviation)
    return {
        "mae": _absolute(absolute, square[0], count, deviation, unit),
        "rmse": _root(square, unit),
    }


def _too_few(count: float, deviation: float) -> bool:
    """Whether noise hides the patients: asked of their number alone, which chooses no error."""
    if count - MARGIN * deviation <= (1.0 if deviation else NO_PATIENT):
        return True
    return deviation > 0 and Z95 * math.sqrt(2) * deviation / count > WIDEST


def _noise_of_mean(mean: float, count: float, deviation: float) -> float:
    """Returns the variance that noise gives a mean, by the delta method for a ratio of sums."""
    return (deviation / count) ** 2 * (1 + mean**2)


def _absolute(total: float, mse: float, count: float, deviation: float, unit: float) -> Interval:
    """Returns the mean absolute error; its variance over patients is at most ``mse - mae²``."""
    mean = min(1.0, max(0.0, total / count))
    spread = max(mse - mean**2, 0.0) / max(count - 1, 1.0)
    half = Z95 * math.sqrt(spread + _noise_of_mean(mean, count, deviation))
    return Interval(value=mean * unit, low=max(0.0, mean - half) * unit, high=(mean + half) * unit)


def _square(total: float, count: float, deviation: float) -> tuple[float, float]:
    """Returns the mean square error as a part of the bound's, and its interval's half width."""
    mean = min(1.0, max(0.0, total / count))
    spread = (_KURTOSIS - 1) * mean**2 / count
    return mean, Z95 * math.sqrt(spread + _noise_of_mean(mean, count, deviation))


def _root(square: tuple[float, float], unit: float) -> Interval:
    mse, half = square
    low, high = math.sqrt(max(0.0, mse - half)), math.sqrt(mse + half)
    return Interval(value=math.sqrt(mse) * unit, low=low * unit, high=high * unit)


def _explained(
    square: tuple[float, float], mean: float, squares: float, count: float, deviation: float
) -> Interval:
    """Returns R² = 1 - MSE / variance; its interval holds every pair of their intervals."""
    if deviation and Z95 * math.sqrt(2) * deviation / count > 2 * WIDEST * _USUAL_VARIANCE:
        return _NONE
    variance = squares - mean**2
    noise = (deviation / count) ** 2 * (1 + 4 * mean**2 + (2 * mean**2 - squares) ** 2)
    half = Z95 * math.sqrt((_KURTOSIS - 1) * max(variance, 0.0) ** 2 / count + noise)
    if variance - half <= 0:
        return _NONE if deviation else Interval.withheld("no variance")
    mse, mse_half = square
    low = 1 - (mse + mse_half) / (variance - half)
    high = min(1.0, 1 - max(0.0, mse - mse_half) / (variance + half))
    return Interval(value=1 - mse / variance, low=low, high=high)


def _unit(study: Study) -> float:
    """Returns the label's bound in its column's unit."""
    label = study.cohort.label
    if not isinstance(label, NumberLabel):
        raise ValueError("a regression has a label with a range")
    return label.bound * label.scale


REGRESSION = EvaluationReader(pooled=_pooled, part=_part, patients=patients_first)
