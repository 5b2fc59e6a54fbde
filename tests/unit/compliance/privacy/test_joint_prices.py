"""A patient of two hospitals, and groups: held against integration and against other routes."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import dp_accounting
import numpy as np
import pytest
from numpy.typing import NDArray

from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.privacy.accounting import epsilon, joint_epsilon
from compliance.privacy.events import JointRelease, SampledGaussian
from protocol.study.study import Study
from protocol.study.study_file import read_study
from silos.rounds.joint_prices import JointPrices, joint_prices
from tests import ROOT
from tests.support.machine.short_form import short_form
from tests.system.training.test_distributed_noise import distributed, privacy_of

CONSORTIUM = (ROOT / "examples/consortium/study.yaml").read_text()
Floats = NDArray[np.float64]


def study_of(text: str) -> Study:
    return read_study(text, "study.yaml")


def prices(study: Study, site: str) -> JointPrices:
    found = joint_prices(study, site)
    assert found is not None
    return found


def plan_at(study: Study, site: str) -> PrivacyPlan:
    plan = PrivacyPlan.at(study, site)
    assert plan is not None
    return plan


def gaussian_epsilon(delta: float, *events: SampledGaussian) -> float:
    """Everybody in every step: such events add up in the squares of steps / deviation."""
    assert all(event.sampling_rate == 1 for event in events)
    squares = sum(event.steps / event.noise_multiplier**2 for event in events)
    return float(dp_accounting.get_epsilon_gaussian(1 / math.sqrt(squares), delta))


def densities(release: JointRelease, x: Floats) -> tuple[Floats, Floats]:
    """With and without the parties: every subset that may be drawn, written out."""

    def normal(centre: float) -> Floats:
        density: Floats = np.exp(-0.5 * np.square((x - centre) / release.noise_multiplier))
        return density / (release.noise_multiplier * math.sqrt(2 * math.pi))

    present = np.zeros_like(x)
    for drawn in itertools.product((0, 1), repeat=len(release.rates)):
        chance = math.prod(
            rate if one else 1 - rate for rate, one in zip(release.rates, drawn, strict=True)
        )
        present += chance * normal(float(sum(drawn)))
    return present, normal(0.0)


def exact_epsilon(first: JointRelease, second: JointRelease | None, delta: float) -> float:
    """The least epsilon of one step of each, in both directions, by plain summation on a grid."""
    assert first.steps == 1
    x = np.linspace(-12, 15, 200_001 if second is None else 2001)
    with_, without = densities(first, x)
    cell = x[1] - x[0]
    if second is not None:
        assert second.steps == 1
        other = densities(second, x)
        with_, without = np.outer(with_, other[0]), np.outer(without, other[1])
        cell = cell * cell

    def divergence(eps: float) -> float:
        present = np.maximum(with_ - math.exp(eps) * without, 0).sum()
        absent = np.maximum(without - math.exp(eps) * with_, 0).sum()
        return float(max(present, absent) * cell)

    return bisect(divergence, delta)


def bisect(divergence: Callable[[float], float], delta: float) -> float:
    low, high = 0.0, 30.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if divergence(middle) <= delta else (middle, high)
    return high


@pytest.mark.parametrize(
    ("noise", "rates"),
    short_form(
        [(0.7, (0.05, 0.05)), (1.0, (0.1, 0.4)), (2.0, (0.2, 0.2, 0.2)), (0.8, (1.0, 0.3))], 2
    ),
)
def test_parties_in_one_sum_cost_what_integration_says(
    noise: float, rates: tuple[float, ...]
) -> None:
    release = JointRelease(noise_multiplier=noise, rates=rates, steps=1)
    exact = exact_epsilon(release, None, 1e-4)
    assert exact - 1e-6 <= joint_epsilon([release], 1e-4) <= exact * 1.01 + 0.005


def test_different_events_cost_together_what_integration_says() -> None:
    sampled = JointRelease(noise_multiplier=0.9, rates=(0.2,), steps=1)
    whole = JointRelease(noise_multiplier=1.5, rates=(1.0,), steps=1)
    exact = exact_epsilon(sampled, whole, 1e-4)
    assert exact - 1e-4 <= joint_epsilon([sampled, whole], 1e-4) <= exact * 1.01 + 0.005


@pytest.mark.long
def test_two_draws_in_one_sum_may_cost_more_than_one_draw_of_half_the_noise() -> None:
    both = joint_epsilon([JointRelease(noise_multiplier=0.3, rates=(0.05, 0.05), steps=1)], 0.0505)
    halved = epsilon(SampledGaussian(noise_multiplier=0.15, sampling_rate=0.05, steps=1), 0.0505)
    assert both > 2 > halved  # the price that was printed once was no upper bound


def test_one_party_is_the_plain_event_and_none_costs_nothing() -> None:
    event = SampledGaussian(noise_multiplier=1.2, sampling_rate=0.1, steps=30)
    assert joint_epsilon([JointRelease.of(event)], 1e-5) == epsilon(event, 1e-5)
    assert joint_epsilon([JointRelease.of(event, parties=0)], 1e-5) == 0.0
    assert joint_epsilon([], 1e-5) == 0.0
    naked = replace(event, noise_multiplier=0.0)
    assert joint_epsilon([JointRelease.of(event), JointRelease.of(naked)], 1e-5) == math.inf


@pytest.mark.parametrize("delta", [1e-5, 1e-12])
def test_more_parties_cost_more_and_never_more_than_all_drawn_at_once(delta: float) -> None:
    event = SampledGaussian(noise_multiplier=2.0, sampling_rate=0.1, steps=20)
    found = [joint_epsilon([JointRelease.of(event, parties=k)], delta) for k in (1, 2, 3)]
    assert found == sorted(found)
    for parties, price in enumerate(found, start=1):
        assert price <= epsilon(JointRelease.of(event, parties).as_one, delta) * 1.001 + 0.01


def test_a_group_is_priced_at_the_figures_of_the_reference_computation() -> None:
    """The library gives 4.3242 and 6.8820 at an interval of 1e-4."""
    event = SampledGaussian(noise_multiplier=1.844, sampling_rate=0.05, steps=200)
    found = [joint_epsilon([JointRelease.of(event, parties=k)], 1e-6) for k in (2, 3)]
    for price, fine in zip(found, [4.3242, 6.8820], strict=True):
        assert fine <= price <= 1.01 * fine


def test_patient_of_two_hospitals_pays_for_the_dearest_other_one() -> None:
    study = study_of(CONSORTIUM)
    a, b = plan_at(study, "hospital-a"), plan_at(study, "hospital-b")
    expected = max(
        gaussian_epsilon(a.delta, here, there)
        for here, there in itertools.product((a.training, a.evaluation), (b.training, b.evaluation))
    )
    assert expected == pytest.approx(1.156, abs=2e-3)  # 0.738 was signed once
    assert prices(study, "hospital-a").two_hospitals == pytest.approx(expected, rel=1e-6)


def test_patient_of_two_hospitals_may_be_a_test_patient_of_both() -> None:
    dear = CONSORTIUM.replace("evaluation: {bins: 4}", "evaluation: {bins: 4, epsilon: 4.0}")
    study = study_of(dear)
    plan = plan_at(study, "hospital-b")
    expected = gaussian_epsilon(plan.delta, plan.evaluation, plan.evaluation)
    assert expected == pytest.approx(6.08, abs=0.02)
    assert prices(study, "hospital-b").two_hospitals == pytest.approx(expected, rel=1e-6)


@pytest.mark.long
def test_under_shared_noise_both_gradients_of_a_patient_are_in_one_sum() -> None:
    study = distributed()
    plan = PrivacyPlan.of(study, privacy_of(study))
    rates = (plan.training.sampling_rate,) * 2
    in_one_sum = JointRelease(
        noise_multiplier=plan.training.noise_multiplier, rates=rates, steps=plan.training.steps
    )
    least = joint_epsilon([in_one_sum], plan.delta)
    assert prices(study, "east").two_hospitals >= least
    apart = joint_epsilon([JointRelease.of(plan.training)] * 2, plan.delta)
    assert least > apart  # two sums with the whole noise each would cost less


def hospital_pairs(study: Study) -> Sequence[tuple[str, str]]:
    return list(itertools.permutations(study.site_names, 2))


def test_no_pair_of_hospitals_costs_more_than_either_of_them_signs() -> None:
    study = study_of(CONSORTIUM)
    for here, there in hospital_pairs(study):
        mine, other = plan_at(study, here), plan_at(study, there)
        for own in (mine.training, mine.evaluation):
            for also in (other.training, other.evaluation):
                together = gaussian_epsilon(mine.delta, own, also)
                assert together <= prices(study, here).two_hospitals * (1 + 1e-6)


def test_a_group_may_be_divided_between_training_and_test() -> None:
    study = study_of(CONSORTIUM)
    plan, found = plan_at(study, "hospital-b"), prices(study, "hospital-b")

    def divided(trained: int, tested: int) -> float:
        parts = [(plan.training, trained), (plan.evaluation, tested)]
        squares = sum(e.steps * (k / e.noise_multiplier) ** 2 for e, k in parts)
        return float(dp_accounting.get_epsilon_gaussian(1 / math.sqrt(squares), plan.delta))

    assert found.group_of_two == pytest.approx(
        max(divided(2, 0), divided(1, 1), divided(0, 2)), rel=1e-6
    )
    assert found.group_of_three == pytest.approx(max(divided(k, 3 - k) for k in range(4)), rel=1e-6)


def test_a_study_without_privacy_has_no_joint_price() -> None:
    text = CONSORTIUM.replace(", epsilon: 0.5", "")
    start, end = text.index("privacy:"), text.index("aggregation:")
    none = text[:start] + "privacy: {mode: none, sampling_rate: 1.0}\n\n" + text[end:]
    assert joint_prices(study_of(none), "hospital-a") is None
