"""The mean share of patients without the event that a model predicts, from binned scores.

Where in a bin scores lie is not released: they are taken to lie as they would, were all scores
normal with the grid's centre and spread, and the interval reaches as far as scores at either edge
of their bins could move the mean: of an outer bin, which has one edge, as far as the outermost of
so many normal scores, or of any, where the bin holds more than twice its part of the patients. The
interval also covers the patients drawn and the noise.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from compliance.estimates.interval import Z95, Interval
from compliance.estimates.withholding import MARGIN, TOO_FEW, WIDEST
from protocol.vectors.score_grid import ScoreGrid

Floats = NDArray[np.float64]

#: Scores beyond this decide every share.
_FAR = 60.0
#: An outer bin that holds so many times its part may hold any scores.
_FULL = 2.0


def predicted_shares(
    counts: Floats,
    deviation: float,
    places: NDArray[np.int64],
    *,
    grid: ScoreGrid,
    bins: int,
    predict: Callable[[Floats], Floats],
) -> tuple[Interval, ...]:
    """Returns the mean predicted share at each horizon, of the patients of some bins.

    Args:
        counts: (chosen bins,) patients in each; real numbers.
        deviation: of the noise in each; 0 when there is none.
        places: (chosen bins,) which of the grid's they are.
        grid: where the bins lie.
        bins: how many there are in all.
        predict: of scores, in whatever form, the shares at each horizon, in that form; higher
            scores have lower ones.

    Withheld where noise may hide all patients, or where noise alone makes the interval of a usual
    mean too wide: asked of the number of patients.
    """
    points = grid.points(bins)
    usual = predict(points[places]).mean(axis=2)
    full = counts > _FULL * float(counts.sum()) / len(counts)
    first = -_FAR if full[places == 0].any() else float(points[0, 0])
    last = _FAR if full[places == bins - 1].any() else float(points[-1, -1])
    borders = np.concatenate([[first], grid.edges(bins), [last]])
    least, most = predict(borders[places + 1]), predict(borders[places])
    total, spread = float(counts.sum()), deviation * math.sqrt(len(counts))
    hidden = Interval.withheld(TOO_FEW if deviation else "no patients")
    if total - MARGIN * spread <= (1.0 if deviation else 1e-9) or Z95 * spread / 2 / total > WIDEST:
        return (hidden,) * len(usual)
    return tuple(
        _mean(counts, deviation, *shares) for shares in zip(usual, least, most, strict=True)
    )


def _mean(counts: Floats, deviation: float, usual: Floats, least: Floats, most: Floats) -> Interval:
    total, seen = float(counts.sum()), np.maximum(counts, 0.0)
    value = min(1.0, max(0.0, float(counts @ usual) / total))
    noise = deviation**2 * float(((usual - value) ** 2).sum())
    drawn = float(seen @ (usual - value) ** 2)
    half = Z95 * math.sqrt(noise + drawn) / total
    less, more = float(seen @ (usual - least)) / total, float(seen @ (most - usual)) / total
    return Interval(
        value=value, low=max(0.0, value - half - less), high=min(1.0, value + half + more)
    )
