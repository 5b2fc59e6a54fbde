"""The tables of figures that the design rests on, computed again with what the code prices by.

``privacy.md`` C.4: 2000 patients in each hospital, batches of 64, 1000 steps, delta 1e-5,
target epsilon 2. C.7: what a life-long filter books for plans whose PLD price is known.
"""

import math

import dp_accounting
import pytest
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

from compliance.accounting import Filter, SampledGaussian, calibrate, epsilon
from compliance.planning import Question, noise_on_average

DELTA = 1e-5
RATE, STEPS = 64 / 2000, 1000


def plan(noise_multiplier: float, rate: float = RATE, steps: int = STEPS) -> SampledGaussian:
    return SampledGaussian(noise_multiplier=noise_multiplier, sampling_rate=rate, steps=steps)


@pytest.fixture(scope="module")
def target() -> float:
    """z: the noise multiplier that gives epsilon 2."""
    return calibrate(epsilon=2.0, delta=DELTA, sampling_rate=RATE, steps=STEPS)


def test_noise_multiplier_of_the_table(target: float) -> None:
    assert target == pytest.approx(2.18, abs=0.005)


# hospitals, colluders, t, h, gain, L for D's noise (= D when the secure sum is broken), D at L's
# noise, D against the public when all answer
TABLE = [
    (4, 1, 3, 2, 1.41, 3.19, 1.31, 1.31),
    (8, 2, 6, 4, 2.00, 5.58, 0.88, 1.31),
    (8, 3, 6, 3, 1.73, 4.35, 1.03, 1.11),
    (16, 3, 11, 8, 2.83, 11.59, 0.59, 1.31),
    (16, 5, 11, 6, 2.45, 8.34, 0.70, 1.11),
]


@pytest.mark.parametrize(("n", "colluders", "t", "h", "gain", "broken", "equal", "public"), TABLE)
def test_table_of_distributed_noise_reproduces(
    target: float,
    n: int,
    colluders: int,
    t: int,
    h: int,
    gain: float,
    broken: float,
    equal: float,
    public: float,
) -> None:
    asked = Question(patients=(2858,) * n, epsilon=2.0, delta=DELTA, colluders=colluders)
    local, shared = (noise_on_average(asked, plan(2.0), m) for m in ("local", "distributed"))
    assert (asked.answering, asked.honest) == (t, h)
    assert local / shared == pytest.approx(gain, abs=0.006)
    assert epsilon(plan(target / math.sqrt(h)), DELTA) == pytest.approx(broken, rel=0.01)
    assert epsilon(plan(target * math.sqrt(h)), DELTA) == pytest.approx(equal, rel=0.01)
    assert epsilon(plan(target * math.sqrt(n / h)), DELTA) == pytest.approx(public, rel=0.01)


@pytest.mark.parametrize(
    ("noise_multiplier", "epochs", "published"),
    [(1.3, 15, 0.922), (1.1, 60, 2.503), (0.7, 45, 6.094)],
)
def test_published_rdp_figures_are_those_of_the_library_under_us(
    noise_multiplier: float, epochs: int, published: float
) -> None:
    step = dp_accounting.PoissonSampledDpEvent(
        0.004, dp_accounting.GaussianDpEvent(noise_multiplier)
    )
    found = RdpAccountant().compose(step, 250 * epochs).get_epsilon(DELTA)
    assert found == pytest.approx(published, rel=0.01)


@pytest.mark.parametrize("budget", [2.26, 2.3, 2.5, 3.0])
def test_one_run_of_epsilon_two_books_a_tenth_more(target: float, budget: float) -> None:
    assert epsilon(plan(target), DELTA) == pytest.approx(2.00, abs=0.005)
    limit = Filter(epsilon_max=budget, delta=DELTA)
    assert 2.18 < limit.epsilon_of(limit.rho_of(plan(target))) < 2.27


def test_five_runs_book_a_tenth_more_than_their_plan_would_cost() -> None:
    steps = 5 * STEPS
    noise = calibrate(epsilon=2.35, delta=DELTA, sampling_rate=RATE, steps=steps)
    limit = Filter(epsilon_max=2.6, delta=DELTA)
    booked = sum(limit.rho_of(plan(noise)) for _ in range(5))
    assert limit.epsilon_of(booked) == pytest.approx(2.57, rel=0.02)


def test_training_with_twenty_evaluations_books_less_than_a_tenth_more(target: float) -> None:
    looks = plan(10.0, 1.0, 20)
    accountant = PLDAccountant(dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
    step = dp_accounting.PoissonSampledDpEvent(RATE, dp_accounting.GaussianDpEvent(target))
    accountant.compose(step, STEPS).compose(dp_accounting.GaussianDpEvent(10.0), 20)
    together = accountant.get_epsilon(DELTA)
    limit = Filter(epsilon_max=3.0, delta=DELTA)
    booked = limit.epsilon_of(limit.rho_of(plan(target)) + limit.rho_of(looks))
    assert together == pytest.approx(2.72, rel=0.02)
    assert booked == pytest.approx(2.95, rel=0.02)


@pytest.mark.parametrize(
    ("deviation", "once", "twenty"), [(20.0, 0.16, 0.82), (40.0, 0.075, 0.385)]
)
def test_evaluation_figures_reproduce(deviation: float, once: float, twenty: float) -> None:
    assert epsilon(plan(deviation, 1.0, 1), DELTA) == pytest.approx(once, rel=0.05)
    assert epsilon(plan(deviation, 1.0, 20), DELTA) == pytest.approx(twenty, rel=0.02)
