"""Operating points: what a model does at each threshold that lies between two bins of scores.

Whoever is scored above a threshold is called ill. The noised counts above and below it say how
many of the ill that finds, and how many of those called ill are ill. Rules:

1. A threshold lies exactly between two bins, so nothing is hidden by them.
2. An interval holds the shares from which the noised counts lie within 1.96 of their deviations,
   those of the noise and of the patients drawn together. Nothing is divided by a noised number of
   patients but to give the share itself.
3. Whether a figure is shown is asked of the classes' sizes in the signed tables and of the noise:
   its interval of a usual model must be narrow enough (``release_rule``).
4. The net benefit is in parts of all patients: true positives less false ones, each of which
   weighs as much as the threshold says. Calling nobody ill has a net benefit of 0.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compliance.estimates.binned_scores.auroc import ASSUMED_AUROC
from compliance.estimates.binned_scores.release_rule import expected_counts
from compliance.estimates.interval import Z95, Interval, score_bounds
from compliance.estimates.withholding import WIDEST, too_few
from protocol.vectors.score_grid import ScoreGrid

Floats = NDArray[np.float64]

#: Up to this noise counts are nearly whole numbers, and an interval reaches half a patient further.
_NEARLY_WHOLE = 1.0
_FEWEST = 1.0


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """A threshold of a model, and what comes of calling everybody ill whose risk is above it.

    Attributes:
        risk: the threshold, as the model's own risk.
        flagged: the share of the patients who are called ill.
        sensitivity: the share of the ill who are called ill.
        specificity: the share of the healthy who are not.
        ppv: the share of those called ill who are ill, the positive predictive value.
        npv: the share of the others who are healthy, the negative predictive value.
        net_benefit: of the threshold, in parts of all patients.
        treat_all: the net benefit of calling everybody ill, at the same threshold.
    """

    risk: float
    flagged: Interval
    sensitivity: Interval
    specificity: Interval
    ppv: Interval
    npv: Interval
    net_benefit: Interval
    treat_all: Interval

    def to_json(self) -> dict[str, Any]:
        """Returns the point as JSON has it; undone by ``from_json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "OperatingPoint":
        """Returns the point that ``to_json`` gave."""
        figures = {name: Interval(**found) for name, found in kept.items() if name != "risk"}
        return cls(risk=kept["risk"], **figures)


def operating_points(
    counts: NDArray[np.floating],
    deviation: float,
    sizes: tuple[float, float],
    grid: ScoreGrid,
) -> tuple[OperatingPoint, ...]:
    """Returns the points between the bins of (2, bins) counts of scores, by rising threshold.

    Args:
        counts: the healthy patients' scores, then the ill ones', in bins of rising score;
            real numbers.
        deviation: of the noise in each count; 0 when there is none.
        sizes: how many are healthy and ill, from counts with other noise: the signed tables.
        grid: where the bins lie.

    Source: Fieller 1954, JRSS B 16, and Wilson 1927, JASA 22 (shares); Vickers and Elkin 2006,
    Medical Decision Making 26 (net benefit).
    """
    cells, bins = np.asarray(counts, dtype=np.float64), counts.shape[1]
    patients = sum(sizes)
    usual = None
    if min(sizes) >= _FEWEST:
        usual = expected_counts(patients, bins, ASSUMED_AUROC, sizes[1] / patients)
    risks = [_risk(float(edge)) for edge in grid.edges(bins)]
    return tuple(
        OperatingPoint(
            risk=risk,
            **{
                name: _shown(name, cells, usual, place, risk, deviation)
                for name in (*_SHARES, *_BENEFITS)
            },
        )
        for place, risk in enumerate(risks, start=1)
    )


@dataclass(frozen=True)
class _Split:
    """The counts below and above a threshold, each with how many cells it was summed from."""

    true_negative: float
    false_negative: float
    false_positive: float
    true_positive: float
    below: int
    above: int

    @classmethod
    def of(cls, cells: Floats, place: int) -> "_Split":
        (tn, fn), (fp, tp) = cells[:, :place].sum(axis=1), cells[:, place:].sum(axis=1)
        return cls(float(tn), float(fn), float(fp), float(tp), place, cells.shape[1] - place)


#: Each share's part and rest: the counts' names, and of how many cells either is the sum.
_SHARES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "flagged": (("true_positive", "false_positive"), ("true_negative", "false_negative")),
    "sensitivity": (("true_positive",), ("false_negative",)),
    "specificity": (("true_negative",), ("false_positive",)),
    "ppv": (("true_positive",), ("false_positive",)),
    "npv": (("true_negative",), ("false_negative",)),
}
_BENEFITS = ("net_benefit", "treat_all")


def _shown(
    name: str, cells: Floats, usual: Floats | None, place: int, risk: float, deviation: float
) -> Interval:
    """Returns one figure, withheld where it would be too wide for a usual model."""
    if usual is None:
        return _withheld(deviation)
    expected = _figure(name, usual, place, risk, deviation)
    if expected is None or expected[2] - expected[1] > 2 * WIDEST:
        return _withheld(deviation)
    found = _figure(name, cells, place, risk, deviation)
    if found is None:
        return _withheld(deviation)
    value, low, high = found
    return Interval(value=value, low=low, high=high)


def _withheld(deviation: float) -> Interval:
    return Interval.withheld(too_few(deviation))


def _figure(
    name: str, cells: Floats, place: int, risk: float, deviation: float
) -> tuple[float, float, float] | None:
    if name in _BENEFITS:
        return _benefit(cells, place if name == "net_benefit" else 0, risk, deviation)
    split = _Split.of(cells, place)
    part, rest = _SHARES[name]
    return noised_share(*_summed(split, part), *_summed(split, rest), deviation)


def _summed(split: _Split, names: tuple[str, ...]) -> tuple[float, int]:
    """Returns the sum of some counts, and of how many cells it is the sum."""
    cells = sum(split.below if name.endswith("negative") else split.above for name in names)
    return sum(getattr(split, name) for name in names), cells


def noised_share(
    part: float, part_cells: int, rest: float, rest_cells: int, deviation: float
) -> tuple[float, float, float] | None:
    """Returns part / (part + rest) with its 95 % interval; None where there is nobody.

    Args:
        part, rest: sums of noised counts.
        part_cells, rest_cells: of how many counts each is the sum.
        deviation: of the noise in each count.
    """
    count = part + rest
    if count <= 0:
        return None
    value = min(max(part / count, 0.0), 1.0)
    further = 0.5 / count if deviation < _NEARLY_WHOLE else 0.0

    def variance(truth: float) -> float:
        noise = (1 - truth) ** 2 * part_cells + truth**2 * rest_cells
        return (truth * (1 - truth) * count + noise * deviation**2) / count**2

    low, high = score_bounds(value, variance)
    return value, max(0.0, low - further), min(1.0, high + further)


def _benefit(
    cells: Floats, place: int, risk: float, deviation: float
) -> tuple[float, float, float] | None:
    total = float(cells.sum())
    if total <= 0 or not 0 < risk < 1:
        return None
    weights = np.zeros_like(cells)
    weights[1, place:], weights[0, place:] = 1.0, -risk / (1 - risk)
    value = float((weights * cells).sum()) / total
    drawn = float(((weights - value) ** 2 * (np.maximum(cells, 0.0) + deviation**2)).sum())
    half = Z95 * math.sqrt(drawn) / total
    return value, value - half, value + half


def _risk(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
