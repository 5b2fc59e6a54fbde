"""Runs in which declared batches of hospitals take turns: who is asked, what each pays, audits."""

from pathlib import Path

import pytest

from compliance.ledger.privacy_plan import PrivacyPlan
from coordinator.alerts.gathering import _rounds_of, _Run
from coordinator.audit.verification import verify_records
from coordinator.rounds import training
from protocol.errors import QuorumLost
from protocol.study.study import Study
from protocol.study.study_file import read_study
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import TABLE_STUDY

TURNS = "participation: {batches: [[east, north, south], [north, south, west]]}\n"


def study_of(rounds: int = 3) -> Study:
    return read_study(TABLE_STUDY.replace("rounds: 2", f"rounds: {rounds}") + TURNS)


def test_each_round_asks_its_batch_and_each_hospital_pays_its_rounds_alone(tmp_path: Path) -> None:
    federation = Federation(tmp_path, study_of())
    federation.run()
    assert federation.watch.rounds == [
        ("training", 0, ("east", "north", "south")),
        ("training", 1, ("north", "south", "west")),
        ("training", 2, ("east", "north", "south")),
        ("evaluation", 3, ("east", "north", "south", "west")),
    ]
    for site, rounds in {"east": 2, "north": 3, "west": 1}.items():
        plans = {plan.round_kind: plan for plan in federation.silos[site]._ledger.open_plans()}
        sent = plans["training"].share_sent / plans["training"].share_planned
        assert sent == pytest.approx(rounds / (rounds + 1))  # beside it one spare draw
    with federation.store.read() as session:
        public = federation.workspace.public_key()
        verify_records(session, public)
        run = _Run("run-1", federation.study.digest, "small", "finished")
        # Who is in another batch is not absent: no alert follows.
        assert set(_rounds_of(session, run).finished) == {frozenset(federation.study.site_names)}
    found = federation.recomputed(2)
    assert found.model is not None and found.sums[0].survivors == ("east", "north", "south")


def test_at_the_same_epsilon_who_takes_part_less_has_less_noise() -> None:
    study = study_of()
    plans = {site: PrivacyPlan.at(study, site) for site in study.site_names}
    west, north = plans["west"], plans["north"]
    assert west is not None and north is not None
    assert (west.training.steps, north.training.steps) == (4, 8)
    assert west.training.noise_multiplier < north.training.noise_multiplier
    assert west.epsilon <= 4 and north.epsilon <= 4


def test_with_declared_noise_who_takes_part_less_pays_less() -> None:
    text = TABLE_STUDY.replace("rounds: 2", "rounds: 3").replace(
        "epsilon: 4,", "epsilon: 8, noise_multiplier: 4,"
    )
    study = read_study(text + TURNS)
    plans = {site: PrivacyPlan.at(study, site) for site in study.site_names}
    assert plans["west"] is not None and plans["north"] is not None
    assert plans["west"].epsilon < 0.8 * plans["north"].epsilon


def test_a_hospital_refuses_a_round_of_another_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = Federation(tmp_path, study_of())
    honest = training.round_context

    def everybody(study: Study, **given: object) -> object:
        return honest(study, **{**given, "among": study.whole_sum})  # type: ignore[arg-type]

    monkeypatch.setattr(training, "round_context", everybody)
    with pytest.raises(QuorumLost, match="west: OutOfOrder"):
        federation.run()
    assert "training round 0 is of other hospitals" in str(federation.silos["west"].reason("run-1"))
    assert "participants" in str(federation.silos["east"].reason("run-1"))
