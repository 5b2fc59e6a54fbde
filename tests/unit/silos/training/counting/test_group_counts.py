"""Counts of groups at a hospital: bounded by what is priced, of nobody who left, or of nobody."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.records import Records
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.vectors.evaluation import COUNT_UNITS
from silos.training.trainer import Trainer
from tests.support.simulated.studies import TABLE_STUDY, changed

GROUPED = changed(
    "{bins: 8}",
    "{bins: 8, site_bins: 4, groups: {age: {column: age, edges: [50]}, "
    "ward: {column: ward, values: {first: A, others: [B, C]}}}}",
)
STUDY = read_study(GROUPED)
DECLINED = read_study(
    GROUPED.replace("east.csv, patients: 40", "east.csv, patients: 40, groups: false")
)


def records_of(count: int, study: Study = STUDY, seed: int = 1) -> Records:
    random = np.random.default_rng(seed)
    return Records(
        features=random.normal(size=(count, study.cohort.width)).astype(np.float32),  # type: ignore[union-attr]
        labels=(np.arange(count) % 2).astype(np.float32),
        patients=np.arange(count),
        patient_keys=tuple(map(str, range(count))),
        rows=np.arange(count),
        columns={
            "age": random.integers(20, 90, count).astype(str),
            "ward": random.choice(["A", "B", "C", ""], count),
        },
    )


def counts_of(trainer: Trainer) -> NDArray[np.int64]:
    return trainer.counts(trainer.initial_model())[0]


def test_groups_stand_behind_all_patients_and_add_up_to_those_with_a_group() -> None:
    records = records_of(30)
    trainer = Trainer(STUDY, "east", records, records)
    counts, own, grid = trainer.counts(trainer.initial_model())
    vector = STUDY.evaluation_vector
    assert (counts.size, own.size + grid.size) == (vector.size, vector.own_cells)
    ages, wards = vector.read_groups(counts)
    assert vector.read(counts).sum() == own.sum() / COUNT_UNITS == 30
    assert ages[:, :-1].sum() == 30
    assert wards[:, :-1].sum() == (records.columns["ward"] != "").sum()


@pytest.mark.parametrize("gone", range(6))
def test_one_patient_moves_all_of_it_by_no_more_than_is_priced(gone: int) -> None:
    records = records_of(12)
    stay = np.arange(12) != gone
    whole, rest = (
        counts_of(Trainer(STUDY, "east", part, part)) for part in (records, records.take(stay))
    )
    bound = STUDY.evaluation_vector.influence * COUNT_UNITS
    assert 0 < np.linalg.norm(whole - rest) <= bound + 1e-6


def test_who_left_is_in_no_group() -> None:
    records = records_of(12)
    trainer = Trainer(STUDY, "east", records, records)
    trainer.leave_out(np.array([], dtype=np.int64), np.array([3]))
    without = Trainer(STUDY, "east", records, records.take(np.arange(12) != 3))
    np.testing.assert_array_equal(counts_of(trainer), counts_of(without))


def test_a_hospital_that_declined_counts_no_group_and_all_else() -> None:
    records = records_of(30)
    declined = Trainer(DECLINED, "east", records, records)
    counts, vector = counts_of(declined), DECLINED.evaluation_vector
    assert declined.groups().shape == (30, 0)
    assert not any(groups.any() for groups in vector.read_groups(counts))
    whole = counts_of(Trainer(STUDY, "east", records, records))
    np.testing.assert_array_equal(vector.read(counts), vector.read(whole))
    assert DECLINED.digest != STUDY.digest


def test_other_groups_are_other_data() -> None:
    """Repeatable noise, of tests, is then another: nothing is used twice on other data."""
    records = records_of(12)
    other = records_of(12, seed=1)
    other.columns["ward"][:] = "A"  # type: ignore[index]
    one, two = (Trainer(STUDY, "east", records, part) for part in (records, other))
    assert one.dataset_digest != two.dataset_digest
    plain = read_study(TABLE_STUDY)
    one, two = (Trainer(plain, "east", records, part) for part in (records, other))
    assert one.dataset_digest == two.dataset_digest
