"""AUROC of what was released: noised counts in, a figure with its interval out.

The coordinator sees the sum of all sites' histograms plus noise, and nothing
else. This turns it into a figure a person can judge.

Rules:

1. Counts stay as they came, negative ones too, until the figure is computed;
   to cut them off first would bias it.
2. The figure has a 95 % interval for the patients drawn and the noise added
   together, by the delta method.
3. Where the interval would say nothing, the note says so.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOO_FEW = "too few patients for this epsilon"
#: A 95 % interval reaches so many deviations to either side.
Z95 = 1.959963984540054
#: The widest half of an interval that is released: beyond, not even an AUROC of
#: 0.75 could be told from chance.
WIDEST = 0.25
#: A model that orders patients no better than this has learned next to nothing: chance is 0.5.
NEXT_TO_CHANCE = 0.55


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

    Scores within a bin count as ties, so the figure is that of the binned score.

    ============================================  ==============================
    a class within 2 sd of the noise of 0         value None, ``TOO_FEW``
    half width above 0.25                         value, ``TOO_FEW``
    ============================================  ==============================

    >>> clear = auroc_from_histogram(np.array([[90.0, 10.0], [10.0, 90.0]]), 0.0)
    >>> round(clear.value, 3), round(clear.low, 3), round(clear.high, 3)
    (0.9, 0.858, 0.942)

    Source: DeLong 1988, Biometrics 44 (patients drawn); delta method (noise).
    """
    negatives, positives = _as_counts(counts, noise_sigma)
    num_negative, num_positive = float(negatives.sum()), float(positives.sum())
    least = 2 * noise_sigma * math.sqrt(counts.shape[1])
    if min(num_negative, num_positive) <= max(least, 0.0):
        return Estimate(value=None, low=0.0, high=1.0, note=TOO_FEW)
    # placement[i]: share of negatives below bin i, ties half; likewise for positives above.
    below = (np.cumsum(negatives) - negatives / 2) / num_negative
    above = (num_positive - np.cumsum(positives) + positives / 2) / num_positive
    value = float(positives @ below) / num_positive
    by_positive, by_negative = (below - value) / num_positive, (above - value) / num_negative
    by_noise = noise_sigma**2 * float(by_positive @ by_positive + by_negative @ by_negative)
    by_patients = float(positives @ by_positive**2 + negatives @ by_negative**2)
    half = Z95 * math.sqrt(by_noise + max(by_patients, 0.0))
    return _estimate(value, half)


def _as_counts(
    counts: NDArray[np.floating], noise_sigma: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if counts.ndim != 2 or counts.shape[0] != 2 or counts.shape[1] < 2:
        raise ValueError(f"expected (2, bins) counts, got shape {counts.shape}")
    if not (np.isfinite(counts).all() and 0 <= noise_sigma < math.inf):
        raise ValueError("counts and noise must be finite, and the noise not negative")
    return counts[0].astype(np.float64), counts[1].astype(np.float64)


def _estimate(value: float, half: float) -> Estimate:
    """The figure is brought into [0, 1] before its interval is laid around it.

    Negative counts can lift it above 1; an interval around that and cut off at 1 would
    have no width at all, and say that the figure is known exactly.
    """
    value = min(max(value, 0.0), 1.0)
    return Estimate(
        value=value,
        low=max(value - half, 0.0),
        high=min(value + half, 1.0),
        note=TOO_FEW if half > WIDEST else "",
    )
