"""The null distribution of a distance holds the sampling of the patients and the noise of both."""

import numpy as np
import pytest

from compliance.estimates.drift.distances import largest_step, stability_index
from compliance.estimates.drift.null_distribution import (
    NullDistances,
    chance_of,
    common_shares,
    drawn_counts,
    threshold,
)
from tests.support.simulated.drifts import LAB, release


def null(patients: int, deviation: float, seed: int, level: float = 0.05) -> NullDistances:
    random = np.random.default_rng(seed)
    (before,), (after,) = (
        release(n, random, patients=patients, deviation=deviation, columns=("lab",)).histograms
        for n in (0, 1)
    )
    return NullDistances.drawn(before, after, level=level, random=random)


def test_a_threshold_is_passed_by_as_many_draws_as_its_level_says() -> None:
    drawn = np.arange(1.0, 200.0)  # 199 draws
    assert threshold(drawn, 0.05) == 190.0  # the tenth largest
    assert chance_of(drawn, 190.5) == pytest.approx(0.05)
    assert chance_of(drawn, 190.0) > 0.05
    assert threshold(drawn, 0.001) == np.inf


@pytest.mark.parametrize(("patients", "deviation"), [(900, 25.0), (900, 2.0)])
def test_true_nulls_pass_the_threshold_as_seldom_as_it_says(
    patients: int, deviation: float
) -> None:
    random, draws, passed = np.random.default_rng(7), 300, {"psi": 0, "ks": 0}
    for _ in range(draws):
        (before,), (after,) = (
            release(n, random, patients=patients, deviation=deviation, columns=("lab",)).histograms
            for n in (0, 1)
        )
        found = NullDistances.drawn(before, after, level=0.1, random=random)
        assert found.step is not None
        pair = before.compared, after.compared
        index = stability_index(*pair, (deviation, deviation))
        passed["psi"] += index > threshold(found.index, 0.1)
        passed["ks"] += largest_step(pair[0][:8], pair[1][:8]) > threshold(found.step, 0.1)
    for name, times in passed.items():
        assert times / draws <= 0.1 + 3 * (0.1 * 0.9 / draws) ** 0.5, name
        assert times / draws >= 0.02, name  # and is no bound that says nothing


def test_noise_and_few_patients_both_raise_the_threshold() -> None:
    least = threshold(null(4000, 2.0, 1).index, 0.05)
    assert threshold(null(4000, 60.0, 1).index, 0.05) > 2 * least
    assert threshold(null(400, 2.0, 1).index, 0.05) > 2 * least


def test_draws_with_large_noise_have_the_moments_of_drawn_patients_and_noise() -> None:
    random = np.random.default_rng(5)
    found = drawn_counts(LAB, 1000, 20.0, 40_000, random)
    assert found.mean(axis=0) == pytest.approx(1000 * LAB, abs=0.6)
    expected = 1000 * (np.diag(LAB) - np.outer(LAB, LAB)) + 400 * np.eye(len(LAB))
    assert np.cov(found.T) == pytest.approx(expected, abs=15)


def test_the_common_distribution_leans_on_the_release_of_which_more_is_known() -> None:
    random = np.random.default_rng(6)
    drifted = np.array([0.9, *np.zeros(7), 0.1])
    (before,) = release(0, random, patients=5000, deviation=5, columns=("lab",)).histograms
    (after,) = release(
        1, random, patients=300, deviation=5, columns=("lab",), lab=drifted
    ).histograms
    shares = common_shares(before, after)
    assert shares[0] < 0.1
    assert shares.sum() == pytest.approx(1)


def test_one_seed_gives_one_null_distribution() -> None:
    assert (null(900, 25.0, 3).index == null(900, 25.0, 3).index).all()
