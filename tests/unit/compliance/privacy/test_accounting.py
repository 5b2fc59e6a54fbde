"""Prices: against published figures, direct integration, dp-accounting and closed forms."""

import doctest
import math
from dataclasses import replace

import dp_accounting
import mpmath
import pytest
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.privacy import accounting
from compliance.privacy.accounting import _rdp_epsilon, calibrate, epsilon
from compliance.privacy.divergences.renyi import rdp
from compliance.privacy.events import SampledGaussian
from compliance.privacy.rounding import rounded_up
from protocol.errors import MessageRefused


def event(
    noise_multiplier: float = 2.0, sampling_rate: float = 0.032, steps: int = 1000
) -> SampledGaussian:
    return SampledGaussian(
        noise_multiplier=noise_multiplier, sampling_rate=sampling_rate, steps=steps
    )


EVENTS = st.builds(
    event,
    noise_multiplier=st.floats(0.4, 50),
    sampling_rate=st.floats(1e-6, 1),
    steps=st.integers(1, 5000),
)


@pytest.mark.parametrize(
    ("noise_multiplier", "epochs", "by_pld", "by_rdp"),
    [(1.3, 15, 0.834, 0.922), (1.1, 60, 2.296, 2.503), (0.7, 45, 5.431, 6.094)],
)
def test_published_figures_reproduce(
    noise_multiplier: float, epochs: int, by_pld: float, by_rdp: float
) -> None:
    plan = event(noise_multiplier, 0.004, 250 * epochs)
    assert epsilon(plan, 1e-5) == pytest.approx(by_pld, rel=1e-3)
    assert _rdp_epsilon((plan,), 1e-5) == pytest.approx(by_rdp, rel=1e-2)


def test_rdp_epsilon_equals_dp_accounting_over_its_default_orders() -> None:
    accountant = RdpAccountant()
    step = dp_accounting.PoissonSampledDpEvent(0.004, dp_accounting.GaussianDpEvent(1.1))
    theirs = accountant.compose(step, 15_000).get_epsilon(1e-5)
    assert _rdp_epsilon((event(1.1, 0.004, 15_000),), 1e-5) == pytest.approx(theirs, rel=2e-3)


def direct_rho(noise_multiplier: float, rate: float, order: float) -> float:
    """Mironov et al. 2019, section 3, by adaptive quadrature with 40 digits."""
    with mpmath.workdps(40):
        s, q, a = mpmath.mpf(noise_multiplier), mpmath.mpf(rate), mpmath.mpf(order)

        def excess(x: mpmath.mpf) -> mpmath.mpf:
            u = q * (mpmath.exp((2 * x - 1) / (2 * s * s)) - 1)
            density = mpmath.exp(-x * x / (2 * s * s)) / mpmath.sqrt(2 * mpmath.pi * s * s)
            return density * ((1 + u) ** a - 1 - a * u)

        pieces = [-14 * s + i * (a + 28 * s) / 30 for i in range(31)]
        return float(mpmath.log1p(mpmath.quad(excess, pieces)) / (a - 1))


@pytest.mark.parametrize(
    ("noise_multiplier", "rate", "order"),
    [
        (2.0, 0.3, 5.25),
        (100.0, 0.3, 1.25),
        (0.3, 0.03, 1.25),
        (1.0, 1e-6, 17.75),
        pytest.param(0.5, 0.9999, 7.5, marks=pytest.mark.long),
        pytest.param(100.0, 1e-6, 100.5, marks=pytest.mark.long),
    ],
)
def test_rdp_equals_direct_integration(noise_multiplier: float, rate: float, order: float) -> None:
    exact = direct_rho(noise_multiplier, rate, order)
    found = rdp(event(noise_multiplier, rate, 1), order)
    assert exact < found < exact * (1 + 3e-9)


@given(st.floats(0.4, 50), st.floats(1e-6, 0.999))
def test_rdp_of_order_two_equals_its_closed_form(noise_multiplier: float, rate: float) -> None:
    closed = math.log1p(rate**2 * math.expm1(noise_multiplier**-2))
    assert rdp(event(noise_multiplier, rate, 1), 2) == pytest.approx(closed, rel=1e-8)


