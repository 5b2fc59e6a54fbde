"""The one-run bound against exact chances, linear programs, the paper's own algorithm and draws."""

import itertools
import math

import numpy as np
import pytest
from scipy import optimize, stats

from compliance.privacy.accounting import epsilon
from compliance.privacy.divergences.trade_off import (
    GaussianTradeOff,
    ProfileTradeOff,
    TradeOff,
    trade_off,
)
from compliance.privacy.empirical_audit.one_run import (
    OneRun,
    audit_in_runs,
    guess,
    lower_bound,
    p_value,
    planned_guesses,
    refutes,
)
from compliance.privacy.events import SampledGaussian


def pure(claim: float, delta: float = 0.0) -> ProfileTradeOff:
    return ProfileTradeOff(epsilons=np.array([claim]), deltas=np.array([delta]))


# --- trade-off functions ---


@pytest.mark.parametrize("hits", [0.001, 0.02, 0.3, 0.5, 0.9, 0.9999])
def test_profile_of_a_gaussian_gives_its_own_trade_off_function(hits: float) -> None:
    """The lines of all (epsilon, delta(epsilon)) together are the exact function."""
    mu = 1.3
    epsilons = np.linspace(0, 40, 4000)
    deltas = stats.norm.cdf(-epsilons / mu + mu / 2) - np.exp(epsilons) * stats.norm.cdf(
        -epsilons / mu - mu / 2
    )
    exact = GaussianTradeOff(separation=mu).false_alarms(hits)
    lines = ProfileTradeOff(epsilons=epsilons, deltas=deltas).false_alarms(hits)
    assert lines <= exact + 1e-12
    assert lines == pytest.approx(exact, rel=2e-3, abs=1e-9)


def test_a_sampled_plan_is_bounded_by_its_priced_epsilon_and_by_no_sampling() -> None:
    event = SampledGaussian(noise_multiplier=1.0, sampling_rate=0.05, steps=200)
    found = trade_off(event)
    for delta in (1e-6, 1e-3):
        priced = pure(epsilon(event, delta), delta)
        for hits in (0.01, 0.1, 0.5, 0.9):
            assert found.false_alarms(hits) >= priced.false_alarms(hits) * (1 - 5e-3) - 1e-9
    whole = GaussianTradeOff(separation=math.sqrt(200))
    assert found.false_alarms(0.3) > whole.false_alarms(0.3)


def test_a_plan_without_noise_has_no_trade_off_function() -> None:
    with pytest.raises(ValueError, match="without noise"):
        trade_off(SampledGaussian(noise_multiplier=0.0, sampling_rate=0.5, steps=1))


# --- the bound ---


