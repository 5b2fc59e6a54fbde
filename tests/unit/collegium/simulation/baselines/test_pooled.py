"""The pooled reference: central DP-SGD over all records, and how it is remembered."""

from pathlib import Path

import numpy as np
import pytest

from collegium.simulation.baselines.plan import together
from collegium.simulation.baselines.pooled import train_pooled
from collegium.simulation.records import joined, read_hospitals
from collegium.simulation.sweeps.grid import Grid, plan_jobs
from compliance.ledger.privacy_plan import PrivacyPlan
from coordinator.audit.verification import verify_records
from coordinator.database.baselines import keep_reference
from coordinator.views.views import Views
from pipelines.evaluation.metrics import auroc
from pipelines.records import Records
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.vectors.tensors import flatten, layout_of, unflatten
from silos.training.randomness import FixedEntropy, RoundInput
from silos.training.trainer import Trainer
from tests.support.simulated.federation import Federation, write_hospitals
from tests.support.simulated.studies import changed, small_study
from tests.support.simulated.worker_pools import images

FIXED = FixedEntropy(1, simulated=True)


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Records, Records]]:
    folder = tmp_path_factory.mktemp("records")
    write_hospitals(folder, small_study())
    return read_hospitals(small_study(), None, folder)


def in_mode(mode: str, epsilon: float | None) -> Study:
    modes = ("per_site", "distributed", "pooled")
    jobs = plan_jobs([small_study()], Grid(epsilons=(epsilon,), seeds=(1,), modes=modes))
    return next(job.study for job in jobs if job.mode == mode)


def whole(hospitals: dict[str, tuple[Records, Records]]) -> tuple[Records, Records]:
    train, test = (joined(part) for part in zip(*hospitals.values(), strict=True))
    return train, test


def test_joined_records_keep_every_patient_of_every_hospital_apart(
    hospitals: dict[str, tuple[Records, Records]],
) -> None:
    train, _ = whole(hospitals)
    parts = [part for part, _ in hospitals.values()]
    assert train.num_patients == sum(part.num_patients for part in parts)
    assert len(set(train.patient_keys)) == train.num_patients
    assert train.labels.tolist() == [label for part in parts for label in part.labels.tolist()]


def test_central_training_is_the_trainers_own_steps_over_all_records(
    hospitals: dict[str, tuple[Records, Records]],
) -> None:
    study = in_mode("per_site", 4.0)
    train, test = whole(hospitals)
    trainer = Trainer(together(study), "east", train, test)
    model = trainer.initial_model()
    plan = PrivacyPlan.of(study, study.privacy)  # type: ignore[arg-type]
    for number in range(study.training.rounds):
        moved = trainer.update(
            RoundInput(model=model, number=number, noise_multiplier=plan.training.noise_multiplier),
            FIXED,
        ).update
        after = (flatten(model) + moved).astype(np.float32)
        model = unflatten(layout_of(model), after)
    logits, labels = trainer.patient_scores(model)
    above = logits[labels == 1][:, None] - logits[labels == 0]
    by_hand = float(np.mean((above > 0) + 0.5 * (above == 0)))
    assert train_pooled(study, train, test, FIXED)["auroc"] == pytest.approx(by_hand)


@pytest.mark.parametrize(("mode", "epsilon"), [("per_site", 1.0), ("distributed", 1.0)])
def test_a_reference_is_priced_like_a_run(
    hospitals: dict[str, tuple[Records, Records]], mode: str, epsilon: float
) -> None:
    figures = train_pooled(in_mode(mode, epsilon), *whole(hospitals), FIXED)
    assert 0.9 < figures["epsilon"] <= epsilon
    assert figures["noise_multiplier"] > 1
    assert 0 <= figures["auroc"] <= 1


def test_the_ceiling_has_no_noise_and_learns(
    hospitals: dict[str, tuple[Records, Records]],
) -> None:
    study = read_study(changed("rounds: 2", "rounds: 20"))
    train, test = whole(hospitals)
    ceiling = train_pooled(study.with_epsilon(None), train, test, FIXED)
    assert (ceiling["epsilon"], ceiling["noise_multiplier"]) == (None, None)
    assert ceiling["auroc"] > 0.8


