"""The outcome of a preregistration: verdicts by intervals, and every deviation that is found."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.estimates.interval import Interval
from compliance.facts.dossier import (
    DeclaredDeviation,
    Dossier,
    EarlierRun,
    EvaluationFacts,
    LoggedMoment,
    RegistrationFacts,
    Relation,
)
from compliance.facts.dossier.preregistration import (
    CriterionVerdict,
    PreregistrationOutcome,
    preregistration_outcome,
    require_releasable,
)
from compliance.facts.dossier.preregistration.criteria import decided, together
from compliance.facts.dossier.preregistration.deviations import DeviationKind
from compliance.facts.dossier.run_json import run_json
from protocol.errors import StudyRefused
from protocol.study.study import SuccessCriterion
from tests.support.simulated import dossiers
from tests.support.simulated.preregistered import preregistered

MET, NOT_MET, UNDECIDED = CriterionVerdict
BEFORE = LoggedMoment(index=0, time="2026-11-21T09:00:00.000Z")


def criterion(**keys: Any) -> SuccessCriterion:
    said = {"name": "one", "figure": "auroc", "at_least": 0.8} | keys
    return SuccessCriterion.model_validate(said)


def planned(**changes: Any) -> Dossier:
    """The sample run, of a preregistered study, with nothing that deviates."""
    whole = dossiers.finished()
    sites = tuple(replace(one, released=whole.sites[0].released) for one in whole.sites)
    rounds = tuple(replace(one, dropped=(), survivors=dossiers.SITES) for one in whole.rounds)
    section = preregistered().model_dump(mode="json")["preregistration"]
    plain = replace(
        whole,
        sites=sites,
        rounds=rounds,
        study=whole.study | {"preregistration": section},
        registration=RegistrationFacts(registered=BEFORE),
    )
    return replace(plain, **changes)


def outcome(dossier: Dossier) -> PreregistrationOutcome:
    found = preregistration_outcome(dossier)
    assert found is not None
    return found


def with_criterion(dossier: Dossier, **keys: Any) -> PreregistrationOutcome:
    section = dict(dossier.study["preregistration"])
    section["success"] = [criterion(**keys).model_dump(mode="json")]
    return outcome(replace(dossier, study=dossier.study | {"preregistration": section}))


@given(
    st.lists(st.floats(-2, 2), min_size=3, max_size=3).map(sorted),
    st.floats(-2, 2),
    st.booleans(),
    st.booleans(),
)
def test_by_its_interval_every_value_in_it_must_reach_the_threshold(
    ends: list[float], threshold: float, more: bool, whole: bool
) -> None:
    low, value, high = ends
    keys = {"at_least": threshold} if more else {"at_most": threshold, "at_least": None}
    asked = criterion(**keys, by="interval" if whole else "estimate")
    found = decided(Interval(value=value, low=low, high=high), asked)
    held = ends if whole else [value]
    reached = all(each >= threshold if more else each <= threshold for each in held)
    assert found is (MET if reached else NOT_MET)


@given(st.sampled_from(("interval", "estimate")), st.floats(-2, 2))
def test_a_withheld_figure_decides_nothing(by: str, threshold: float) -> None:
    asked = criterion(at_least=threshold, by=by)
    assert decided(Interval.withheld("too few"), asked) is UNDECIDED
    bare = Interval(value=threshold, low=None, high=None)
    assert decided(bare, asked) is (UNDECIDED if by == "interval" else MET)


def test_a_figure_that_lies_just_on_a_threshold_reaches_it() -> None:
    beside = {"name": "published", "value": 0.1}
    asked = criterion(at_least=0.2, by="estimate", baseline=beside)
    assert decided(Interval(value=0.3, low=0.2, high=0.4), asked) is MET
    whole = planned()
    values = dict.fromkeys(dossiers.SITES, 0.6) | {dossiers.SITES[0]: 0.9}
    sites = tuple(
        replace(one, released={"accuracy": Interval(value=values[one.site], low=0.5, high=1.0)})
        for one in whole.sites
    )
    keys = {"figure": "accuracy", "of": "hospital_gap", "at_least": None, "at_most": 0.3}
    found = with_criterion(replace(whole, sites=sites), by="estimate", **keys)
    assert [one.verdict for one in found.criteria] == [MET]


@given(st.lists(st.sampled_from([*CriterionVerdict]), max_size=6))
def test_what_is_unknown_never_turns_a_verdict(verdicts: list[CriterionVerdict]) -> None:
    known = together(verdicts)
    for rest in CriterionVerdict:
        later = together([rest if one is UNDECIDED else one for one in verdicts])
        assert known in (UNDECIDED, later)


def test_a_study_without_preregistration_has_no_outcome() -> None:
    assert preregistration_outcome(dossiers.finished()) is None
    assert "preregistration" not in run_json(dossiers.finished())


def test_nothing_deviates_in_a_run_as_planned() -> None:
    found = outcome(planned())
    assert found.found == () and found.declared == ()
    assert found.primary.words == "supported" and found.number == 1 and found.is_before
    assert found.timing == (
        "Registered as entry 0 of the log, 1.0 hours before the first round. This is run 1 of this "
        "preregistration."
    )
    assert [one.verdict for one in found.criteria] == [MET, MET, MET]
    assert run_json(planned())["preregistration"] == found.to_json()


def test_one_hospital_that_is_not_known_leaves_every_hospital_undecided() -> None:
    sites = tuple(
        replace(one, released={"accuracy": dossiers.NOTHING}) if one.site == "west" else one
        for one in planned().sites
    )
    of_all = {"figure": "accuracy", "of": "every_hospital", "by": "estimate"}
    dossier = planned(sites=sites)
    (one,) = with_criterion(dossier, **of_all, at_least=0.7).criteria
    assert (one.verdict, "west: too few" in one.why) == (UNDECIDED, True)
    (one,) = with_criterion(dossier, **of_all, at_least=0.9).criteria
    assert one.verdict is NOT_MET and "west" not in one.why


@pytest.mark.parametrize(
    ("keys", "verdict"),
    [
        ({"at_most": 0.9, "at_least": None}, UNDECIDED),
        ({"at_most": 0.01, "at_least": None}, NOT_MET),
        ({"at_least": 0.05}, MET),
        ({"at_least": 0.9}, UNDECIDED),
    ],
)
def test_a_gap_among_some_says_of_all_that_it_is_no_smaller(
    keys: dict[str, Any], verdict: CriterionVerdict
) -> None:
    dossier = replace(planned(), sites=dossiers.finished().sites)  # of west nothing is known
    asked = {"figure": "accuracy", "of": "hospital_gap", "by": "estimate"} | keys
    (one,) = with_criterion(dossier, **asked).criteria
    assert one.verdict is verdict and "without west" in one.why


def test_groups_are_decided_each_and_by_their_gap() -> None:
    groups = dossiers.with_groups().groups
    dossier = planned(groups=groups)
    each = {"figure": "sensitivity", "of": "every_group", "grouping": "age", "by": "estimate"}
    (one,) = with_criterion(dossier, **each, at_least=0.5).criteria
    assert one.verdict is MET and len(one.figures) == 2
    gap = {"figure": "sensitivity", "of": "group_gap", "grouping": "age", "at_least": None}
    (one,) = with_criterion(dossier, **gap, at_most=0.1).criteria
    assert one.verdict is NOT_MET and "below 50 and 50 and above" in one.why


def earlier(run: str, relation: Relation, *, released: int | None = None) -> EarlierRun:
    return EarlierRun(
        run_id=run, state="finished", started_at="2026-11-20T10:00:00.000Z",
        study_name="heart", study_digest=dossiers.digest(run), relation=relation,
        released=None if released is None else LoggedMoment(index=released, time="x"),
        same_patients=released is not None,
    )  # fmt: skip


def registered(*runs: EarlierRun, at: LoggedMoment | None = BEFORE) -> RegistrationFacts:
    return RegistrationFacts(registered=at, earlier=runs)


def failed_round(dossier: Dossier) -> Dossier:
    first = replace(dossier.rounds[0], state="failed", model_digest=None)
    return replace(dossier, rounds=(first, *dossier.rounds))


def without(dossier: Dossier, site: str) -> Dossier:
    return replace(dossier, sites=tuple(one for one in dossier.sites if one.site != site))


def missing(dossier: Dossier, count: int) -> Dossier:
    rest = tuple(site for site in dossiers.SITES if site != "west")
    rounds = [
        replace(one, dropped=("west",), survivors=rest) if place < count else one
        for place, one in enumerate(dossier.rounds)
    ]
    return replace(dossier, rounds=tuple(rounds))


def went_back(dossier: Dossier) -> Dossier:
    evaluations = tuple(
        EvaluationFacts(
            rounds=rounds, model_digest="m", released=dossiers.interval(0.8, 0.1),
            survivors=dossiers.SITES, goes_on=goes_on,
        )
        for rounds, goes_on in ((2, 2), (4, 2))
    )  # fmt: skip
    study = dossier.study | {
        "training": {"rounds": 4},
        "evaluation": {"every": 2, "roll_back": 0.05},
        "privacy": {"mode": "per_site"},
    }
    return replace(dossier, study=study, evaluations=evaluations)


LATE = LoggedMoment(index=10, time="2026-11-21T10:00:10.000Z")
FOUND: dict[str, tuple[Callable[[Dossier], Dossier], DeviationKind, str]] = {
    "stopped": (
        lambda one: replace(one, state="stopped", rounds=one.rounds[:2]),
        DeviationKind.ENDED_EARLY, "with 2 of 4 planned training rounds done",
    ),
    "failed": (
        lambda one: replace(one, state="failed", failure="QuorumLost: 2 answers"),
        DeviationKind.ENDED_EARLY, "failed (QuorumLost: 2 answers)",
    ),
    "a round again": (failed_round, DeviationKind.ROUND_REPEATED, "1 attempt of rounds failed"),
    "did not join": (
        lambda one: without(one, "west"), DeviationKind.HOSPITAL_LEFT, "did not join: west",
    ),
    "in no sum": (lambda one: missing(one, 9), DeviationKind.HOSPITAL_LEFT, "in no sum"),
    "left": (lambda one: missing(one, 2), DeviationKind.HOSPITAL_LEFT, "missing in 2 of 5 sums"),
    "withheld": (
        lambda one: replace(one, released=one.released | {"auroc": dossiers.NOTHING}),
        DeviationKind.FIGURE_WITHHELD, "AUROC of all patients",
    ),
    "went back": (went_back, DeviationKind.TAKEN_BACK, "back to the model after round 2"),
    "never registered": (
        lambda one: replace(one, registration=registered(at=None)),
        DeviationKind.NOT_BEFORE, "no entry that registered",
    ),
    "registered late": (
        lambda one: replace(one, registration=registered(at=LATE)),
        DeviationKind.NOT_BEFORE, "registered as entry 10, after the first round",
    ),
    "run twice": (
        lambda one: replace(one, registration=registered(
            earlier("a", Relation.SAME_STUDY), earlier("b", Relation.SAME_PREREGISTRATION))),
        DeviationKind.RUN_BEFORE, "run 3 of this preregistration; before it: a of heart",
    ),
    "a related study": (
        lambda one: replace(one, registration=registered(earlier("a", Relation.SAME_TARGET))),
        DeviationKind.RUN_BEFORE, "1 run of related studies began before it: a of heart",
    ),
    "tested before": (
        lambda one: replace(one, registration=registered(
            earlier("a", Relation.SAME_QUESTION, released=3))),
        DeviationKind.TESTED_BEFORE, "test patients that this run tests again: a",
    ),
    "results known": (
        lambda one: replace(one, registration=registered(
            earlier("a", Relation.SAME_QUESTION, released=1),
            at=LoggedMoment(index=3, time=BEFORE.time))),
        DeviationKind.RESULTS_KNOWN, "released before the preregistration was: of a",
    ),
    "test noise": (
        lambda one: replace(one, test_noise=True), DeviationKind.NO_NOISE, "test noise",
    ),
    "contradicted": (
        lambda one: replace(one, state="failed", failure="Contradicted by the red team: x"),
        DeviationKind.CONTRADICTED, "contradicted",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "kind", "text"), FOUND.values(), ids=FOUND)
def test_every_deviation_is_found_where_it_is_and_nowhere_else(
    change: Callable[[Dossier], Dossier], kind: DeviationKind, text: str
) -> None:
    assert kind not in {one.kind for one in outcome(planned()).found}
    found = {one.kind: one.text for one in outcome(change(planned())).found}
    assert text in found[kind]


def test_every_kind_of_deviation_is_among_the_cases() -> None:
    assert {kind for _, kind, _ in FOUND.values()} == set(DeviationKind)


def test_a_registration_after_released_figures_is_no_news_where_it_came_before_them() -> None:
    later = earlier("a", Relation.SAME_QUESTION, released=3)
    found = outcome(planned(registration=registered(later))).found
    assert DeviationKind.RESULTS_KNOWN not in {one.kind for one in found}


def test_a_contingency_says_whether_its_event_happened() -> None:
    found = outcome(without(planned(), "west"))
    assert [one.happened for one in found.contingencies] == [False, True, None]
    assert found.contingencies[1].words == "If a hospital leaves: We report the others. (happened)"


def test_a_run_under_way_deviates_from_nothing_yet() -> None:
    running = planned(state="running", rounds=(), sites=(), released={}, exact={}, risks=None)
    found = outcome(running)
    assert found.found == () and {one.verdict for one in found.criteria} == {UNDECIDED}
    assert found.primary.criteria[0].why == "no figure was released yet"


def test_what_is_declared_after_the_figures_is_said_to_be() -> None:
    one = DeclaredDeviation(
        at="2026-11-22T08:00:00.000Z", person="Cleo", role="lead", text="Other scanner.",
        act="a" * 64, entry=LoggedMoment(index=40, time="2026-11-22T08:00:00.000Z"),
    )  # fmt: skip
    facts = RegistrationFacts(registered=BEFORE, declared=(one,))
    found = outcome(planned(registration=facts))
    assert found.declared_text(one).endswith("before any figure was released")
    audit = dossiers.audit(("study-registered", "round-opened", "release"))
    found = outcome(planned(registration=facts, audit=audit))
    assert found.declared_text(one) == (
        "Cleo (lead), 2026-11-22T08:00:00Z, after the figures were released"
    )
    assert found.to_json()["declared"][0]["after_release"]


def test_facts_of_a_shorter_log_leave_out_what_came_later() -> None:
    one = replace(
        earlier("a", Relation.SAME_STUDY, released=5), ended=LoggedMoment(index=7, time="x")
    )
    declared = DeclaredDeviation(
        at="2026-11-22T08:00:00.000Z", person="Cleo", role="lead", text="x", act="a" * 64,
        entry=LoggedMoment(index=9, time="x"),
    )  # fmt: skip
    facts = RegistrationFacts(registered=BEFORE, earlier=(one,), declared=(declared,))
    assert facts.until(10) == facts
    assert facts.until(9) == replace(facts, declared=())
    assert facts.until(7).earlier[0] == replace(one, ended=None, state="running")
    assert facts.until(5).earlier[0].released is None
    later = replace(one, began=LoggedMoment(index=4, time="x"))
    facts = replace(facts, later=(later,))
    assert facts.until(10) == facts
    assert facts.until(5).later[0] == replace(later, released=None, ended=None, state="running")
    assert facts.until(4).later == ()


NEVER = {
    "unknown": ("figure: auroc", "figure: aurok", "never releases 'aurok'; did you mean 'auroc'"),
    "of hospitals": (
        "accuracy, of: hospital_gap", "auroc, of: hospital_gap", "never releases 'auroc'"
    ),
    "above one": ("at_least: 0.6", "at_least: 1.2", "never more than 1"),
    "below zero": ("at_most: 0.5", "at_most: -0.1", "never less than 0"),
    "an outcome": (
        "accuracy, of: hospital_gap", "accuracy, of: outcome, outcome: a", "never releases"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "why"), NEVER.values(), ids=NEVER)
def test_a_criterion_that_no_run_could_decide_or_meet_is_refused(
    old: str, new: str, why: str
) -> None:
    with pytest.raises(StudyRefused, match=why) as found:
        require_releasable(preregistered(old, new))
    assert str(found.value).startswith("preregistration.success.")


def test_every_figure_of_the_sections_study_is_released() -> None:
    require_releasable(preregistered())
