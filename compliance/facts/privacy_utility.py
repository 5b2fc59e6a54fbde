"""Utility against privacy: what one run achieved, and what several runs say together.

Kept apart from the charts, so that the coordinator can hand these facts out
without a charting library in its process.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from compliance.estimates.interval import longer_side
from compliance.facts.figures import AUROC, FigureKind

EXACT = "exact (simulation only)"
RELEASED = "released"

PER_SITE, DISTRIBUTED, NONE, POOLED = "per_site", "distributed", "none", "pooled"
#: The modes in the order in which they are shown, and what people read.
MODES = {
    PER_SITE: "per-site noise",
    DISTRIBUTED: "shared noise",
    POOLED: "pooled reference (simulation only)",
    NONE: "no privacy",
}
_ORDER = {mode: place for place, mode in enumerate(MODES)}
#: What is said of a run that diverged, or whose figure is next to chance.
NO_BETTER = "no better than chance"


@dataclass(frozen=True, kw_only=True)
class UtilityPoint:
    """The figure that one run reached on its test patients.

    ``figure`` says which: the headline of the study's task. ``epsilon`` is the claim for
    one patient, None when the run trained without privacy; ``kind`` is ``EXACT`` or
    ``RELEASED``. ``mode`` says what protected
    the patients; ``POOLED`` is no run of a consortium but a reference with all
    records in one place. ``split`` tells one split of the patients into training and
    test from another; 0 where the study or the hospitals themselves fix it. ``study`` names the
    study where runs of this mode differ by more than epsilon and seeds, else it is empty. ``low``
    and ``high`` are the 95 % interval of a released figure, None for an exact one.

    Raises:
        ValueError: a figure is not a finite number, or kind or mode are unknown.
    """

    epsilon: float | None
    seed: int
    value: float
    kind: str
    mode: str
    figure: FigureKind = AUROC
    split: int = 0
    study: str = ""
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.epsilon is not None and not 0 < self.epsilon < math.inf:
            raise ValueError(f"epsilon must be finite and positive, got {self.epsilon!r}")
        if not math.isfinite(self.value):
            raise ValueError(f"a figure is a finite number, got {self.value!r}")
        if self.kind not in (EXACT, RELEASED):
            raise ValueError(f"kind must be {EXACT!r} or {RELEASED!r}, got {self.kind!r}")
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {self.mode!r}")
        if self.mode != POOLED and (self.mode == NONE) != (self.epsilon is None):
            raise ValueError(f"mode {self.mode} does not go with epsilon {self.epsilon}")

    @property
    def is_next_to_chance(self) -> bool:
        """True for an exact AUROC below 0.55, and a released one whose interval holds 0.5.

        So of any figure with a value that is chance; False of others.
        """
        chance = self.figure.chance
        if self.kind != RELEASED:
            return self.figure.is_next_to_chance(self.value)
        if chance is None or self.low is None or self.high is None:
            return False
        worst = self.low if self.figure.higher_is_better else self.high
        return self.figure.lead(worst, chance) <= 0


@dataclass(frozen=True, kw_only=True)
class Withheld:
    """A finished run whose released figure was withheld, and why: it stands in no mean."""

    epsilon: float | None
    seed: int
    mode: str
    why: str
    study: str = ""


@dataclass(frozen=True, kw_only=True)
class UtilityLevel:
    """All runs of one kind, mode and study at one epsilon: mean, and the range of the runs.

    ``study`` is as in ``UtilityPoint``.

    ``num_withheld`` further runs released nothing, and ``why`` says the reason: the
    mean is over the others alone. ``num_next_to_chance`` of the runs are no better than chance.
    """

    epsilon: float | None
    kind: str
    mode: str
    mean: float
    low: float
    high: float
    num_runs: int
    study: str = ""
    num_withheld: int = 0
    why: str = ""
    num_next_to_chance: int = 0

    @property
    def is_reference(self) -> bool:
        """Whether others may be held against it: none of its runs is no better than chance."""
        return not self.num_next_to_chance


def utility_levels(
    points: Sequence[UtilityPoint], withheld: Sequence[Withheld] = ()
) -> tuple[UtilityLevel, ...]:
    """Returns a level for each kind, mode, study and epsilon, in this order; epsilon rises.

    Runs without privacy come last of their mode: no privacy is epsilon without bound.

    >>> figures = enumerate([0.8, 0.9])
    >>> runs = [
    ...     UtilityPoint(epsilon=1.0, seed=s, value=a, kind=EXACT, mode=PER_SITE)
    ...     for s, a in figures
    ... ]
    >>> [(level.epsilon, round(level.mean, 3), level.num_runs) for level in utility_levels(runs)]
    [(1.0, 0.85, 2)]
    """
    groups: dict[tuple[str, int, str, float], list[UtilityPoint]] = {}
    for point in points:
        epsilon = math.inf if point.epsilon is None else point.epsilon
        place = point.kind, _ORDER[point.mode], point.study, epsilon
        groups.setdefault(place, []).append(point)
    levels = (_level(group) for _, group in sorted(groups.items(), key=lambda item: item[0]))
    return tuple(_without(level, withheld) for level in levels)


def _without(level: UtilityLevel, withheld: Sequence[Withheld]) -> UtilityLevel:
    """Returns a level with the runs that are missing in its mean."""
    if level.kind != RELEASED:
        return level
    place = level.mode, level.study, level.epsilon
    own = [one for one in withheld if (one.mode, one.study, one.epsilon) == place]
    return replace(level, num_withheld=len(own), why=reasons(own))


def wholly_withheld(
    points: Sequence[UtilityPoint], withheld: Sequence[Withheld]
) -> tuple[tuple[Withheld, ...], ...]:
    """Returns the groups of one mode, study and epsilon of which no run released a figure."""
    known = {(p.mode, p.study, p.epsilon) for p in points if p.kind == RELEASED}
    groups: dict[tuple[int, str, float], list[Withheld]] = {}
    for one in withheld:
        if (one.mode, one.study, one.epsilon) not in known:
            epsilon = math.inf if one.epsilon is None else one.epsilon
            groups.setdefault((_ORDER[one.mode], one.study, epsilon), []).append(one)
    return tuple(tuple(group) for _, group in sorted(groups.items()))


def reasons(withheld: Sequence[Withheld]) -> str:
    """Returns why runs were withheld, each reason once."""
    return ", ".join(sorted({one.why for one in withheld}))


def supports_line(points: Sequence[UtilityPoint]) -> bool:
    """Whether a line may join the means of these points, of one kind, mode and study.

    Exact figures: always. Released ones: only where the means at the smallest and
    the largest epsilon differ by more than the 95 % interval of a difference
    between two runs. That is sqrt(2) times the longest side of an interval: more seeds do
    not make it narrower, for they are tested on the same patients, nor does a bound at
    which it ends.

    >>> def run(epsilon, value, half):
    ...     return UtilityPoint(epsilon=epsilon, seed=1, value=value, kind=RELEASED, mode=PER_SITE,
    ...                         low=value - half, high=value + half)
    >>> supports_line([run(0.5, 0.7, 0.05), run(2.0, 0.8, 0.05)])
    True
    >>> supports_line([run(0.5, 0.7, 0.2), run(2.0, 0.8, 0.05)])
    False
    """
    released = [p for p in points if p.kind == RELEASED and p.epsilon is not None]
    if not released:
        return True
    sides = [
        longer_side(p.value, p.low, p.high)
        for p in released
        if p.low is not None and p.high is not None
    ]
    if len(sides) < len(released):
        return False
    means = [level.mean for level in utility_levels(released)]
    return abs(means[-1] - means[0]) > math.sqrt(2) * max(sides)


def means_tell(level: UtilityLevel, points: Sequence[UtilityPoint]) -> bool:
    """Whether a level's mean may be given: as ``supports_line`` says of its points."""
    own = level.kind, level.mode, level.study
    return supports_line([p for p in points if (p.kind, p.mode, p.study) == own])


