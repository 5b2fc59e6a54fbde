"""Baselines are trained by the hospitals' own functions, on the records that they may see."""

from pathlib import Path

import numpy as np
import pytest

from collegium.simulation.baselines.plan import Baseline, all_but, alone, baselines_of
from collegium.simulation.baselines.pooled import train_pooled
from collegium.simulation.baselines.scoring import TestPatients, scored_model, trained_model
from collegium.simulation.baselines.training import trained_together
from collegium.simulation.records import joined, partitioned_records, read_hospitals
from compliance.facts.comparison.baselines import ALL_BUT, FEDERATED, LOCAL, POOLED
from compliance.ledger.privacy_plan import PrivacyPlan
from pipelines.cohort.train_test import parts_of
from pipelines.evaluation.metrics import auroc
from pipelines.records import Records
from protocol.errors import StudyRefused, UpdateRefused
from protocol.study.strategies.registry import changed as training_changed
from protocol.study.study import Communication, Study
from protocol.study.study_file import read_study
from protocol.study.variants import as_distributed
from protocol.vectors.tensors import flatten, layout_of, model_digest, unflatten
from silos.training.randomness import FixedEntropy, RoundInput
from silos.training.trainer import Trainer
from tests.support.machine.short_form import short_form
from tests.support.simulated.federation import Federation, write_hospitals
from tests.support.simulated.nine_hospitals import grouped_text
from tests.support.simulated.studies import STATISTICS_STUDY, changed, small_study

FIXED = FixedEntropy(1, simulated=True)
Hospitals = dict[str, tuple[Records, Records]]


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Hospitals:
    folder = tmp_path_factory.mktemp("records")
    write_hospitals(folder, small_study())
    return read_hospitals(small_study(), None, folder)


def baseline(kind: str, site: str | None = None, *, noised: bool, study: Study) -> Baseline:
    asked = (kind, site, noised)
    return next(b for b in baselines_of(study) if (b.kind, b.site, b.noised) == asked)


def distributed() -> Study:
    return as_distributed(small_study()).with_noise(4.0, 8.0)


@pytest.mark.parametrize(
    "study", short_form([small_study(), distributed()], 2), ids=["per_site", "distributed"]
)
def test_the_federated_baseline_is_bit_for_bit_the_model_of_a_run(
    tmp_path: Path, study: Study
) -> None:
    run = Federation(tmp_path, study, fixed_noise=1, trainer=Trainer)
    outcome, trainers = run.run(), {}
    for site, records in partitioned_records(study, run.data).items():
        key = site.encode().ljust(32)
        parts = parts_of(records, study, key=key, site=site, index_file=None)
        trainers[site] = Trainer(study, site, *parts)
    run.close()
    trained = trained_together(study, trainers, FIXED)
    assert model_digest(trained.model) == model_digest(outcome.model) and not trained.own


def test_of_a_run_of_groups_the_noise_is_the_same_too(tmp_path: Path) -> None:
    run = Federation(tmp_path, read_study(grouped_text()), fixed_noise=1)
    outcome = run.run()
    trainers = {site: silo.simulated_part("run-1") for site, silo in run.silos.items()}
    trained = trained_together(run.study, trainers, FIXED)  # type: ignore[arg-type]
    run.close()
    assert model_digest(trained.model) == model_digest(outcome.model)


@pytest.mark.parametrize("noised", [False, True])
def test_the_pooled_baseline_is_the_pooled_reference_of_a_sweep(
    hospitals: Hospitals, noised: bool
) -> None:
    study = small_study()
    one = baseline(POOLED, noised=noised, study=study)
    patients = TestPatients(study, hospitals)
    scored = scored_model(one, hospitals, patients, FIXED)
    assert scored.scores is not None
    found = auroc(
        np.concatenate([*scored.scores.values()]), np.concatenate([*patients.labels().values()])
    )
    train, test = (joined(part) for part in zip(*hospitals.values(), strict=True))
    reference = train_pooled(study if noised else study.without_noise(), train, test, FIXED)
    assert (found, scored.epsilon) == (reference["auroc"], reference["epsilon"])
    assert scored.train_patients == reference["train_patients"]


def test_a_hospital_alone_takes_the_steps_that_it_takes_in_a_run(hospitals: Hospitals) -> None:
    study = small_study().without_noise()
    trainer = Trainer(study, "west", *hospitals["west"])
    model = trainer.initial_model()
    for number in range(study.training.rounds):
        moved = trainer.update(
            RoundInput(model=model, number=number, noise_multiplier=None), FIXED
        ).update
        model = unflatten(layout_of(model), (flatten(model) + moved).astype(np.float32))
    one = baseline(LOCAL, "west", noised=False, study=small_study())
    found, _, _ = trained_model(one, {"west": hospitals["west"]}, FIXED)
    assert model_digest(found.model) == model_digest(model)


