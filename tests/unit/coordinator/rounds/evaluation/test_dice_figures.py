"""The released Dice: exact without noise, honest with it, withheld where noise drowns it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from compliance.estimates.interval import Interval
from compliance.estimates.withholding import TOO_FEW
from coordinator.rounds.evaluation.segmentation import mean_dice
from pipelines.tasks.segmentation import segmentation
from protocol.vectors.evaluation import COUNT_UNITS

TASK = segmentation(3, (8, 8))


def drawn(random: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Patients' pixels found, predicted and true, of two classes; some lack the second."""
    true = np.stack([random.integers(20, 60, count), random.integers(0, 30, count)], axis=1)
    true[random.random(count) < 0.3, 1] = 0
    found = (true * random.beta(8, 2, (count, 2))).round()
    predicted = found + random.integers(0, 9, (count, 2))
    return np.stack([found, predicted, true], axis=2).reshape(count, -1).astype(np.float64)


def released(
    scores: NDArray[np.float64], noise: float, random: np.random.Generator
) -> tuple[Interval, Interval]:
    """The pooled Dice, and a hospital's own, with this noise in each number."""
    given = scores, np.zeros(len(scores)), np.zeros((1, 3)), 8
    counts, own = TASK.counts(*given), TASK.own(*given)
    sums = counts.reshape(2, 3) / COUNT_UNITS + random.normal(0, noise, (2, 3))
    cells = own[None, :3] / COUNT_UNITS + random.normal(0, noise, (1, 3))
    return mean_dice(sums, noise), mean_dice(cells, noise)


def test_without_noise_it_is_the_exact_one() -> None:
    random = np.random.default_rng(1)
    scores = drawn(random, 200)
    pooled, own = released(scores, 0.0, random)
    assert pooled.value == pytest.approx(TASK.exact(scores, np.zeros(200))["dice"], abs=1e-3)
    assert own.low < own.value < own.high
    alike = np.tile([90.0, 95.0, 95.0, 90.0, 95.0, 95.0], (12, 1))
    for figure in released(alike, 0.0, random):
        assert figure.low < TASK.exact(alike, np.zeros(12))["dice"] < figure.high


@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_intervals_hold_the_populations_dice(noise: float) -> None:
    random = np.random.default_rng(2)
    truth = TASK.exact(drawn(random, 100_000), np.zeros(100_000))["dice"]
    shown = held = 0
    for _ in range(300):
        found, _ = released(drawn(random, 120), noise, random)
        if found.low is not None and found.high is not None:
            shown += 1
            held += found.low <= truth <= found.high
    assert shown > 290 and held / shown >= 0.92


@pytest.mark.parametrize("patients", [(300,), (245, 245), (1000,)])
def test_where_noise_in_their_number_decides_what_is_shown_intervals_hold_as_often(
    patients: tuple[int, ...],
) -> None:
    random, noise, found = np.random.default_rng(8), 28.0, []
    for _ in range(400):
        dice = [random.beta(19, 1, count) for count in patients]
        sums = np.array([[len(one), one.sum(), (one**2).sum()] for one in dice])
        one = mean_dice(sums + random.normal(0, noise, sums.shape), noise)
        if one.value is not None:
            found.append((one.value, one.low, one.high))
    values, lows, highs = np.array(found).T
    assert len(found) > 100
    assert ((lows <= 0.95) & (highs >= 0.95)).mean() >= 0.93
    assert (highs - lows).mean() <= 1.5 * 2 * 1.96 * values.std()


def test_a_dice_that_noise_drowns_is_withheld_with_the_reason() -> None:
    random = np.random.default_rng(3)
    for found in released(drawn(random, 12), 20.0, random):
        assert (found.value, found.note) == (None, TOO_FEW)


def test_a_class_that_no_patient_has_has_no_figure() -> None:
    random = np.random.default_rng(4)
    scores = drawn(random, 30)
    scores[:, 5] = 0
    assert TASK.exact(scores, np.zeros(30)) == {"dice": None}
    pooled, own = released(scores, 0.0, random)
    assert (pooled.value, pooled.note) == (None, "a class that no patient has")
    assert own.value is not None


POPULATIONS = {
    "a patient's classes are alike": lambda r, n: np.clip(
        r.beta(2, 2, (n, 1)) + r.normal(0, 0.02, (n, 4)), 0, 1
    ),
    "few scans fail": lambda r, n: np.where(r.random((n, 1)) < 0.98, 0.95, 0.0),
    "few scans succeed": lambda r, n: np.where(r.random((n, 1)) < 0.97, 0.0, 1.0),
    "all alike": lambda r, n: np.full((n, 2), 0.571),
}


@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize("patients", [8, 50, 300])
def test_intervals_hold_the_dice_of_unusual_populations(population: str, patients: int) -> None:
    random, draw = np.random.default_rng(6), POPULATIONS[population]
    truth, held = draw(random, 200_000).mean(), 0
    for _ in range(200):
        dice = draw(random, patients)
        sums = np.stack([np.full(dice.shape[1], float(patients)), dice.sum(0), (dice**2).sum(0)], 1)
        found = mean_dice(sums, 0.0)
        held += found.low <= truth <= found.high
    assert held / 200 >= 0.92


def test_without_patients_that_is_what_is_said() -> None:
    assert mean_dice(np.zeros((2, 3)), 0.0).note == "no patients"
