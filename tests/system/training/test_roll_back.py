"""Runs with interim evaluations: rounds taken back, restarts, and refusals of another course."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from collegium.verification.hospital_checks import _check_end
from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.privacy.accounting import epsilon
from compliance.privacy.events import SampledGaussian
from coordinator.audit.verification import verify_records
from coordinator.database.round_archive import RoundArchive
from coordinator.database.server_state import ServerStates
from coordinator.database.store import ReleaseRow, RoundRow
from coordinator.rounds import training
from coordinator.rounds.ending.end_statement import result_of
from coordinator.rounds.round_records import RoundRecords
from coordinator.rounds.run_course import course_of, course_with, evaluations_of
from coordinator.rounds.training import Outcome, Runner, RunStores
from protocol.errors import QuorumLost, StoreBroken
from protocol.study.rounds.course import Course
from protocol.study.strategies.local_steps import LocalEnd
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.transport.privacy_summary import open_summary
from protocol.transport.run_announcement import sign_end
from protocol.transport.steps import Request
from protocol.vectors.tensors import decode_tensors, model_digest
from silos.results.run_results import evaluated
from silos.rounds.participation import LocalTrainer
from silos.training.randomness import Entropy, RoundInput
from tests.support.simulated.federation import Federation, LinearTrainer
from tests.support.simulated.nine_hospitals import without_noise
from tests.support.simulated.studies import TABLE_STUDY, small_study
from tests.system.test_retries import paid_by, sent_of
from tests.system.training.test_distributed_noise import ONE_STEP, distributed

ROUNDS = 6


class PoisonedOnce(LinearTrainer):
    """South sends the opposite of its update in the fourth round, fifty times over."""

    def update(self, given: RoundInput, entropy: Entropy) -> LocalEnd:
        honest = super().update(given, entropy)
        bad = self._site == "south" and given.number == 3
        return LocalEnd(update=honest.update * (-50 if bad else 1))


class PoisonedAtTheEnd(LinearTrainer):
    """South sends the opposite of its update in the last round, fifty times over."""

    def update(self, given: RoundInput, entropy: Entropy) -> LocalEnd:
        honest = super().update(given, entropy)
        bad = self._site == "south" and given.number == self._study.training.rounds - 1
        return LocalEnd(update=honest.update * (-50 if bad else 1))


def study_of(
    text: str = TABLE_STUDY, roll_back: str = ", roll_back: 0.05", more: str = ""
) -> Study:
    """Six rounds, evaluated after every two, without noise unless the text has it."""
    text = text.replace("rounds: 2", f"rounds: {ROUNDS}")
    text = text.replace("{bins: 8}", f"{{bins: 8, every: 2{roll_back}}}")
    return read_study(text.replace("colluders: 1", "colluders: 1, keep_rounds: 20") + more)


def free_study(**keys: str) -> Study:
    return study_of(without_noise(TABLE_STUDY), **keys)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Federation, Outcome]:
    federation = Federation(tmp_path_factory.mktemp("run"), free_study(), trainer=PoisonedOnce)
    return federation, federation.run()


def made(folder: Path, study: Study, trainer: Callable[..., LocalTrainer]) -> Federation:
    """A federation in a folder that there is not yet."""
    folder.mkdir()
    return Federation(folder, study, trainer=trainer)


def course(federation: Federation) -> Course:
    with federation.store.read() as session:
        found = course_of(session, "run-1", federation.study)
    assert found is not None
    return found


def models_of(federation: Federation) -> dict[int, str]:
    """The model that each training round began with."""
    with federation.store.read() as session:
        rows = session.query(RoundRow).filter_by(round_kind="training", state="finished")
        return {row.number: json.loads(row.context_json)["model_hash"] for row in rows}


def test_a_poisoned_round_is_taken_back_and_training_goes_on_from_the_best_model(
    done: tuple[Federation, Outcome],
) -> None:
    federation, _ = done
    assert federation.watch.taken_back == [(4, 2)]
    kinds = [(kind, number) for kind, number, _ in federation.watch.rounds]
    assert kinds == [
        ("training", 0), ("training", 1), ("evaluation", 7), ("training", 2), ("training", 3),
        ("evaluation", 8), ("training", 4), ("training", 5), ("evaluation", 6),
    ]  # fmt: skip
    after_two, after_four, last = course(federation).evaluations
    assert models_of(federation)[4] == after_two.model == models_of(federation)[2]
    assert after_four.figure is not None and after_two.figure is not None
    assert after_four.figure < after_two.figure - 50_000
    assert last.model not in (after_two.model, after_four.model)


def test_a_run_is_verified_and_every_round_of_it_recomputed(
    done: tuple[Federation, Outcome],
) -> None:
    federation, outcome = done
    with federation.store.read() as session:
        assert len(verify_records(session, federation.workspace.public_key()).attempts) == 9
    assert [federation.recomputed(number).round for number in range(ROUNDS)] == [1, 2, 3, 4, 5, 6]
    assert federation.recomputed(ROUNDS - 1).model == outcome.model_digest
    for number in federation.study.evaluations.numbers:
        assert federation.recomputed(number, "evaluation").figures


def test_a_run_ends_with_the_model_that_was_best_bit_for_bit(tmp_path: Path) -> None:
    poisoned = made(tmp_path / "a", free_study(), PoisonedAtTheEnd)
    outcome = poisoned.run()
    assert poisoned.watch.taken_back == [(6, 4)]
    best = course(poisoned).evaluations[1]
    assert (best.rounds, outcome.model_digest) == (4, best.model)
    with poisoned.store.read() as session:
        _, second, last = evaluations_of(session, "run-1", poisoned.study)
        verify_records(session, poisoned.workspace.public_key())
        assert result_of(session, "run-1") is not None
        assert result_of(session, "run-1").model == best.model  # type: ignore[union-attr]
    # What stands for the run is what was released of the model that it ends with.
    assert outcome.released.figures["auroc"] == second.headline != last.headline
    assert model_digest(outcome.model) == best.model
    # It is the very model that four honest rounds give.
    honest = made(tmp_path / "b", free_study(), LinearTrainer)
    honest.run()
    assert course(honest).evaluations[1].model == best.model


@pytest.mark.parametrize("dead_after", [7, 8])
def test_a_coordinator_that_is_restarted_finds_the_course_again(
    tmp_path: Path, dead_after: int, done: tuple[Federation, Outcome]
) -> None:
    """It dies when an interim evaluation was committed, or just before the next round."""
    federation = Federation(tmp_path, free_study(), trainer=PoisonedOnce)
    states = ServerStates(tmp_path / "states")
    finished: Callable[..., None] = federation.watch.round_finished

    def dies(kind: str, number: int, survivors: tuple[str, ...]) -> None:
        finished(kind, number, survivors)
        if number == dead_after:
            raise KeyboardInterrupt

    federation.runner = lambda _=None: _with_states(federation, states)  # type: ignore[assignment]
    federation.watch.round_finished = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        federation.run()
    federation.watch.round_finished = finished  # type: ignore[method-assign]
    first = next(iter(federation.silos.values()))
    outcome = _with_states(federation, states).run(decode_tensors(first.initial_model("run-1")))
    assert outcome.model_digest == done[1].model_digest
    assert course(federation) == course(done[0])
    assert federation.watch.taken_back == [(4, 2)]


def _with_states(federation: Federation, states: ServerStates) -> Runner:
    stores = RunStores(
        store=federation.store,
        snapshots=federation.workspace,
        rounds=RoundArchive(federation.workspace.rounds),
        states=states,
    )
    signed = federation.signed_summaries.items()
    return Runner(
        run_id="run-1",
        study=federation.study,
        roster=federation.roster,
        key=federation.workspace.signing_key(),
        summaries={
            site: open_summary(word, federation.roster.key_of(site)) for site, word in signed
        },
        stores=stores,
        link=federation.link,
        watcher=federation.watch,
    )


def test_a_hospital_that_missed_an_interim_evaluation_takes_part_in_the_rounds_after_it(
    tmp_path: Path,
) -> None:
    federation, seen = Federation(tmp_path, free_study(), trainer=PoisonedOnce), 0

    def lost(site: str, request: Request) -> bool:
        nonlocal seen
        if site == "west" and request.step == "advertise":
            seen += 1
        return site == "west" and seen == 6  # the second interim evaluation

    federation.link.lost = lost
    federation.run()
    assert federation.watch.taken_back == [(4, 2)]
    there = [(number, "west" in sites) for _, number, sites in federation.watch.rounds]
    assert [number for number, is_there in there if not is_there] == [8]


# --- what hospitals and auditors refuse -------------------------------------------------------


def test_hospitals_refuse_a_round_that_does_not_begin_where_the_course_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coordinator that goes on from the model that was taken back."""
    monkeypatch.setattr(training, "goes_on_from", lambda _study, course: course.last)
    federation = Federation(tmp_path, free_study(), trainer=PoisonedOnce)
    with pytest.raises(QuorumLost):
        federation.run()
    assert [number for kind, number, _ in federation.watch.rounds if kind == "training"][-1] == 3
    reason = federation.silos["east"].reason("run-1")
    assert reason is not None and "from which the run's course goes on" in reason


