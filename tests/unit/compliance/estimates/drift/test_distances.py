"""Population stability index and Kolmogorov-Smirnov distance of noised counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from compliance.estimates.drift.distances import largest_step, stability_index

COUNTS = st.lists(st.floats(-1e5, 1e5), min_size=4, max_size=4)


def test_the_index_is_the_sum_of_the_differences_times_the_logarithms_of_the_ratios() -> None:
    before, after = np.array([500.0, 300.0, 200.0]), np.array([400.0, 300.0, 300.0])
    expected = (0.4 - 0.5) * np.log(0.4 / 0.5) + (0.3 - 0.2) * np.log(0.3 / 0.2)
    assert stability_index(before, after, (0.0, 0.0)) == pytest.approx(expected)


def test_the_step_is_that_of_two_samples_which_fill_the_bins() -> None:
    random = np.random.default_rng(3)
    one, other = random.integers(0, 8, 300), random.integers(1, 8, 200)
    counts = (np.bincount(values, minlength=8).astype(float) for values in (one, other))
    assert largest_step(*counts) == pytest.approx(ks_2samp(one, other).statistic)


@given(before=COUNTS, after=COUNTS, deviation=st.sampled_from([0.0, 1.0, 30.0]))
def test_distances_are_finite_and_none_is_negative_whatever_noise_makes_of_the_counts(
    before: list[float], after: list[float], deviation: float
) -> None:
    pair = np.array(before), np.array(after)
    for found in (stability_index(*pair, (deviation, deviation)), largest_step(*pair)):
        assert np.isfinite(found)
        assert found >= 0


def test_equal_counts_lie_at_no_distance_and_nobody_has_none() -> None:
    for counts in (np.array([5.0, 7.0, 0.0]), np.zeros(3)):
        assert stability_index(counts, counts, (1.0, 1.0)) == 0
        assert largest_step(counts, counts) == 0


def test_many_pairs_at_once_are_as_each_alone() -> None:
    random = np.random.default_rng(4)
    before, after = random.normal(50, 20, (5, 6)), random.normal(50, 20, (5, 6))
    indices, steps = stability_index(before, after, (3.0, 4.0)), largest_step(before, after)
    for place in range(5):
        alone = before[place], after[place]
        assert indices[place] == stability_index(*alone, (3.0, 4.0))
        assert steps[place] == largest_step(*alone)
