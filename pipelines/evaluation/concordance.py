"""Harrell's concordance index, computed inside a hospital from its own patients' scores."""

import numpy as np
from numpy.typing import NDArray

#: Pairs that are compared at once.
_AT_ONCE = 1 << 22


def concordance(
    scores: NDArray[np.floating], times: NDArray[np.floating], events: NDArray[np.bool_]
) -> float | None:
    """Returns the share of comparable pairs in which the earlier event has the higher score.

    Comparable are a patient with an event, and one who was observed longer, or as long and
    censored. Equal scores count half.

    ==================================  =======
    no comparable pair, a score is NaN  None
    every score equal                   0.5
    ==================================  =======

    >>> died = np.array([True, True, False])
    >>> concordance(np.array([3.0, 1.0, 2.0]), np.array([1.0, 5.0, 9.0]), died)
    0.6666666666666666

    Source: Harrell et al. 1982, JAMA 247.
    """
    if np.isnan(scores).any():
        return None
    first = np.flatnonzero(events)
    won = compared = 0.0
    step = max(1, _AT_ONCE // max(1, len(scores)))
    for begin in range(0, len(first), step):
        own = first[begin : begin + step, None]
        later = (times > times[own]) | ((times == times[own]) & ~events)
        compared += float(later.sum())
        won += float((later & (scores < scores[own])).sum())
        won += float((later & (scores == scores[own])).sum()) / 2
    return won / compared if compared else None
