"""How much of an AUROC bins can hide: the order of an ill and a healthy patient in one bin.

Counted half, such pairs leave the trapezoids under the ROC curve. A model of which a
higher score never means a lower chance of being ill has a concave curve: in each bin it
lies between the trapezoid and the triangle that the neighbouring bins' slopes cut off.

Source: Fawcett & Niculescu-Mizil 2007, Machine Learning 68 (slopes of a concave ROC curve).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def hidden_order(negatives: Floats, positives: Floats, noise_sigma: float) -> float:
    """Returns by how much the AUROC may be higher than that of the binned scores, at most.

    A slope is taken as far off as one deviation of noise and patients in its counts allows.
    Where the slopes do not rise, all pairs in that bin count.

    Args:
        negatives, positives: (bins,) counts in bins of rising score; real numbers.
        noise_sigma: standard deviation of the noise in each.

    >>> healthy, ill = np.array([4000.0, 3000.0, 2000.0, 1000.0]), np.array([1e3, 2e3, 3e3, 4e3])
    >>> round(hidden_order(healthy, ill, 0.0), 3), round(hidden_order(healthy, ill, 900.0), 3)
    (0.052, 0.08)
    """
    healthy, ill = np.maximum(negatives, 0.0), np.maximum(positives, 0.0)
    less_healthy, more_healthy = _around(healthy, noise_sigma)
    less_ill, more_ill = _around(ill, noise_sigma)
    with np.errstate(all="ignore"):
        least = np.nan_to_num(less_ill / more_healthy, nan=0.0)
        most = np.nan_to_num(more_ill / less_healthy, nan=np.inf, posinf=np.inf)
        slope = ill / healthy
    before, after = np.r_[0.0, least[:-1]], np.r_[most[1:], np.inf]
    pairs = healthy * ill / 2
    with np.errstate(all="ignore"):
        above = ill - healthy * before
        triangle = above / (after - before) * (healthy * after - ill) / 2
        triangle = np.where(np.isinf(after), healthy * above / 2, triangle)
    rises = (before <= slope) & (slope <= after) & np.isfinite(triangle)
    hidden = np.where(rises, np.minimum(np.maximum(triangle, 0.0), pairs), pairs)
    total = float(np.sum(negatives)) * float(np.sum(positives))
    return float(hidden.sum()) / total


def _around(counts: Floats, noise_sigma: float) -> tuple[Floats, Floats]:
    slack = np.sqrt(noise_sigma**2 + counts)
    return np.maximum(counts - slack, 0.0), counts + slack
