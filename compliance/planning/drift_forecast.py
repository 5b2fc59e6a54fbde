"""The smallest drift that a calendar of releases would show, before anything is counted.

Rules:

1. It follows from the declared numbers of patients, the noise and the length of the calendar
   alone: thresholds and flags are drawn as ``compliance.estimates.drift`` draws them.
2. A drift counts as seen where 80 of 100 releases with it are flagged.
3. Numbers are taken to be normal in their public range, scores to fill their bins evenly, values
   of a category to be equally frequent; the label to be as frequent as declared, else one in two.
4. ``is_enough`` is False where no watched column would show a shift with a population stability
   index of ``MAJOR``: monitoring would cost budget, and see nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from compliance.estimates.drift.null_distribution import NullDistances, PairOfReleases, threshold
from compliance.estimates.drift.series import RATE

Floats = NDArray[np.float64]

#: A shift of this index is by convention a major one.
MAJOR = 0.25
_POWER = 0.8
_DRAWS, _HALVINGS = 400, 7
#: So many deviations of a normal number lie between the middle of its range and either end.
_REACH = 3.0
#: The farthest shift of a number that is asked about, in its deviations.
_FARTHEST = 6.0
_NORMAL = NormalDist()


@dataclass(frozen=True, kw_only=True)
class WatchedColumn:
    """A column that a calendar watches, by what is known of it beforehand.

    Attributes:
        name: the column's.
        kind: ``number``, ``category``, ``label`` of two values, or ``score``.
        parts: how many bins or categories it has.
        share: of a label, its declared prevalence.
    """

    name: str
    kind: str
    parts: int
    share: float = 0.5


@dataclass(frozen=True, kw_only=True)
class SmallestDrift:
    """The smallest drift of one column that would be seen; None where none would.

    Attributes:
        column, kind: the column's.
        index: its population stability index, without noise.
        shift: of a number or a score, by how many deviations its mean moves; of a category or a
            label, by how much the share of one value rises.
        share: of a category or a label, that value's share before.
    """

    column: str
    kind: str
    index: float | None
    shift: float | None
    share: float | None


@dataclass(frozen=True, kw_only=True)
class DriftForecast:
    """The forecast of a calendar.

    Attributes:
        patients: those that are declared, of all hospitals.
        deviation: the noise in each pooled count, in patients.
        releases: of the calendar, after the reference.
        columns: the smallest drift of every watched column.
    """

    patients: float
    deviation: float
    releases: int
    columns: tuple[SmallestDrift, ...]

    @property
    def seen(self) -> tuple[SmallestDrift, ...]:
        """The columns of which a major shift would be seen."""
        return tuple(one for one in self.columns if one.index is not None and one.index <= MAJOR)

    @property
    def is_enough(self) -> bool:
        """Whether a major shift would be seen in any watched column."""
        return bool(self.seen)


def forecast_drift(
    columns: Sequence[WatchedColumn],
    *,
    patients: float,
    deviation: float,
    releases: int,
    rate: float = RATE,
) -> DriftForecast:
    """Returns the smallest drift that each column would show in one release.

    Args:
        columns: what is watched.
        patients: of all hospitals together, in the reference and in a release alike.
        deviation: of the noise in each pooled count.
        releases: of the calendar, after the reference.
        rate: of any false alarm in the whole calendar.
    """
    tests = releases * sum(2 if one.kind in _SHIFTED else 1 for one in columns)
    level = rate / max(1, tests)
    return DriftForecast(
        patients=patients,
        deviation=deviation,
        releases=releases,
        columns=tuple(_smallest(one, patients, deviation, level) for one in columns),
    )


def _smallest(
    column: WatchedColumn, patients: float, deviation: float, level: float
) -> SmallestDrift:
    shares_at, most = _SHAPES[column.kind](column)
    ordered = column.parts if column.kind in _SHIFTED else 0
    pair = PairOfReleases(
        patients=(patients, patients), deviations=(deviation, deviation), ordered=ordered
    )
    before = shares_at(0.0)

    def seen(shift: float) -> bool:
        random = np.random.default_rng(0)
        after = shares_at(shift)
        null = NullDistances.at(pair, (before + after) / 2, level=level, random=random)
        index, step = pair.distances((before, after), _DRAWS, random)
        flagged = index > threshold(null.index, level)
        if step is not None and null.step is not None:
            flagged |= step > threshold(null.step, level)
        return bool(flagged.mean() >= _POWER)

    own_share = None if column.kind in _SHIFTED else float(before[-1])
    if not seen(most):
        return SmallestDrift(
            column=column.name, kind=column.kind, index=None, shift=None, share=own_share
        )
    low, high = 0.0, most
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    return SmallestDrift(
        column=column.name,
        kind=column.kind,
        index=_index(before, shares_at(high)),
        shift=high,
        share=own_share,
    )


def _index(before: Floats, after: Floats) -> float:
    """Returns the index of two distributions; parts that either has nobody in are left out."""
    both = (before > 0) & (after > 0)
    return float(((after - before)[both] * np.log(after[both] / before[both])).sum())


_Shape = tuple[Callable[[float], Floats], float]


def _number(column: WatchedColumn) -> _Shape:
    ends = np.linspace(-_REACH, _REACH, column.parts + 1)[1:-1]
    return _moved(ends), _FARTHEST


def _score(column: WatchedColumn) -> _Shape:
    ends = [_NORMAL.inv_cdf(place / column.parts) for place in range(1, column.parts)]
    return _moved(np.array(ends)), _FARTHEST


def _moved(ends: Floats) -> Callable[[float], Floats]:
    """Returns the shares of the bins between these ends, of a normal number that has moved."""

    def shares(shift: float) -> Floats:
        below = [_NORMAL.cdf(float(end) - shift) for end in ends]
        return np.diff([0.0, *below, 1.0])

    return shares


def _category(column: WatchedColumn) -> _Shape:
    even = 1 / column.parts

    def shares(shift: float) -> Floats:
        found = np.full(column.parts, even)
        found[0], found[-1] = even - shift, even + shift
        return found

    return shares, even * (1 - 1e-9)


def _label(column: WatchedColumn) -> _Shape:
    def shares(shift: float) -> Floats:
        ill = column.share + shift
        return np.array([1 - ill, ill])

    return shares, (1 - column.share) * (1 - 1e-9)


_SHAPES: dict[str, Callable[[WatchedColumn], _Shape]] = {
    "number": _number,
    "category": _category,
    "label": _label,
    "score": _score,
}
#: Kinds whose mean moves, and that have an order.
_SHIFTED = frozenset({"number", "score"})
