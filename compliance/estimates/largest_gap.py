"""The largest gap between hospitals, or other groups, with an interval for all pairs together.

The figures of many hospitals always differ, by chance and noise alone; and the two that lie
furthest apart were chosen because they do. Rules:

1. The interval is simultaneous: in 95 of 100 evaluations the true gaps of all pairs lie within
   their bounds at once (Bonferroni), so it holds for the pair that was chosen, too.
2. A gap is *shown* where its interval does not reach 0. Two hospitals of equal quality are shown
   to differ in at most 5 of 100 evaluations, however unequal their sizes.
3. ``detectable`` says what these numbers of patients and this noise could have shown at all: a
   true gap of that size, between the two figures that are known best, is shown in 80 of 100.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from compliance.estimates.interval import Z95, Interval

#: A hundredth of the 5 is left for what intervals of few patients miss beyond their own.
_MISSES, _POWER = 0.04, 0.8


@dataclass(frozen=True, kw_only=True)
class LargestGap:
    """The largest gap of one figure between two of several groups.

    Attributes:
        highest, lowest: the groups with the highest and the lowest value; of few patients, they
            need not be two that are shown to differ.
        shown_between: the two of which ``low`` is the bound; None where no gap is shown.
        value: by how much they differ.
        low, high: bounds of the largest true gap, for all pairs together.
        detectable: the least true gap that would be shown in 80 of 100 evaluations, between the
            two groups that are known best.
        detectable_here: the same between these two.
        groups: how many groups were compared.
        spread: the deviation of the groups' true values, as far as chance and noise do not
            explain how they differ; 0 where these explain all of it.
    """

    highest: str
    lowest: str
    value: float
    low: float
    high: float
    detectable: float
    detectable_here: float
    groups: int
    spread: float = 0.0
    shown_between: tuple[str, str] | None = None

    @property
    def is_shown(self) -> bool:
        """Whether its interval leaves out 0: chance and noise alone do not explain it."""
        return self.low > 0

    def to_json(self) -> dict[str, Any]:
        """Returns the gap as JSON has it."""
        between = None if self.shown_between is None else [*self.shown_between]
        return asdict(self) | {"shown_between": between, "is_shown": self.is_shown}


def largest_gap(found: Mapping[str, Interval], *, families: int = 1) -> LargestGap | None:
    """Returns the largest gap between groups; None where fewer than two figures are known.

    Args:
        found: by group, the figure with its 95 % interval; errors of different groups are
            independent.
        families: how many such comparisons are made of one figure, this one among them; all of
            them then hold at once, and errors of different ones may depend on each other.

    >>> figures = {"a": Interval(value=0.9, low=0.85, high=0.95),
    ...            "b": Interval(value=0.6, low=0.5, high=0.7)}
    >>> gap = largest_gap(figures)
    >>> gap.highest, round(gap.value, 2), round(gap.low, 2), gap.is_shown
    ('a', 0.3, 0.18, True)

    Source: Newcombe 1998, Statistics in Medicine 17, method 10 (square and add).
    """
    known = {
        name: (one.value, one.value - one.low, one.high - one.value)
        for name, one in sorted(found.items())
        if one.value is not None and one.low is not None and one.high is not None
    }
    if len(known) < 2:
        return None
    names = list(itertools.permutations(known, 2))
    pairs = [(known[upper], known[lower]) for upper, lower in names]
    sides = len(pairs) * families  # each pair once, both its sides
    wide = NormalDist().inv_cdf(1 - _MISSES / sides)
    wider = wide / Z95
    bounds = [
        (
            upper[0] - lower[0] - wider * math.hypot(upper[1], lower[2]),
            upper[0] - lower[0] + wider * math.hypot(upper[2], lower[1]),
        )
        for upper, lower in pairs
    ]
    highest = max(known, key=lambda name: known[name][0])
    lowest = min(reversed(known), key=lambda name: known[name][0])  # of equal ones another
    sure = (wide + NormalDist().inv_cdf(_POWER)) / Z95
    best_known = min(_half(one, other) for one, other in pairs)
    surest = int(np.argmax([low for low, _ in bounds]))
    least = bounds[surest][0]
    return LargestGap(
        highest=highest,
        lowest=lowest,
        value=known[highest][0] - known[lowest][0],
        low=max(0.0, least),
        high=max(high for _, high in bounds),
        detectable=best_known * sure,
        detectable_here=_half(known[highest], known[lowest]) * sure,
        groups=len(known),
        spread=_spread([*known.values()]),
        shown_between=names[surest] if least > 0 else None,
    )


def _half(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """Returns half the width of the interval of the difference of two figures."""
    return math.hypot(one[1] + one[2], other[1] + other[2]) / 2


def _spread(known: Sequence[tuple[float, float, float]]) -> float:
    """Returns the deviation between groups beyond that of their errors, by the method of moments.

    Source: DerSimonian and Laird 1986, Controlled Clinical Trials 7.
    """
    values = np.array([value for value, _, _ in known])
    errors = np.array([(low + high) / 2 / Z95 for _, low, high in known])
    weights = 1 / np.maximum(errors, 1e-9) ** 2
    mean = float(weights @ values / weights.sum())
    excess = float(weights @ (values - mean) ** 2) - (len(known) - 1)
    room = float(weights.sum() - (weights**2).sum() / weights.sum())
    return math.sqrt(max(0.0, excess / room)) if room > 0 else 0.0
