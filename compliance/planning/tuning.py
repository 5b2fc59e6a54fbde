"""Runs that are compared with each other: what each may spend, so that all together keep one price.

The sums of every round of every run are released, so each run counts in full, whichever is taken in
the end: an event of k runs is one run with k times the steps. Mechanisms that show the best of k
runs only (Papernot and Steinke 2022, ICLR, theorems 2 and 6) charge less than that, but hold for
nobody who sees the others, as a coordinator does.
"""

from dataclasses import dataclass, replace

from compliance.planning.advice import PlanningInput, SuitableSettings, advise
from compliance.privacy.accounting import epsilon

#: So many runs may be planned together.
MOST_RUNS = 100


@dataclass(frozen=True, kw_only=True)
class ComparedRuns:
    """The share of one of several compared runs.

    Attributes:
        runs: how many are compared.
        epsilon: of each alone; that of all together is the one that was asked for.
        noise_multiplier: of each.
        expected_auroc: of each, with settings advised for its noise; None without a forecast.
    """

    runs: int
    epsilon: float
    noise_multiplier: float
    expected_auroc: float | None


def compared_runs(asked: PlanningInput, plan: SuitableSettings, runs: int) -> ComparedRuns:
    """Returns what each of several runs of a plan gets, if all together keep its epsilon.

    Args:
        asked: the question, whose epsilon all runs together keep at its delta.
        plan: the settings of one run alone.
        runs: how many; declared before the first.

    Raises:
        ValueError: runs are not from 2 to ``MOST_RUNS``, or no noise keeps so small an epsilon.
    """
    if not 2 <= runs <= MOST_RUNS:
        raise ValueError(f"{runs} runs: from 2 to {MOST_RUNS} can be compared")
    noise = asked.calibrate(plan.event.sampling_rate, plan.event.steps * runs)
    each = epsilon(replace(plan.event, noise_multiplier=noise), asked.delta)
    expected = advise(replace(asked, epsilon=each), plan.mode, plan.steps).expected
    return ComparedRuns(
        runs=runs,
        epsilon=each,
        noise_multiplier=noise,
        expected_auroc=None if expected is None else expected.auroc,
    )
