"""Figures of groups of patients, and which of them are too small to be shown.

Rules:

1. A group of fewer than ``FEWEST`` patients, as the noised counts have it, is withheld: its
   figures, and how many they are.
2. Where one group only of a grouping is withheld, or where those that are have fewer than
   ``FEWEST`` patients together, so is the smallest of the others: the first, or their sum, would
   follow from the rest and from all patients (complementary suppression).

Source: Hundepool et al. 2012, Statistical Disclosure Control, ch. 4 (cells, complementary cells).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from compliance.estimates.interval import Z95, Interval

#: A group of fewer patients is withheld.
FEWEST = 10.0
SMALL = f"fewer than {FEWEST:g} patients"
COMPLEMENTARY = "withheld: a smaller group would follow from it"
#: The figure that says how many patients a group has.
PATIENTS = "patients"


@dataclass(frozen=True, kw_only=True)
class GroupFigures:
    """The released figures of one group of patients.

    Attributes:
        grouping: how patients are told apart, as the study names it: ``sex``.
        group: the group's name: ``women``.
        figures: by name; ``patients`` says how many there are.
    """

    grouping: str
    group: str
    figures: Mapping[str, Interval]

    def to_json(self) -> dict[str, Any]:
        """Returns the figures as JSON has them; undone by ``from_json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "GroupFigures":
        """Returns the figures that ``to_json`` gave."""
        figures = {name: Interval(**found) for name, found in kept["figures"].items()}
        return cls(grouping=kept["grouping"], group=kept["group"], figures=figures)


def number_of_patients(count: float, deviation: float, cells: int = 1) -> Interval:
    """Returns a number of patients, the sum of so many noised counts, with its interval.

    >>> number_of_patients(120.0, 2.0, 4).low
    112.16014406...
    """
    if not deviation:
        return Interval(value=count, low=None, high=None)
    half = Z95 * deviation * math.sqrt(cells)
    return Interval(value=max(0.0, count), low=max(0.0, count - half), high=max(0.0, count + half))


def with_small_groups_withheld(
    grouping: str, found: Mapping[str, Mapping[str, Interval]]
) -> tuple[GroupFigures, ...]:
    """Returns the figures of a grouping's groups, without those that the rules withhold.

    Args:
        grouping: its name.
        found: by group, the figures by name; each has ``patients``.
    """
    sizes = {group: figures[PATIENTS].value or 0.0 for group, figures in found.items()}
    notes = {group: SMALL for group, size in sizes.items() if size < FEWEST}
    together = sum(max(0.0, sizes[group]) for group in notes)
    left = [group for group in sizes if group not in notes]
    if left and (len(notes) == 1 or 0 < together < FEWEST):
        notes[min(left, key=sizes.__getitem__)] = COMPLEMENTARY
    return tuple(
        GroupFigures(
            grouping=grouping,
            group=group,
            figures=withheld(figures, notes[group]) if group in notes else figures,
        )
        for group, figures in found.items()
    )


def withheld(figures: Mapping[str, Interval], note: str) -> dict[str, Interval]:
    """Returns the same figures, each withheld for this reason."""
    return {name: Interval.withheld(note) for name in figures}