def studies_in(points: Sequence[UtilityPoint]) -> tuple[tuple[str, str], ...]:
    """Returns the modes and studies of these points, in the order in which they are shown."""
    return tuple(sorted({(p.mode, p.study) for p in points}, key=lambda o: (_ORDER[o[0]], o[1])))


def names_studies(points: Sequence[UtilityPoint | Withheld]) -> bool:
    """Whether runs of one mode differ by more than epsilon and seeds, so that studies are named."""
    return any(point.study for point in points)


def _level(group: Sequence[UtilityPoint]) -> UtilityLevel:
    reached = [point.value for point in group]
    return UtilityLevel(
        epsilon=group[0].epsilon,
        kind=group[0].kind,
        mode=group[0].mode,
        mean=statistics.fmean(reached),
        low=min(reached),
        high=max(reached),
        num_runs=len(reached),
        study=group[0].study,
        num_next_to_chance=sum(point.is_next_to_chance for point in group),
    )


def figure_of(points: Sequence[UtilityPoint]) -> FigureKind:
    """Returns the figure of points that ask the same question; the AUROC of none."""
    return points[0].figure if points else AUROC


def compares_modes(points: Sequence[UtilityPoint]) -> bool:
    """Whether the points tell one mode of privacy from another, or from a pooled reference."""
    modes = {point.mode for point in points} - {NONE}
    return POOLED in modes or len(modes) > 1


def best_known(points: Sequence[UtilityPoint]) -> tuple[UtilityPoint, ...]:
    """Returns the points to compare modes by: the exact ones, or where there are none, all."""
    exact = tuple(point for point in points if point.kind == EXACT)
    return exact or tuple(points)
