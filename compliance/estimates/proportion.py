"""A share of patients from two noised counts, with its 95 % interval."""

import math

from compliance.estimates.binned_scores.auroc import TOO_FEW, WIDEST
from compliance.estimates.interval import Interval, score_bounds

#: So many deviations of its noise a number of patients is taken to lie off at most.
MARGIN = 2.0
#: Whether a share is shown is asked of one like this.
_USUAL = 0.8


def proportion(successes: float, failures: float, deviation: float) -> Interval:
    """Returns successes / (successes + failures) with a 95 % interval.

    Args:
        successes, failures: counts, each with independent noise of standard
            deviation ``deviation``; they may be negative.
        deviation: in patients; 0 when nothing was added.

    The number of patients is known up to the noise of the sum; half the difference of the
    counts has a noise that tells nothing of the sum's. So the interval is laid, by Wilson's
    rule, around that difference for the least and the greatest number of patients that the
    sum allows, and whether it is shown is asked of the sum alone: to choose by the sum
    chooses no draw of the difference.
    """
    count = successes + failures
    least, most = (count + sign * MARGIN * deviation * math.sqrt(2) for sign in (-1, 1))
    if least <= (1.0 if deviation else 1e-9):
        note = TOO_FEW if deviation else "no patients"
        return Interval(value=None, low=None, high=None, note=note)
    value = min(1.0, max(0.0, successes / count))
    low, high = _share_bounds((successes - failures) / 2, least, most, deviation)
    usual = _share_bounds((_USUAL - 0.5) * count, least, most, deviation)
    note = TOO_FEW if deviation and (usual[1] - usual[0]) / 2 > WIDEST else ""
    return Interval(value=value, low=min(low, value), high=max(high, value), note=note)


def _share_bounds(
    difference: float, least: float, most: float, deviation: float
) -> tuple[float, float]:
    """Returns the bounds of a share over ``least`` to ``most`` patients, from half a difference."""
    bounds = []
    for count in {least, most}:
        share = min(1.0, max(0.0, 0.5 + difference / count))
        noise = deviation**2 / 2 / count**2
        bounds.append(
            score_bounds(share, lambda p, n=count, noise=noise: p * (1 - p) / n + noise)  # type: ignore[misc]
        )
    return min(low for low, _ in bounds), max(high for _, high in bounds)
