"""Patients who return: the study of examples/diabetes130 on its 101,766 real records.

Epsilon is per patient. These tests show it where it matters, on a file in which
one patient has 40 records.
"""

import math
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from collegium.simulation.settings import simulated_split_key
from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.privacy.accounting import epsilon
from pipelines.cohort.loading import Records, load_cohort
from pipelines.cohort.partitioning import partition_records
from pipelines.cohort.splits import split
from protocol.errors import StudyRefused
from protocol.study.rounds.noise_shares import units_for
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.vectors.keystream import Keystream, derive_key
from silos.training.randomness import DrawContext, RoundInput
from silos.training.steps.step_form import StepForm
from silos.training.trainer import Trainer
from silos.training.worker import Worker
from tests import ROOT
from tests.support.reference.per_patient_gradients import exact_norm_squared

EXAMPLE = ROOT / "examples" / "diabetes130"
ARCHIVE = ROOT.parent / "shared" / "data" / "diabetes130" / "dataset_diabetes.zip"

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.skipif(
        not ARCHIVE.is_file(), reason="needs ../shared/data/diabetes130/dataset_diabetes.zip"
    ),
]


@pytest.fixture(scope="module")
def study() -> Study:
    return read_study((EXAMPLE / "study.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def hospitals(
    study: Study, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Records, Records]]:
    """Every hospital's training and test records, as the simulation makes them."""
    folder = tmp_path_factory.mktemp("diabetes130")
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(folder)
    everybody = load_cohort(
        study.cohort, folder / "dataset_diabetes" / "diabetic_data.csv", site="all"
    )
    return {
        site: split(hand, study.split, key=simulated_split_key(study, site), site=site)
        for site, hand in partition_records(everybody, study.partition, study.sites).items()
    }


