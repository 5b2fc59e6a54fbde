"""Exposure counts bits: none of what a model does not know, all of what it knows by heart."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipelines.attacks.extraction import (
    OTHERS,
    OTHERS_OF_INSERTED,
    canaries,
    exposure_of_inserted,
    exposure_of_own,
    num_canaries,
    pieces_of,
)
from pipelines.attacks.losses import losses_under, patient_confidences
from pipelines.networks.networks import build, parameters_of
from pipelines.records import Records
from protocol.study.study_file import read_study
from tests.support.simulated.studies import SURVIVAL_STUDY, small_study

STUDY = small_study()
Losses = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float64]]


def drawn(count: int, seed: int) -> Records:
    random = np.random.default_rng(seed)
    places = np.arange(count)
    return Records(
        features=random.normal(size=(count, 3)).astype(np.float32),
        labels=(random.random(count) < 0.5).astype(np.float32),
        patients=places,
        patient_keys=tuple(map(str, places)),
        rows=places,
    )


def by_heart(known: NDArray[np.float32]) -> Losses:
    """Returns the losses of a model that knows these records and nothing else."""
    rows = {row.tobytes() for row in known}

    def losses(features: NDArray[np.float32], _labels: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.array([0.0 if row.tobytes() in rows else 1.0 for row in features])

    return losses


def blind(features: NDArray[np.float32], _labels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns losses that say nothing of any record."""
    return np.sin(1e4 * features.astype(np.float64).sum(axis=1))


def test_pieces_are_columns_and_the_two_halves_of_an_image() -> None:
    assert pieces_of(STUDY.cohort, 3) == (slice(0, 1), slice(1, 3))  # age; two words of a ward


def test_records_that_are_known_by_heart_are_wholly_exposed_and_others_are_not() -> None:
    train, test, random = drawn(60, 1), drawn(80, 2), np.random.default_rng(3)
    found = exposure_of_own(by_heart(train.features[:]), STUDY.cohort, train, test, random)
    assert found is not None
    assert (found.records, found.others) == (60, OTHERS)
    assert found.bits == pytest.approx(np.log2(OTHERS + 1))
    assert found.excess.low > 4
    found = exposure_of_own(blind, STUDY.cohort, train, test, random)
    assert found is not None and found.excess.low < 0 < found.excess.high
    assert found.usual < 2


def test_of_too_few_test_patients_nothing_is_said() -> None:
    random = np.random.default_rng(1)
    assert exposure_of_own(blind, STUDY.cohort, drawn(60, 1), drawn(7, 2), random) is None


def test_canaries_mix_records_and_are_exposed_where_they_are_known() -> None:
    records, random = drawn(100, 1), np.random.default_rng(5)
    assert [num_canaries(count) for count in (4, 40, 1000)] == [2, 10, 32]
    inserted = canaries(STUDY.cohort, records, 20, random)
    ages = set(records.features[:, 0].tolist())
    assert {float(age) for age in inserted[0][:, 0]} <= ages
    assert not {row.tobytes() for row in inserted[0]} <= {r.tobytes() for r in records.features}
    known = exposure_of_inserted(by_heart(inserted[0]), STUDY.cohort, inserted, records, random)
    assert known.others == OTHERS_OF_INSERTED and known.excess.low > 7
    assert known.usual == pytest.approx(1.43, abs=0.01)
    unknown = exposure_of_inserted(blind, STUDY.cohort, inserted, records, random)
    assert unknown.excess.low < 0 < unknown.excess.high


def test_confidence_is_the_logit_of_the_true_class() -> None:
    records = drawn(5, 1)
    module = build(STUDY.task, STUDY.cohort, 1)
    losses = losses_under(STUDY, parameters_of(module))
    logits = module(torch.from_numpy(records.features[:])).detach().numpy().ravel()
    expected = np.where(records.labels > 0, logits, -logits)
    assert patient_confidences(losses, records) == pytest.approx(expected, abs=1e-4)


def test_where_records_are_coupled_none_has_a_loss_of_its_own() -> None:
    coupled = read_study(
        SURVIVAL_STUDY.replace("times: [1, 2, 4]", "loss: cox\n  times: [1, 2, 4]").replace(
            "mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0", "mode: none"
        )
    )
    with pytest.raises(ValueError, match="coupled"):
        losses_under(coupled, {})
