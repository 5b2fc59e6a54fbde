"""Comparison of two modes of privacy: paired over repetitions, with 95 % intervals.

Runs of one seed and one split begin with the same parameters and test the same
patients, so differences are taken repetition by repetition. The interval is
Student's t:

* over the splits, where the runs have several, each counting once with the mean of
  its seeds: it contains the variance of the split of these patients;
* over the seeds, where all runs have one split: it says how sure the mean is over
  repetitions of the training, and does not contain the variance of the split.

Neither is about other patients than these.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from scipy.special import stdtrit  # type: ignore[import-untyped]  # ships no types

from compliance.facts.figures import FigureKind
from compliance.facts.privacy_utility import (
    DISTRIBUTED,
    NONE,
    PER_SITE,
    POOLED,
    RELEASED,
    UtilityPoint,
    Withheld,
    best_known,
    figure_of,
    reasons,
    studies_in,
    utility_levels,
    wholly_withheld,
)

SEEDS, SPLITS = "seeds", "splits"
#: Of two values Student's t has one degree of freedom: its interval says nothing.
FEWEST = 3

#: One repetition of a study: its split and its seed.
Repetition: TypeAlias = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class SeedMean:
    """A mean and its 95 % interval, which fewer than ``FEWEST`` values do not have.

    ``count`` says of how many values, ``over`` whether those are ``SEEDS`` of one split
    of the patients or ``SPLITS``.
    """

    mean: float
    low: float | None
    high: float | None
    count: int
    over: str = SEEDS


def estimate(values: Sequence[float], over: str = SEEDS) -> SeedMean:
    """Returns the mean and its 95 % t-interval.

    >>> found = estimate([1.0, 2.0, 3.0])
    >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3)
    (2.0, -0.484, 4.484)

    Raises:
        ValueError: there is no value.

    Source: Student 1908; the two-sided 0.975 quantile with n - 1 degrees of freedom.
    """
    if not values:
        raise ValueError("a mean needs at least one value")
    mean, count = statistics.fmean(values), len(values)
    if count < FEWEST:
        return SeedMean(mean=mean, low=None, high=None, count=count, over=over)
    half = float(stdtrit(count - 1, 0.975)) * statistics.stdev(values) / math.sqrt(count)
    return SeedMean(mean=mean, low=mean - half, high=mean + half, count=count, over=over)


def repeated(runs: Mapping[Repetition, float]) -> SeedMean:
    """Returns the estimate over the splits of these runs, or over their seeds if all have one.

    >>> repeated({(7, 1): 0.8, (7, 2): 0.9, (8, 1): 0.7, (8, 2): 0.7}).count
    2
    """
    splits: dict[int, list[float]] = {}
    for (split, _), value in runs.items():
        splits.setdefault(split, []).append(value)
    if len(splits) == 1:
        return estimate(list(runs.values()))
    return estimate([statistics.fmean(values) for values in splits.values()], SPLITS)


def over_of(points: Sequence[UtilityPoint]) -> str:
    """Returns what the means of these points are over: ``SEEDS`` or ``SPLITS``."""
    return SPLITS if len({point.split for point in points}) > 1 else SEEDS


@dataclass(frozen=True, kw_only=True)
class Reached:
    """The figure of one mode at one epsilon (None: without privacy) over all repetitions.

    ``study`` is as in ``UtilityPoint``.
    """

    mode: str
    epsilon: float | None
    value: SeedMean
    study: str = ""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The lead of ``mode`` over ``than`` at one epsilon, over the repetitions of both.

    Above zero ``mode`` is the better one, of an error too.
    """

    mode: str
    than: str
    epsilon: float | None
    value: SeedMean


@dataclass(frozen=True, kw_only=True)
class Gap:
    """The loss of per-site noise against the pooled reference at one epsilon.

    ``closed`` is the part of it that shared noise wins back, over the repetitions of
    all three. None where shared noise was not run, or where the interval of
    what is lost does not lie above zero: then there may be nothing to close.
    """

    epsilon: float
    lost: SeedMean
    closed: float | None


