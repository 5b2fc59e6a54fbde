"""The alarm on use that looks like extraction of the model, by stated rules; pure, no I/O.

Whoever may ask a model as often as they like can train a copy of it from the answers (Tramer et
al. 2016, USENIX Security). Such a series of records differs from patients in one of these ways:

``daily-volume``       more records in 24 hours than the hospital declares for a day
``one-input-line``     records that are equal in all inputs but one number: that one is swept
``one-input-pairs``    a large share of records each equal to another in all inputs but one number
``uniform-inputs``     numbers spread evenly over a range, as drawn at random, in most columns
``boundary-search``    records that crowd ever closer to where the decision changes

A series of ordinary records, asked within the daily volume, raises no alarm, whoever asks and why:
no rule can tell. Nor can it be known whether a record was one of training. The figures of how often
each rule is wrong are measured (docs/inference.md).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DAILY_VOLUME = "daily-volume"
LINE, PAIRS = "one-input-line", "one-input-pairs"
UNIFORM, BOUNDARY = "uniform-inputs", "boundary-search"

Places = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class AlarmRules:
    """The numbers of the rules.

    Attributes:
        window: so many of a caller's newest records are looked at.
        least: so many must be there before a share of them means anything.
        line: so many different values of one number, all else equal, are a sweep.
        pairs: the share of records that have a neighbour in one number, from which on it is told.
        columns: so many columns there must be at least for ``line`` and ``pairs``.
        uniform_least: so many records there must be before columns are held to evenness over the
            declared range.
        own_least: so many, before they are held to evenness between their own least and greatest.
        uniform_share: the share of columns of numbers that must look even.
        distance: a column looks even where the largest distance of its distribution from the even
            one is at most ``distance / sqrt(records)`` (Kolmogorov 1933; 1.36 is 5 % too far).
        near: margins up to it count as near the decision.
        crowd: so many different records must be near.
        crowd_share: this share of them must lie within an eighth of ``near``; of a smooth spread
            an eighth does.
    """

    window: int = 256
    least: int = 40
    line: int = 8
    pairs: float = 0.5
    columns: int = 3
    uniform_least: int = 32
    own_least: int = 128
    uniform_share: float = 0.6
    distance: float = 1.36
    near: float = 0.08
    crowd: int = 24
    crowd_share: float = 0.4


class ExtractionWatch:
    """The watch over one caller's records; it remembers the newest of them, in memory alone.

    Args:
        is_number: (columns,) which inputs are numbers.
        rules: the numbers of the rules.
    """

    def __init__(self, is_number: NDArray[np.bool_], rules: AlarmRules | None = None) -> None:
        self._rules = rules or AlarmRules()
        self._is_number = is_number
        width = len(is_number)
        self._places = np.zeros((self._rules.window, width))
        self._margins = np.zeros(self._rules.window)
        self._has_pair = np.zeros(self._rules.window, dtype=np.bool_)
        self._taken = 0

    def look(self, places: Places, margins: NDArray[np.float64]) -> frozenset[str]:
        """Takes the records of one request, in order; returns the rules that they set off.

        Args:
            places: (records, columns), see ``InputPlaces``.
            margins: (records,) distances from the decision; NaN where there is none.
        """
        found: set[str] = set()
        step = max(1, self._rules.window // 4)
        for at, (one, margin) in enumerate(zip(places, margins, strict=True), start=1):
            found |= self._take(one, float(margin))
            if at % step == 0:
                found |= self._shares()
        return frozenset(found | self._shares())

    def _take(self, one: Places, margin: float) -> set[str]:
        """Takes one record; returns whether it completes a line."""
        rules, seen = self._rules, min(self._taken, self._rules.window)
        found: set[str] = set()
        pair = False
        if len(one) >= rules.columns and seen:
            differs = self._places[:seen] != one
            single = differs.sum(axis=1) == 1
            single &= differs[:, self._is_number].any(axis=1)
            pair = bool(single.any())
            if pair:
                self._has_pair[:seen] |= single
                found |= self._line(differs, single, seen)
        place = self._taken % rules.window
        self._places[place], self._margins[place] = one, margin
        self._has_pair[place] = pair
        self._taken += 1
        return found

    def _line(self, differs: NDArray[np.bool_], single: NDArray[np.bool_], seen: int) -> set[str]:
        """Returns the rule of lines where one number of a column now has enough values."""
        for column in np.flatnonzero(differs[single].any(axis=0)):
            values = np.unique(self._places[:seen][single & differs[:, column], column])
            if len(values) + 1 >= self._rules.line:
                return {LINE}
        return set()

    def _shares(self) -> set[str]:
        rules, seen = self._rules, min(self._taken, self._rules.window)
        found = set()
        if seen >= rules.least and self._has_pair[:seen].mean() >= rules.pairs:
            found.add(PAIRS)
        if seen >= rules.uniform_least and self._is_even(seen):
            found.add(UNIFORM)
        if seen >= rules.least and self._crowds(seen):
            found.add(BOUNDARY)
        return found

    def _is_even(self, seen: int) -> bool:
        columns = self._places[:seen, self._is_number].T
        if len(columns) < self._rules.columns:
            return False
        limit = self._rules.distance / np.sqrt(seen)
        even = [evenness(values) <= limit for values in columns]
        if seen >= self._rules.own_least:
            even = [
                one or evenness(_stretched(values)) <= limit
                for one, values in zip(even, columns, strict=True)
            ]
        return bool(sum(even) >= self._rules.uniform_share * len(even))

    def _crowds(self, seen: int) -> bool:
        both = np.column_stack([self._places[:seen], self._margins[:seen]])
        margins = np.unique(both, axis=0)[:, -1]
        near = margins[margins <= self._rules.near]
        close = np.count_nonzero(near <= self._rules.near / 8)
        many = len(near) >= self._rules.crowd
        return bool(many and close >= self._rules.crowd_share * len(near))


def evenness(values: NDArray[np.float64]) -> float:
    """Returns the largest distance of some values' distribution from the even one on [0, 1].

    >>> evenness(np.array([0.125, 0.375, 0.625, 0.875]))
    0.125
    """
    ordered, count = np.sort(values), len(values)
    above = np.arange(1, count + 1) / count - ordered
    below = ordered - np.arange(count) / count
    return float(max(above.max(), below.max()))


def _stretched(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns values with their own least at 0 and their greatest at 1."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else values