@pytest.mark.parametrize("claim", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("count", [1, 5, 40])
def test_randomised_response_is_never_called_less_likely_than_it_is(
    claim: float, count: int
) -> None:
    right = 1 / (1 + math.exp(-claim))
    for correct in range(count + 1):
        exact = stats.binom.sf(correct - 1, count, right)
        found = p_value(OneRun(canaries=count, guesses=count, correct=correct), pure(claim))
        assert found >= exact * (1 - 1e-3)


def test_one_guess_about_one_canary_is_the_trade_off_function_itself() -> None:
    """A single fair coin: right with p where p = 1 - f(1 - p), for a symmetric f."""
    for mu in (0.5, 1.0, 2.0):
        found = p_value(OneRun(canaries=1, guesses=1, correct=1), GaussianTradeOff(separation=mu))
        assert found == pytest.approx(stats.norm.cdf(mu / 2), rel=1e-3)


@pytest.mark.parametrize("delta", [0.01, 0.1])
def test_a_mechanism_that_tells_all_now_and_then_is_never_called_less_likely(delta: float) -> None:
    """With chance delta all coins are told: (0, delta)-DP, and every guess is right together."""
    for count in (1, 3, 10, 50):
        run = OneRun(canaries=count, guesses=count, correct=count)
        exact = delta + (1 - delta) * 0.5**count
        assert p_value(run, pure(0.0, delta)) >= exact * (1 - 1e-3)


LIMITS: tuple[TradeOff, ...] = (
    pure(1.0),
    pure(0.5, 0.05),
    ProfileTradeOff(epsilons=np.array([0.0, 0.7, 2.0]), deltas=np.array([0.3, 0.1, 0.004])),
)


def lines_of(limit: ProfileTradeOff) -> list[tuple[float, float]]:
    """f(1 - hits) as the maximum of lines slope * hits + offset."""
    lines = [(0.0, 0.0)]
    for claim, delta in zip(limit.epsilons, limit.deltas, strict=True):
        lines.append((math.exp(-claim), -math.exp(-claim) * delta))
        lines.append((math.exp(claim), 1 - delta - math.exp(claim)))
    return lines


def linear_program(run: OneRun, limit: ProfileTradeOff, *, tails: bool) -> float:
    """The largest chance of ``correct`` or more over all laws that the constraints allow."""
    m, g = run.canaries, run.guesses
    sets = [range(i, g + 1) for i in range(1, g + 1)]
    if not tails:
        sets = [
            chosen
            for size in range(1, g + 1)
            for chosen in itertools.combinations(range(1, g + 1), size)
        ]
    rows, bounds = [], []
    for chosen in sets:
        right, wrong = np.zeros(g + 1), np.zeros(g + 1)
        for i in chosen:
            right[i] += i / m
            wrong[i - 1] += (g - i + 1) / m
        for slope, offset in lines_of(limit):  # wrong >= slope * right + offset
            rows.append(slope * right - wrong)
            bounds.append(-offset)
    cost = -(np.arange(g + 1) >= run.correct).astype(float)
    solved = optimize.linprog(
        cost, A_ub=rows, b_ub=bounds, A_eq=[np.ones(g + 1)], b_eq=[1.0], bounds=(0, 1)
    )
    assert solved.success
    return float(-solved.fun)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(("canaries", "guesses"), [(1, 1), (3, 3), (5, 4), (9, 6)])
def test_the_recursion_is_the_optimum_of_its_linear_program(
    limit: ProfileTradeOff, canaries: int, guesses: int
) -> None:
    for correct in range(guesses + 1):
        run = OneRun(canaries=canaries, guesses=guesses, correct=correct)
        found = p_value(run, limit)
        assert found == pytest.approx(linear_program(run, limit, tails=True), rel=2e-3, abs=1e-9)
        assert found >= linear_program(run, limit, tails=False) * (1 - 2e-3)


def as_printed(run: OneRun, limit: TradeOff, tau: float) -> bool:
    """Algorithm 3 of the paper, line by line: True when the chance is less than tau."""
    m, c_cap, c = run.canaries, run.guesses, run.correct
    r, h = [0.0] * (c + 1), [0.0] * (c + 1)
    r[c], h[c] = tau * c / m, tau * (c_cap - c) / m
    for i in range(c - 1, -1, -1):
        h[i] = max(h[i + 1], limit.false_alarms(r[i + 1]))
        r[i] = r[i + 1] + i / (c_cap - i) * (h[i] - h[i + 1])
    return r[0] + h[0] >= c_cap / m


@pytest.mark.parametrize("mu", [0.3, 1.0, 2.5])
@pytest.mark.parametrize(("guesses", "correct"), [(20, 20), (20, 15), (60, 40), (100, 55)])
def test_the_papers_algorithm_says_the_same(mu: float, guesses: int, correct: int) -> None:
    run = OneRun(canaries=100, guesses=guesses, correct=correct)
    limit = GaussianTradeOff(separation=mu)
    found = p_value(run, limit)
    if found > 1e-200:
        assert not as_printed(run, limit, found * 0.999)
    assert found == 1.0 or as_printed(run, limit, min(1.0, found * 1.001))


def test_bound_of_an_honest_gaussian_is_too_high_at_most_once_in_twenty() -> None:
    random, mu, count = np.random.default_rng(3), 1.0, 300
    event = SampledGaussian(noise_multiplier=1 / mu, sampling_rate=1.0, steps=1)
    refuted = 0
    for _ in range(400):
        inside = random.random(count) < 0.5
        scores = mu * inside + random.normal(size=count)
        refuted += refutes(guess(scores, inside, 30), event, 0.05)
    assert refuted <= stats.binom.ppf(0.999, 400, 0.05)


def test_bound_grows_with_right_guesses_and_is_nothing_for_coin_tosses() -> None:
    event = SampledGaussian(noise_multiplier=10.0, sampling_rate=1.0, steps=100)
    bounds = [
        lower_bound(OneRun(canaries=1000, guesses=300, correct=correct), event, 1e-5, 0.05)
        for correct in (150, 200, 250, 300)
    ]
    assert bounds == sorted(bounds)
    assert bounds[0] == 0.0
    assert bounds[-1] == pytest.approx(8.4, abs=0.1)  # Steinke's bound is 4.57


@pytest.mark.long
def test_bound_of_a_sampled_plan_refutes_more_noise_and_not_less() -> None:
    event = SampledGaussian(noise_multiplier=1.5, sampling_rate=0.2, steps=50)
    run = OneRun(canaries=400, guesses=40, correct=40)
    bound = lower_bound(run, event, 1e-5, 0.05)
    assert 0 < bound
    assert refutes(run, event, 0.05) == (bound >= epsilon(event, 1e-5))


def test_no_audit_is_planned_where_perfect_guesses_would_refute_nothing() -> None:
    weak = SampledGaussian(noise_multiplier=0.5, sampling_rate=1.0, steps=100)
    assert planned_guesses(1000, weak, 0.05) is None
    strong = SampledGaussian(noise_multiplier=10.0, sampling_rate=1.0, steps=100)
    guesses = planned_guesses(1000, strong, 0.05)
    assert guesses == 200
    assert refutes(OneRun(canaries=1000, guesses=200, correct=194), strong, 0.05)
    assert planned_guesses(4, strong, 0.05) is None


def test_numbers_that_do_not_fit_are_refused() -> None:
    for numbers in ((10, 11, 5), (10, 5, 6), (10, 5, -1)):
        with pytest.raises(ValueError, match="must hold"):
            OneRun(canaries=numbers[0], guesses=numbers[1], correct=numbers[2])


def test_an_excess_counts_when_it_comes_twice() -> None:
    event = SampledGaussian(noise_multiplier=10.0, sampling_rate=1.0, steps=100)
    right = {0: 100, 1: 60, 2: 60, 3: 60}

    def run(number: int) -> OneRun:
        return OneRun(canaries=1000, guesses=100, correct=right[number])

    runs, contradicted = audit_in_runs(run, event, runs=2, alpha=0.05)
    assert [each.correct for each in runs] == [100, 60, 60]
    assert not contradicted
    right[2] = 100
    assert audit_in_runs(run, event, runs=2, alpha=0.05)[1]
    with pytest.raises(ValueError, match="at least one run"):
        audit_in_runs(run, event, runs=0, alpha=0.05)
