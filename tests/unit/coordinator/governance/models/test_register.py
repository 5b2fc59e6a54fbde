"""The register of models: gates before each step, two people for production, history in the log."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from compliance.estimates.interval import Interval
from compliance.governance.models.comparison import CanaryFigures
from compliance.governance.models.gates import GateRules
from compliance.governance.models.stages import EventKind, Stage, StageEvent
from compliance.storage.clock import utc_now
from coordinator.alerts.gathering import gathered
from coordinator.audit.faults import Faults
from coordinator.audit.verification import check_records
from coordinator.database.store import logged_entries
from coordinator.governance.models.lines import line_of
from coordinator.governance.models.snapshots import signed_snapshot, signed_snapshot_of
from protocol.errors import MessageRefused, PolicyRefused, QuorumLost
from protocol.study.study_file import read_study
from protocol.transport.steps import SNAPSHOT
from tests.support.hospital.people import ADA, BEA, CLEO, People
from tests.support.simulated.federation import Federation
from tests.support.simulated.red_team_findings import findings
from tests.support.simulated.registered_models import HEART, RULES, Register
from tests.support.simulated.studies import changed, small_study


@pytest.fixture
def register(two_runs: Path, tmp_path: Path) -> Iterator[Register]:
    made = Register(Path(shutil.copytree(two_runs, tmp_path / "registered")))
    yield made
    made.store.close()


def test_a_version_reaches_production_by_two_people_and_its_history_is_in_the_log(
    register: Register,
) -> None:
    register.to_canary(register.first)
    proposed = register.act("promote", version=register.first)
    assert proposed["waits"] and register.stages[register.first] is Stage.CANARY
    with pytest.raises(PolicyRefused, match="proposed it: another person confirms"):
        register.people.confirm(CLEO, proposed["change"])
    register.people.confirm(BEA, proposed["change"])
    assert register.stages == {register.first: Stage.PRODUCTION}
    with register.store.read() as session:
        types = [entry.content.type for entry in logged_entries(session)]
        faults = Faults()
        check_records(session, register.workspace.public_key(), faults)
    kinds = [kind for kind in types if kind.startswith("model-")]
    told = [fault.what for fault in faults.found]
    assert not [what for what in told if "past the service" in what or "model" in what]
    assert kinds == ["model-founded", "model-registered", "model-canary-begun", "model-promoted"]


def test_who_has_no_right_moves_no_version(register: Register) -> None:
    for action, name in (("register", BEA), ("canary", BEA), ("promote", ADA)):
        with pytest.raises(PolicyRefused, match="may not"):
            register.act(action, name, version=register.first, sites=("east",))


def test_a_threshold_that_no_version_can_meet_founds_no_model(register: Register) -> None:
    asked = json.dumps(GateRules(least=80.0).to_json())
    with pytest.raises(PolicyRefused, match="--least 80: AUROC is 1 at most"):
        register.act("register", version=register.first, rules=asked)
    register.act("register", version=register.first, rules=RULES)


def test_a_gate_that_is_open_or_failed_keeps_a_version_back_and_says_why(
    register: Register,
) -> None:
    asked = json.dumps(GateRules(least=0.999, red_team=True).to_json())
    register.act("register", version=register.first, rules=asked)
    with pytest.raises(PolicyRefused) as refused:
        register.act("canary", version=register.first, sites=("east",))
    assert "red-team is open" in str(refused.value)
    assert "utility failed" in str(refused.value)
    assert register.stages == {register.first: Stage.CANDIDATE}
    found = {gate.name: gate.result for gate in register.people.operations.models.gates(
        "heart", register.first)}  # fmt: skip
    assert found["signatures"] == found["privacy"] == "passed"


def test_what_a_red_team_finds_keeps_a_version_from_canary_and_from_production(
    register: Register,
) -> None:
    rules = json.dumps(GateRules(margin=1.0, canary_evaluation=False).to_json())
    for version in (register.first, register.second):
        register.act("register", version=version, rules=rules)
    with pytest.raises(PolicyRefused, match="red-team is open.*extraction is open"):
        register.act("canary", version=register.first, sites=("east",))
    register.attacked("run-1", findings(advantage=0.4))
    with pytest.raises(PolicyRefused, match=r"red-team failed: .*0\.400 .0\.350"):
        register.act("canary", version=register.first, sites=("east",))
    register.attacked("run-2", findings())
    register.act("canary", version=register.second, sites=("east",))
    change = register.act("promote", version=register.second)["change"]
    register.attacked("run-2", findings(exposure=3.0))
    with pytest.raises(PolicyRefused, match="extraction failed"):
        register.people.confirm(BEA, change)
    assert register.stages == {
        register.first: Stage.CANDIDATE,
        register.second: Stage.CANARY,
    }


def test_thresholds_stay_what_they_were_when_the_model_was_founded(register: Register) -> None:
    register.act("register", version=register.first, rules=RULES)
    other = json.dumps(GateRules(red_team=False, margin=0.5).to_json())
    with pytest.raises(PolicyRefused, match="has other thresholds since it was founded"):
        register.act("register", version=register.second, rules=other)
    register.act("register", version=register.second, rules=RULES)


def test_a_snapshot_without_a_quorum_is_no_candidate(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study())
    federation.link.lost = lambda site, request: request.step == SNAPSHOT and site != "east"
    federation.run()
    people = People.over(federation.store, federation.workspace.signing_key())
    people.found()
    with pytest.raises(QuorumLost, match="1 of 4 hospitals have signed the snapshot, 3 must"):
        people.act(CLEO, "model.register", HEART, {"version": "run-1"})
    federation.close()


def test_a_canary_that_is_worse_is_ended_without_anybody(register: Register) -> None:
    register.to_production(register.first)
    register.to_canary(register.second, "east")
    models = register.people.operations.models
    good = Interval(value=0.8, low=0.79, high=0.81)
    found = CanaryFigures(
        version=register.second, sites=("east",), canary=good, production=good, compares=True
    )
    event = models.follow("heart", found, figure="AUROC")
    assert event is not None and event.reason.startswith("holds: +0.000")
    assert register.stages[register.second] is Stage.CANARY
    bad = Interval(value=0.7, low=0.69, high=0.71)
    event = models.follow("heart", replace(found, canary=bad), figure="AUROC")
    assert event is not None and "regression: -0.100" in event.reason and "east" in event.reason
    assert register.stages[register.second] is Stage.CANDIDATE
    with register.store.read() as session:
        line = line_of(session, "heart")
    assert line.state.served_at("east") == register.first
    assert line.events[-1] == event and event.by == ""
    assert line.canary_ended_by_rule == event
    store, workspace = register.store, register.workspace
    (told,) = gathered(store, workspace, utc_now()).canaries or ()
    assert (told.model, told.version, told.at) == ("heart", register.second, event.time)
    with pytest.raises(PolicyRefused, match="ended by itself .regression.*train a better one"):
        register.act("canary", version=register.second, sites=("east",))
    register.act("retire", version=register.second)
    assert gathered(store, workspace, utc_now()).canaries == ()


def test_a_version_that_was_worse_is_tried_again_once_another_is_in_production(
    register: Register,
) -> None:
    register.to_production(register.first)
    register.to_canary(register.second)
    figure = Interval(value=0.8, low=0.79, high=0.81)
    worse = CanaryFigures(
        version=register.second, sites=("east", "north"), compares=True, production=figure,
        canary=replace(figure, value=0.7, low=0.69, high=0.71),
    )  # fmt: skip
    register.people.operations.models.follow("heart", worse, figure="AUROC")
    with register.store.read() as session:
        line = line_of(session, "heart")
    assert line.regression_of(register.second) == line.events[-1]
    assert line.regression_of(register.first) is None
    third = StageEvent(kind=EventKind.REGISTERED, version="third", time=line.events[-1].time)
    for kind, sites in (("registered", ()), ("canary-begun", ("east",)), ("promoted", ())):
        line = line.with_event(replace(third, kind=EventKind(kind), sites=sites))
    assert line.regression_of(register.second) is None


def test_one_person_rolls_back_and_the_version_before_is_served_again(
    register: Register,
) -> None:
    register.to_production(register.first)
    register.to_production(register.second)
    told = register.act("roll-back", BEA, reason="complaints at east")
    assert told["production"] == register.first
    assert register.stages == {
        register.first: Stage.PRODUCTION,
        register.second: Stage.CANDIDATE,
    }
    with pytest.raises(PolicyRefused, match="none to go back to"):
        register.act("roll-back", BEA)


def test_a_version_is_found_by_the_beginning_of_its_digest_its_run_or_its_model(
    register: Register,
) -> None:
    with register.store.read() as session:
        signed = signed_snapshot(session, register.first[:10])
        assert signed_snapshot(session, signed.snapshot.model[:10]) == signed
        with pytest.raises(PolicyRefused, match="4 characters"):
            signed_snapshot(session, register.first[:3])
        with pytest.raises(PolicyRefused, match="no signed snapshot"):
            signed_snapshot(session, "f00f00f00")


def test_a_whole_run_id_is_taken_whatever_its_length_and_before_longer_ones(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study())
    for run in ("r", "r-2"):
        federation.run_id = run
        federation.invitation = federation.invitation_of(run)
        federation.run()
    with federation.store.read() as session:
        assert signed_snapshot(session, "r").snapshot.run == "r"
        assert signed_snapshot(session, "r-2").snapshot.run == "r-2"
        with pytest.raises(PolicyRefused, match="4 characters at least, or by a whole run's id"):
            signed_snapshot(session, "r-")
    federation.close()


def test_a_canary_that_must_be_evaluated_has_hospitals_enough_for_a_secure_sum(
    register: Register,
) -> None:
    rules = json.dumps(GateRules(red_team=False, margin=1.0).to_json())
    register.act("register", version=register.first, rules=rules)
    with pytest.raises(PolicyRefused, match="name 3 at least"):
        register.act("canary", version=register.first, sites=("east", "north"))
    register.act("canary", version=register.first, sites=("east", "north", "west"))
    change = register.act("promote", version=register.first)["change"]
    with pytest.raises(PolicyRefused, match="canary is open: the canary was not evaluated"):
        register.people.confirm(BEA, change)


def test_figures_of_another_canary_end_none(register: Register) -> None:
    register.to_production(register.first)
    register.to_canary(register.second, "east")
    bad = Interval(value=0.1, low=0.05, high=0.15)
    found = CanaryFigures(
        version=register.first, sites=("east",), canary=bad, production=bad, compares=True
    )
    assert register.people.operations.models.follow("heart", found, figure="AUROC") is None
    assert register.stages[register.second] is Stage.CANARY


def test_a_snapshot_whose_signatures_do_not_verify_is_no_candidate(register: Register) -> None:
    store = register.store
    with store.read() as session:
        signed = signed_snapshot_of(session, "run-1")
    assert signed is not None
    swapped = {**signed.signatures, "east": signed.signatures["north"]}
    with store.transaction() as transaction:
        transaction.session.execute(
            text("UPDATE signed_snapshot SET document = :data WHERE run_id = 'run-1'"),
            {"data": replace(signed, signatures=swapped).to_bytes()},
        )
    with pytest.raises(MessageRefused, match="east did not sign this snapshot"):
        register.act("register", version=register.first, rules=RULES)


def test_a_version_that_predicts_something_else_is_no_version_of_a_model(
    tmp_path: Path,
) -> None:
    federation = Federation(tmp_path, small_study())
    federation.run()
    other = read_study(changed("positive: [1], negative: [0]", "positive: [0], negative: [1]"))
    federation.study, federation.run_id = other, "run-2"
    federation.invitation = replace(federation.invitation_of("run-2"), study=other)
    federation.run()
    people = People.over(federation.store, federation.workspace.signing_key())
    people.found()
    people.act(CLEO, "model.register", HEART, {"version": "run-1"})
    with pytest.raises(PolicyRefused, match="another task or label is another model"):
        people.act(CLEO, "model.register", HEART, {"version": "run-2"})
    federation.close()


def test_where_nothing_is_in_production_nothing_is_rolled_back(register: Register) -> None:
    register.act("register", version=register.first, rules=RULES)
    with pytest.raises(PolicyRefused, match="no version of heart is in production"):
        register.act("roll-back", BEA)


def test_a_version_is_compared_with_the_one_that_was_retired_from_production(
    register: Register,
) -> None:
    register.to_production(register.first)
    register.act("retire", version=register.first)
    register.act("register", version=register.second)
    gates = register.people.operations.models.gates("heart", register.second)
    assert "regression" in [gate.name for gate in gates]