def reached(points: Sequence[UtilityPoint]) -> tuple[Reached, ...]:
    """Returns what every mode reached at every epsilon; no privacy comes last.

    No interval goes beyond what the figure can be.
    """
    figure = figure_of(points)
    return tuple(
        Reached(mode=mode, study=study, epsilon=epsilon, value=_bounded(repeated(runs), figure))
        for epsilon, studies in _by_epsilon(points)
        for (mode, study), runs in studies.items()
    )


def _bounded(found: SeedMean, figure: FigureKind) -> SeedMean:
    low, high = found.low, found.high
    if low is not None and figure.low is not None:
        low = max(low, figure.low)
    if high is not None and figure.high is not None:
        high = min(high, figure.high)
    return replace(found, low=low, high=high)


def differences(points: Sequence[UtilityPoint]) -> tuple[Difference, ...]:
    """Returns every two modes' paired difference at every epsilon that both were run at.

    A reference of which a run is no better than chance is compared with nothing, nor is a mode in
    which runs of several studies reached that epsilon: which of them would it be?
    """
    found, figure = [], figure_of(points)
    for epsilon, studies in _by_epsilon(points):
        modes = _of_one_study(studies)
        names = [mode for mode, runs in modes.items() if _can_be_compared(mode, runs, figure)]
        for place, mode in enumerate(names):
            for than in names[:place]:
                paired = _paired(modes[mode], modes[than], figure)
                if paired:
                    found.append(
                        Difference(mode=mode, than=than, epsilon=epsilon, value=repeated(paired))
                    )
    return tuple(found)


def gaps(points: Sequence[UtilityPoint]) -> tuple[Gap, ...]:
    """Returns, where per-site noise and a pooled reference were run, how much of the gap closes."""
    found, figure = [], figure_of(points)
    for epsilon, studies in _by_epsilon(points):
        modes = _of_one_study(studies)
        if epsilon is None or not {PER_SITE, POOLED} <= set(modes):
            continue
        if not _can_be_compared(POOLED, modes[POOLED], figure):
            continue
        paired = _paired(modes[POOLED], modes[PER_SITE], figure)
        if paired:
            lost = repeated(paired)
            is_lost = lost.low is not None and lost.low > 0
            found.append(
                Gap(epsilon=epsilon, lost=lost, closed=_closed(modes, figure) if is_lost else None)
            )
    return tuple(found)


def _of_one_study(
    studies: Mapping[tuple[str, str], dict[Repetition, float]],
) -> dict[str, dict[Repetition, float]]:
    """Returns by mode the runs of those modes that have one study."""
    modes = [mode for mode, _ in studies]
    return {mode: runs for (mode, _), runs in studies.items() if modes.count(mode) == 1}


def _can_be_compared(mode: str, runs: Mapping[Repetition, float], figure: FigureKind) -> bool:
    return mode not in (POOLED, NONE) or not any(map(figure.is_next_to_chance, runs.values()))


def _closed(modes: dict[str, dict[Repetition, float]], figure: FigureKind) -> float | None:
    common = set.intersection(*(set(modes.get(m, ())) for m in (PER_SITE, DISTRIBUTED, POOLED)))
    if not common:
        return None
    local, shared, pooled = (
        statistics.fmean(modes[mode][run] for run in common)
        for mode in (PER_SITE, DISTRIBUTED, POOLED)
    )
    lost = figure.lead(pooled, local)
    return figure.lead(shared, local) / lost if lost > 0 else None


def _paired(
    first: dict[Repetition, float], second: dict[Repetition, float], figure: FigureKind
) -> dict[Repetition, float]:
    common = sorted(first.keys() & second.keys())
    return {run: figure.lead(first[run], second[run]) for run in common}


