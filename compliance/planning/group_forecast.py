"""Forecast of groups of patients: the smallest that is shown, and the gaps that would be seen.

It asks the functions that make the released figures, of the counts that are to be expected: so a
group is shown here where it would be shown there.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from compliance.estimates.groups import FEWEST
from compliance.estimates.interval import Interval
from compliance.estimates.largest_gap import largest_gap

#: The figures by name, with their intervals, of a usual group of so many test patients.
GroupReader: TypeAlias = Callable[[float], Mapping[str, Interval]]
#: No consortium has a larger group.
_MOST = 1 << 26


@dataclass(frozen=True, kw_only=True)
class GroupingForecast:
    """The forecast of one grouping, whose groups are taken to be of one size.

    Attributes:
        grouping: its name.
        groups: how many it has.
        size: the test patients of each.
        gaps: by figure, the least true gap between two of them that would be shown in 80 of 100
            evaluations; None where groups of this size are not shown.
    """

    grouping: str
    groups: int
    size: float
    gaps: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class GroupForecast:
    """The forecast of a study's groups of patients.

    Attributes:
        patients: the test patients of the hospitals that count groups.
        deviation: the noise in each count, in patients.
        smallest: by figure, the test patients of the smallest group of which it is shown; None
            where no group is large enough.
        groupings: in the study's order.
    """

    patients: float
    deviation: float
    smallest: Mapping[str, int | None]
    groupings: tuple[GroupingForecast, ...]


def forecast_groups(
    read: GroupReader,
    *,
    figures: Sequence[str],
    groupings: Mapping[str, int],
    patients: float,
    deviation: float,
) -> GroupForecast:
    """Returns what an evaluation could say of groups.

    Args:
        read: makes the figures of a group.
        figures: the names of those that are forecast.
        groupings: by name, how many groups each has.
        patients: the test patients of all groups of a grouping together.
        deviation: the noise in each count, in patients.
    """
    return GroupForecast(
        patients=patients,
        deviation=deviation,
        smallest={figure: _smallest(read, figure) for figure in figures},
        groupings=tuple(
            GroupingForecast(
                grouping=name,
                groups=groups,
                size=patients / groups,
                gaps=_gaps(read(patients / groups), figures, groups, len(groupings)),
            )
            for name, groups in groupings.items()
        ),
    )


def _smallest(read: GroupReader, figure: str) -> int | None:
    """Returns the size from which on a figure is shown, by halving what lies between."""

    def is_shown(patients: int) -> bool:
        return read(float(patients))[figure].value is not None

    low, high = math.ceil(FEWEST) - 1, math.ceil(FEWEST)
    while not is_shown(high):
        low, high = high, 2 * high
        if high > _MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_shown(middle) else (middle, high)
    return high


def _gaps(
    found: Mapping[str, Interval], figures: Sequence[str], groups: int, families: int
) -> dict[str, float | None]:
    """Returns the least gap that would be seen between groups with these figures."""
    gaps = {}
    for figure in figures:
        same = {str(place): found[figure] for place in range(groups)}
        gap = largest_gap(same, families=families)
        gaps[figure] = None if gap is None else gap.detectable
    return gaps
