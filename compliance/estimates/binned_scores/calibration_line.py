"""Calibration slope and intercept: how the log odds of being ill follow the model's logits.

The slope b and a number a make a + b x the log odds of patients of logit x. A slope below one says
that the model is too sure, above one that it is not sure enough. The intercept is a where b is
held at one, calibration in the large: above zero says that risks are too low. Rules:

1. Both are where the patients' labels less the risks of the line sum to nothing (for the slope,
   also weighed by the logits), which is what logistic regression solves.
2. An interval holds the slopes or intercepts at which such a sum of the noised counts lies within
   1.96 of its own deviations, those of the noise and of the patients drawn. Nothing is divided by
   a noised number. It is widened by the bins' grid error.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from compliance.estimates.binned_scores.release_rule import Bounds, shown
from compliance.estimates.binned_scores.within_bins import BinnedScores, Floats
from compliance.estimates.interval import Z95, Interval, falling_root

#: Slopes over one spread of the grid and intercepts are looked for between these.
_SLOPES, _INTERCEPTS = (-4.0, 10.0), (-12.0, 12.0)
_NEWTON_STEPS, _CLOSE = 12, 1e-7
#: So many of a bin's points are taken together.
_TOGETHER = 16
#: A usual model's slope must be told from a half, its intercept from odds twice as high.
_SLOPE_KNOWN, _INTERCEPT_KNOWN = 0.5, math.log(2)
#: No line of a slope below this is given; lines are given to so many digits.
_FLAT, _DIGITS = 0.05, 6


def released_slope(scores: BinnedScores, usual: BinnedScores | None) -> Interval:
    """Returns the calibration slope, where the classes' sizes allow one (``release_rule``)."""
    return shown(calibration_slope, scores, usual, _is_known(_SLOPE_KNOWN))


def released_intercept(scores: BinnedScores, usual: BinnedScores | None) -> Interval:
    """Returns the calibration intercept, where the classes' sizes allow one."""
    return shown(calibration_intercept, scores, usual, _is_known(_INTERCEPT_KNOWN))