def test_hospitals_refuse_a_course_that_names_another_model_than_they_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the second evaluation on a coordinator says that the first was of another model."""

    def false(course: Course | None) -> Course | None:
        if course is None or len(course.evaluations) < 2:
            return course
        first, *others = course.evaluations
        return Course(evaluations=(replace(first, model="f" * 64), *others))

    true = RoundRecords.course
    monkeypatch.setattr(training, "course_with", lambda *given: false(course_with(*given)))
    monkeypatch.setattr(RoundRecords, "course", lambda self, study: false(true(self, study)))
    federation = Federation(tmp_path, free_study())
    with pytest.raises(QuorumLost):
        federation.run()
    reason = federation.silos["east"].reason("run-1")
    assert reason is not None and "another model was evaluated after round 2" in reason


def test_an_auditor_refuses_a_run_that_took_another_course(tmp_path: Path) -> None:
    """Coordinator and hospitals of one mind: nothing is taken back, and the log says so."""
    federation = Federation(tmp_path, free_study(), trainer=PoisonedOnce)
    with pytest.MonkeyPatch.context() as patch:
        for place in ("coordinator.rounds.training", "protocol.secagg.log_proof"):
            patch.setattr(f"{place}.goes_on_from", lambda _study, course: course.last)
        federation.run()
    assert federation.watch.taken_back == []
    other = "training round 5 did not begin with the model from which the run's course goes on"
    with pytest.raises(StoreBroken, match=other):
        federation.recomputed(5)
    with federation.store.read() as session, pytest.raises(StoreBroken, match=other):
        verify_records(session, federation.workspace.public_key())


def test_an_auditor_refuses_figures_that_do_not_give_the_logged_course(tmp_path: Path) -> None:
    federation = Federation(tmp_path, free_study(), trainer=PoisonedOnce)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "course_with", _flattering)
        federation.run()  # hospitals see the same course as the log, and cannot know the figures
    with pytest.raises(StoreBroken, match="not the one that its released figures give"):
        federation.recomputed(1)


def _flattering(*given: Any) -> Course:
    honest = course_with(*given)
    better = replace(honest.last, figure=999_999)
    return Course(evaluations=(*honest.evaluations[:-1], better))


# --- price, and other kinds of rounds ---------------------------------------------------------


def test_every_evaluation_is_paid_for_and_the_price_is_that_of_all_of_them(
    tmp_path: Path,
) -> None:
    """Noised: three evaluations cost what three releases of Gaussian noise cost together."""
    federation = Federation(tmp_path, study_of())
    federation.run()
    plan = PrivacyPlan.at(federation.study, "east")
    assert plan is not None and plan.evaluation.steps == 3
    alone = SampledGaussian(
        noise_multiplier=plan.evaluation.noise_multiplier, sampling_rate=1.0, steps=1
    )
    assert plan.evaluation_epsilon == epsilon(replace(alone, steps=3), plan.delta)
    assert epsilon(alone, plan.delta) < plan.evaluation_epsilon <= 4
    for site in federation.silos:
        sent = {entry.context for entry in sent_of(federation, site, "evaluation")}
        assert len(sent) == paid_by(federation, site, "evaluation") == 3
    with federation.store.read() as session:
        verify_records(session, federation.workspace.public_key())
        kinds = {row.kind for row in session.query(ReleaseRow)}
    assert kinds == {
        "evaluation", "evaluation-after-2", "evaluation-after-4",
        "site-tables", "site-tables-after-2", "site-tables-after-4",
    }  # fmt: skip


def test_evaluations_without_roll_back_change_nothing_of_the_training(tmp_path: Path) -> None:
    watched = made(tmp_path / "a", free_study(roll_back=""), PoisonedOnce)
    study = watched.study.replaced(evaluation=small_study().evaluation)
    plain = made(tmp_path / "b", study, PoisonedOnce)
    assert watched.run().model_digest == plain.run().model_digest
    assert watched.watch.taken_back == []
    with watched.store.read() as session:
        verify_records(session, watched.workspace.public_key())
        assert [one.rounds for one in evaluations_of(session, "run-1", watched.study)] == [2, 4, 6]


@pytest.mark.parametrize(
    "more",
    [
        "participation: {batches: [[east, north, south], [north, south, west]]}\n",
        "communication: {ring_bits: auto}\n",
    ],
)
def test_batches_and_sums_in_place_of_models_are_taken_back_too(tmp_path: Path, more: str) -> None:
    federation = Federation(tmp_path, free_study(more=more), trainer=PoisonedOnce)
    federation.run()
    assert federation.watch.taken_back == [(4, 2)]
    asked = {number: sites for kind, number, sites in federation.watch.rounds if number > 5}
    assert all(sites == ("east", "north", "south", "west") for sites in asked.values())
    with federation.store.read() as session:
        verify_records(session, federation.workspace.public_key())


def test_a_hospital_that_missed_the_best_evaluation_is_not_told_of_another_end(
    tmp_path: Path,
) -> None:
    """West had no part in the interim evaluations, and the run goes back behind the last one."""
    federation, seen = Federation(tmp_path, free_study(), trainer=PoisonedAtTheEnd), 0

    def lost(site: str, request: Request) -> bool:
        nonlocal seen
        seen += site == "west" and request.step == "advertise"
        return site == "west" and seen in (3, 6)  # the interim evaluations

    federation.link.lost = lost
    outcome = federation.run()
    with federation.store.read() as session:
        found = verify_records(session, federation.workspace.public_key())
        announced = result_of(session, "run-1")
    assert announced is not None and announced.model == outcome.model_digest
    other = replace(announced, model="f" * 64)
    for site, silo in federation.silos.items():
        hospital, missed = silo._database, site == "west"
        known = evaluated(hospital, "run-1", federation.study, announced)
        assert known == (None if missed else outcome.model_digest)
        told = SimpleNamespace(
            run_id="run-1", end=sign_end("run-1", federation.workspace.signing_key(), announced)
        )
        signed = hospital.signing_record().of("run-1")
        _check_end(told, found, federation.workspace.public_key(), signed)  # type: ignore[arg-type]
        # A model that nobody evaluated is told whoever was there.
        told.end = sign_end("run-1", federation.workspace.signing_key(), other)
        lying = replace(found, results={"run-1": other})
        with pytest.raises(StoreBroken, match="another model to it than it evaluated"):
            _check_end(told, lying, federation.workspace.public_key(), signed)  # type: ignore[arg-type]


def test_evaluations_go_with_shared_noise_and_are_paid_one_by_one(tmp_path: Path) -> None:
    shared = distributed(training=ONE_STEP)
    keys = shared.evaluation.model_copy(update={"every": 1, "roll_back": 0.05})
    federation = Federation(tmp_path, shared.replaced(evaluation=keys), budget=200.0)
    federation.run()
    assert [rounds.rounds for rounds in course(federation).evaluations] == [1, 2, 3]
    with federation.store.read() as session:
        verify_records(session, federation.workspace.public_key())
    assert paid_by(federation, "east", "evaluation") == 3