@given(EVENTS, st.sampled_from([1.25, 4.0, 17.75]))
def test_rdp_is_amplified_by_sampling_and_proportional_to_steps(
    plan: SampledGaussian, order: float
) -> None:
    whole = replace(plan, sampling_rate=1.0)
    assert 0 < rdp(plan, order) <= rdp(whole, order) * (1 + 1e-8)
    assert rdp(plan, order) == plan.steps * rdp(replace(plan, steps=1), order)
    assert rdp(whole, order) == pytest.approx(
        plan.steps * order / (2 * plan.noise_multiplier**2), rel=1e-8
    )


@pytest.mark.parametrize("order", [1.0, 0.5, math.nan, math.inf])
def test_rdp_refuses_an_order_not_above_one(order: float) -> None:
    with pytest.raises(ValueError, match="order must be finite and above 1"):
        rdp(event(), order)


def test_rdp_that_cannot_be_computed_is_infinite() -> None:
    assert rdp(event(1e-5, 0.5, 1), 4.0) == math.inf


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (event(noise_multiplier=0.0), math.inf),
        (event(noise_multiplier=1e-300), math.inf),
        (event(steps=0), 0.0),
        (event(sampling_rate=0.0), 0.0),
        (event(noise_multiplier=0.0, steps=0), 0.0),
    ],
)
def test_epsilon_at_the_edges(plan: SampledGaussian, expected: float) -> None:
    assert epsilon(plan, 1e-5) == expected
    assert rdp(plan, 4.0) == expected


@pytest.mark.parametrize(("noise_multiplier", "steps"), [(2.0, 1), (17.45, 30), (0.7, 2)])
def test_epsilon_without_sampling_equals_gaussian_pld(noise_multiplier: float, steps: int) -> None:
    accountant = PLDAccountant(dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
    accountant.compose(dp_accounting.GaussianDpEvent(noise_multiplier), steps)
    found = epsilon(event(noise_multiplier, 1.0, steps), 1e-5)
    assert found == pytest.approx(accountant.get_epsilon(1e-5), rel=1e-3)


def test_epsilon_vanishes_with_the_sampling_rate() -> None:
    prices = [epsilon(event(1.0, rate, 10), 1e-5) for rate in (1e-2, 1e-4, 1e-7)]
    assert prices[0] > prices[1] > prices[2] >= 0
    assert prices[2] < 1e-4


def exact_epsilon_of_one_step(noise_multiplier: float, rate: float, delta: float) -> float:
    """The least epsilon at which neither direction's hockey-stick divergence exceeds delta."""
    s, q = noise_multiplier, rate

    def above(x: float, centre: float) -> float:
        return math.erfc((x - centre) / s / math.sqrt(2)) / 2

    def edge(ratio: float) -> float:  # where the density ratio (1-q) + q e^((2x-1)/2s^2) is this
        return 0.5 + s * s * math.log((ratio - 1 + q) / q) if ratio > 1 - q else -math.inf

    def divergence(eps: float) -> float:
        x, y = edge(math.exp(eps)), edge(math.exp(-eps))
        present = (1 - q - math.exp(eps)) * above(x, 0) + q * above(x, 1)
        absent = (1 - math.exp(eps) * (1 - q)) * above(-y, 0) - math.exp(eps) * q * above(-y, -1)
        return max(present, absent if y > -math.inf else 0.0)

    low, high = 0.0, 60.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if divergence(middle) <= delta else (middle, high)
    return high


@settings(max_examples=4, deadline=None)
@given(st.floats(0.8, 8), st.floats(1e-3, 0.9))
def test_epsilon_of_one_step_is_its_exact_value_from_above(
    noise_multiplier: float, rate: float
) -> None:
    exact = exact_epsilon_of_one_step(noise_multiplier, rate, 1e-6)
    assert exact <= epsilon(event(noise_multiplier, rate, 1), 1e-6) <= exact * 1.01 + 1e-3


def test_delta_too_small_for_pld_is_priced_by_rdp() -> None:
    assert epsilon(event(), 1e-13) == _rdp_epsilon((event(),), 1e-13) > epsilon(event(), 1e-9)


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, math.nan])
def test_delta_outside_its_range_is_refused(delta: float) -> None:
    for refused in (
        lambda: epsilon(event(), delta),
        lambda: calibrate(epsilon=1.0, delta=delta, sampling_rate=0.1, steps=10),
    ):
        with pytest.raises(ValueError, match="delta must lie in"):
            refused()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("noise_multiplier", math.nan),
        ("noise_multiplier", -1.0),
        ("noise_multiplier", math.inf),
        ("sampling_rate", math.nan),
        ("sampling_rate", 1.01),
        ("steps", -1),
        ("steps", 1.5),
        ("steps", True),
    ],
)
def test_event_refuses_figures_outside_their_range(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field} must be|{field} must lie"):
        replace(event(), **{field: value})  # type: ignore[arg-type]


