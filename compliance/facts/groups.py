"""Facts about groups of patients: the figures of each, and the largest gaps between them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from compliance.estimates.interval import Interval
from compliance.estimates.largest_gap import LargestGap, largest_gap
from compliance.facts.figures import FigureKind


@dataclass(frozen=True, kw_only=True)
class GroupFacts:
    """One group of a grouping, such as the women of ``sex``.

    Attributes:
        grouping, group: their names, as the study has them.
        released: figures by name; ``patients`` says how many there are.
        exact: exact figures by name: simulation only, else empty.
        test_patients: how many there are exactly: simulation only.
    """

    grouping: str
    group: str
    released: Mapping[str, Interval]
    exact: Mapping[str, float | None]
    test_patients: int | None = None

    @property
    def name(self) -> str:
        """The group's name among those of all groupings."""
        return f"{self.grouping}: {self.group}"


def by_grouping(groups: Iterable[GroupFacts]) -> Mapping[str, tuple[GroupFacts, ...]]:
    """Returns the groups of each grouping, in their order."""
    found: dict[str, tuple[GroupFacts, ...]] = {}
    for group in groups:
        found[group.grouping] = (*found.get(group.grouping, ()), group)
    return found


def group_gaps(
    groups: Iterable[GroupFacts], kinds: Iterable[FigureKind]
) -> Mapping[str, Mapping[str, LargestGap | None]]:
    """Returns by grouping and figure the largest gap; None where fewer than two are known.

    The groupings are asked together: all gaps of one figure hold at once, whatever patients two
    groupings share.
    """
    groupings = by_grouping(groups)
    return {
        grouping: {
            kind.name: largest_gap(
                {
                    one.group: one.released[kind.name]
                    for one in members
                    if kind.name in one.released
                },
                families=len(groupings),
            )
            for kind in kinds
        }
        for grouping, members in groupings.items()
    }