@dataclass(frozen=True, kw_only=True)
class Recalibration:
    """The line of log odds on which the risks of the released counts are right: Platt's scaling.

    Attributes:
        intercept, slope: a patient of logit x has the log odds intercept + slope x.
        is_needed: whether the model's own risks are off beyond chance and noise: the interval of
            its calibration slope leaves out 1, or that of its intercept 0.
    """

    intercept: float
    slope: float
    is_needed: bool

    def to_json(self) -> dict[str, Any]:
        """Returns the line as JSON has it; undone by ``from_json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Recalibration":
        """Returns the line that ``to_json`` gave."""
        return cls(**kept)

    def risk(self, risk: float) -> float:
        """Returns what a risk of the model becomes.

        >>> round(Recalibration(intercept=0.0, slope=2.0, is_needed=True).risk(0.75), 6)
        0.9
        """
        log_odds = self.intercept + self.slope * math.log(risk / (1 - risk))
        odds = math.exp(-abs(log_odds))  # of the less likely; a steep line's own may be no number
        return (1 if log_odds > 0 else odds) / (1 + odds)


def recalibration(
    scores: BinnedScores, slope: Interval, intercept: Interval
) -> Recalibration | None:
    """Returns the line on which risks are right; None where the slope is withheld.

    It follows from the released counts, and costs no privacy. A line that does not rise would
    turn the order of the patients round: None.

    Args:
        scores: the released counts.
        slope, intercept: as they were released of these.

    Source: Platt 1999, Advances in Large Margin Classifiers; Cox 1958, Biometrika 45.
    """
    if slope.value is None or slope.value <= _FLAT:
        return None
    fitted = _Fitted.of(scores)
    at = fitted.best_intercept(slope.value * fitted.logits)
    is_off = (not _holds(slope, 1.0), not _holds(intercept, 0.0))
    return Recalibration(
        intercept=round(at, _DIGITS), slope=round(slope.value, _DIGITS), is_needed=any(is_off)
    )


def _holds(found: Interval, value: float) -> bool:
    return found.low is None or found.high is None or found.low <= value <= found.high


def _is_known(half: float) -> Callable[[Bounds, float], bool]:
    return lambda found, ill: found[2] - found[1] <= 2 * half


def calibration_slope(scores: BinnedScores) -> Bounds:
    """Returns the slope with its 95 % interval; there must be patients of either class.

    Source: Cox 1958, Biometrika 45; the interval by the score test, Rao 1948.
    """
    narrowness = max(1 / scores.grid.spread, 1.0)
    slopes = (_SLOPES[0] * narrowness, _SLOPES[1] * narrowness)
    value, low, high = _bounds(_Fitted.of(scores).slope_sum, slopes)
    error = scores.grid_error(lambda one: _at_nothing(_Fitted.of(one).slope_sum, slopes))
    return value, low - error, high + error


def calibration_intercept(scores: BinnedScores) -> Bounds:
    """Returns the intercept at a slope of one, with its 95 % interval."""
    value, low, high = _bounds(_Fitted.of(scores).intercept_sum, _INTERCEPTS)
    error = scores.grid_error(lambda one: _at_nothing(_Fitted.of(one).intercept_sum, _INTERCEPTS))
    return value, low - error, high + error


@dataclass(frozen=True, kw_only=True)
class _Fitted:
    """The counts at each score, and sums over them that are nothing at the right line.

    ``held`` are (2, bins, points) patients, of which no bin's count is below zero in
    ``counted``; ``logits`` are (bins, points).
    """

    shares: Floats
    held: Floats
    counted: Floats
    logits: Floats
    deviation: float

    @classmethod
    def of(cls, scores: BinnedScores) -> "_Fitted":
        """Returns the counts at fewer scores, each of which stands for its neighbours."""
        begins = np.arange(0, scores.shares.shape[2], _TOGETHER)
        shares = np.add.reduceat(scores.shares, begins, axis=2)
        both = scores.shares.sum(axis=0)
        logits = np.add.reduceat(both * scores.logits, begins, axis=1) / shares.sum(axis=0)
        counted = np.maximum(scores.counts, 0.0)[:, :, None]
        return cls(
            shares=shares, held=scores.counts[:, :, None] * shares, counted=counted * shares,
            logits=logits, deviation=scores.deviation,
        )  # fmt: skip

    def intercept_sum(self, intercept: float) -> tuple[float, float]:
        """Returns the sum at a slope of one, and its deviation."""
        return self._sum(intercept + self.logits, np.ones_like(self.logits))

    def slope_sum(self, slope: float) -> tuple[float, float]:
        """Returns the sum that falls with the slope, and its deviation, at the best intercept."""
        line = slope * self.logits
        middle = self.best_intercept(line)
        chances = _logistic(middle + line)
        drawn = self.counted.sum(axis=0) * chances * (1 - chances)
        total = float(drawn.sum())
        centre = float((drawn * self.logits).sum()) / total if total > 0 else 0.0
        return self._sum(middle + line, self.logits - centre)

    def best_intercept(self, line: Floats) -> float:
        """Returns the intercept at which the labels less the risks sum to nothing."""
        patients, ill = self.held.sum(axis=0), float(self.held[1].sum())
        counted = self.counted.sum(axis=0)
        at, total = 0.0, float(counted.sum())
        at = math.log(ill / total / max(1 - ill / total, 1e-9)) if 0 < ill < total else 0.0
        at -= float((counted * line).sum()) / total
        for _ in range(_NEWTON_STEPS):
            chances = _logistic(at + line)
            bend = float((counted * chances * (1 - chances)).sum())
            step = (ill - float((patients * chances).sum())) / max(bend, 1e-9)
            at += min(max(step, -1.0), 1.0)
            if abs(step) < _CLOSE:
                break
        return at

    def _sum(self, log_odds: Floats, weights: Floats) -> tuple[float, float]:
        """Returns the weighed sum of labels less risks, and its deviation."""
        chances = _logistic(log_odds)
        each = np.array([-chances, 1 - chances]) * weights
        by_cell = (each * self.shares).sum(axis=2)
        variance = float((each**2 * self.counted).sum())
        variance += self.deviation**2 * float((by_cell**2).sum())
        return float((each * self.held).sum()), math.sqrt(variance)


def _logistic(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -700, 700))))


def _bounds(sums: Callable[[float], tuple[float, float]], ends: tuple[float, float]) -> Bounds:
    """Returns where a falling sum is nothing, and where it is 1.96 deviations above and below."""
    low, high = (
        falling_root(lambda at, sign=sign: _moved(sums(at), sign), ends, close=_CLOSE)  # type: ignore[misc]
        for sign in (-Z95, Z95)
    )
    return _at_nothing(sums, ends), low, high


def _moved(found: tuple[float, float], deviations: float) -> float:
    return found[0] + deviations * found[1]


def _at_nothing(sums: Callable[[float], tuple[float, float]], ends: tuple[float, float]) -> float:
    return falling_root(lambda at: sums(at)[0], ends, close=_CLOSE)
