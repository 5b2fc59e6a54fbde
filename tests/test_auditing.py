"""The statistics of an audit: what they accept, what they see, how often they err."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from compliance.accounting import SampledGaussian, epsilon
from compliance.auditing import (
    CHECK_LEVEL,
    OneRun,
    audit_in_runs,
    cell_chances,
    check_independence,
    check_residues,
    check_sampling,
    check_shape,
    check_variance,
    check_whole_numbers,
    guess,
    one_run_bound,
    one_run_p_value,
)
from compliance.noise import DiscreteGaussian
from protocol.keystream import Keystream, derive_key
from tests.reference.discrete_gaussian import pmf

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


def slow_p_value(epsilon: float, v: int, r: int, m: int, delta: float) -> float:
    """The theorem as it stands: P[Bin >= v] + 2 m delta max_i P[v > Bin >= v - i] / i."""
    chance = [binom.pmf(k, r, math.exp(epsilon) / (1 + math.exp(epsilon))) for k in range(r + 1)]
    slack = max(sum(chance[max(0, v - i) : v]) / i for i in range(1, m + 1))
    return min(1.0, sum(chance[v:]) + 2 * m * delta * slack)


@pytest.mark.parametrize("delta", [0.0, 1e-4, 1e-2])
@pytest.mark.parametrize(("v", "r", "m"), [(9, 10, 40), (30, 30, 60), (1, 5, 5), (18, 30, 30)])
def test_one_run_p_value_is_the_theorem(delta: float, v: int, r: int, m: int) -> None:
    for claim in (0.0, 0.7, 3.0):
        found = one_run_p_value(claim, correct=v, guesses=r, canaries=m, delta=delta)
        assert found == pytest.approx(slow_p_value(claim, v, r, m, delta), abs=1e-12)


def test_one_run_bound_of_randomised_response_is_too_high_at_most_once_in_twenty() -> None:
    """At epsilon 1 every guess is right with chance e / (1 + e): the exact chance of an error."""
    highest = [
        one_run_bound(correct=v, guesses=100, canaries=100, delta=0.0, alpha=0.05)
        for v in range(101)
    ]
    chance = binom.pmf(np.arange(101), 100, math.e / (1 + math.e))
    assert 0.01 < sum(chance[np.array(highest) > 1.0]) <= 0.05
    assert sum(chance[np.array(highest) > 0.4]) > 0.5  # and it is not idle


def test_coin_flips_bound_nothing_and_nonsense_is_refused() -> None:
    assert one_run_bound(correct=50, guesses=100, canaries=100, delta=0.0, alpha=0.05) == 0.0
    with pytest.raises(ValueError, match="expected 0 <= 11 <= 10 <= 20"):
        one_run_p_value(1.0, correct=11, guesses=10, canaries=20, delta=0.0)
    with pytest.raises(ValueError, match="alpha must lie in"):
        one_run_bound(correct=1, guesses=2, canaries=2, delta=0.0, alpha=0.0)


def test_the_figures_of_the_design_are_reproduced() -> None:
    """Full batch, z = 10, 100 steps: theory 4.38; the bound is about 1.7, with 0.3 x noise 4.5."""
    assert epsilon(SampledGaussian(noise_multiplier=10, sampling_rate=1, steps=100), 1e-5) < 4.38
    random = np.random.default_rng(4)
    inside = random.random(1000) < 0.5
    honest = 100.0 * inside + 100 * random.normal(size=1000)
    faulty = 100.0 * inside + 30 * random.normal(size=1000)
    assert 1.2 < guess(honest, inside, 300, 1e-5, 0.05).bound < 2.2
    assert guess(faulty, inside, 300, 1e-5, 0.05).bound > 4.38


def test_only_a_second_excess_contradicts_a_claim() -> None:
    def run(number: int, alpha: float) -> OneRun:
        asked.append((number, alpha))
        return OneRun(canaries=100, guesses=100, correct=right[number], delta=0.0, alpha=alpha)

    asked: list[tuple[int, float]] = []
    right = {0: 100, 1: 50, 2: 60}
    runs, contradicted = audit_in_runs(run, 1.0, runs=2, alpha=0.05)
    assert (len(runs), contradicted) == (3, False)
    assert asked == [(0, 0.025), (2, 0.025), (1, 0.025)]
    right[2] = 100
    assert audit_in_runs(run, 1.0, runs=2, alpha=0.05)[1]