@pytest.mark.parametrize("kind", [POOLED, LOCAL])
@pytest.mark.parametrize("strategy", ["fedavg", "scaffold"])
def test_where_nothing_crosses_a_short_round_is_the_whole_training(
    kind: str, strategy: str, hospitals: Hospitals
) -> None:
    study = small_study().without_noise()
    study = study.replaced(training=training_changed(study.training, strategy=strategy))
    short = study.replaced(communication=Communication(ring_bits=16, coordinates=0.5))
    site = "west" if kind == LOCAL else None
    models = [
        trained_model(baseline(kind, site, noised=False, study=one), hospitals, FIXED)[0].model
        for one in (study, short)
    ]
    assert model_digest(models[0]) == model_digest(models[1])


@pytest.mark.parametrize("kind", [POOLED, LOCAL])
def test_own_layers_are_trained_where_all_layers_are_the_places_own(
    kind: str, hospitals: Hospitals
) -> None:
    """With everybody in one place, a step of all layers is a step of averaging."""
    study = small_study().without_noise()
    own = study.replaced(
        training=training_changed(study.training, strategy="fedper", own_layers=("output",))
    )
    site = "west" if kind == LOCAL else None
    seen = {"west": hospitals["west"]} if kind == LOCAL else hospitals
    averaged, personal = (
        flatten(trained_model(baseline(kind, site, noised=False, study=one), seen, FIXED)[0].model)
        for one in (study, own)
    )
    assert np.allclose(averaged, personal, atol=1e-6)


def test_a_hospital_alone_has_the_noise_of_its_own_promise() -> None:
    study = read_study(changed("west.csv, patients: 40}", "west.csv, patients: 40, epsilon: 0.5}"))
    for site, epsilon in {"west": 0.5, "east": 4.0}.items():
        plan, own = PrivacyPlan.at(alone(study, site), "east"), PrivacyPlan.at(study, site)
        assert plan == own and plan is not None and 0.9 * epsilon < plan.epsilon <= epsilon


@pytest.mark.parametrize("study", [small_study(), distributed()], ids=["per_site", "distributed"])
@pytest.mark.parametrize("noised", short_form([False, True], 2))
def test_all_but_one_hospital_never_sees_that_ones_records(
    hospitals: Hospitals, study: Study, noised: bool
) -> None:
    one = baseline(ALL_BUT, "north", noised=noised, study=study)
    patients = TestPatients(study, hospitals)
    train, test = hospitals["north"]
    marked = Records(
        features=train.features * 0 + 1, labels=1 - train.labels, patients=train.patients,
        patient_keys=train.patient_keys, rows=train.rows,
    )  # fmt: skip
    before = scored_model(one, hospitals, patients, FIXED)
    after = scored_model(one, {**hospitals, "north": (marked, test)}, patients, FIXED)
    assert before.scores is not None and after.scores is not None
    for site in hospitals:
        assert np.array_equal(before.scores[site], after.scores[site])
    # the marks are such that whoever sees them shows it
    seeing = baseline(FEDERATED, noised=noised, study=study)
    changed_models = [
        model_digest(trained_model(seeing, own, FIXED)[0].model)
        for own in (hospitals, {**hospitals, "north": (marked, test)})
    ]
    assert len(set(changed_models)) == 2
    rest = {site: parts for site, parts in hospitals.items() if site != "north"}
    trained_model(one, rest, FIXED)  # and needs none of that hospital


def test_a_study_of_all_but_one_names_neither_the_hospital_nor_its_patients() -> None:
    study = all_but(small_study(), "north")
    assert study.site_names == ("east", "south", "west")
    assert "north" not in study.canonical_bytes.decode()
    assert (study.threshold, all_but(study, "east").threshold) == (3, 2)


def test_there_is_every_baseline_without_noise_and_with_the_studys_privacy() -> None:
    kinds = [(b.kind, b.site) for b in baselines_of(small_study()) if not b.noised]
    sites = small_study().site_names
    own = [(kind, site) for kind in (ALL_BUT, LOCAL) for site in sites]
    assert kinds == [(FEDERATED, None), (POOLED, None), *own]
    noised = [(b.kind, b.site) for b in baselines_of(small_study()) if b.noised]
    assert noised == kinds
    free = baselines_of(small_study().with_epsilon(None))
    assert [(b.kind, b.site) for b in free] == kinds and not any(b.noised for b in free)


def test_a_study_that_trains_nothing_has_no_baselines() -> None:
    with pytest.raises(StudyRefused, match="trains nothing, and baselines compare models"):
        baselines_of(read_study(STATISTICS_STUDY))


def test_a_training_that_diverged_has_no_scores(
    hospitals: Hospitals, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverged(*_: object) -> None:
        raise UpdateRefused("the update holds a value that is not finite")

    monkeypatch.setattr(Trainer, "update", diverged)
    one = baseline(FEDERATED, noised=True, study=small_study())
    found = scored_model(one, hospitals, TestPatients(small_study(), hospitals), FIXED)
    assert found.scores is None and found.train_patients > 0
