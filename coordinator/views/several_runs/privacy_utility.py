"""Utility against epsilon: the figures of runs and pooled references as points of one chart.

Runs that ask the same may have learned otherwise: in more rounds, say. Where several studies of one
mode of privacy differ by more than epsilon and seeds, each point is named by its study.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from compliance.facts.privacy_utility import EXACT, RELEASED, UtilityPoint, Withheld
from coordinator.views.one_run.run_summary import RunSummary
from coordinator.views.one_run.simulated import Reference

#: A study's digest is told by so many of its digits, where two have one name.
_DIGITS = 8


def utility_points(
    runs: Sequence[RunSummary], references: Sequence[Reference]
) -> tuple[UtilityPoint, ...]:
    """Returns a point for every figure that runs and references have."""
    names, pooled = study_names(runs), study_names(references)
    return (
        *(point for run in runs for point in points_of(run, _name(run, names))),
        *(point for one in references for point in _reference_points(one, _name(one, pooled))),
    )


def withheld_figures(runs: Sequence[RunSummary]) -> tuple[Withheld, ...]:
    """Returns the runs whose headline figure was withheld, and why."""
    names = study_names(runs)
    return tuple(
        Withheld(
            epsilon=run.epsilon, seed=run.seed, mode=run.mode, study=_name(run, names),
            why=run.released.note,
        )
        for run in runs
        if run.released is not None and run.released.value is None and not run.test_noise
    )  # fmt: skip


def study_names(runs: Iterable[RunSummary | Reference]) -> Mapping[tuple[str, str], str]:
    """Returns by mode and settings what a study is called, where a mode has several settings.

    It is the name of the last of its runs, which are listed newest first; with the beginning of
    that study's digest where two have one name. Runs with fixed test noise have no point.
    """
    found = {
        (one.mode, one.settings): one
        for one in runs
        if isinstance(one, Reference) or not one.test_noise
    }
    num_settings = Counter(mode for mode, _ in found)
    several = {key: one for key, one in found.items() if num_settings[key[0]] > 1}
    alike = Counter((mode, one.study_name) for (mode, _), one in several.items())
    return {
        key: one.study_name
        if alike[key[0], one.study_name] == 1
        else f"{one.study_name} ({one.study_digest[:_DIGITS]})"
        for key, one in several.items()
    }


def _name(one: RunSummary | Reference, names: Mapping[tuple[str, str], str]) -> str:
    return names.get((one.mode, one.settings), "")


def points_of(run: RunSummary, study: str = "") -> list[UtilityPoint]:
    """Returns the run's figures; none with fixed test noise, nor one that was withheld."""
    if run.test_noise:
        return []
    facts: dict[str, Any] = {
        "epsilon": run.epsilon, "seed": run.seed, "mode": run.mode, "split": run.split,
        "figure": run.figure, "study": study,
    }  # fmt: skip
    points = []
    if run.exact is not None:
        points.append(UtilityPoint(value=run.exact, kind=EXACT, **facts))
    released = run.released
    if released is not None and released.value is not None:
        points.append(
            UtilityPoint(
                value=released.value, low=released.low, high=released.high, kind=RELEASED, **facts
            )
        )
    return points


def _reference_points(found: Reference, study: str) -> list[UtilityPoint]:
    value = found.figures[found.figure.name]
    if value is None:
        return []
    return [
        UtilityPoint(
            epsilon=found.epsilon,
            seed=found.seed,
            value=value,
            kind=EXACT,
            figure=found.figure,
            mode=found.mode,
            split=found.split,
            study=study,
        )
    ]
