"""The observed share of patients without the event at each horizon, from counts by interval.

Known is in which interval of time a patient was last observed, and whether with the event. Rules:

1. A patient who was censored within an interval is taken to have been observed for half of it (a
   life table). When in the interval is not released, so the interval of the figure reaches from the
   figure of 0.23 of it to that of 0.75: as where all of them leave in its first or in its last
   half, while hazards fall a little within it. Observed for none of it, or for all, the same counts
   give the two Kaplan-Meier estimates of grouped times: so far it does not reach.
2. Counts stay as they came, negative ones too, until the figure is computed.
3. The interval covers the patients drawn and the noise added; where rule 1 leaves the truth one
   place of many, it can miss on one side only (``deviations_beside``). The patients' part is that
   of a share of as many patients as Greenwood's variance says; the noise's is by the delta method.
4. Whether a figure is shown is asked of the signed tables' sizes, whose noise is another: the
   interval of a usual curve of so many patients must be narrow enough.

Source: Kaplan and Meier 1958, JASA 53; Cutler and Ederer 1958, J. Chronic Diseases 8 (life table);
Greenwood 1926; Rothman 1978, J. Chronic Diseases 31 (effective number of patients).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compliance.estimates.groups import number_of_patients
from compliance.estimates.interval import Z95, Interval, deviations_beside, score_bounds
from compliance.estimates.withholding import BESIDE, MARGIN, TOO_FEW, WIDEST

Floats = NDArray[np.float64]

#: The part of an interval for which those censored in it were observed: least, usual, most.
_LEAST, _USUAL, _MOST = 0.23, 0.5, 0.75
_HALF = 0.5
#: Where noise may leave no more patients than this, nothing is shown.
_ALONE = 1.0


@dataclass(frozen=True, kw_only=True)
class _Curve:
    """A life table, one number for each interval but the last.

    Attributes:
        counts: what it was made of.
        at_risk: patients observed in the interval, those censored in it by their part.
        hazards: the risk of the event in each, of those at risk.
        shares: without the event at the end of each.
        slopes: (horizons, 2, intervals) change of each share by one more patient in each cell.
        observed: the part of an interval for which those censored in it are at risk.
    """

    counts: Floats
    at_risk: Floats
    hazards: Floats
    shares: Floats
    slopes: Floats
    observed: float

    @classmethod
    def of(cls, counts: Floats, observed: float) -> "_Curve":
        censored, events = counts[:, :-1]
        everybody = counts.sum(axis=0)
        at_risk = np.cumsum(everybody[::-1])[::-1][:-1] - (1 - observed) * censored
        with np.errstate(all="ignore"):
            hazards = np.clip(np.where(at_risk > 0, events / at_risk, 1.0), 0.0, 1.0)
        shares = np.cumprod(1 - hazards)
        slopes = np.stack(
            [_slopes(at_risk, hazards, place, observed) for place in range(len(shares))]
        )
        return cls(
            counts=counts, at_risk=at_risk, hazards=hazards, shares=shares, slopes=slopes,
            observed=observed,
        )  # fmt: skip

    def at_risk_until(self, place: int, deviation: float, deviations: float) -> float:
        """Returns how many are at risk at the least, if noise added so many of its deviations."""
        cells = 2 * (len(self.shares) + 1 - place)
        return float(self.at_risk[: place + 1].min()) - deviations * deviation * math.sqrt(cells)

    def bounds(self, place: int, deviation: float, hidden: float = 0.0) -> tuple[float, float]:
        """Returns the interval of one share for patients and noise; they are at risk until then.

        Args:
            place: the share's.
            deviation: of the noise in each count.
            hidden: how far apart the shares lie that when patients were censored allows.

        That a share is shown where enough are at risk chooses draws of the noise in their number:
        near the border of what is shown, the interval is laid for the least and the greatest number
        that their noise allows, together with the noise of the rest alone.
        """
        slopes = self.slopes[place]
        noise = deviation**2 * float((slopes**2).sum())
        low, high = self._around(place, noise, hidden)
        if self.at_risk_until(place, deviation, MARGIN + BESIDE) <= _ALONE:
            told = np.zeros_like(slopes)
            told[:, place:] = 1.0
            told[0, place] = self.observed
            told /= math.sqrt(float((told**2).sum()))
            for off in (-BESIDE, BESIDE):
                moved = _Curve.of(self.counts + off * deviation * told, self.observed)
                rest = moved.slopes[place] - float((moved.slopes[place] * told).sum()) * told
                ends = moved._around(place, deviation**2 * float((rest**2).sum()), hidden)
                low, high = min(low, ends[0]), max(high, ends[1])
        return low, high

    def _around(self, place: int, noise: float, hidden: float) -> tuple[float, float]:
        patients, share = self._patients(place), float(self.shares[place])
        spread = math.sqrt(share * (1 - share) / patients + noise)
        beyond = deviations_beside(hidden / spread) / Z95 if spread else 1.0
        return score_bounds(
            share, lambda truth: beyond**2 * (truth * (1 - truth) / patients + noise)
        )

    def _patients(self, place: int) -> float:
        """Returns the number of uncensored patients of whom the share would be known as well.

        Hazards are taken with one patient more in each interval, half of it with the event: where
        few are at risk and none has it, their hazard is not known to be none.
        """
        at_risk = self.at_risk[: place + 1]
        hazards = (self.hazards[: place + 1] * at_risk + _HALF) / (at_risk + 1)
        share = float(np.prod(1 - hazards))
        greenwood = float((hazards / (1 - hazards) / at_risk).sum())
        known_as_well = (1 - share) / (share * greenwood)
        return min(max(known_as_well, float(at_risk.min())), float(at_risk[0]))


def _slopes(at_risk: Floats, hazards: Floats, place: int, observed: float) -> Floats:
    """Returns the (2, intervals) change of the share at the end of interval ``place``."""
    slopes, free = np.zeros((2, len(hazards) + 1)), 1 - hazards[: place + 1]
    share = float(np.prod(free))
    for own in range(place + 1):
        risk = at_risk[own] if at_risk[own] > 0 else math.inf
        others = float(np.prod(np.delete(free, own)))
        longer = others * float(hazards[own]) / risk
        slopes[:, own + 1 :] += longer
        slopes[0, own] += longer * observed
        slopes[1, own] -= share / risk
    return slopes


def event_free_shares(
    counts: Floats, deviation: float, usual: Floats | None
) -> tuple[Interval, ...]:
    """Returns the share of patients without the event at the end of each interval but the last.

    Args:
        counts: (2, intervals) of the censored, then of those with an event; real numbers. The last
            interval is what comes after the last horizon.
        deviation: of the noise in each; 0 when there is none.
        usual: the counts of a usual curve of as many patients as the signed tables have; None where
            they are too few for any.
    """
    curve = _Curve.of(counts, _USUAL)
    ends = _Curve.of(counts, _LEAST).shares, _Curve.of(counts, _MOST).shares
    expected = None if usual is None else _Curve.of(usual, _USUAL)
    return tuple(
        _share(curve, ends, expected, place, deviation) for place in range(len(curve.shares))
    )


def _share(
    curve: _Curve,
    ends: tuple[Floats, Floats],
    expected: _Curve | None,
    place: int,
    deviation: float,
) -> Interval:
    least = curve.at_risk_until(place, deviation, MARGIN)
    if least <= (_ALONE if deviation else 1e-9):
        note = TOO_FEW if deviation else "nobody is observed until then"
        return Interval.withheld(note)
    if deviation and not _is_narrow(expected, place, deviation):
        return Interval.withheld(TOO_FEW)
    value = float(curve.shares[place])
    less, more = max(0.0, value - float(ends[0][place])), max(0.0, float(ends[1][place]) - value)
    low, high = curve.bounds(place, deviation, less + more)
    return Interval(value=value, low=max(0.0, low - less), high=min(1.0, high + more))


def _is_narrow(expected: _Curve | None, place: int, deviation: float) -> bool:
    if expected is None or float(expected.at_risk[: place + 1].min()) <= 0:
        return False
    low, high = expected.bounds(place, deviation)
    return high - low <= 2 * WIDEST


def still_observed(counts: Floats, deviation: float) -> tuple[Interval, ...]:
    """Returns how many patients were observed beyond the end of each interval but the last."""
    everybody = counts.sum(axis=0)
    return tuple(
        number_of_patients(float(everybody[place:].sum()), deviation, 2 * (len(everybody) - place))
        for place in range(1, len(everybody))
    )


def usual_counts(
    censored: float, events: float, falls: Sequence[float]
) -> NDArray[np.float64] | None:
    """Returns the (2, intervals) counts to expect of so many patients; None where there are none.

    Args:
        censored, events: patients without and with an event, as the signed tables have them.
        falls: of the events, the part that comes in each interval, as published.
    """
    if events < 0 or censored + events < 1.0:
        return None
    even = np.full(len(falls), max(censored, 0.0) / len(falls))
    return np.stack([even, events * np.array(falls)])
