"""Dice and distances of each class: exact without noise, honest with it, bounded for a patient."""

import math

import numpy as np
import pytest
import torch
from monai.metrics.hausdorff_distance import HausdorffDistanceMetric
from numpy.typing import NDArray
from torch.nn import functional

from compliance.estimates.withholding import TOO_FEW
from coordinator.rounds.evaluation.registry import released_of
from coordinator.rounds.evaluation.released import NoisedCounts, Released
from pipelines.evaluation.surface_distances import distance_part
from pipelines.tasks.segmentation import segmentation
from protocol.errors import StudyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.vectors.evaluation import COUNT_UNITS
from protocol.vectors.score_grid import ScoreGrid
from tests.support.simulated.studies import changed

Floats = NDArray[np.float64]
MASK_STUDY = """\
collegium: 1
name: masks
title: Masks of small images
purpose: To be tested.
cohort:
  kind: images
  patient_key: row
  label: {mask: masks, classes: {background: [0], lesion: [1], edge: [2]}}
  image: {shape: [8, 8], range: [-4, 5], centre: 0.5, scale: 0.5}
  parts: [train, test]
sites:
  - {name: east, records: east.npz, patients: 12}
  - {name: north, records: north.npz, patients: 12}
  - {name: west, records: west.npz, patients: 12}
split: {method: column, column: part, train: [train], test: [test]}
task:
  kind: segmentation
  network: {_target_: UNet, channels: [4, 8], strides: [2], kernel_size: 3}
training: {rounds: 2, local_steps: 15, learning_rate: 0.3, micro_batch: 4}
privacy: {mode: none, sampling_rate: 1.0}
aggregation: {threshold: 3, colluders: 1}
"""
SHAPE, CLASSES = (8, 8), 3
PLAIN, DETAILED = segmentation(CLASSES, SHAPE), segmentation(CLASSES, SHAPE, distances=True)


def study(*, distances: bool = True) -> Study:
    text = MASK_STUDY
    if distances:
        text = text.replace("kind: segmentation\n", "kind: segmentation\n  distances: true\n")
    return read_study(text)


def drawn(random: np.random.Generator, count: int) -> Floats:
    """Patients' pixels found, predicted and true, and distances, of two classes."""
    true = np.stack([random.integers(20, 60, count), random.integers(5, 30, count)], axis=1)
    true[random.random(count) < 0.3, 1] = 0
    found = (true * random.beta(5, 2, (count, 2))).round()
    predicted, apart = found + random.integers(0, 9, (count, 2)), random.beta(2, 8, (count, 2))
    return np.stack([found, predicted, true, apart], axis=2).reshape(count, -1)


def released(scores: Floats, noise: float, random: np.random.Generator) -> Released:
    given = scores, np.zeros(len(scores)), np.zeros((1, 3)), 8
    counts, own = DETAILED.counts(*given), DETAILED.own(*given)
    shape = study().evaluation_vector.shape
    return released_of(
        study(),
        NoisedCounts(
            pooled=counts.reshape(shape) / COUNT_UNITS + random.normal(0, noise, shape),
            deviation=noise,
            tables={"east": own / COUNT_UNITS + random.normal(0, noise, 4)},
            table_deviations={"east": noise},
            grids={"east": ScoreGrid()},
            groups=(),
        ),
    )


def truths(scores: Floats) -> list[dict[str, float]]:
    """The figures of each class, from the patients themselves."""
    found, predicted, true, apart = np.moveaxis(scores.reshape(len(scores), 2, 4), 2, 0)
    figures = []
    for place in range(2):
        has = true[:, place] > 0
        dice = (2 * found / np.maximum(predicted + true, 1))[has, place]
        figures.append(
            {"dice": dice.mean()}
            | {f"dice_below_{border:g}": (dice < border).mean() for border in (0.5, 0.7, 0.9)}
            | {"hausdorff": apart[has, place].mean() * math.hypot(7, 7)}
        )
    return figures


def test_without_noise_they_are_those_of_the_patients() -> None:
    random = np.random.default_rng(1)
    scores = drawn(random, 300)
    found = released(scores, 0.0, random)
    assert [one.outcome for one in found.outcomes] == ["lesion", "edge"]
    for one, exact in zip(found.outcomes, truths(scores), strict=True):
        assert {k: f.value for k, f in one.figures.items()} == pytest.approx(exact, rel=5e-3)
    plain = PLAIN.exact(scores.reshape(-1, 2, 4)[:, :, :3].reshape(len(scores), -1), np.zeros(300))
    assert DETAILED.exact(scores, np.zeros(300)) == plain


