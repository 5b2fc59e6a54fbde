"""Calibration curve and error: in each group of scores, the mean risk beside the share of the ill.

Groups are runs of neighbouring bins, at most ``GROUPS``, each as many bins as the others. Rules:

1. A point's share of the ill is a share of noised counts, with the interval of one
   (``operating_points``); its mean risk follows from where scores lie within the bins.
2. The expected calibration error is the mean over the patients of their group's distance between
   the two. By chance alone the observed groups lie apart, so the plain sum is too high, most of
   all for a model that is calibrated. The interval holds the errors of which such a sum is no
   surprise: the observed gaps, all made as many times as large; the figure is the one of which
   the sum is to be expected.
3. A sum that is smaller than chance alone brings says no more than one that is as large.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from compliance.estimates.binned_scores.brier import mean_losses
from compliance.estimates.binned_scores.operating_points import noised_share
from compliance.estimates.binned_scores.release_rule import Bounds, shown
from compliance.estimates.binned_scores.within_bins import BinnedScores, Floats
from compliance.estimates.interval import Z95, Interval
from compliance.estimates.withholding import WIDEST

GROUPS = 8
#: A usual model whose risks are right is known to err by no more than this part of the share of
#: the ill: a model that gives everybody half of the right risk errs by as much.
_WIDEST = 0.5
#: A test of the sum on either side; together less than 5 %, for what the normal form leaves out.
_QUANTILE = 2.17009037758456  # of 1.5 %
_HALVINGS = 50


@dataclass(frozen=True, kw_only=True)
class CalibrationPoint:
    """A group of patients of similar risk.

    Attributes:
        part: of all patients.
        risk: the mean risk that the model gives them.
        ill: the share of them who are ill.
    """

    part: Interval
    risk: Interval
    ill: Interval

    def to_json(self) -> dict[str, Any]:
        """Returns the point as JSON has it; undone by ``from_json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "CalibrationPoint":
        """Returns the point that ``to_json`` gave."""
        return cls(**{name: Interval(**found) for name, found in kept.items()})


def released_calibration_error(scores: BinnedScores, usual: BinnedScores | None) -> Interval:
    """Returns the expected calibration error, where the classes' sizes allow one."""
    return shown(
        calibration_error,
        scores,
        usual,
        lambda found, ill: found[2] <= _WIDEST * min(ill, 1 - ill),
    )


def calibration_curve(
    scores: BinnedScores, usual: BinnedScores | None
) -> tuple[CalibrationPoint, ...]:
    """Returns the points of the groups by rising risk, where the classes' sizes allow them."""

    def point(place: int) -> CalibrationPoint:
        found = {
            name: shown(partial(_of_group, name, place), scores, usual, _is_narrow)
            for name in _POINT
        }
        return CalibrationPoint(**found)

    return tuple(point(place) for place in range(len(_groups(scores))))


def _of_group(name: str, place: int, scores: BinnedScores) -> Bounds:
    return _POINT[name](scores, _groups(scores)[place])


def _is_narrow(found: Bounds, ill: float) -> bool:
    """Whether a usual model's figure is no wider than an AUROC may be."""
    return found[2] - found[1] <= 2 * WIDEST


def calibration_error(scores: BinnedScores) -> Bounds:
    """Returns the expected calibration error with its 95 % interval; there must be patients.

    Source: Naeini, Cooper and Hauskrecht 2015, AAAI (the error); Leone, Nelson and Nottingham
    1961, Technometrics 3 (the distance of a normal number from zero); Cornish and Fisher 1938
    (quantiles of the sum).
    """
    gaps, spread = _gaps(scores)
    seen = float(np.abs(gaps).sum())
    most = (seen + 6 * float(spread.sum())) / seen if seen else 0.0

    def sum_of(times: float) -> _Sum:
        return _Sum.of(times * gaps, spread)

    value = _times(lambda times: sum_of(times).mean, seen, most) * seen
    low = _times(lambda times: sum_of(times).quantile(_QUANTILE), seen, most) * seen
    at_least = max(seen, sum_of(0.0).mean)
    high = _times(lambda times: sum_of(times).quantile(-_QUANTILE), at_least, most) * seen
    error = _grid_error(scores)
    low, high = max(0.0, low - error), min(1.0, high + error)
    value = min(value, 1.0)
    return value, min(low, value), max(high, value)


@dataclass(frozen=True)
class _Sum:
    """The first three cumulants of a sum of distances of normal numbers from zero."""

    mean: float
    variance: float
    third: float

    @classmethod
    def of(cls, means: Floats, deviations: Floats) -> "_Sum":
        cumulants = [_folded(float(m), float(s)) for m, s in zip(means, deviations, strict=True)]
        return cls(*(math.fsum(each) for each in zip(*cumulants, strict=True)))

    def quantile(self, deviations: float) -> float:
        """Returns the quantile that lies so many deviations above the mean of a normal number."""
        if self.variance <= 0:
            return self.mean
        skewness = self.third / self.variance**1.5
        skewed = deviations + (deviations**2 - 1) * skewness / 6
        return float(self.mean + math.sqrt(self.variance) * skewed)


