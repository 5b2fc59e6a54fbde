"""Each kind of alert is raised by facts that have its cause, and not by those that have not."""

from dataclasses import fields, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.estimates.interval import Interval
from coordinator.alerts.facts import AlertFacts, EvaluatedRun, RunRounds, SignedShare
from coordinator.alerts.judging import Cause, judged
from coordinator.alerts.rules import AlertRules, read_rules
from tests.support.simulated.alert_facts import (
    CALM,
    EVERYTHING,
    NOW,
    RULES,
    TROUBLE,
    gap,
    only,
    reading,
    rounds,
    run,
    share,
    troubled,
)


def causes(facts: AlertFacts, rules: AlertRules = RULES) -> list[Cause]:
    return list(judged(facts, rules).causes)


def test_nothing_is_raised_where_nothing_is_wrong() -> None:
    assert judged(CALM, RULES).causes == ()
    assert judged(CALM, RULES).unknown == frozenset()


@pytest.mark.parametrize("kind", TROUBLE)
def test_a_cause_of_one_kind_raises_alerts_of_that_kind_alone(kind: str) -> None:
    assert {cause.kind for cause in causes(troubled(kind))} == {kind}


def test_every_kind_of_rule_has_its_trouble_here() -> None:
    assert {rule.kind for rule in RULES.rules} == set(TROUBLE)


@pytest.mark.parametrize("kind", TROUBLE)
def test_what_was_not_looked_at_is_not_judged(kind: str) -> None:
    found = judged(AlertFacts(now=NOW), only(kind))
    assert found.causes == () and len(found.unknown) == 1


def test_a_budget_is_told_by_the_rules_share_and_never_by_the_hospitals() -> None:
    (cause,) = causes(replace(CALM, shares=(share("north", 0.8371),)), only("budget"))
    assert "at least 80 %" in cause.text and cause.threshold == 0.8
    assert cause.sites == ("north",)
    assert "8371" not in str(cause) and "83.7" not in str(cause)


def test_two_rules_of_one_kind_raise_two_alerts() -> None:
    facts = replace(CALM, shares=(share("north", 0.96),))
    assert [cause.rule for cause in causes(facts)] == ["budget-low", "budget-almost-spent"]


@pytest.mark.parametrize(
    ("low", "high", "word"), [(0.05, 0.15, "too low"), (-0.15, -0.05, "too high")]
)
def test_risks_that_are_off_are_told_in_their_direction(low: float, high: float, word: str) -> None:
    lacking = Interval(value=(low + high) / 2, low=low, high=high)
    known = run("run-9", risks=replace(CALM.evaluated[0].risks, lacking=lacking))  # type: ignore
    (cause,) = causes(replace(CALM, evaluated=(known,)), only("calibration"))
    assert word in cause.text and cause.released is not None
    assert (cause.released.low, cause.released.high) == (low, high)


def test_a_run_whose_risks_were_withheld_neither_raises_nor_ends_an_alert() -> None:
    withheld = Interval(value=None, low=None, high=None, note="too few")
    off = troubled("calibration").evaluated
    assert off is not None and off[0].risks is not None
    newer = run("run-10", risks=replace(off[0].risks, lacking=withheld))
    assert causes(replace(CALM, evaluated=(newer, *off)), only("calibration"))
    assert not causes(replace(CALM, evaluated=(newer,)), only("calibration"))


def test_the_newest_run_of_a_study_decides() -> None:
    wide, narrow = gap(0.2, 0.3, 0.4), gap(0.0, 0.05, 0.1)
    new, old = run("run-9", gaps={"auroc": narrow}), run("run-8", gaps={"auroc": wide})
    assert not causes(replace(CALM, evaluated=(new, old)), only("fairness_gap"))
    other = replace(old, study="lungs")
    (cause,) = causes(replace(CALM, evaluated=(new, other)), only("fairness_gap"))
    assert cause.study == "lungs"


def test_a_gap_has_grown_only_where_its_interval_lies_above_the_one_before() -> None:
    before = run("run-8", gaps={"auroc": gap(0.0, 0.05, 0.1)})
    touching = run("run-9", gaps={"auroc": gap(0.1, 0.2, 0.3)})
    apart = run("run-9", gaps={"auroc": gap(0.11, 0.2, 0.3)})
    rule = only("fairness_gap_grown")
    assert not causes(replace(CALM, evaluated=(touching, before)), rule)
    assert causes(replace(CALM, evaluated=(apart, before)), rule)
    assert not causes(replace(CALM, evaluated=(apart, before)), only("fairness_gap_grown", by=0.02))


def test_the_two_hospitals_that_are_shown_to_differ_are_named() -> None:
    shown = replace(gap(0.2, 0.3, 0.4), shown_between=("east", "west"))
    (cause,) = causes(
        replace(CALM, evaluated=(run("run-9", gaps={"auroc": shown}),)), only("fairness_gap")
    )
    assert cause.sites == ("east", "west") and "between east and west" in cause.text


def test_an_error_in_the_labels_unit_is_held_to_no_share() -> None:
    """A gap of 5 in a mean absolute error may be of days, or of millimetres of mercury."""
    wide = run("run-9", gaps={"mae": gap(5.0, 6.0, 7.0)})
    assert not causes(replace(CALM, evaluated=(wide,)), only("fairness_gap"))
    narrower = run("run-8", gaps={"mae": gap(0.0, 1.0, 2.0)})
    assert causes(replace(CALM, evaluated=(wide, narrower)), only("fairness_gap_grown"))


