"""AUPRC: the area under the curve of precision against recall, which is the average precision.

From the highest score downwards every ill patient adds the share of the ill among those scored as
high. Rules:

1. Within bins, scores lie as ``within_bins`` has them, so an ill and a healthy patient in one bin
   are not counted half: of few ill patients most lie in the highest bin.
2. The interval is that of the delta method on the scale of the log odds, which keeps it in
   [0, 1]: for the patients drawn and the noise, and widened by the bins' grid error.
3. Where scores crowd beyond the outermost borders, it reaches as far as any order of those.
"""

import math
from dataclasses import replace

import numpy as np

from compliance.estimates.binned_scores.release_rule import Bounds, shown
from compliance.estimates.binned_scores.within_bins import BinnedScores, Floats
from compliance.estimates.interval import Z95, Interval
from compliance.estimates.withholding import WIDEST

#: The log odds of the area are taken no nearer to 0 and 1 than this.
_NEAREST = 1e-3
_FAR = 50.0  # in log odds
#: So much of its lead over chance a usual model's interval must leave it.
_LEAD_LEFT = 0.25


def released_auprc(scores: BinnedScores, usual: BinnedScores | None) -> Interval:
    """Returns the area, where the classes' sizes allow one (``release_rule``).

    Chance reaches the share of the ill: a usual model's interval must leave it a quarter of its
    lead over that, and its halves must be no wider than those of an AUROC.
    """

    def says_enough(found: Bounds, ill: float) -> bool:
        value, low, high = found
        return low >= ill + _LEAD_LEFT * (value - ill) and high - low <= 2 * WIDEST

    return shown(average_precision, scores, usual, says_enough)


def average_precision(scores: BinnedScores) -> Bounds:
    """Returns the area with its 95 % interval; there must be patients of either class.

    Source: Boyd, Eng and Page 2013, ECML PKDD (intervals by the log odds).
    """
    value, slopes = _area(scores)
    cells = np.maximum(scores.counts, 0.0) + scores.deviation**2
    deviation = math.sqrt(float((slopes**2 * cells).sum()))
    inside = min(max(value, _NEAREST), 1 - _NEAREST)
    half = min(Z95 * deviation / (inside * (1 - inside)), _FAR)
    middle = math.log(inside / (1 - inside))
    low, high = (1 / (1 + math.exp(-middle - sign * half)) for sign in (-1, 1))
    error, (less, more) = scores.grid_error(lambda one: _area(one)[0]), _crowd(scores, value)
    value = min(max(value, 0.0), 1.0)
    low, high = max(0.0, min(low, value) - error - less), min(1.0, max(high, value) + error + more)
    return value, low, high


def _area(scores: BinnedScores) -> tuple[float, Floats]:
    """Returns the area, and by how much one patient more in each of the (2, bins) changes it."""
    held = scores.weights.reshape(2, -1)[:, ::-1]  # from the highest score
    above = np.cumsum(held, axis=1) - held / 2
    called, ill = above.sum(axis=0), held[1]
    counted = (called > 0) & (above >= 0).all(axis=0)
    with np.errstate(all="ignore"):
        precision = np.where(counted, above[1] / called, np.where(above[1] > 0, 1.0, 0.0))
        by_ill = np.where(counted, ill * above[0] / called**2, 0.0)
        by_healthy = np.where(counted, ill * above[1] / called**2, 0.0)
    positives = float(ill.sum())
    value = float((ill * precision).sum()) / positives
    slopes = np.array([-_from_here(by_healthy), precision + _from_here(by_ill) - value])
    by_point = slopes[:, ::-1].reshape(scores.shares.shape) / positives
    return value, np.asarray((by_point * scores.shares).sum(axis=2))


def _from_here(values: Floats) -> Floats:
    """Returns the sums from each place onwards, of which its own counts half."""
    return np.asarray(np.cumsum(values[::-1])[::-1] - values / 2)


def _crowd(scores: BinnedScores, value: float) -> tuple[float, float]:
    """Returns how much lower and higher the area may be, by the order of crowded patients."""
    less = more = 0.0
    for place, crowd in zip((0, -1), scores.crowded(), strict=True):
        if not crowd:
            continue
        part = crowd * scores.patients / float(scores.counts[:, place].sum())
        for healthy, ill in ((0, -1), (-1, 0)):
            shares = scores.shares.copy()
            shares[:, place] = 0.0
            shares[0, place, healthy] = shares[1, place, ill] = 1.0
            moved = part * (_area(replace(scores, shares=shares))[0] - value)
            less, more = max(less, -moved), max(more, moved)
    return less, more