def _folded(mean: float, deviation: float) -> tuple[float, float, float]:
    """Returns mean, variance and third central moment of a normal number's distance from zero."""
    if deviation <= 0:
        return abs(mean), 0.0, 0.0
    at = mean / deviation
    density = math.sqrt(2 / math.pi) * math.exp(-(at**2) / 2)
    first = density + at * math.erf(at / math.sqrt(2))
    variance = at**2 + 1 - first**2
    third_raw = density * (at**2 + 2) + at * (at**2 + 3) * math.erf(at / math.sqrt(2))
    third = third_raw - 3 * first * (at**2 + 1) + 2 * first**3
    return deviation * first, deviation**2 * max(variance, 0.0), deviation**3 * third


def _times(figure: Callable[[float], float], wanted: float, most: float) -> float:
    """Returns how many times the gaps must be as large for a rising figure to reach ``wanted``."""
    low, high = 0.0, most
    if figure(low) >= wanted:
        return 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if figure(middle) < wanted else (low, middle)
    return low


def _groups(scores: BinnedScores, most: int = GROUPS) -> list[slice]:
    """Returns the bins of each group."""
    count = min(most, scores.bins)
    ends = [round(scores.bins * place / count) for place in range(count + 1)]
    return [slice(*pair) for pair in zip(ends[:-1], ends[1:], strict=True)]


def _part(scores: BinnedScores, group: slice) -> Bounds:
    """Returns the share of all patients who are of a group."""
    inside = float(scores.counts[:, group].sum())
    cells = 2 * (group.stop - group.start)
    outside, others = scores.patients - inside, 2 * scores.bins - cells
    return _share(inside, cells, outside, others, scores.deviation)


def _ill(scores: BinnedScores, group: slice) -> Bounds:
    """Returns the share of a group's patients who are ill."""
    healthy, ill = scores.counts[:, group].sum(axis=1)
    cells = group.stop - group.start
    return _share(float(ill), cells, float(healthy), cells, scores.deviation)


def _share(part: float, cells: int, rest: float, others: int, deviation: float) -> Bounds:
    """Returns a share of noised counts; nothing is known of one of no patients."""
    return noised_share(part, cells, rest, others, deviation) or (0.5, 0.0, 1.0)


def _risk(scores: BinnedScores, group: slice) -> Bounds:
    """Returns the mean risk of a group's patients, between the risks at its borders."""
    least, most = float(scores.risks[group, 0].min()), float(scores.risks[group, -1].max())
    counts, risks = scores.counts[:, group], _mean_risks(scores)[:, group]
    patients = float(counts.sum())
    if patients <= 0:
        return (least + most) / 2, least, most
    value = min(max(float((counts * risks).sum()) / patients, least), most)
    squares = (scores.shares * scores.risks**2).sum(axis=2)[:, group]
    spread = float((counts * (squares - 2 * value * risks + value**2)).sum())
    noise = scores.deviation**2 * float(((risks - value) ** 2).sum())
    half = Z95 * math.sqrt(max(spread, 0.0) + noise) / patients
    return value, max(least, value - half), min(most, value + half)


_POINT: Mapping[str, Callable[[BinnedScores, slice], Bounds]] = {
    "part": _part,
    "risk": _risk,
    "ill": _ill,
}


def _mean_risks(scores: BinnedScores) -> Floats:
    """Returns the (2, bins) mean risks."""
    return np.asarray((scores.shares * scores.risks).sum(axis=2))


def _gaps(scores: BinnedScores, most: int = GROUPS) -> tuple[Floats, Floats]:
    """Returns each group's ill less its risks, in parts of all patients, and the deviations."""
    risks = _mean_risks(scores)
    weights = np.array([-risks[0], 1 - risks[1]])
    drawn = np.maximum(mean_losses(scores) * scores.counts, 0.0)
    noise = scores.deviation**2 * weights**2
    gaps, variances = weights * scores.counts, drawn + noise
    groups = _groups(scores, most)
    return (
        np.array([float(gaps[:, group].sum()) for group in groups]) / scores.patients,
        np.sqrt([float(variances[:, group].sum()) for group in groups]) / scores.patients,
    )


def _grid_error(scores: BinnedScores) -> float:
    """Returns by how much half as many bins move the gaps of all groups, and crowds may."""
    low, high = scores.crowded()
    crowds = low * float(scores.risks[0, -1]) + high * (1 - float(scores.risks[-1, 0]))
    halved = scores.halved
    if halved is None:
        return crowds
    groups = min(GROUPS, halved.bins)
    moved = np.abs(_gaps(scores, groups)[0] - _gaps(halved, groups)[0])
    return crowds + float(moved.sum())