def _by_epsilon(
    points: Sequence[UtilityPoint],
) -> list[tuple[float | None, dict[tuple[str, str], dict[Repetition, float]]]]:
    """Returns, by rising epsilon, the figure of each mode and study by repetition.

    One run twice counts once.
    """
    known = best_known(points)
    reached: dict[float, dict[tuple[str, str], dict[Repetition, list[float]]]] = {}
    for point in known:
        epsilon = math.inf if point.epsilon is None else point.epsilon
        runs = reached.setdefault(epsilon, {}).setdefault((point.mode, point.study), {})
        runs.setdefault((point.split, point.seed), []).append(point.value)
    return [
        (
            None if math.isinf(epsilon) else epsilon,
            {
                one: {run: statistics.fmean(values) for run, values in studies[one].items()}
                for one in studies_in(known)
                if one in studies
            },
        )
        for epsilon, studies in sorted(reached.items())
    ]


def next_to_chance(points: Sequence[UtilityPoint]) -> dict[tuple[str, str, float | None], int]:
    """Returns how many runs of each mode, study and epsilon are no better than chance."""
    return {
        (level.mode, level.study, level.epsilon): level.num_next_to_chance
        for level in utility_levels(best_known(points))
    }


def num_missing(
    points: Sequence[UtilityPoint],
    withheld: Sequence[Withheld],
    epsilon: float | None,
    *modes: str,
    study: str | None = None,
) -> int:
    """Returns how many runs of these modes at an epsilon are in no mean, being withheld.

    ``study`` is the one that is asked about; None for any.
    """
    if not any(point.kind == RELEASED for point in best_known(points)):
        return 0
    return sum(
        one.epsilon == epsilon and one.mode in modes and study in (None, one.study)
        for one in withheld
    )


def comparison_json(
    points: Sequence[UtilityPoint], withheld: Sequence[Withheld] = ()
) -> dict[str, Any]:
    """Returns levels, differences and gaps as JSON; intervals are ``[low, high]`` or null.

    ``released`` has the released means, each with how many runs it is over, how many
    were withheld, and why; ``next_to_chance`` counts a level's runs that are no better. ``study``
    is null unless runs of that mode differ by more than epsilon and seeds.
    """
    useless, name = next_to_chance(points), figure_of(points).name
    return {
        "figure": name,
        "intervals_over": over_of(points),
        "released": [
            *(
                {
                    "mode": v.mode,
                    "study": v.study or None,
                    "epsilon": v.epsilon,
                    "mean": v.mean,
                    "runs": v.num_runs,
                    "withheld": v.num_withheld,
                    "why": v.why or None,
                }
                for v in utility_levels(points, withheld)
                if v.kind == RELEASED
            ),
            *(
                {
                    "mode": group[0].mode,
                    "study": group[0].study or None,
                    "epsilon": group[0].epsilon,
                    "mean": None,
                    "runs": 0,
                    "withheld": len(group),
                    "why": reasons(group),
                }
                for group in wholly_withheld(points, withheld)
            ),
        ],
        "levels": [
            {
                "mode": r.mode,
                "study": r.study or None,
                "epsilon": r.epsilon,
                name: _json(r.value),
                "withheld": num_missing(points, withheld, r.epsilon, r.mode, study=r.study),
                "next_to_chance": useless[r.mode, r.study, r.epsilon],
            }
            for r in reached(points)
        ],
        "differences": [
            {
                "mode": d.mode,
                "than": d.than,
                "epsilon": d.epsilon,
                name: _json(d.value),
                "withheld": num_missing(points, withheld, d.epsilon, d.mode, d.than),
            }
            for d in differences(points)
        ],
        "gaps": [
            {"epsilon": g.epsilon, "lost": _json(g.lost), "closed": g.closed} for g in gaps(points)
        ],
    }


def _json(found: SeedMean) -> dict[str, Any]:
    interval = None if found.low is None else [found.low, found.high]
    return {"mean": found.mean, "interval": interval, "over": found.over, "count": found.count}
