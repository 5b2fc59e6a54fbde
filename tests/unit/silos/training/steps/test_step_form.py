"""What a hospital does in a step does not depend on who was drawn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from pipelines.gradients.clipping import clip_to_integers
from pipelines.records import Records
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.vectors.tensors import flatten
from silos.training.randomness import RoundInput, SecretEntropy
from silos.training.steps.step_form import OVERFLOW, Drawn, PatientRecords, StepForm
from silos.training.trainer import Trainer
from silos.training.worker import Worker
from tests.bench.step_time import guessed_right
from tests.support.simulated.studies import changed


def study_of(patients: int, rate: float, micro_batch: int = 8, most: int = 3) -> Study:
    text = changed("min_patients: 4", f"min_patients: 4\n  max_records_per_patient: {most}")
    return read_study(
        text.replace("patients: 40", f"patients: {patients}")
        .replace("sampling_rate: 1.0", f"sampling_rate: {rate}")
        .replace("micro_batch: 8", f"micro_batch: {micro_batch}")
    )


@pytest.mark.parametrize("patients", [1, 40, 700])
@pytest.mark.parametrize("rate", [0.001, 0.05, 0.5, 1.0])
def test_a_draw_exceeds_the_places_as_rarely_as_is_said(patients: int, rate: float) -> None:
    form = StepForm.of(study_of(patients, rate), "east")
    places = form.batches * form.places
    assert binom.sf(places, patients, rate) <= OVERFLOW
    assert form.places <= 8 and places < patients + 8
    six = rate * patients + 6 * (patients * rate * (1 - rate)) ** 0.5
    assert places >= min(patients, int(six))


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=30),
    st.data(),
    st.integers(1, 4),
)
def test_every_drawn_patient_is_in_one_place_with_its_own_records(
    counts: list[int], data: st.DataObject, most: int
) -> None:
    patients = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    chosen = np.array(sorted(data.draw(st.sets(st.integers(0, len(counts) - 1)))), dtype=np.int64)
    form = StepForm(batches=2, places=5, records=most)
    starts = np.random.default_rng(1).integers(0, 2**64, 100, dtype=np.uint64)
    drawn = PatientRecords(patients, most).drawn(chosen, form, starts)
    batches = max(2, -(-len(chosen) // 5))
    assert drawn.records.shape == drawn.weights.shape == (batches, 5, most)
    rows = zip(drawn.records.reshape(-1, most), drawn.weights.reshape(-1, most), strict=True)
    for place, (records, weights) in enumerate(rows):
        if place >= len(chosen):
            assert not weights.any()
            continue
        own, patient = records[weights > 0], chosen[place]
        assert (patients[own] == patient).all()
        assert len(set(own.tolist())) == len(own) == min(counts[patient], most)
        assert weights[: len(own)].tolist() == [np.float32(1 / len(own))] * len(own)
    assert drawn.records.max() < len(patients) and drawn.records.min() >= 0


def test_a_patient_with_many_records_gives_each_of_them_equally_often() -> None:
    own, form = (
        PatientRecords(np.zeros(5, dtype=np.int64), 2),
        StepForm(batches=1, places=1, records=2),
    )
    starts = np.arange(5, dtype=np.uint64)
    seen = [own.drawn(np.array([0]), form, starts[n : n + 1]).records.ravel() for n in range(5)]
    assert np.bincount(np.concatenate(seen)).tolist() == [2] * 5


def test_patients_with_one_image_or_seven_stand_in_the_same_micro_batches() -> None:
    """Formerly whoever had an unusual number of records cost a micro-batch of its own."""
    form = StepForm(batches=3, places=4, records=7)
    usual, unusual = np.arange(20), np.concatenate([np.arange(20), np.full(6, 19)])
    starts = np.zeros(12, dtype=np.uint64)
    for chosen in (np.arange(5), np.array([1, 2, 19]), np.array([], dtype=np.int64)):
        found = [PatientRecords(p, 7).drawn(chosen, form, starts) for p in (usual, unusual)]
        assert found[0].records.shape == found[1].records.shape == (3, 4, 7)


class Watching(Worker):
    """A worker that remembers the form of what it is given and of what its engine computes."""

    def clipped(self, parameters, drawn, clip, count=0):  # type: ignore[no-untyped-def]
        self.forms = getattr(self, "forms", [])
        self.forms.append(drawn.records.shape)
        return super().clipped(parameters, drawn, clip, count)


def returning(counts: list[int]) -> Records:
    patients = np.repeat(np.arange(len(counts)), counts)
    generator = np.random.default_rng(7)
    return Records(
        features=generator.normal(size=(len(patients), 3)).astype(np.float32),
        labels=(generator.random(len(patients)) < 0.5).astype(np.float32),
        patients=patients,
        patient_keys=tuple(map(str, range(len(counts)))),
        rows=np.arange(len(patients)),
    )


@pytest.mark.parametrize("counts", [[1] * 40, [1] * 20 + [9] * 3, [5]])
def test_every_step_of_every_hospital_that_declares_as_many_has_one_form(
    counts: list[int],
) -> None:
    study, records = study_of(40, 0.2), returning(counts)
    form = StepForm.of(study, "east")
    worker = Watching(study, form, records.features, records.labels)
    trainer = Trainer(study, "east", records, records, worker)
    for number in range(20):
        trainer.update(
            RoundInput(model=trainer.initial_model(), number=number, noise_multiplier=1.0),
            SecretEntropy(),
        )
    assert set(worker.forms) == {(form.batches, form.places, form.records)}


def test_whoever_is_beyond_the_places_is_still_in_the_sum() -> None:
    """It happens once in 2**40 steps; here the form is made too small on purpose."""
    study, records = study_of(40, 1.0), returning([1] * 40)
    small = StepForm(batches=1, places=8, records=3)
    worker = Worker(study, small, records.features, records.labels)
    own, starts = PatientRecords(records.patients, 3), np.zeros(100, dtype=np.uint64)
    everybody = own.drawn(np.arange(40), small, starts)
    assert everybody.records.shape == (5, 8, 3)
    parameters = flatten(Trainer(study, "east", records, records).initial_model()).astype(float)
    each = [own.drawn(np.array([p]), small, starts) for p in range(40)]
    alone = sum(worker.clipped(parameters, one, 1.0) for one in each)
    assert np.array_equal(worker.clipped(parameters, everybody, 1.0), alone)


def test_empty_places_add_nothing_even_where_the_network_overflows() -> None:
    study, records = study_of(40, 0.2), returning([2] * 10)
    form = StepForm.of(study, "east")
    worker = Worker(study, form, records.features, records.labels)
    own, starts = PatientRecords(records.patients, 3), np.zeros(100, dtype=np.uint64)
    size = flatten(Trainer(study, "east", records, records).initial_model()).size
    for crafted in (np.full(size, 3e38), np.full(size, np.inf), np.zeros(size)):
        none = own.drawn(np.array([], dtype=np.int64), form, starts)
        assert not worker.clipped(crafted, none, 1.0).any()


def test_test_patients_are_scored_in_as_many_places_as_are_declared() -> None:
    study = study_of(40, 1.0)
    few, many = returning([1] * 5), returning([1] * 30 + [9] * 5)
    rows = []
    for test in (few, many):
        trainer = Trainer(study, "east", returning([1, 2]), test)
        outputs = trainer._scorer._scores._outputs
        seen: list[int] = []
        whole = outputs.__call__
        trainer._scorer._scores._outputs = lambda features, seen=seen, whole=whole: (  # type: ignore
            seen.append(len(features)) or whole(features)
        )
        logits, labels = trainer.patient_scores(trainer.initial_model())
        assert len(logits) == len(labels) == test.num_patients
        rows.append(seen)
    assert rows[0] == rows[1] and sum(rows[0]) == 40 * 3


def test_a_part_is_every_so_manieth_micro_batch() -> None:
    records = np.arange(30).reshape(5, 3, 2)
    drawn = Drawn(records=records, weights=records.astype(np.float32))
    parts = [drawn.part(first, 2) for first in (0, 1)]
    assert [len(part) for part in parts] == [3, 2]
    assert sorted(n for part in parts for n in part.records.ravel().tolist()) == list(range(30))


def test_clipping_does_as_much_for_any_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """No branch for rows that are long, short, tiny, huge or not finite."""
    import pipelines.gradients.clipping as gradients

    passes: list[tuple[int, ...]] = []
    whole = gradients._IntegerSums._integers
    monkeypatch.setattr(
        gradients._IntegerSums,
        "_integers",
        lambda self, piece, *rest: passes.append(piece.shape) or whole(self, piece, *rest),
    )
    generator, found = np.random.default_rng(0), []
    for scale in (1.0, 1e-30, 1e30, np.nan, np.inf, 0.0):
        passes.clear()
        rows = generator.normal(size=(40, 9000)).astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            rows[::3] *= np.float32(scale)
        clip_to_integers(torch.from_numpy(rows), clip=1.0, units=2**17)
        found.append(tuple(passes))
    assert len(set(found)) == 1


def test_the_attack_on_the_clock_finds_a_step_that_lasts_longer_and_nothing_in_equal_ones() -> None:
    """What ``make bench`` measures with: see tests/bench/step_time.py."""
    generator = np.random.default_rng(0)
    was_in = generator.random(4000) < 0.5
    equal = generator.normal(10, 1, size=4000)
    assert abs(guessed_right(was_in, equal) - 0.5) < 0.05
    for longer in (3.0, -3.0):
        assert guessed_right(was_in, equal + longer * was_in) > 0.9
