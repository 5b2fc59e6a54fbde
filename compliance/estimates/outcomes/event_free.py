"""The observed share of patients without the event at each horizon, from counts by interval.

Known is in which interval of time a patient was last observed, and whether with the event. Rules:

1. A patient who was censored within an interval is taken to have been observed for half of it (a
   life table). Observed for all of it, or for none, the same counts give the two Kaplan-Meier
   estimates of grouped times; the interval of the figure reaches from the one to the other, for
   when in the interval patients were censored is not released.
2. Counts stay as they came, negative ones too, until the figure is computed.
3. The interval covers the patients drawn and the noise added. The patients' part is that of a share
   of as many patients as Greenwood's variance says; the noise's is by the delta method.
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
from compliance.estimates.interval import Interval, score_bounds
from compliance.estimates.withholding import MARGIN, TOO_FEW, WIDEST

Floats = NDArray[np.float64]

#: The part of an interval for which a patient was observed who was censored in it.
_HALF = 0.5


@dataclass(frozen=True, kw_only=True)
class _Curve:
    """A life table, one number for each interval but the last.

    Attributes:
        at_risk: patients observed in the interval, those censored in it by their part.
        hazards: the risk of the event in each, of those at risk.
        shares: without the event at the end of each.
        slopes: (horizons, 2, intervals) change of each share by one more patient in each cell.
        observed: the part of an interval for which those censored in it are at risk.
    """

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
            at_risk=at_risk, hazards=hazards, shares=shares, slopes=slopes, observed=observed
        )

    def bounds(self, place: int, deviation: float) -> tuple[float, float]:
        """Returns the interval of one share for patients and noise; they are at risk until then.

        That a share is shown where enough are at risk chooses draws of the noise in their number:
        what that noise moves is taken at its greatest.
        """
        told = np.zeros_like(self.slopes[place])
        told[:, place:] = 1.0
        told[0, place] = self.observed
        along = float((self.slopes[place] * told).sum()) / math.sqrt(float((told**2).sum()))
        noise = deviation**2 * (float((self.slopes[place] ** 2).sum()) - along**2)
        patients, further = self._patients(place), MARGIN * deviation * abs(along)
        low, high = score_bounds(
            float(self.shares[place]),
            lambda truth: truth * (1 - truth) / patients + max(noise, 0.0),
        )
        return max(0.0, low - further), min(1.0, high + further)

    def _patients(self, place: int) -> float:
        """Returns the number of uncensored patients of whom the share would be known as well."""
        hazards, at_risk = self.hazards[: place + 1], self.at_risk[: place + 1]
        least, share = float(at_risk.min()), float(self.shares[place])
        if not 0 < share < 1:
            return least
        greenwood = float((hazards / (1 - hazards) / at_risk).sum())
        return min(max((1 - share) / (share * greenwood), least), float(at_risk[0]))


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
    curve = _Curve.of(counts, _HALF)
    ends = _Curve.of(counts, 0.0).shares, _Curve.of(counts, 1.0).shares
    expected = None if usual is None else _Curve.of(usual, _HALF)
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
    cells = 2 * (len(curve.shares) + 1 - place)
    least = float(curve.at_risk[: place + 1].min()) - MARGIN * deviation * math.sqrt(cells)
    if least <= (1.0 if deviation else 1e-9):
        note = TOO_FEW if deviation else "nobody is observed until then"
        return Interval.withheld(note)
    if deviation and not _is_narrow(expected, place, deviation):
        return Interval.withheld(TOO_FEW)
    value = float(curve.shares[place])
    low, high = curve.bounds(place, deviation)
    return Interval(
        value=value,
        low=max(0.0, low - max(0.0, value - float(ends[0][place]))),
        high=min(1.0, high + max(0.0, float(ends[1][place]) - value)),
    )


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
