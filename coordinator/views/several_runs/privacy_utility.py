"""Utility against epsilon: the figures of runs and pooled references as points of one chart."""

from collections.abc import Iterable
from typing import Any

from compliance.facts.privacy_utility import EXACT, RELEASED, UtilityPoint, Withheld
from coordinator.views.one_run.run_summary import RunSummary
from coordinator.views.one_run.simulated import Reference


def utility_points(
    runs: Iterable[RunSummary], references: Iterable[Reference]
) -> tuple[UtilityPoint, ...]:
    """Returns a point for every figure that runs and references have."""
    return (
        *(point for run in runs for point in points_of(run)),
        *(point for reference in references for point in _reference_points(reference)),
    )


def points_of(run: RunSummary) -> list[UtilityPoint]:
    """Returns the run's figures; none with fixed test noise, nor one that was withheld."""
    if run.test_noise:
        return []
    facts: dict[str, Any] = {
        "epsilon": run.epsilon, "seed": run.seed, "mode": run.mode, "split": run.split,
        "figure": run.figure,
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


def withheld_figures(runs: Iterable[RunSummary]) -> tuple[Withheld, ...]:
    """Returns the runs whose headline figure was withheld, and why."""
    return tuple(
        Withheld(epsilon=run.epsilon, seed=run.seed, mode=run.mode, why=run.released.note)
        for run in runs
        if run.released is not None and run.released.value is None and not run.test_noise
    )


def _reference_points(found: Reference) -> list[UtilityPoint]:
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
        )
    ]
