"""A share of patients from two noised counts, with its 95 % interval."""

import math

from compliance.estimates.binned_scores.auroc import TOO_FEW, WIDEST
from compliance.estimates.interval import Interval, score_bounds

#: So many deviations of its noise a number of patients is taken to lie off at most.
MARGIN = 2.0
#: A figure that fewer patients by so many deviations of their noise would have withheld lies near
#: the border of what is shown: that it is shown tells of the noise in it.
BESIDE = 1.5
#: Whether a share is shown is asked of one like this.
_USUAL = 0.8


def proportion(
    successes: float,
    failures: float,
    deviation: float,
    *,
    cells: tuple[int, int] = (1, 1),
    weight: float = 1.0,
    nobody: str = "no patients",
) -> Interval:
    """Returns successes / (successes + weight * failures) with a 95 % interval.

    Args:
        successes, failures: counts, each with independent noise; they may be negative.
        deviation: of the noise in one cell, in patients; 0 when nothing was added.
        cells: of how many cells either count is the sum.
        weight: of a failure: 1 for a share of patients, 1/2 for F1.
        nobody: the note where there is nobody without noise.

    The number of patients below the line is known up to its noise. What the two counts say beside
    that, ``weight * cells[1] * successes - cells[0] * failures``, has a noise that tells nothing of
    it; for two single cells it is their difference. So the interval is laid, by Wilson's rule,
    around that for the least and the greatest number of patients that their noise allows, and
    whether it is shown is asked of the number alone: to choose by it chooses no draw of the rest.

    Source: Wilson 1927, JASA 22; Takahashi et al. 2022, Applied Intelligence 52 (variance of F1).
    """
    of_part, of_rest = cells[0], cells[1] * weight**2
    count, spread = successes + weight * failures, deviation * math.sqrt(of_part + of_rest)
    least, most = (count + sign * MARGIN * spread for sign in (-1, 1))
    if least <= (1.0 if deviation else 1e-9):
        note = TOO_FEW if deviation else nobody
        return Interval(value=None, low=None, high=None, note=note)
    noise = deviation**2 * of_part * of_rest / (of_part + of_rest)
    beside = (of_rest * successes - of_part * weight * failures) / (of_part + of_rest)
    even = of_part / (of_part + of_rest)
    value = min(1.0, max(0.0, successes / count))
    low, high = _share_bounds(beside, even, (least, most), noise, weight)
    usual = _share_bounds((_USUAL - even) * count, even, (least, most), noise, weight)
    note = TOO_FEW if deviation and (usual[1] - usual[0]) / 2 > WIDEST else ""
    return Interval(value=value, low=min(low, value), high=max(high, value), note=note)


def part_of(part: float, count: float, deviation: float, *, cells: int = 1) -> Interval:
    """Returns part / count with a 95 % interval, where the count is released beside its part.

    Args:
        part: a sum of so many cells, each with independent noise.
        count: of how many it is a part, with a noise of its own.
        deviation: of the noise in each cell, and in the count; 0 when nothing was added.
        cells: of how many cells the part is the sum.

    As in ``proportion``: the interval is laid for the least and the greatest count that its noise
    allows, and whether it is shown is asked of the count alone.
    """
    least, most = (count + sign * MARGIN * deviation for sign in (-1, 1))
    if least <= (1.0 if deviation else 1e-9):
        note = TOO_FEW if deviation else "no patients"
        return Interval(value=None, low=None, high=None, note=note)
    noise = deviation**2 * cells
    value = min(1.0, max(0.0, part / count))
    low, high = _share_bounds(part, 0.0, (least, most), noise, 1.0)
    usual = _share_bounds(_USUAL * count, 0.0, (least, most), noise, 1.0)
    note = TOO_FEW if deviation and (usual[1] - usual[0]) / 2 > WIDEST else ""
    return Interval(value=value, low=min(low, value), high=max(high, value), note=note)


def variance_over_patients(share: float, weight: float = 1.0) -> float:
    """Returns the variance of a share of one patient, where a failure has this weight.

    >>> variance_over_patients(0.5), variance_over_patients(0.5, 0.5)
    (0.25, 0.1875)
    """
    return share * (1 - share) * (1 - share + share * weight)


def _share_bounds(
    beside: float, even: float, counts: tuple[float, float], noise: float, weight: float
) -> tuple[float, float]:
    """Returns the bounds of a share over the least to the greatest number of patients."""
    bounds = []
    for count in {*counts}:
        share = min(1.0, max(0.0, even + beside / count))

        def variance(truth: float, count: float = count) -> float:
            return variance_over_patients(truth, weight) / count + noise / count**2

        bounds.append(score_bounds(share, variance))
    return min(low for low, _ in bounds), max(high for _, high in bounds)
