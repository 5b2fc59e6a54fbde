"""Runs that are compared: together they keep the price of one."""

from dataclasses import replace

import pytest

from compliance.planning.advice import PlanningInput, advise
from compliance.planning.tuning import MOST_RUNS, compared_runs
from compliance.privacy.accounting import epsilon, joint_epsilon
from compliance.privacy.events import JointRelease

ASKED = PlanningInput(patients=(1400, 1050, 700, 560), epsilon=2.0, delta=1e-5, prevalence=0.1)


@pytest.mark.parametrize("runs", [2, 5])
def test_all_runs_together_cost_what_was_asked_for_and_each_more_than_its_part(runs: int) -> None:
    plan = advise(ASKED, "per_site", 10)
    each = compared_runs(ASKED, plan, runs)
    event = replace(plan.event, noise_multiplier=each.noise_multiplier)
    together = joint_epsilon([JointRelease.of(event)] * runs, ASKED.delta)
    assert 0.95 * ASKED.epsilon < together <= 1.01 * ASKED.epsilon
    assert each.epsilon == epsilon(event, ASKED.delta)
    assert ASKED.epsilon / runs < each.epsilon < ASKED.epsilon
    assert plan.expected is not None and each.expected_auroc is not None
    assert each.expected_auroc < plan.expected.auroc


@pytest.mark.parametrize("runs", [1, MOST_RUNS + 1])
def test_other_numbers_of_runs_are_refused(runs: int) -> None:
    with pytest.raises(ValueError, match="can be compared"):
        compared_runs(ASKED, advise(ASKED, "per_site", 10), runs)