@pytest.fixture(scope="module")
def per_record() -> ModuleType:
    """The example's own script, so that the README's figures are the tested ones."""
    spec = spec_from_file_location("per_record", EXAMPLE / "per_record.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_records_and_patients_are_dealt_once(hospitals):
    parts = [part for both in hospitals.values() for part in both]
    assert sum(len(part) for part in parts) == 101_766
    assert sum(part.num_patients for part in parts) == 71_518
    assert max(np.bincount(part.patients).max() for part in parts) == 40


def test_every_patient_is_in_one_hospital_and_on_one_side_of_its_split(hospitals):
    parts = [part for both in hospitals.values() for part in both]
    keys = [key for part in parts for key in part.patient_keys]
    assert len(keys) == len(set(keys))
    rows = np.concatenate([part.rows for part in parts])
    assert len(rows) == len(np.unique(rows))


def test_declared_patients_are_the_training_patients_rounded(study, hospitals):
    for site in study.sites:
        assert 0 <= site.patients - hospitals[site.name][0].num_patients < 600, site.name


class Repeated:
    """Randomness that follows from its use and step alone: the same for two sets of records."""

    is_secret = False

    def stream(self, draw: DrawContext) -> Keystream:
        return Keystream(derive_key(b"test", salt=b"", info=f"{draw.use} {draw.step}".encode()))


def everybody_in_every_step(study: Study, clip: float) -> Study:
    privacy = study.privacy.model_copy(update={"sampling_rate": 1.0, "clip": clip})
    return study.model_copy(update={"privacy": privacy})


def heaviest_last(train: Records, most: int) -> Records:
    """A hospital's patients, the one with most records last and nobody else above ``most``.

    So only that patient's records are chosen at random, after everybody else's
    place in the randomness: without that patient the others are as before.
    """
    counts = np.bincount(train.patients)
    heaviest = int(counts.argmax())
    others = np.flatnonzero((counts[train.patients] <= most) & (train.patients != heaviest))
    return train.take(np.concatenate([others, np.flatnonzero(train.patients == heaviest)]))


def summed(study: Study, train: Records) -> NDArray[np.int64]:
    trainer = Trainer(study, study.site_names[0], train, train)
    model = trainer.initial_model()
    return trainer.noised_sum(RoundInput(model=model, number=0, noise_multiplier=1.0), Repeated())


def max_records(train: Records) -> int:
    return int(np.bincount(train.patients).max())


@pytest.mark.parametrize(("clip", "least"), [(2.0, 0.1), (0.25, 0.999)])
def test_patient_with_most_records_changes_a_step_by_at_most_units_exactly(
    study, hospitals, clip, least
):
    """At the study's own bound, and at one that this patient's gradient reaches."""
    study = everybody_in_every_step(study, clip)
    train = max((both[0] for both in hospitals.values()), key=max_records)
    everybody = heaviest_last(train, study.cohort.max_records_per_patient)
    others = everybody.take(everybody.patients < everybody.num_patients - 1)
    assert len(everybody) - len(others) == max_records(train) >= 20

    influence = summed(study, everybody) - summed(study, others)
    units = units_for(len(influence))
    assert least * units < math.sqrt(exact_norm_squared(influence)) <= units
    assert exact_norm_squared(influence) <= units**2


class Watching(Worker):
    """A worker that remembers the micro-batches it is given."""

    def clipped(self, parameters, drawn, clip, count=0):
        places = zip(drawn.records, drawn.weights, strict=True)
        own = [r[w > 0] for batch in places for r, w in zip(*batch, strict=True)]
        self.patients = [records for records in own if len(records)]
        return super().clipped(parameters, drawn, clip, count)


def test_a_step_samples_patients_and_takes_all_their_records_up_to_the_most(study, hospitals):
    train, _ = hospitals["ash"]
    worker = Watching(study, StepForm.of(study, "ash"), train.features, train.labels)
    trainer = Trainer(study, "ash", train, train, worker)
    trainer.noised_sum(
        RoundInput(model=trainer.initial_model(), number=0, noise_multiplier=1.0), Repeated()
    )
    rate, people = study.privacy.sampling_rate, train.num_patients
    spread = (people * rate * (1 - rate)) ** 0.5
    assert abs(len(worker.patients) - rate * people) < 5 * spread
    counts, most = np.bincount(train.patients), study.cohort.max_records_per_patient
    for records in worker.patients:
        (patient,) = set(train.patients[records].tolist())
        assert len(records) == len(set(records.tolist())) == min(counts[patient], most)


def test_claimed_epsilon_is_the_price_of_sampling_patients(study, hospitals):
    event = PrivacyPlan.of(study, study.privacy).training
    draws = study.training.rounds + study.aggregation.spare_draws
    assert (event.sampling_rate, event.steps) == (0.05, draws * study.training.local_steps)
    assert event.steps == 220
    assert 1.99 < epsilon(event, study.privacy.delta) <= study.privacy.epsilon == 2.0
    for train, test in hospitals.values():
        assert study.privacy.delta < 1 / (10 * (train.num_patients + test.num_patients))


def test_noise_that_would_do_for_records_is_refused(study, hospitals):
    train, _ = hospitals["ash"]
    event = PrivacyPlan.of(study, study.privacy).training
    for_records = event.noise_multiplier * train.num_patients / len(train)
    declared = study.privacy.model_copy(update={"noise_multiplier": for_records})
    with pytest.raises(StudyRefused, match=r"noise_multiplier 1\.35\d* gives epsilon 3"):
        PrivacyPlan.of(study, declared)


@pytest.mark.long
def test_record_level_accounting_would_claim_less_than_any_patient_has(
    study, hospitals, per_record
):
    """The figures of the README: 1.30 claimed for what costs a patient with 8 records 13.88."""
    found = per_record.figures(study, hospitals["ash"][0])
    assert found.ours == pytest.approx(2.0, abs=0.001)
    assert found.claimed_by_record == pytest.approx(1.30, abs=0.01)
    assert found.really_for[1] == pytest.approx(found.claimed_by_record, rel=0.01)
    assert found.really_for[2] == pytest.approx(2.78, abs=0.02)
    assert found.really_for[8] == pytest.approx(13.88, abs=0.1)
