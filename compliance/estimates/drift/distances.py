"""Distances between two noised histograms: population stability index, Kolmogorov-Smirnov.

Both are functions of the noised counts as released, for one pair or for many at once, so that
what was seen and what is drawn to compare it with are treated alike.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: A count is taken for no less than this many patients, nor than one deviation of its noise: the
#: index has a logarithm, and a part that nobody is in would make it infinite.
_LEAST_COUNT = 0.5


def stability_index(reference: Floats, release: Floats, deviations: tuple[float, float]) -> Floats:
    """Returns the population stability index of (..., parts) counts: sum (q - p) log(q / p).

    Args:
        reference, release: noised counts.
        deviations: the noise deviation of either's counts.

    By convention 0.1 is a moderate and 0.25 a major shift; noise alone adds to it.

    >>> counts = np.array([50.0, 50.0]), np.array([60.0, 40.0])
    >>> round(float(stability_index(*counts, (0.0, 0.0))), 4)
    0.0405

    Source: Kullback & Leibler 1951, equation 2.6: their symmetric divergence J.
    """
    before, after = (
        _shares(np.maximum(counts, max(_LEAST_COUNT, deviation)))
        for counts, deviation in zip((reference, release), deviations, strict=True)
    )
    return np.asarray(((after - before) * np.log(after / before)).sum(axis=-1))


def largest_step(reference: Floats, release: Floats) -> Floats:
    """Returns the Kolmogorov-Smirnov distance of (..., bins) counts in rising bins.

    Noised cumulative shares are compared as they are. Nobody in either: 0.

    >>> counts = np.array([50.0, 30.0, 20.0]), np.array([20.0, 30.0, 50.0])
    >>> round(float(largest_step(*counts)), 4)
    0.3
    """
    totals = [counts.sum(axis=-1, keepdims=True) for counts in (reference, release)]
    before, after = (
        np.cumsum(counts, axis=-1) / np.where(total > 0, total, np.inf)
        for counts, total in zip((reference, release), totals, strict=True)
    )
    return np.asarray(np.abs(after - before)[..., :-1].max(axis=-1, initial=0.0))


def _shares(counts: Floats) -> Floats:
    return np.asarray(counts / counts.sum(axis=-1, keepdims=True))
