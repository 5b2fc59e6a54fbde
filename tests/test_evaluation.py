"""Released figures: read from the noisy sum, with intervals that say how far to trust them."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.evaluation import (
    TOO_FEW,
    proportion,
    released_from,
    released_json,
    released_metrics,
)
from protocol.evaluation_vector import COUNT_UNITS, EvaluationVector, noise_deviations


def test_what_sites_place_is_read_back_pooled_and_per_site() -> None:
    vector = EvaluationVector(sites=("a", "b"), bins=8)
    counts = np.arange(16).reshape(2, 8)
    first = vector.place("a", counts, np.array([[1, 2], [3, 4]]))
    second = vector.place("b", counts, np.array([[5, 6], [7, 8]]))
    pooled, tables = vector.read(first + second)
    np.testing.assert_array_equal(pooled, 2 * counts)
    np.testing.assert_array_equal(tables["b"], [[5, 6], [7, 8]])


def test_one_patient_changes_each_block_by_one() -> None:
    vector = EvaluationVector(sites=("a", "b"), bins=8)
    empty = vector.place("a", np.zeros((2, 8), np.int64), np.zeros((2, 2), np.int64))
    counts, table = np.zeros((2, 8), np.int64), np.zeros((2, 2), np.int64)
    counts[1, 3] = table[1, 1] = 1
    change = vector.place("a", counts, table) - empty
    assert np.count_nonzero(change) == 2
    assert set(change[change != 0]) == {COUNT_UNITS}


@given(st.floats(0.3, 50), st.floats(0.05, 0.95))
def test_both_blocks_together_cost_what_was_priced(z: float, share: float) -> None:
    pooled, table = noise_deviations(z, share)
    assert math.isclose(1 / pooled**2 + 1 / table**2, 1 / z**2, rel_tol=1e-9)


def test_sites_must_be_sorted_so_that_both_sides_agree_on_the_blocks() -> None:
    with pytest.raises(ValueError, match="sorted and distinct"):
        EvaluationVector(sites=("b", "a"), bins=8)


def test_without_noise_the_figures_are_the_counts() -> None:
    vector = EvaluationVector(sites=("a",), bins=8)
    counts = np.zeros((2, 8), np.int64)
    counts[0, 0], counts[1, 7] = 60, 40
    total = vector.place("a", counts, np.array([[54, 6], [4, 36]]))
    released = released_metrics(total, vector, 0.0, {"a": 0.0}, ("a",))
    assert released.auroc.value == pytest.approx(1.0)
    assert released.accuracy.value == pytest.approx(0.9)
    assert released.sites["a"].sensitivity.value == pytest.approx(0.9)


def test_noise_that_drowns_the_patients_gives_no_figure_but_a_reason() -> None:
    assert proportion(5.0, 3.0, 20.0).value is None
    assert proportion(5.0, 3.0, 20.0).note == TOO_FEW
    assert proportion(0.0, 0.0, 0.0).note == "no patients"


def test_the_interval_of_a_noisy_proportion_covers_the_truth() -> None:
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(1000):
        wins = generator.binomial(200, 0.8)
        interval = proportion(
            wins + generator.normal(0, 6), 200 - wins + generator.normal(0, 6), 6.0
        )
        covered += interval.low <= 0.8 <= interval.high
    assert covered >= 930


def test_released_figures_survive_the_store() -> None:
    vector = EvaluationVector(sites=("a", "b"), bins=8)
    total = vector.place("a", np.full((2, 8), 9), np.array([[30, 4], [5, 20]]))
    released = released_metrics(total, vector, 1.5, {"a": 0.5, "b": 0.5}, ("a", "b"))
    assert released_from(json.loads(json.dumps(released_json(released)))) == released
