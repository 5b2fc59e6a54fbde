"""Figures of groups and of event times, without noise, beside those of fairlearn and lifelines."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compliance.facts.groups import group_gaps
from tests.unit.coordinator.rounds.evaluation import test_group_figures as groups
from tests.unit.coordinator.rounds.evaluation import test_survival_figures as survival

FOUND = json.loads(Path(__file__).with_name("outside_figures.json").read_text())
RANDOM = np.random.default_rng(1)


@pytest.mark.parametrize("case", FOUND["fairness"])
def test_rates_and_gaps_of_groups_are_those_of_fairlearn(case: dict[str, Any]) -> None:
    patients = groups.Patients(
        np.array(case["scores"]), np.array(case["labels"], dtype=float), np.array(case["groups"])
    )
    facts = groups.facts(groups.released(patients, 0.0, RANDOM))
    gaps = group_gaps(facts, groups.KINDS)
    for grouping, expected in case["fairlearn"].items():
        members = [one for one in facts if one.grouping == grouping]
        for name, values in expected["groups"].items():
            assert [one.released[name].value for one in members] == pytest.approx(values)
        apart = {name: gaps[grouping][name] for name in ("sensitivity", "specificity", "flagged")}
        values = {name: gap.value for name, gap in apart.items() if gap is not None}
        assert values["sensitivity"] == pytest.approx(expected["equal_opportunity"])
        odds = max(values["sensitivity"], values["specificity"])
        assert odds == pytest.approx(expected["equalized_odds"])
        assert values["flagged"] == pytest.approx(expected["demographic_parity"])


@pytest.mark.parametrize("case", FOUND["survival"])
def test_observed_shares_lie_near_those_of_lifelines_and_their_intervals_hold_them(
    case: dict[str, Any],
) -> None:
    found = survival.released(np.array(case["scores"]), np.array(case["labels"]), 0.0, RANDOM)
    figures = [
        one.figures["event_free"]
        for one in found.outcomes
        if one.outcome in ("at 1", "at 2", "at 4")
    ]
    for figure, expected in zip(figures, case["lifelines"], strict=True):
        assert figure.value == pytest.approx(expected, abs=0.02)
        assert figure.low < expected < figure.high
