"""The statistics of an audit: what they accept, what they see, how often they err."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from compliance.privacy.empirical_audit.checks import (
    CHECK_LEVEL,
    cell_chances,
    check_inclusion,
    check_independence,
    check_influence,
    check_repeats,
    check_residues,
    check_sampling,
    check_shape,
    check_variance,
    check_whole_numbers,
    worst_of_each,
)
from compliance.privacy.noise import DiscreteGaussian
from protocol.vectors.keystream import Keystream, derive_key
from tests.support.reference.discrete_gaussian import pmf

SIGMA = 5.5 * 2**17


def drawn(label: str, releases: int = 20, size: int = 5000) -> NDArray[np.int64]:
    key = derive_key(b"fixed for tests", salt=b"audit", info=label.encode())
    return DiscreteGaussian(SIGMA).sample(Keystream(key), releases * size).reshape(releases, size)


def test_exact_noise_passes_every_check() -> None:
    noise = drawn("honest")
    checks = [
        check_variance(noise, SIGMA),
        check_shape(noise, SIGMA),
        check_whole_numbers(noise.astype(np.float64)),
        check_residues(noise, SIGMA),
        check_independence(noise, SIGMA),
    ]
    assert [check.name for check in checks if not check.passed] == []


@pytest.mark.parametrize("factor", [0.3, 0.98, 1.02])
def test_variance_sees_noise_that_is_two_percent_off(factor: float) -> None:
    wrong = np.rint(drawn("factor") * factor).astype(np.int64)
    assert check_variance(wrong, SIGMA).p_value < CHECK_LEVEL


def test_honest_checks_fail_about_as_often_as_their_level_says() -> None:
    p_values = [check_variance(drawn(f"level {n}", 2, 500), SIGMA).p_value for n in range(200)]
    assert 2 <= sum(p < 0.05 for p in p_values) <= 20
    assert min(p_values) > CHECK_LEVEL


def test_the_worst_of_many_honest_hospitals_fails_no_oftener_than_one() -> None:
    """Before, the worst of four hospitals' checks failed four times as often as its level says."""
    p_values = []
    for n in range(60):
        hospitals = [check_variance(drawn(f"hospital {n} {s}", 2, 100), SIGMA) for s in range(8)]
        (worst,) = worst_of_each(hospitals)
        assert worst.p_value == min(1.0, 8 * min(check.p_value for check in hospitals))
        p_values.append(worst.p_value)
    assert sum(p < 0.05 for p in p_values) <= 10


def test_shape_sees_uniform_noise_of_the_right_variance() -> None:
    reach = math.sqrt(3) * SIGMA
    wrong = np.rint(np.random.default_rng(1).uniform(-reach, reach, 100_000)).astype(np.int64)
    assert check_variance(wrong, SIGMA).passed
    assert not check_shape(wrong, SIGMA).passed


@pytest.mark.parametrize("sigma", [3.0, 700.0, 1100.0])
def test_cell_chances_are_sums_of_the_exact_pmf(sigma: float) -> None:
    edges = np.array([-int(sigma), 0, 1, int(2 * sigma)])
    exact = pmf(sigma, int(10 * sigma))
    inner = [
        float(sum(exact[x] for x in range(low, high)))
        for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    ]
    found = cell_chances(sigma, edges)
    assert np.allclose(found[1:-1], inner, rtol=0, atol=1e-12)
    assert abs(found.sum() - 1) < 1e-12


def test_fractions_are_seen() -> None:
    wrong = drawn("fractions").astype(np.float64)
    wrong[0, 0] += 0.01
    assert not check_whole_numbers(wrong).passed
    wrong[0, 0] = math.nan
    assert not check_whole_numbers(wrong).passed


def test_residues_see_noise_that_was_rounded_to_even_numbers() -> None:
    wrong = drawn("rounded") // 2 * 2
    assert check_variance(wrong, SIGMA).passed
    assert not check_residues(wrong, SIGMA).passed


def test_residues_are_refused_where_they_need_not_be_uniform() -> None:
    with pytest.raises(ValueError, match="from sigma 100 on"):
        check_residues(np.zeros(10, dtype=np.int64), 99.0)


def test_independence_sees_one_repeated_release() -> None:
    noise = drawn("twice")
    noise[7] = noise[3]
    assert not check_independence(noise, SIGMA).passed
    noise[7] = -noise[3]
    assert not check_independence(noise, SIGMA).passed


def test_independence_sees_a_part_that_all_releases_share() -> None:
    own, common = drawn("own"), drawn("common", 1)
    wrong = np.rint(0.95 * own + math.sqrt(1 - 0.95**2) * common).astype(np.int64)
    assert check_variance(wrong, SIGMA).passed
    assert not check_independence(wrong, SIGMA).passed


def test_sampling_sees_a_higher_rate_and_batches_of_one_size() -> None:
    random = np.random.default_rng(2)
    assert check_sampling(random.binomial(64, 0.2, 400), 64, 0.2).passed
    assert not check_sampling(random.binomial(64, 0.23, 400), 64, 0.2).passed
    assert not check_sampling(np.full(400, 13), 64, 13 / 64).passed


def test_sampling_of_everybody_leaves_nobody_out() -> None:
    sizes = np.full(100, 64)
    assert check_sampling(sizes, 64, 1.0).passed
    sizes[50] = 63
    assert not check_sampling(sizes, 64, 1.0).passed


def test_a_patient_that_is_always_drawn_is_seen_and_honest_samples_seldom_are() -> None:
    random, rate = np.random.default_rng(8), 0.5
    alarms, repeats = 0, 0
    for _ in range(1000):
        drawn = (random.random((24, 64)) < rate).astype(np.int64)
        alarms += check_inclusion(drawn, rate).p_value < 0.01
        repeats += check_repeats(drawn, rate).p_value < 0.01
    assert alarms <= binom.ppf(0.9999, 1000, 0.01)
    assert repeats <= binom.ppf(0.9999, 1000, 0.01)
    drawn[:, 5] = 1
    assert not check_inclusion(drawn, rate).passed


def test_a_patient_drawn_twice_in_a_step_and_a_repeated_sample_are_seen() -> None:
    drawn = (np.random.default_rng(8).random((24, 64)) < 0.5).astype(np.int64)
    drawn[3, 7] = 2
    assert check_inclusion(drawn, 0.5).p_value == 0.0
    drawn[1::2] = drawn[0::2]
    assert not check_repeats(drawn, 0.5).passed
    assert check_repeats(np.zeros((4, 64), dtype=np.int64), 0.01).passed


def test_everybody_in_every_step_is_what_rate_one_means() -> None:
    assert check_inclusion(np.ones((5, 9), dtype=np.int64), 1.0).passed


def test_an_influence_above_the_bound_or_none_at_all_fails() -> None:
    assert check_influence({"long": 100.0, "short": 1.0}, 100.0).passed
    failed = check_influence({"long": 100.1, "short": 1.0}, 100.0)
    assert not failed.passed
    assert failed.found == "at most 1.001 times the bound (long)"
    assert not check_influence({"short": 1.0, "long": math.nan}, 100.0).passed