def test_gaps_of_runs_that_ask_something_else_are_not_compared() -> None:
    now = run("run-9", gaps={"auroc": gap(0.2, 0.3, 0.4)})
    other = run("run-8", question="another", gaps={"auroc": gap(0.0, 0.05, 0.1)})
    same = run("run-7", gaps={"auroc": gap(0.0, 0.05, 0.1)})
    rule = only("fairness_gap_grown")
    assert not causes(replace(CALM, evaluated=(now, other)), rule)
    assert causes(replace(CALM, evaluated=(now, other, same)), rule)


def test_gaps_between_groups_of_patients_are_judged_beside_those_between_hospitals() -> None:
    wide = replace(gap(0.2, 0.3, 0.4), highest="men", lowest="women")
    now = run("run-9", gaps={"auroc": gap(0.2, 0.3, 0.4)}, group_gaps={"sex": {"auroc": wide}})
    before = run("run-8", group_gaps={"sex": {"auroc": gap(0.0, 0.05, 0.1)}})
    facts = replace(CALM, evaluated=(now, before))
    hospitals, groups = causes(facts, only("fairness_gap"))
    assert (hospitals.subject, groups.subject) == ("heart/auroc", "heart/auroc/sex")
    assert hospitals.sites == ("north", "south") and groups.sites == ()
    assert "between men and women (sex), is above 0.1 with its whole interval" in groups.text
    (grown,) = causes(facts, only("fairness_gap_grown"))
    assert grown.subject == "heart/auroc/sex"


def test_a_gap_is_named_as_people_read_it() -> None:
    off = run("run-9", group_gaps={"sex": {"lacking": gap(0.2, 0.3, 0.4)}})
    (cause,) = causes(replace(CALM, evaluated=(off,)), only("fairness_gap"))
    assert cause.figure == "lacking"
    assert "the largest gap in share of the ill less the mean risk, between" in cause.text


def test_the_newest_release_decides_about_drift() -> None:
    facts = replace(CALM, drift=(reading(1, flagged=False), reading(2, flagged=True)))
    (cause,) = causes(facts, only("drift"))
    assert (cause.figure, cause.threshold, cause.run) == ("creatinine", 0.2, "run-2")
    assert cause.text.startswith("In release 2 of study heart, creatinine lies beyond what chance")
    assert cause.released is not None and cause.released.value == 0.4
    back = (*(facts.drift or ()), reading(3, flagged=False))
    assert not causes(replace(facts, drift=back))


def test_too_few_rounds_say_nothing_about_absence() -> None:
    out = frozenset({"north", "south"})
    two = rounds(finished=(out, out))
    assert not causes(replace(CALM, rounds=(two,)), only("absent"))
    back = rounds(finished=(out, out, frozenset({"west"}), out, out))
    assert not causes(replace(CALM, rounds=(back,)), only("absent"))
    (cause,) = causes(replace(CALM, rounds=(rounds(finished=(out,) * 3),)), only("absent"))
    assert cause.sites == ("west",)


def test_a_sum_that_was_noise_accuses_nobody() -> None:
    (cause,) = causes(troubled("aggregate"))
    assert cause.sites == ("north", "south") and "nobody is accused" in cause.text
    assert not causes(troubled("aggregate"), only("aggregate", rounds=2))


@pytest.mark.parametrize(("days", "verb"), [(0.5, "ends"), (-0.5, "ended"), (0.0, "ended")])
def test_what_has_ended_is_told_so(days: float, verb: str) -> None:
    (first, *_) = troubled("certificate").expiries or ()
    ended = replace(first, ends=NOW + timedelta(days=days))
    (cause,) = causes(replace(CALM, expiries=(ended,)), only("certificate"))
    assert f"The certificate of north {verb} at 2026-03-0" in cause.text
    assert cause.until is not None and cause.until in cause.text


def test_the_end_of_one_thing_raises_no_alert_about_another() -> None:
    assert {cause.rule for cause in causes(troubled("certificate"))} == {
        "hospital-certificate",
        "own-certificate",
    }
    assert [cause.rule for cause in causes(troubled("roster"))] == ["roster-ends"]


def test_no_record_of_the_facts_has_a_place_for_an_exact_figure() -> None:
    """The one figure of a hospital is what it signed about its budget, which no cause holds."""
    figures = {
        (record.__name__, field.name)
        for record in (AlertFacts, EvaluatedRun, RunRounds, SignedShare)
        for field in fields(record)
        if "float" in str(field.type)
    }
    assert figures == {("SignedShare", "share")}


@given(share_=st.floats(0.8, 1.0), refused=st.integers(1, 999), faults=st.integers(1, 10**6))
def test_a_signed_share_changes_no_word_of_a_cause(
    share_: float, refused: int, faults: int
) -> None:
    """All else equal, the causes are the same whatever share is above the rule's."""
    rules = read_rules(
        "collegium_alerts: 1\nrules:\n"
        "  - {name: b, kind: budget, share: 0.8}\n  - {name: v, kind: verification}\n"
    )
    plain = replace(EVERYTHING, shares=(share("north", 0.8),), faults=faults)
    other = replace(plain, shares=(share("north", share_),))
    assert refused and causes(plain, rules) == causes(other, rules)
