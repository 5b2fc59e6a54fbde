"""Exact figures of a model's risks, computed inside a hospital from its own patients' scores.

Callers hand in one logit and one label for each patient; its risk is the logistic function of the
logit. ``None`` means *not available*, see each function. No exact figure leaves a hospital.
"""

import numpy as np
from numpy.typing import NDArray

#: Groups of patients of similar risk, of equal size as nearly as ties allow.
GROUPS = 8
_STEPS, _CLOSE, _SINGULAR = 60, 1e-9, 1e12


def average_precision(scores: NDArray[np.floating], labels: NDArray[np.floating]) -> float | None:
    """Returns the exact average precision; patients of one score count together.

    None without an ill patient, or when a score is NaN.

    >>> average_precision(np.array([0.1, 0.4, 0.4, 0.9]), np.array([0, 0, 1, 1]))
    0.8333333333333333

    Source: as ``sklearn.metrics.average_precision_score``.
    """
    ill = np.asarray(labels) > 0
    if not ill.any() or np.isnan(scores).any():
        return None
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    ranked, found = np.asarray(scores)[order], np.cumsum(ill[order])
    ends = np.r_[np.flatnonzero(np.diff(ranked)), len(ranked) - 1]
    gained = np.diff(np.r_[0, found[ends]])
    return float((gained * found[ends] / (ends + 1)).sum() / found[-1])


def brier_score(scores: NDArray[np.floating], labels: NDArray[np.floating]) -> float | None:
    """Returns the mean squared distance of the risks from what the patients turned out to be.

    None without records, or when a score is NaN.

    >>> brier_score(np.array([0.0, 0.0]), np.array([0, 1]))
    0.25

    Source: Brier 1950, Monthly Weather Review 78.
    """
    if not len(scores) or np.isnan(scores).any():
        return None
    return float(((_risks(scores) - (np.asarray(labels) > 0)) ** 2).mean())


def calibration_error(scores: NDArray[np.floating], labels: NDArray[np.floating]) -> float | None:
    """Returns the mean over the patients of their group's distance of risk from the ill.

    Groups are those between the eighths of the risks. What chance adds is not taken off: of few
    patients even a calibrated model has an error. None without records, or when a score is NaN.

    >>> calibration_error(np.array([0.0, 0.0]), np.array([0, 1]))
    0.0

    Source: Naeini, Cooper and Hauskrecht 2015, AAAI; groups as
    ``sklearn.calibration.calibration_curve`` has them by quantiles.
    """
    if not len(scores) or np.isnan(scores).any():
        return None
    risks, ill = _risks(scores), np.asarray(labels) > 0
    borders = np.percentile(risks, np.linspace(0, 100, GROUPS + 1))
    places = np.searchsorted(borders[1:-1], risks)
    gaps = np.bincount(places, weights=ill - risks, minlength=GROUPS)
    return float(np.abs(gaps).sum() / len(risks))


def calibration_slope(scores: NDArray[np.floating], labels: NDArray[np.floating]) -> float | None:
    """Returns the slope of the logistic regression of the labels on the logits.

    None where there is none: one class only, all scores alike, classes that the scores keep
    apart, or a score that is no finite number.

    Source: Cox 1958, Biometrika 45.
    """
    values, ill = np.asarray(scores, dtype=np.float64), np.asarray(labels) > 0
    if not len(values) or not np.isfinite(values).all() or values.std() == 0:
        return None
    centre, spread = float(values.mean()), float(values.std())
    places = (values - centre) / spread
    line = _fitted(np.stack([np.ones_like(places), places]), ill, np.zeros_like(places))
    return None if line is None else float(line[1]) / spread


def calibration_intercept(
    scores: NDArray[np.floating], labels: NDArray[np.floating]
) -> float | None:
    """Returns what is to be added to every logit for the mean risk to be the share of the ill.

    None with one class only, or where a score is no finite number.
    """
    values, ill = np.asarray(scores, dtype=np.float64), np.asarray(labels) > 0
    if not len(values) or not np.isfinite(values).all():
        return None
    line = _fitted(np.ones((1, len(values))), ill, values)
    return None if line is None else float(line[0])


def _fitted(
    inputs: NDArray[np.float64], ill: NDArray[np.bool_], offset: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Returns the (k,) weights of a logistic regression on (k, n) inputs; None if there are none.

    Steps of Newton, none longer than one.
    """
    if ill.all() or not ill.any():
        return None
    weights = np.zeros(len(inputs))
    for _ in range(_STEPS):
        chances = _risks(weights @ inputs + offset)
        bend = (inputs * (chances * (1 - chances))) @ inputs.T
        if np.linalg.cond(bend) > _SINGULAR:
            return None
        step = np.linalg.solve(bend, inputs @ (ill - chances))
        weights += step / max(1.0, float(np.abs(step).max()))
        if float(np.abs(step).max()) < _CLOSE:
            return weights
    return None


def _risks(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-np.asarray(scores, dtype=np.float64))))