def held(patients: int, noise: float, draws: int) -> dict[str, tuple[int, int]]:
    random, counted = np.random.default_rng(2), dict[str, tuple[int, int]]()
    truth = truths(drawn(random, 200_000))
    for _ in range(draws):
        outcomes = released(drawn(random, patients), noise, random).outcomes
        for one, exact in zip(outcomes, truth, strict=True):
            for name, figure in one.figures.items():
                if figure.value is not None:
                    shown, right = counted.get(f"{one.outcome} {name}", (0, 0))
                    inside = figure.low <= exact[name] <= figure.high
                    counted[f"{one.outcome} {name}"] = shown + 1, right + inside
    return counted


@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_intervals_hold_the_populations_figures(noise: float) -> None:
    found = held(150, noise, 100)
    assert len(found) == 10
    for name, (shown, right) in found.items():
        assert shown < 30 or right / shown >= 0.89, (name, shown, right)


@pytest.mark.long
@pytest.mark.parametrize(("patients", "noise"), [(60, 0.0), (150, 3.0), (600, 10.0), (600, 25.0)])
def test_intervals_hold_them_in_500_draws(patients: int, noise: float) -> None:
    for name, (shown, right) in held(patients, noise, 500).items():
        # two deviations of a count of draws below 93 of 100
        assert right / shown >= 0.93 - 2 * math.sqrt(0.93 * 0.07 / shown), (name, shown, right)


def test_figures_that_noise_drowns_are_withheld_with_the_reason() -> None:
    random = np.random.default_rng(3)
    found = released(drawn(random, 20), 60.0, random).outcomes
    assert {(f.value, f.note) for one in found for f in one.figures.values()} == {(None, TOO_FEW)}


@pytest.mark.filterwarnings("ignore:monai.metrics.utils:FutureWarning")  # of its own call
def test_a_distance_is_that_of_monai_and_an_empty_mask_is_a_diagonal_away() -> None:
    random = np.random.default_rng(4)
    metric = HausdorffDistanceMetric(include_background=False, percentile=95, reduction="none")
    true = random.integers(CLASSES, size=(6, *SHAPE))
    chosen = np.where(random.random(true.shape) < 0.3, 0, true)
    outputs = functional.one_hot(torch.from_numpy(chosen), CLASSES).movedim(-1, 1).double()
    expected = metric(outputs, functional.one_hot(torch.from_numpy(true), CLASSES).movedim(-1, 1))
    scores, _ = DETAILED.scores(
        outputs.flatten(1)[:, None].numpy(), true[:, None].astype(np.float32),
        np.ones((6, 1), np.float32),
    )  # fmt: skip
    apart = scores.reshape(6, 2, 4)[:, :, 3] * math.hypot(7, 7)
    np.testing.assert_allclose(apart, expected.numpy(), rtol=1e-5)
    assert distance_part(np.zeros(SHAPE, bool), true[0] == 1) == 1.0
    assert distance_part(true[0] == 1, true[0] == 1) == 0.0


def test_a_patients_distance_is_the_mean_over_records_that_have_the_class() -> None:
    labels, outputs = np.zeros((1, 3, *SHAPE), np.float32), np.zeros((1, 3, CLASSES, *SHAPE))
    labels[0, :2, 0, 0] = 1  # two records have the class, the third is not there
    outputs[0, 0, 1, 0, 0] = 1.0  # found in the first, nowhere in the second
    weights = np.array([[0.5, 0.5, 0.0]], np.float32)
    scores, _ = DETAILED.scores(outputs.reshape(1, 3, -1), labels, weights)
    assert scores.reshape(2, 4)[0].tolist() == [1.0, 1.0, 2.0, 0.5]


@pytest.mark.parametrize("dice", [0.0, 0.4999, 0.5, 0.6999, 0.89999, 0.9, 1.0])
def test_one_patient_changes_the_counts_by_the_declared_bound(dice: float) -> None:
    vector, pixels = study().evaluation_vector, 100_000.0
    scores = np.array([[dice * pixels, pixels, pixels, 1.0] * 2])
    given = scores, np.zeros(1), np.zeros((1, 3)), 8
    assert np.linalg.norm(DETAILED.counts(*given)) <= vector.influence * COUNT_UNITS
    assert np.linalg.norm(DETAILED.own(*given)) <= vector.own_influence * COUNT_UNITS


def test_a_study_without_the_key_keeps_its_digest_and_its_counts() -> None:
    plain = study(distances=False)
    off = MASK_STUDY.replace("kind: segmentation\n", "kind: segmentation\n  distances: false\n")
    assert read_study(off).digest == plain.digest != study().digest
    assert plain.evaluation_vector.shape == (2, 3)
    assert study().evaluation_vector.shape == (2, 8)
    with pytest.raises(StudyRefused, match="distances"):
        read_study(changed("task:\n", "task:\n  distances: true\n"))
