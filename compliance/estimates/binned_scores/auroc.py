"""AUROC of what was released: noised counts in, a figure with its interval out.

The coordinator sees the sum of all sites' histograms plus noise, and nothing
else. This turns it into a figure a person can judge.

Rules:

1. Counts stay as they came, negative ones too, until the figure is computed;
   to cut them off first would bias it.
2. The figure has a 95 % interval for the patients drawn and the noise added
   together: the AUROCs from which pairs won less pairs expected to be won lie within
   1.96 of their deviations. Nothing is divided by a noised number of patients, and the
   patients' part keeps a width where all pairs were won.
3. Pairs of an ill and a healthy patient in one bin count half. A model ranks better than
   its binned score, one below chance worse: the interval reaches as far as the bins can
   hide (``hidden_order``), and where most pairs lie in one bin no figure is released.
4. Whether a figure is released at all is not asked of these counts, see ``release_rule``
   beside this file: to release where noise made the interval narrow would choose the draws
   whose interval misses.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compliance.estimates.binned_scores.hidden_order import hidden_order
from compliance.estimates.interval import auroc_variance, score_bounds
from compliance.estimates.withholding import TOO_FEW

TOO_CLOSE = "scores lie too close together for these bins"
#: Above this share of pairs in one bin a figure would say more of the bins than of the model.
MAX_TIED = 0.5
CHANCE = 0.5
#: Counts come in thousandths of a patient: of less than this there is nobody.
_LEAST = 1e-6
#: What a model is taken to reach where nothing better is known.
ASSUMED_AUROC = 0.8


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure in [0, 1] with its 95 % interval; ``value`` is None when not available."""

    value: float | None
    low: float
    high: float
    note: str = ""


def auroc_from_histogram(counts: NDArray[np.floating], noise_sigma: float) -> Estimate:
    """Returns the pooled AUROC of a (2, bins) histogram of scores.

    Args:
        counts: negatives' scores, then positives', in bins of rising score; real numbers.
        noise_sigma: standard deviation of the noise in each entry of the sum;
            0 when there is none.

    The figure is that of the binned score; the interval holds the score's own. Where
    noise left no patients of a class, value is None and the note ``TOO_FEW``; where too
    many pairs share a bin the note is ``TOO_CLOSE``.

    >>> clear = auroc_from_histogram(np.array([[90.0, 9.0, 1.0], [1.0, 9.0, 90.0]]), 0.0)
    >>> round(clear.value, 3), round(clear.low, 3), round(clear.high, 3)
    (0.985, 0.955, 1.0)

    Source: Fieller 1954, JRSS B 16 (a ratio's interval); Newcombe 2006 (patients drawn).
    """
    negatives, positives = _as_counts(counts, noise_sigma)
    num_negative, num_positive = float(negatives.sum()), float(positives.sum())
    if min(num_negative, num_positive) < _LEAST:
        return Estimate(value=None, low=0.0, high=1.0, note=TOO_FEW)
    below = np.cumsum(negatives) - negatives / 2  # negatives below each bin, ties half
    above = num_positive - np.cumsum(positives) + positives / 2
    pairs = num_negative * num_positive
    value = min(max(float(positives @ below) / pairs, 0.0), 1.0)
    squares = float(below @ below + above @ above)
    crossed = num_negative * float(below.sum()) + num_positive * float(above.sum())
    totals = counts.shape[1] * (num_negative**2 + num_positive**2)

    def variance(truth: float) -> float:
        by_noise = noise_sigma**2 * (squares - 2 * truth * crossed + truth**2 * totals)
        by_patients = auroc_variance(truth, num_positive, num_negative)
        return float(max(by_noise, 0.0) / pairs**2 + by_patients)

    low, high = score_bounds(value, variance)
    tied = float(positives @ negatives) / pairs
    better = hidden_order(negatives, positives)
    better_turned = hidden_order(negatives[::-1], positives[::-1])
    return Estimate(
        value=value,
        low=max(0.0, low - better_turned) if low < CHANCE else low,
        high=min(1.0, high + better) if high >= CHANCE else high,
        note=TOO_CLOSE if tied > MAX_TIED else "",
    )


def _as_counts(
    counts: NDArray[np.floating], noise_sigma: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if counts.ndim != 2 or counts.shape[0] != 2 or counts.shape[1] < 2:
        raise ValueError(f"expected (2, bins) counts, got shape {counts.shape}")
    if not (np.isfinite(counts).all() and 0 <= noise_sigma < math.inf):
        raise ValueError("counts and noise must be finite, and the noise not negative")
    return counts[0].astype(np.float64), counts[1].astype(np.float64)
