"""Released figures: read from the noisy sum, with intervals that say how far to trust them."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.estimates.proportion import proportion
from compliance.estimates.withholding import TOO_FEW
from coordinator.rounds.evaluation.released import released_from, released_json
from protocol.vectors.evaluation import (
    binary_counts,
    class_counts,
    in_units,
    noise_deviations,
    read_grid,
)
from protocol.vectors.score_grid import ScoreGrid
from tests.support.simulated.evaluations import released_metrics


def test_counts_that_sites_give_are_read_back_pooled() -> None:
    vector = binary_counts(8)
    counts = np.arange(16).reshape(2, 8)
    total = in_units(counts) + in_units(counts)
    assert total.shape == (vector.size,)
    np.testing.assert_array_equal(vector.read(total), 2 * counts)


def test_a_table_and_its_grid_are_read_back_as_they_were_signed() -> None:
    grid = ScoreGrid(centre=-4.5, spread=0.25)
    cells = (*map(int, in_units(np.array([[5, 6], [7, 8]]))), *grid.cells)
    np.testing.assert_array_equal(class_counts(8, 3).read_own(cells), [5, 6, 7, 8])
    vector = binary_counts(8).with_parts(site_bins=2, groups=(), group_bins=8)
    np.testing.assert_array_equal(vector.read_own(cells), [[5, 6], [7, 8]])
    assert read_grid(cells) == grid


@given(st.floats(0.3, 50), st.floats(0.05, 0.95))
def test_both_blocks_together_cost_what_was_priced(z: float, share: float) -> None:
    pooled, table = noise_deviations(z, share)
    assert math.isclose(1 / pooled**2 + 1 / table**2, 1 / z**2, rel_tol=1e-9)


def test_without_noise_the_figures_are_the_counts() -> None:
    counts = np.zeros((2, 8))
    counts[0, 0], counts[1, 7] = 60, 40
    tables = {"a": np.array([[54.0, 6.0], [4.0, 36.0]])}
    released = released_metrics(counts, 0.0, tables, {"a": 0.0}, grid=ScoreGrid())
    assert released.figures["auroc"].value == pytest.approx(1.0)
    assert released.figures["accuracy"].value == pytest.approx(0.9)
    assert released.sites["a"]["sensitivity"].value == pytest.approx(0.9)


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
    tables = {"a": np.array([[30.0, 4.0], [5.0, 20.0]]), "b": np.zeros((2, 2))}
    released = released_metrics(
        np.full((2, 8), 9.0), 1.5, tables, {"a": 0.5, "b": 0.5}, grid=ScoreGrid()
    )
    assert released_from(json.loads(json.dumps(released_json(released)))) == released
