"""The Brier score: the mean squared distance of a model's risks from the patients' labels.

It is zero where every ill patient was given a risk of one and every healthy one of zero. The
interval covers the patients drawn, the noise, and the bins' grid error; of patients crowded beyond
the outermost borders it covers any risk there.
"""

import math

import numpy as np

from compliance.estimates.binned_scores.release_rule import Bounds, shown
from compliance.estimates.binned_scores.within_bins import BinnedScores, Floats
from compliance.estimates.interval import Z95, Interval

#: A usual model's interval reaches no further than this part of what knowing nothing scores.
_WIDEST = 0.5


def released_brier_score(scores: BinnedScores, usual: BinnedScores | None) -> Interval:
    """Returns the score, where the classes' sizes allow one (``release_rule``).

    Giving every patient the share of the ill, p, scores p(1 - p): where a usual model's interval
    reaches further than half of that, no score is shown.
    """
    return shown(
        brier_score,
        scores,
        usual,
        lambda found, ill: found[2] - found[0] <= _WIDEST * ill * (1 - ill),
    )


def brier_score(scores: BinnedScores) -> Bounds:
    """Returns the score with its 95 % interval; there must be patients.

    Source: Brier 1950, Monthly Weather Review 78; the interval by the delta method.
    """
    losses, squares = mean_losses(scores), mean_losses(scores, power=2)
    value, total = _mean(scores, losses), scores.patients
    spread = float(((squares - 2 * value * losses + value**2) * scores.counts).sum())
    noise = scores.deviation**2 * float(((losses - value) ** 2).sum())
    half = Z95 * math.sqrt(max(spread, 0.0) + noise) / total
    half += scores.grid_error(lambda one: _mean(one, mean_losses(one))) + _crowd(scores)
    inside = min(max(value, 0.0), 1.0)  # noise may leave it beyond
    return inside, max(0.0, min(value - half, inside)), min(1.0, max(value + half, inside))


def mean_losses(scores: BinnedScores, power: int = 1) -> Floats:
    """Returns the (2, bins) means of the squared distance of the risk from 0 and from 1."""
    risks = scores.risks
    distances = np.array([risks, 1 - risks]) ** (2 * power)
    return np.asarray((scores.shares * distances).sum(axis=2))


def _mean(scores: BinnedScores, losses: Floats) -> float:
    return float((losses * scores.counts).sum()) / scores.patients


def _crowd(scores: BinnedScores) -> float:
    """Returns how far off the score may be by patients crowded beyond the outermost borders."""
    low, high = scores.crowded()
    furthest = float(scores.risks[0, -1]), 1 - float(scores.risks[-1, 0])
    return low * furthest[0] * (2 - furthest[0]) + high * furthest[1] * (2 - furthest[1])
