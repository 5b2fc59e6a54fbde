"""The tables of figures that the design rests on, computed again with what the code prices by.

2000 patients in each hospital, batches of 64, 1000 steps, delta 1e-5, target epsilon 2.
What a life-long filter books is in ``test_budget_filter.py``.
"""

import math

import dp_accounting
import pytest
from dp_accounting.rdp import RdpAccountant

from compliance.planning.advice import PlanningInput, noise_on_average
from compliance.privacy.accounting import calibrate, epsilon
from compliance.privacy.events import SampledGaussian

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
    asked = PlanningInput(patients=(2858,) * n, epsilon=2.0, delta=DELTA, colluders=colluders)
    local, shared = (noise_on_average(asked, plan(2.0), m) for m in ("per_site", "distributed"))
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


@pytest.mark.parametrize(
    ("deviation", "once", "twenty"), [(20.0, 0.16, 0.82), (40.0, 0.075, 0.385)]
)
def test_evaluation_figures_reproduce(deviation: float, once: float, twenty: float) -> None:
    assert epsilon(plan(deviation, 1.0, 1), DELTA) == pytest.approx(once, rel=0.05)
    assert epsilon(plan(deviation, 1.0, 20), DELTA) == pytest.approx(twenty, rel=0.02)
