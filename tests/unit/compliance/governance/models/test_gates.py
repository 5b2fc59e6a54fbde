"""Gates of a model's version are judged by released figures and their intervals."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.estimates.interval import Interval
from compliance.facts.dossier import RedTeamFacts, read_red_team, strongest_figures
from compliance.governance.models.comparison import CanaryFigures, improvement
from compliance.governance.models.gate import GateResult
from compliance.governance.models.gates import GateFacts, GateRules, judge, read_rules
from protocol.errors import MessageRefused
from tests.support.simulated.red_team_findings import findings


def _attack(advantage: float = 0.02, exposure: float = 0.1, **said: object) -> RedTeamFacts:
    found = findings(advantage, exposure, **said)
    return read_red_team("run-1", "2026-03-04T05:06:07.000Z", found)


GOOD = GateFacts(
    signatures=3,
    quorum=3,
    protects=True,
    figure="AUROC",
    headline=Interval(value=0.82, low=0.78, high=0.86),
    production=Interval(value=0.81, low=0.77, high=0.85),
    gap=0.05,
    attacks=(_attack(),),
)
RULES = GateRules(least=0.8, margin=0.02, largest_gap=0.1)


def _results(facts: GateFacts, rules: GateRules = RULES) -> dict[str, GateResult]:
    return {gate.name: gate.result for gate in judge(facts, rules)}


def test_a_version_that_shows_all_that_is_asked_for_passes_every_gate() -> None:
    found = _results(GOOD)
    assert set(found) == {
        "signatures", "privacy", "red-team", "extraction", "utility", "regression", "fairness"
    }  # fmt: skip
    assert set(found.values()) == {GateResult.PASSED}


@pytest.mark.parametrize(
    ("facts", "gate", "result"),
    [
        (replace(GOOD, signatures=2), "signatures", GateResult.OPEN),
        (replace(GOOD, protects=False), "privacy", GateResult.FAILED),
        (
            replace(GOOD, attacks=(_attack(contradicted=True, reasons=["noise"]),)),
            "red-team",
            GateResult.FAILED,
        ),
        (replace(GOOD, attacks=(_attack(advantage=0.2),)), "red-team", GateResult.FAILED),
        (replace(GOOD, attacks=(_attack(advantage=0.14),)), "red-team", GateResult.PASSED),
        (replace(GOOD, attacks=(_attack(candidate=None),)), "red-team", GateResult.OPEN),
        (replace(GOOD, attacks=(_attack(exposure=0.6),)), "extraction", GateResult.FAILED),
        (replace(GOOD, attacks=(_attack(exposure=0.54),)), "extraction", GateResult.PASSED),
        (replace(GOOD, attacks=(_attack(extraction={}),)), "extraction", GateResult.OPEN),
        (replace(GOOD, headline=None), "utility", GateResult.OPEN),
        (replace(GOOD, headline=Interval.withheld("few")), "utility", GateResult.OPEN),
        (
            replace(GOOD, headline=Interval(value=0.79, low=0.75, high=0.83)),
            "utility",
            GateResult.FAILED,
        ),
        (replace(GOOD, headline=None), "regression", GateResult.OPEN),
        (
            replace(GOOD, production=Interval(value=0.85, low=0.8, high=0.9)),
            "regression",
            GateResult.FAILED,
        ),
        (replace(GOOD, gap=None), "fairness", GateResult.OPEN),
        (replace(GOOD, gap=0.2), "fairness", GateResult.FAILED),
    ],
)
def test_each_gate_keeps_back_what_it_is_for_and_nothing_else(
    facts: GateFacts, gate: str, result: GateResult
) -> None:
    found = _results(facts)
    assert found.pop(gate) is result
    if facts.headline is GOOD.headline:
        assert set(found.values()) == {GateResult.PASSED}


def test_gates_that_a_line_does_not_ask_for_are_not_judged() -> None:
    facts = replace(GOOD, production=None, gap=None, attacks=())
    assert set(_results(facts, GateRules(red_team=False))) == {"signatures", "privacy"}


def test_a_claim_that_was_contradicted_passes_no_line_that_asks_for_no_attack() -> None:
    attacks = (_attack(contradicted=True, reasons=["noise"]), _attack())
    found = _results(replace(GOOD, attacks=attacks), replace(RULES, red_team=False))
    assert found["privacy"] is GateResult.FAILED and "red-team" not in found


def test_without_an_attack_both_of_its_gates_are_open() -> None:
    found = _results(replace(GOOD, attacks=()))
    assert (found["red-team"], found["extraction"]) == (GateResult.OPEN, GateResult.OPEN)


def test_attacking_again_does_not_hide_what_was_found() -> None:
    for attacks in ((_attack(0.4), _attack()), (_attack(), _attack(0.4))):
        assert _results(replace(GOOD, attacks=attacks))["red-team"] is GateResult.FAILED
    later = _attack(extraction={}, missing={"own-records": "too few", "inserted": "too few"})
    found = strongest_figures((_attack(exposure=3.0), later))
    assert [one.found.value for one in found if one.kind.part == "inserted" and one.found] == [3.0]


def test_thresholds_of_attacks_are_the_lines_own() -> None:
    facts = replace(GOOD, attacks=(_attack(advantage=0.3, exposure=2.0),))
    wide = replace(RULES, largest_advantage=0.3, largest_exposure=2.0)
    assert set(_results(facts, wide).values()) == {GateResult.PASSED}


def test_a_gate_says_that_drawn_records_stood_in_and_why_a_figure_is_missing() -> None:
    said = {gate.name: gate.said for gate in judge(GOOD, RULES)}
    assert "drawn records" not in said["red-team"]
    facts = replace(
        GOOD, attacks=(_attack(stand_in=True, extraction={}, missing={"inserted": "few"}),)
    )
    said = {gate.name: gate.said for gate in judge(facts, RULES)}
    assert "on drawn records: the run's own model was not attacked" in said["red-team"]
    assert "missing: few" in said["extraction"] and "attack again" in said["extraction"]


def test_fairness_names_the_hospitals_of_which_nothing_is_known() -> None:
    (said,) = [
        gate.said
        for gate in judge(replace(GOOD, gap_without=("south", "va")), RULES)
        if gate.name == "fairness"
    ]
    assert said.endswith("at most 0.100 is allowed; of south, va nothing is known")


def test_narrow_intervals_show_what_the_margin_would_allow() -> None:
    better, worse = (
        Interval(value=value, low=value - 0.002, high=value + 0.002) for value in (0.81, 0.80)
    )
    shown = improvement(worse, better)
    assert shown is not None and shown.is_worse(margin=0.02)
    wide = improvement(Interval(value=0.80, low=0.70, high=0.90), better)
    assert wide is not None and not wide.is_worse(margin=0.02)
    assert wide.is_worse(margin=0.005)


def test_of_an_error_less_is_better() -> None:
    less, more = (Interval(value=v, low=v - 0.5, high=v + 1.0) for v in (3.0, 5.0))
    found = improvement(less, more, higher_is_better=False)
    assert found is not None and (found.value, found.half) == (2.0, pytest.approx(1.118, abs=1e-3))
    facts = replace(GOOD, headline=more, production=less, higher_is_better=False, gap=None)
    results = _results(facts, GateRules(least=4.0, margin=0.1))
    assert results["utility"] is results["regression"] is GateResult.FAILED


@given(st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5))
def test_no_version_is_worse_than_itself(value: float, half: float, margin: float) -> None:
    own = Interval(value=value, low=value - half, high=value + half)
    found = improvement(own, own)
    assert found is not None and not found.is_worse(margin)


def test_thresholds_are_read_as_they_were_kept_and_no_others() -> None:
    assert read_rules(RULES.to_json()) == RULES
    for other in ({"least": -2.0}, {"margin": float("nan")}, {"most": 0.1}):
        with pytest.raises(MessageRefused):
            read_rules(other)


TRIED = CanaryFigures(
    version="b" * 64,
    sites=("east", "north", "west"),
    canary=Interval(value=0.82, low=0.79, high=0.85),
    production=Interval(value=0.81, low=0.78, high=0.84),
    compares=True,
)


@pytest.mark.parametrize(
    ("tried", "result", "said"),
    [
        (TRIED, GateResult.PASSED, "+0.010"),
        (replace(TRIED, canary=None), GateResult.OPEN, "were not both evaluated at east, north"),
        (replace(TRIED, production=None), GateResult.OPEN, "were not both evaluated"),
        (replace(TRIED, production=None, compares=False), GateResult.PASSED, "no version is in"),
        (
            replace(TRIED, canary=None, production=None, compares=False),
            GateResult.OPEN,
            "was not evaluated",
        ),
        (
            replace(TRIED, canary=Interval.withheld("few")),
            GateResult.OPEN,
            "no AUROC of the canary",
        ),
        (replace(TRIED, production=Interval.withheld("few")), GateResult.OPEN, "to compare the"),
        (
            replace(TRIED, canary=Interval(value=0.7, low=0.68, high=0.72)),
            GateResult.FAILED,
            "-0.110",
        ),
    ],
)
def test_a_canary_passes_once_it_was_evaluated_at_its_hospitals_and_holds_there(
    tried: CanaryFigures, result: GateResult, said: str
) -> None:
    *_, gate = judge(replace(GOOD, canary=tried), RULES)
    assert (gate.name, gate.result) == ("canary", result)
    assert said in gate.said


def test_a_model_that_asks_for_no_evaluation_of_canaries_has_no_such_gate() -> None:
    facts = replace(GOOD, canary=replace(TRIED, canary=None))
    assert "canary" not in _results(facts, replace(RULES, canary_evaluation=False))


def test_the_gate_for_fairness_names_the_figure_whose_gap_it_judges() -> None:
    facts = replace(GOOD, gap_figure="accuracy")
    said = {gate.name: gate.said for gate in judge(facts, RULES)}
    assert said["fairness"].startswith("the largest gap of accuracy between hospitals is 0.050")
