"""The rule that releases a figure or withholds it: by the classes' sizes, never by its own counts.

Rules:

1. The sizes come from the tables that the hospitals sign, whose noise is not the
   counts'. So the choice tells nothing about the counts' noise, and among released
   figures as many intervals hold the truth as among all.
2. With these sizes and this noise, the interval of a model of an AUROC of
   ``ASSUMED_AUROC`` must be narrow enough to tell 0.75 from chance.
3. Of other figures of all scores, the interval of such a model, whose risks are right, must be
   narrow enough as the figure says (``shown``).
"""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from compliance.estimates.binned_scores.auroc import (
    ASSUMED_AUROC,
    auroc_from_histogram,
)
from compliance.estimates.binned_scores.within_bins import BinnedScores
from compliance.estimates.interval import Interval
from compliance.estimates.withholding import WIDEST, too_few
from protocol.vectors.score_grid import ScoreGrid

#: A figure of scores in bins: its value, and the bounds of its interval.
Bounds = tuple[float, float, float]

#: A class of fewer patients than this is too small, whatever the noise.
_FEWEST = 1.0


def is_released(negatives: float, positives: float, *, bins: int, noise_sigma: float) -> bool:
    """Returns whether an AUROC over so many patients of each class, with this noise, is released.

    Args:
        negatives, positives: patients of each class, as the signed tables have them: with
            noise, negative ones too.
        bins: how many the counts have of each class.
        noise_sigma: deviation of the noise in each of the pooled counts, in patients.
    """
    patients = negatives + positives
    if min(negatives, positives) < _FEWEST:
        return False
    counts = expected_counts(patients, bins, ASSUMED_AUROC, positives / patients)
    found = auroc_from_histogram(counts, noise_sigma)
    return found.value is not None and found.value - found.low <= WIDEST


def expected_counts(
    patients: float,
    bins: int,
    auroc: float = ASSUMED_AUROC,
    prevalence: float = 0.5,
) -> NDArray[np.float64]:
    """Returns the (2, bins) counts to expect: of healthy patients, then of ill ones.

    Scores of both are normal with deviation 1 and lie apart as far as the
    AUROC says, on a grid around all of them (``protocol.vectors.score_grid``).
    """
    apart = NormalDist().inv_cdf(auroc) * math.sqrt(2)
    spread = math.sqrt(1 + apart**2 * prevalence * (1 - prevalence))
    edges = ScoreGrid(centre=apart * (prevalence - 0.5), spread=spread).edges(bins)
    rows = []
    for centre, share in ((-apart / 2, 1 - prevalence), (apart / 2, prevalence)):
        below = [0.0, *(NormalDist(centre).cdf(float(edge)) for edge in edges), 1.0]
        rows.append(np.diff(below) * patients * share)
    return np.array(rows)


def usual_scores(sizes: tuple[float, float], bins: int, noise_sigma: float) -> BinnedScores | None:
    """Returns the scores to expect of a usual model whose risks are right; None of too few.

    Args:
        sizes: healthy and ill patients, as the signed tables have them.
        bins, noise_sigma: of the counts.
    """
    if min(sizes) < _FEWEST:
        return None
    patients, prevalence = sum(sizes), sizes[1] / sum(sizes)
    counts = expected_counts(patients, bins, ASSUMED_AUROC, prevalence)
    return BinnedScores.of(counts, noise_sigma, usual_grid(ASSUMED_AUROC, prevalence))


def usual_grid(auroc: float, prevalence: float) -> ScoreGrid:
    """Returns the grid around the logits of a model whose risks are right.

    The scores of ``expected_counts`` are its logits, but for a factor and a shift.
    """
    apart = NormalDist().inv_cdf(auroc) * math.sqrt(2)
    centre = apart**2 * (prevalence - 0.5) + math.log(prevalence / (1 - prevalence))
    spread = apart * math.sqrt(1 + apart**2 * prevalence * (1 - prevalence))
    return ScoreGrid(centre=centre, spread=spread)


def shown(
    figure: Callable[[BinnedScores], Bounds],
    scores: BinnedScores,
    usual: BinnedScores | None,
    is_enough: Callable[[Bounds, float], bool],
) -> Interval:
    """Returns a figure of scores, withheld where that of a usual model says too little.

    Args:
        figure: of scores, its value and its 95 % interval.
        scores: the released counts.
        usual: as ``usual_scores`` has them.
        is_enough: of the usual model's figure and its share of the ill, whether it says enough.
    """
    if usual is not None and scores.has_both:
        prevalence = float(usual.counts[1].sum()) / usual.patients
        if is_enough(figure(usual), prevalence):
            value, low, high = figure(scores)
            return Interval(value=value, low=low, high=high)
    return Interval.withheld(too_few(scores.deviation))
