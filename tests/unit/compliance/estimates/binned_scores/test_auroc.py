"""The released AUROC: right without noise, honest intervals with it, silent when drowned."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.estimates.binned_scores.auroc import auroc_from_histogram
from compliance.estimates.binned_scores.release_rule import is_released
from compliance.estimates.withholding import TOO_FEW
from pipelines.evaluation.metrics import auroc, histogram
from protocol.vectors.score_grid import ScoreGrid

COUNTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=16)


@given(COUNTS)
def test_without_noise_it_is_the_exact_auroc_of_the_binned_scores(pairs):
    counts = np.array(pairs, dtype=float).T
    bins = np.arange(counts.shape[1])
    scores = np.concatenate([np.repeat(bins, row.astype(int)) for row in counts])
    labels = np.repeat([0.0, 1.0], counts.sum(axis=1).astype(int))
    estimate = auroc_from_histogram(counts, 0.0)
    exact = auroc(scores, labels)
    assert estimate.value == (None if exact is None else pytest.approx(exact))


def draw(random, patients):
    labels = random.random(patients) < 0.4
    edges = ScoreGrid(centre=0.6, spread=1.24).edges(16)
    return histogram(random.normal(size=patients) + 1.5 * labels, labels, edges)


@pytest.mark.parametrize(("patients", "sigma"), [(254, 0.0), (254, 1.5), (1000, 5.0), (5000, 20.0)])
def test_interval_holds_the_models_own_auroc_in_95_of_100_cases(patients, sigma):
    random = np.random.default_rng(3)
    truth = NormalDist().cdf(1.5 / math.sqrt(2))
    held = []
    for _ in range(600):
        noised = draw(random, patients) + random.normal(size=(2, 16)) * sigma
        estimate = auroc_from_histogram(noised, sigma)
        held.append(estimate.low <= truth <= estimate.high)
    assert 0.93 <= np.mean(held)


def test_noise_leaves_the_figure_unbiased_because_negative_counts_are_kept():
    random = np.random.default_rng(4)
    counts = draw(random, 5000).astype(float)
    exact = auroc_from_histogram(counts, 0.0).value
    noised = [counts + random.normal(size=(2, 16)) * 20 for _ in range(2000)]
    kept = np.mean([auroc_from_histogram(h, 20.0).value for h in noised])
    cut = np.mean([auroc_from_histogram(np.maximum(h, 0), 20.0).value for h in noised])
    assert abs(kept - exact) < 0.002 < abs(cut - exact)


@pytest.mark.parametrize("sigma", [0.5, 1.5, 5.0])
def test_width_by_noise_is_the_spread_that_noise_alone_causes(sigma):
    random = np.random.default_rng(5)
    counts = draw(random, 1000).astype(float)
    values = [
        auroc_from_histogram(counts + random.normal(size=(2, 16)) * sigma, sigma).value
        for _ in range(1500)
    ]
    drawn, both = (auroc_from_histogram(counts, s) for s in (0.0, sigma))
    by_noise = np.sqrt((both.value - both.low) ** 2 - (drawn.value - drawn.low) ** 2)
    assert 1.96 * np.std(values) == pytest.approx(by_noise, rel=0.08)


def test_class_that_drowns_in_the_noise_gives_no_figure():
    """Whatever the counts say: the sizes of the classes decide, and come from elsewhere."""
    grid = {"bins": 8}
    assert not is_released(400.0, 8.0, noise_sigma=2.0, **grid)
    assert not is_released(400.0, -8.0, noise_sigma=0.5, **grid)
    assert is_released(400.0, 80.0, noise_sigma=2.0, **grid)


def test_vacuous_interval_says_too_few_patients():
    assert not is_released(64.0, 64.0, bins=8, noise_sigma=10.0)
    estimate = auroc_from_histogram(np.array([[8.0] * 8, [-8.0] * 8]), 10.0)
    assert (estimate.value, estimate.low, estimate.high) == (None, 0.0, 1.0)
    assert estimate.note == TOO_FEW


def test_classes_that_lie_wholly_apart_leave_a_width():
    estimate = auroc_from_histogram(np.array([[5.0, 0.0], [0.0, 5.0]]), 0.0)
    assert estimate.value == 1.0 and estimate.low < 0.8


def test_no_patients_give_no_figure():
    assert auroc_from_histogram(np.zeros((2, 8)), 0.0).value is None


@given(COUNTS, st.floats(0, 50), st.integers(0, 2**32))
def test_figure_and_interval_stay_between_0_and_1_in_order(pairs, sigma, seed):
    noise = np.random.default_rng(seed).normal(size=(2, len(pairs))) * sigma
    estimate = auroc_from_histogram(np.array(pairs, dtype=float).T + noise, sigma)
    assert 0 <= estimate.low <= estimate.high <= 1
    assert estimate.value is None or estimate.low <= estimate.value <= estimate.high


@pytest.mark.parametrize(
    ("counts", "sigma", "message"),
    [
        (np.zeros((3, 8)), 0.0, "expected .2, bins. counts"),
        (np.zeros((2, 1)), 0.0, "expected .2, bins. counts"),
        (np.full((2, 8), np.nan), 0.0, "must be finite"),
        (np.ones((2, 8)), -1.0, "the noise not negative"),
        (np.ones((2, 8)), float("nan"), "the noise not negative"),
    ],
)
def test_counts_that_are_none_are_a_mistake(counts, sigma, message):
    with pytest.raises(ValueError, match=message):
        auroc_from_histogram(counts, sigma)


def test_noise_that_lifts_a_figure_above_one_leaves_its_interval_whole():
    """A negative count can lift the sum above 1: the interval starts there, and is not cut to 0."""
    counts = np.array([[60.0, 5.0, -2.0, -7.0], [-9.0, 0.0, 5.0, 40.0]])
    estimate = auroc_from_histogram(counts, 3.0)
    assert (estimate.value, estimate.high, estimate.note) == (1.0, 1.0, "")
    assert estimate.low < 0.95