@given(EVENTS)
def test_event_survives_its_stored_form(plan: SampledGaussian) -> None:
    stored = plan.to_json()
    assert SampledGaussian.from_json(stored) == plan
    assert SampledGaussian.from_json(stored).digest == plan.digest


def test_stored_form_never_changes() -> None:
    assert event(2, 0.032, 1000).to_json() == {
        "event": "sampled-gaussian",
        "v": 1,
        "noise_multiplier": "2.0",
        "sampling_rate": "0.032",
        "steps": "1000",
    }
    assert event().digest == "d2d913349020bec8e3f5653a9d77e2630a6392e0d6ade6c71609ad6d10b5f9dc"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"event": "gaussian"}, "not a privacy event"),
        ({"v": 2}, "known in version 1 only"),
        ({"noise_multiplier": "2"}, "not in its one stored form"),
        ({"noise_multiplier": 2.0}, "not in its one stored form"),
        ({"noise_multiplier": "nan"}, "malformed: noise_multiplier"),
        ({"steps": "ten"}, "malformed: invalid literal"),
        ({"extra": "1"}, "not in its one stored form"),
    ],
)
def test_another_stored_form_is_refused(change: dict[str, str], message: str) -> None:
    with pytest.raises(MessageRefused, match=message):
        SampledGaussian.from_json(event().to_json() | change)


@pytest.mark.parametrize("value", [None, [], "sampled-gaussian", {}])
def test_what_is_no_event_is_refused(value: object) -> None:
    with pytest.raises(MessageRefused, match="not a privacy event"):
        SampledGaussian.from_json(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "delta", "rate", "steps"),
    [
        (2.0, 1e-5, 0.032, 1000),
        (1.0, 1e-4, 1.0, 30),
        (0.1, 1e-6, 0.01, 1000),
        pytest.param(3.0, 1e-6, 0.2, 1, marks=pytest.mark.long),
        pytest.param(8.0, 1e-5, 0.05, 100, marks=pytest.mark.long),
        (2.0, 1e-13, 0.05, 200),
    ],
)
def test_calibration_keeps_its_epsilon_with_four_digits_and_hardly_more_noise(
    target: float, delta: float, rate: float, steps: int
) -> None:
    found = calibrate(epsilon=target, delta=delta, sampling_rate=rate, steps=steps)
    assert found == float(f"{found:.4g}")
    assert epsilon(event(found, rate, steps), delta) <= target
    assert epsilon(event(found * 0.998, rate, steps), delta) > target


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 50), st.floats(1e-9, 1e-3), st.integers(1, 10_000))
def test_calibration_without_sampling_keeps_its_epsilon_closely(
    target: float, delta: float, steps: int
) -> None:
    found = calibrate(epsilon=target, delta=delta, sampling_rate=1.0, steps=steps)
    assert 0.995 * target < epsilon(event(found, 1.0, steps), delta) <= target


@pytest.mark.parametrize("target", [0.0, -1.0, math.nan, math.inf])
def test_calibration_refuses_an_epsilon_that_is_no_promise(target: float) -> None:
    with pytest.raises(ValueError, match="epsilon must be finite and above zero"):
        calibrate(epsilon=target, delta=1e-5, sampling_rate=0.1, steps=10)


@pytest.mark.parametrize(("rate", "steps"), [(0.0, 10), (1.1, 10), (math.nan, 10), (0.1, 0)])
def test_calibration_refuses_to_release_nothing(rate: float, steps: int) -> None:
    with pytest.raises(ValueError, match="at least one step"):
        calibrate(epsilon=1.0, delta=1e-5, sampling_rate=rate, steps=steps)


def test_calibration_refuses_an_epsilon_out_of_reach() -> None:
    with pytest.raises(ValueError, match="no noise multiplier below"):
        calibrate(epsilon=1e-7, delta=1e-9, sampling_rate=1.0, steps=10_000)


@given(st.floats(1e-6, 1e6))
def test_a_figure_is_rounded_up_and_by_less_than_a_thousandth(value: float) -> None:
    found = rounded_up(value, 4)
    assert value <= found < value * 1.001 * (1 + 1e-9)  # the step itself is reached in doubles
    assert rounded_up(found, 4) == found


def test_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(accounting).failed == 0
