"""Figures of one counted column, from noised counts: patients, mean, deviation, shares.

Rules:

1. Intervals are 95 %, and cover the noise of the counts and the sampling of the patients.
2. Whether a figure is shown is asked of the number of patients and the noise alone, which
   chooses no draw of the figure's own noise; but a count below ten is not shown.
3. A deviation's interval takes values to have a kurtosis of at most 9 (normal ones have 3).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compliance.estimates.interval import Z95, Interval, score_bounds
from compliance.estimates.withholding import MARGIN, TOO_FEW, WIDEST
from protocol.vectors.column_counts import CountedColumn

Floats = NDArray[np.float64]

#: Counts of patients below this are not shown.
SMALLEST_COUNT = 10
TOO_SMALL = "counted as fewer than ten patients"
NOBODY = "no patients"
_KURTOSIS = 9.0
#: A share is shown where its count is large enough, which chooses its noise: so the interval of a
#: count within so many deviations of none begins at 0.
_SURELY = 3.0
#: Whether a deviation is shown is asked of values that deviate by a third of half the range.
_USUAL_VARIANCE = 1 / 9
_USUAL_MEAN_SQUARE = 1 / 4


@dataclass(frozen=True, kw_only=True)
class ColumnFigures:
    """The released figures of one column.

    ``mean`` and ``deviation`` are None of a category, and of numbers whose histogram alone is
    counted.

    Attributes:
        name: the column's.
        range: of numbers, the public range that they were counted in.
        parts: the bins of a histogram, or the categories; as many ``shares``, of the patients
            that have a value.
        patients: with a value.
        missing: the share of patients without one.
        mean, deviation: over patients with a value, in the column's unit.
    """

    name: str
    range: tuple[float, float] | None
    parts: tuple[str, ...]
    patients: Interval
    missing: Interval
    mean: Interval | None
    deviation: Interval | None
    shares: tuple[Interval, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the figures as JSON has them: lists, and no tuples."""
        lists = {
            "range": None if self.range is None else list(self.range),
            "parts": list(self.parts),
            "shares": [asdict(share) for share in self.shares],
        }
        return asdict(self) | lists

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "ColumnFigures":
        """Returns the figures that ``to_json`` gave."""
        mean, deviation = kept["mean"], kept["deviation"]
        return cls(
            name=kept["name"],
            range=None if kept["range"] is None else (kept["range"][0], kept["range"][1]),
            parts=tuple(kept["parts"]),
            patients=Interval(**kept["patients"]),
            missing=Interval(**kept["missing"]),
            mean=None if mean is None else Interval(**mean),
            deviation=None if deviation is None else Interval(**deviation),
            shares=tuple(Interval(**share) for share in kept["shares"]),
        )


def counted_patients(count: float, deviation: float) -> Interval:
    """Returns a number of patients from its noised count; these patients, so by noise alone."""
    if count < SMALLEST_COUNT:
        return Interval.withheld(TOO_SMALL)
    half = Z95 * deviation
    return Interval(value=count, low=max(0.0, count - half), high=count + half)


def column_figures(
    column: CountedColumn, patients: float, cells: Floats, deviation: float
) -> ColumnFigures:
    """Returns the figures of one column.

    Args:
        column: what was counted.
        patients: the noised number of all patients.
        cells: (column.size,) the noised counts, in patients.
        deviation: of the noise of each number, ``patients`` included.
    """
    missing = max(0.0, float(cells[0]))  # nearer to the truth, which is not below 0 either
    known = patients - missing
    note = _too_few(known, deviation)
    mean = spread = None
    if column.range is not None and column.moments:
        mean, spread = _moments(column.range, known, cells[1:3], deviation, note)
    parts = cells[1 + column.moments :]
    return ColumnFigures(
        name=column.name,
        range=column.range,
        parts=column.parts,
        patients=counted_patients(known, deviation * math.sqrt(2)),
        missing=_share(missing, patients, deviation, deviation, _too_few(patients, deviation)),
        mean=mean,
        deviation=spread,
        shares=tuple(
            _share(float(one), known, deviation, deviation * math.sqrt(2), note) for one in parts
        ),
    )


def _none(note: str) -> Interval:
    return Interval.withheld(note)


def _too_few(count: float, deviation: float) -> str:
    """Returns why no figure of so many patients is shown; nothing where one is."""
    if count - MARGIN * math.sqrt(2) * deviation > (1.0 if deviation else 0.5):
        return ""
    return TOO_FEW if deviation else NOBODY


def _share(
    part: float, whole: float, deviation: float, whole_deviation: float, note: str
) -> Interval:
    """Returns part / whole, by the delta method for the noise of both, and Wilson's for patients.

    The part may be one of the whole's own terms: their noises are taken for independent, which
    counts the part's twice where it is one, and not the less.
    """
    if note:
        return _none(note)
    noise = (deviation**2 + whole_deviation**2 * min(1.0, max(0.0, part / whole)) ** 2) / whole**2
    if deviation and Z95 * math.sqrt(2) * deviation / whole > WIDEST:
        return _none(TOO_FEW)
    if part < SMALLEST_COUNT:
        return _none(TOO_SMALL)
    value = min(1.0, part / whole)
    low, high = score_bounds(value, lambda truth: truth * (1 - truth) / whole + noise)
    return Interval(value=value, low=0.0 if part < _SURELY * deviation else low, high=high)


def _moments(
    limits: tuple[float, float], known: float, sums: Floats, deviation: float, note: str
) -> tuple[Interval, Interval]:
    """Returns mean and standard deviation from the sums of v and of 2 v**2 - 1.

    With n patients, a = sum / n of the first and b of the second: the mean is a, the variance
    (1 + b) / 2 - a**2. The noise of the sums has variance s**2, that of n twice that.
    """
    if note:
        return _none(note), _none(note)
    middle, half = (limits[0] + limits[1]) / 2, (limits[1] - limits[0]) / 2
    mean, square = (float(np.clip(total / known, -1.0, 1.0)) for total in sums)
    variance = min(max((1 + square) / 2 - mean**2, 0.0), 1 - mean**2)
    unit = (deviation / known) ** 2
    noise = unit * (1 / 4 + 4 * mean**2 + 2 * (2 * mean**2 - square / 2) ** 2)
    reach = Z95 * math.sqrt((_KURTOSIS - 1) * variance**2 / known + noise)
    lies = Z95 * math.sqrt(max(variance, 0.0) / known + unit * (1 + 2 * mean**2))
    shown = Interval(
        value=middle + half * mean,
        low=middle + half * max(-1.0, mean - lies),
        high=middle + half * min(1.0, mean + lies),
        note=TOO_FEW if Z95 * math.sqrt(3 * unit) > WIDEST else "",
    )
    # asked of a mean halfway to an end, and of the usual variance: not of what was drawn
    usual = 2 * (_USUAL_MEAN_SQUARE + _USUAL_VARIANCE) - 1
    usual_noise = unit * (
        1 / 4 + 4 * _USUAL_MEAN_SQUARE + 2 * (2 * _USUAL_MEAN_SQUARE - usual / 2) ** 2
    )
    spread = Interval(
        value=half * math.sqrt(variance),
        low=half * math.sqrt(max(0.0, variance - reach)),
        high=half * math.sqrt(min(1.0, variance + reach)),
        note=TOO_FEW if Z95 * math.sqrt(usual_noise) > 2 * _USUAL_VARIANCE else "",
    )
    return shown, spread
