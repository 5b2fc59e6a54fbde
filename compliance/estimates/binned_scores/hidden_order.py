"""The part of an AUROC that bins can hide: the order of an ill and a healthy patient in one bin.

Counted half, such pairs leave the trapezoids under the ROC curve. A model of which a
higher score never means a lower chance of being ill has a concave curve: in each bin it
lies between the trapezoid and the triangle that the neighbouring bins' slopes cut off.

Source: Fawcett & Niculescu-Mizil 2007, Machine Learning 68 (slopes of a concave ROC curve).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def hidden_order(negatives: Floats, positives: Floats) -> float:
    """Returns by how much the AUROC may be higher than that of the binned scores, at most.

    That holds for a concave ROC curve; slopes are those of the counts, their noise included.
    Where the slopes do not rise, by the bins' noise or by the model, all pairs in that bin count.

    Args:
        negatives, positives: (bins,) counts in bins of rising score; real numbers, of which
            those below zero count as none. Their sums are above zero.

    >>> healthy, ill = np.array([40.0, 30.0, 20.0, 10.0]), np.array([10.0, 20.0, 30.0, 40.0])
    >>> round(hidden_order(healthy, ill), 3)
    0.05
    """
    healthy, ill = np.maximum(negatives, 0.0), np.maximum(positives, 0.0)
    pairs = healthy * ill / 2
    with np.errstate(all="ignore"):
        slope = ill / healthy
        before, after = np.r_[0.0, slope[:-1]], np.r_[slope[1:], np.inf]
        above = ill - healthy * before
        triangle = above / (after - before) * (healthy * after - ill) / 2
        triangle = np.where(np.isinf(after), healthy * above / 2, triangle)
        rises = (before <= slope) & (slope <= after) & np.isfinite(triangle)
    hidden = np.where(rises, np.clip(triangle, 0.0, pairs), pairs)
    return float(hidden.sum()) / (float(negatives.sum()) * float(positives.sum()))