def test_references_of_a_sweep_differ_from_its_runs_by_the_noise_alone(
    hospitals: dict[str, tuple[Records, Records]],
) -> None:
    """A rate for clipped gradients would carry the model far off with whole ones."""
    train, test = whole(hospitals)
    text = changed("clip: 1.0", "clip: 0.05").replace("learning_rate: 0.5", "learning_rate: 40.0")
    grid = Grid(epsilons=(None,), seeds=(1,), modes=("per_site", "distributed", "pooled"))
    jobs = plan_jobs([read_study(text)], grid)
    assert [job.mode for job in jobs] == ["none", "pooled"]
    for study in [job.study for job in jobs]:
        trainer = Trainer(together(study), "east", train, test)
        moved = trainer.update(
            RoundInput(model=trainer.initial_model(), number=0, noise_multiplier=None), FIXED
        ).update
        steps = study.training.local_steps
        assert 0 < np.linalg.norm(moved) <= 40.0 * 0.05 * steps * (1 + 1e-6)


def test_steps_stay_within_the_bound_of_the_secure_sum(
    hospitals: dict[str, tuple[Records, Records]],
) -> None:
    train, test = whole(hospitals)
    held = read_study(changed("colluders: 1}", "colluders: 1, bound: 1e-9}")).with_epsilon(None)
    trainer = Trainer(held, "east", train, test)
    untrained = auroc(*trainer.patient_scores(trainer.initial_model()))
    assert train_pooled(held, train, test, FIXED)["auroc"] == untrained
    assert train_pooled(small_study().with_epsilon(None), train, test, FIXED)["auroc"] != untrained


def test_a_hospital_that_promises_more_does_not_bind_the_reference(
    hospitals: dict[str, tuple[Records, Records]],
) -> None:
    own = read_study(changed("patients: 40}", "patients: 40, epsilon: 0.5}"))
    train, test = whole(hospitals)
    assert train_pooled(own, train, test, FIXED)["epsilon"] > 3


FIGURES = {"auroc": 0.9, "accuracy": 0.8}


@pytest.fixture
def kept(tmp_path: Path) -> Federation:
    """A consortium with one run and one reference beside it."""
    federation = Federation(tmp_path, small_study())
    federation.run()
    key = federation.workspace.signing_key()
    keep_reference(federation.store, key, "sweep-1-001", "sweep-1", small_study(), FIGURES)
    return federation


def views(federation: Federation) -> Views:
    public = federation.workspace.public_key
    return Views(federation.store, public_key=public)


def test_a_reference_stands_beside_the_runs_that_ask_the_same(kept: Federation) -> None:
    (found,) = views(kept).references()
    assert (found.mode, found.epsilon, found.figures) == ("pooled", 4.0, FIGURES)
    pooled = [point for point in views(kept).utility("run-1") if point.mode == "pooled"]
    assert [(point.epsilon, point.seed, point.value) for point in pooled] == [(4.0, 1, 0.9)]


def test_a_reference_to_another_question_is_not_shown(kept: Federation) -> None:
    other = read_study(changed("hidden_channels: [4]", "hidden_channels: [5]"))
    key = kept.workspace.signing_key()
    keep_reference(kept.store, key, "sweep-1-002", "sweep-1", other, FIGURES)
    with kept.store.read() as session:
        assert verify_records(session, kept.workspace.public_key()).studies == 2
    assert len(views(kept).utility("run-1")) == 1


def test_stored_images_of_several_hospitals_are_joined_where_they_stand() -> None:
    here, stored = images(stored=False), images(stored=True)
    expected = joined([here, here, here])
    for parts in ([stored, stored, stored], [here, stored, here.take(here.patients >= 0)]):
        found = joined(parts)
        assert found.is_stored and not expected.is_stored
        assert found.digest == expected.digest and len(found.descriptors) in (1, 2)
