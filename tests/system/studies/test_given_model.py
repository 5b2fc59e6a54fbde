"""A given model is evaluated at hospitals: one noised count, no training, and a price for that."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from compliance.governance.promise_check import require_promised
from compliance.ledger.entries import State
from compliance.ledger.privacy_plan import PrivacyPlan
from coordinator.audit.verification import verify_records
from coordinator.database.store import ReleaseRow
from coordinator.database.workspace import Workspace
from coordinator.governance.models.snapshots import signed_snapshot_of
from pipelines.networks.given_network import given_network
from pipelines.networks.networks import build, parameters_of
from protocol.encoding import digest
from protocol.errors import OutOfOrder, QuorumLost, StudyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.transport.privacy_summary import open_summary
from protocol.vectors.tensors import Tensors, encode_tensors, model_digest
from silos.training.counting.model_evaluator import ModelEvaluator
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import evaluation_study, small_study

WITHOUT_NOISE = ("{mode: per_site, epsilon: 4, delta: 1e-3", "{mode: none")


def given_parameters() -> dict[str, np.ndarray]:
    """Returns parameters of the small study's network by which older patients are ill."""
    study = small_study()
    found = parameters_of(build(study.task, study.cohort, seed=3))
    generator = np.random.default_rng(0)
    return {
        name: generator.normal(0, 0.3, value.shape).astype("<f4") for name, value in found.items()
    }


def evaluated(model: Tensors, change: Callable[[str], str] = str) -> Study:
    data = encode_tensors(model)
    study = read_study(change(evaluation_study(digest(data))))
    assert study.task.pretrained is not None
    study.task.pretrained.attach(data)
    return study


def federation(folder: Path, study: Study) -> Federation:
    return Federation(folder, study, trainer=ModelEvaluator)


def test_the_model_that_is_evaluated_is_the_one_in_the_file(tmp_path: Path) -> None:
    model = given_parameters()
    hospitals = federation(tmp_path, evaluated(model))
    outcome = hospitals.run()
    assert outcome.model_digest == model_digest(model)
    assert [kind for kind, _, _ in hospitals.watch.rounds] == ["evaluation"]
    assert set(outcome.released.sites) == set(hospitals.study.site_names)
    with hospitals.store.read() as session:
        assert sorted(row.kind for row in session.query(ReleaseRow)) == [
            "evaluation",
            "site-tables",
        ]
        verify_records(session, hospitals.workspace.public_key())
        assert signed_snapshot_of(session, "run-1") is None  # it made no model


def test_without_noise_the_counts_are_those_of_the_test_patients_alone(tmp_path: Path) -> None:
    model = given_parameters()
    study = evaluated(model, lambda text: text.replace(*WITHOUT_NOISE))
    hospitals = federation(tmp_path, study)
    released = hospitals.run().released
    parts = [silo.simulated_part("run-1") for silo in hospitals.silos.values()]
    scored = [one.patient_scores(model) for one in parts if isinstance(one, ModelEvaluator)]
    labels = np.concatenate([label for _, label in scored])
    trained = sum(one.num_train_patients for one in parts if isinstance(one, ModelEvaluator))
    assert 0 < len(labels) < len(labels) + trained == 160
    risks = released.risks
    assert risks is not None
    assert risks.ill.value == pytest.approx(labels.mean())


def test_test_patients_pay_and_training_patients_pay_nothing(tmp_path: Path) -> None:
    hospitals = federation(tmp_path, evaluated(given_parameters()))
    hospitals.run()
    ledger = hospitals.silos["east"]._ledger
    said = open_summary(hospitals.signed_summaries["east"], hospitals.roster.key_of("east"))
    require_promised(hospitals.study, said, test_noise=False, priced=True)
    assert (said.steps, said.priced_steps, said.priced_evaluations) == (0, 1, 1)
    assert said.evaluation_epsilon == pytest.approx(4, abs=0.05)
    with ledger._storage.transaction() as chain:
        assert [entry.state for entry in chain.entries()] == [State.RESERVED, State.SENT]
    plan = PrivacyPlan.at(hospitals.study, "east")
    assert plan is not None
    (release,) = plan.plans(apart=True)  # a life-long number keeps test patients apart
    assert (release.partition, release.round_kind) == ("evaluation", "evaluation")
    (release,) = plan.plans(apart=False)
    assert release.partition == "both"


def test_hospitals_evaluate_no_other_model_than_the_one_in_their_file(tmp_path: Path) -> None:
    model = given_parameters()
    hospitals = federation(tmp_path, evaluated(model))
    other = {name: value + np.float32(0.5) for name, value in model.items()}
    first = next(iter(hospitals.silos.values()))
    first.initial_model = lambda run_id: encode_tensors(other)  # type: ignore[method-assign]
    with pytest.raises(QuorumLost):
        hospitals.run()
    assert "does not start from the study's own" in str(first.reason("run-1"))


def test_nothing_is_trained_whoever_asks_for_it(tmp_path: Path) -> None:
    hospitals = federation(tmp_path, evaluated(given_parameters()))
    hospitals.join()
    with pytest.raises(OutOfOrder, match="no round of training"):
        hospitals.silos["east"].simulated_part("run-1").update(None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda model: model.pop("output.weight"), "lacks 'output.weight': nothing is trained"),
        (lambda model: model.update(extra=np.zeros(1, "<f4")), "holds 'extra'"),
        (
            lambda model: model.update({"output.bias": np.zeros(2, "<f4")}),
            "'output.bias' in another shape",
        ),
    ],
)
def test_a_file_that_is_not_the_whole_network_is_refused(
    change: Callable[[dict[str, np.ndarray]], object], why: str
) -> None:
    model = given_parameters()
    change(model)
    study = evaluated(model)
    with pytest.raises(StudyRefused, match=why):
        given_network(study.task, study.cohort)


def test_the_last_bias_is_the_files_and_not_that_of_a_declared_prevalence() -> None:
    model = given_parameters()
    study = evaluated(model, lambda text: text.replace("task:\n", "task:\n  prevalence: 0.1\n", 1))
    assert model_digest(parameters_of(given_network(study.task, study.cohort))) == model_digest(
        model
    )


def test_a_training_runs_manifest_stays_beside_its_model(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "out")
    model = given_parameters()
    name = workspace.keep_snapshot(model, {"run_id": "training"})
    assert workspace.keep_snapshot(model, {}) == name
    beside = json.loads((workspace.snapshots / f"{name}.json").read_text())
    assert beside["run_id"] == "training"
