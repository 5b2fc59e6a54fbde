"""The concordance index of what was released: noised counts in, a figure with its interval out.

The coordinator sees how many patients were censored, and how many had the event, in each
interval of time and each bin of scores, with noise. Rules:

1. Compared are a patient with an event in one interval and every patient who was last
   observed in a later one. Who came first in one interval is not known; such pairs are harder
   to order. They are taken to be ordered halfway between chance and the others, and the
   interval of the figure reaches from the one to the other (docs/adr/0024): it presumes that
   the model orders them no worse than chance, and no better than the others.
2. Counts stay as they came, negative ones too, until the figure is computed.
3. The interval covers the patients drawn and the noise added. The noise's part is by the delta
   method for a ratio of sums of pairs; the patients' part is that of an AUROC with as many
   events, and as many others as an event is compared with on average.
4. Pairs in one bin count half; the interval reaches as far as their order could move the
   figure. Where most pairs lie in one bin no figure is released.
5. But for rule 4, whether a figure is released is not asked of these counts:
   ``is_concordance_released``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compliance.estimates.binned_scores.auroc import CHANCE, MAX_TIED, TOO_CLOSE
from compliance.estimates.binned_scores.release_rule import expected_counts
from compliance.estimates.interval import Z95, Interval, auroc_variance, score_bounds
from compliance.estimates.withholding import TOO_FEW, WIDEST

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _Pairs:
    """Sums over pairs, and what a patient of each cell adds to them.

    Attributes:
        won, compared: pairs in which the earlier event has the higher score, and all.
        tied: pairs of one bin, which are half won.
        unknown: pairs of one interval that are comparable: all of two events, and half of
            those of an event and a censored patient.
        wins, chances: (2, intervals, bins) what one more patient adds to won and compared.
    """

    won: float
    compared: float
    tied: float
    unknown: float
    wins: Floats
    chances: Floats

    @classmethod
    def of(cls, counts: Floats, deviation: float) -> "_Pairs":
        events, everybody = counts[1], counts.sum(axis=0)
        later = np.flip(np.cumsum(np.flip(everybody, 0), axis=0), 0) - everybody
        earlier = np.cumsum(events, axis=0) - events
        below = np.cumsum(later, axis=1) - later / 2
        above = earlier.sum(axis=1, keepdims=True) - np.cumsum(earlier, axis=1) + earlier / 2
        ahead = np.broadcast_to(later.sum(axis=1, keepdims=True), later.shape)
        behind = np.broadcast_to(earlier.sum(axis=1, keepdims=True), earlier.shape)
        own, censored = events.sum(axis=1), counts[0].sum(axis=1)
        squares = own**2 - events.shape[1] * deviation**2  # less what the noise adds to a square
        return cls(
            unknown=max(0.0, float((squares - own + own * censored).sum()) / 2),
            won=float((events * below).sum()),
            compared=float((events * ahead).sum()),
            tied=float((events * later).sum()),
            wins=np.stack([above, above + below]),
            chances=np.stack([behind, behind + ahead]),
        )


def concordance_from_counts(counts: Floats, deviation: float) -> Interval:
    """Returns the concordance index of (2, intervals, bins) counts with its 95 % interval.

    Args:
        counts: censored patients, then those with an event, by interval, in bins of rising
            score; real numbers.
        deviation: of the noise in each of them; 0 when there is none.

    >>> sooner = np.zeros((2, 2, 2))
    >>> sooner[1, 0] = 10, 30  # events in the first interval
    >>> sooner[0, 1] = 30, 10  # observed longer
    >>> round(concordance_from_counts(sooner, 0.0).value, 3)
    0.709
    """
    found = _Pairs.of(counts, deviation)
    events = float(counts[1, :-1].sum())
    if found.compared <= 0 or events <= 0:
        note = (
            TOO_FEW
            if deviation
            else "no event before others were last observed: are times in the records' unit?"
        )
        return Interval.withheld(note)
    value = min(max(found.won / found.compared, 0.0), 1.0)
    others = found.compared / events

    def variance(truth: float) -> float:
        by_noise = float(((found.wins - truth * found.chances) ** 2).sum()) * deviation**2
        return by_noise / found.compared**2 + auroc_variance(truth, events, others)

    low, high = score_bounds(value, variance)
    hidden = max(found.tied, 0.0) / found.compared / 2
    unknown = found.unknown / (found.compared + found.unknown)
    return Interval(
        value=value + unknown * (CHANCE - value) / 2,
        low=max(0.0, low + unknown * min(0.0, CHANCE - low) - hidden),
        high=min(1.0, high + unknown * max(0.0, CHANCE - high) + hidden),
        note=TOO_CLOSE if 2 * hidden > MAX_TIED else "",
    )


def is_concordance_released(
    censored: float, events: float, *, shares: Sequence[float], bins: int, deviation: float
) -> bool:
    """Returns whether a concordance index over so many patients, with this noise, is released.

    Asked of the signed tables' sizes alone, as for an AUROC: the interval of a usual model must
    be narrow enough to tell 0.75 from chance.

    Args:
        censored, events: patients without and with an event, as the signed tables have them.
        shares: of the events, that come in each interval, as published; the last is what
            comes after all of them.
        bins, deviation: of the pooled counts.
    """
    if min(censored, events) < 1.0:
        return False
    patients = censored + events
    scores = expected_counts(patients, bins, prevalence=events / patients)
    # the censored: as many in each interval
    by_interval = np.array([np.full(len(shares), 1 / len(shares)), shares])
    usual = scores[:, None, :] * by_interval[:, :, None]
    found = _Pairs.of(usual, 0.0)
    if found.compared <= 0:
        return False
    at = found.won / found.compared
    by_noise = float(((found.wins - at * found.chances) ** 2).sum()) * deviation**2
    drawn = auroc_variance(at, events, found.compared / events)
    return Z95 * math.sqrt(by_noise / found.compared**2 + drawn) <= WIDEST
