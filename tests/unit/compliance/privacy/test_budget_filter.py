"""The filter of two orders: its figures, its soundness against an adaptive analyst, its price."""

import doctest
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.privacy import booked_price, budget_filter, rounding
from compliance.privacy.accounting import epsilon, joint_epsilon
from compliance.privacy.booked_price import DEAR, times_too_dear
from compliance.privacy.budget_filter import Filter
from compliance.privacy.divergences.renyi import conversion, rdp
from compliance.privacy.events import JointRelease, SampledGaussian
from protocol.errors import StudyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from tests import ROOT


def event(noise_multiplier: float, sampling_rate: float, steps: int) -> SampledGaussian:
    return SampledGaussian(
        noise_multiplier=noise_multiplier, sampling_rate=sampling_rate, steps=steps
    )


@pytest.mark.parametrize(
    ("epsilon_max", "upper", "lower", "held"),
    [
        (1, 17.75, 12.25, 0.542),
        (2, 10.25, 7.25, 1.110),
        (3, 7.5, 5.5, 1.682),
        (5, 5.25, 4.0, 2.893),
        (8, 4.0, 3.0, 4.912),
    ],
)
def test_orders_and_capacity_follow_from_the_budget(
    epsilon_max: float, upper: float, lower: float, held: float
) -> None:
    """At half the delta the upper order is the best for a plain Gaussian: a published table."""
    budget = Filter(epsilon_max=epsilon_max, delta=2e-5)
    assert budget.orders == (upper, lower)
    assert budget.capacities[0] == pytest.approx(held, abs=6e-4)
    for order, capacity in zip(budget.orders, budget.capacities, strict=True):
        assert capacity + conversion(order, 1e-5) == pytest.approx(epsilon_max)


@given(st.floats(0.05, 20), st.floats(1e-9, 1e-3))
def test_filter_holds_what_a_plain_gaussian_of_its_epsilon_costs(
    epsilon_max: float, delta: float
) -> None:
    budget = Filter(epsilon_max=epsilon_max, delta=delta)
    for order, capacity in zip(budget.orders, budget.capacities, strict=True):
        if capacity:
            plan = event(math.sqrt(order / (2 * capacity)) * (1 + 1e-6), 1.0, 1)
            assert budget.share_of((plan,)) <= 1
            assert epsilon(plan, delta) <= epsilon_max


@settings(max_examples=30, deadline=None)
@given(
    st.floats(0.5, 20),
    st.lists(
        st.builds(event, st.floats(0.5, 30), st.sampled_from([0.01, 0.1, 1.0]), st.integers(1, 99)),
        min_size=1,
        max_size=4,
    ),
)
def test_what_fits_never_costs_more_than_the_budget_by_pld(
    epsilon_max: float, plans: list[SampledGaussian]
) -> None:
    budget = Filter(epsilon_max=epsilon_max, delta=1e-5)
    if budget.share_of(tuple(plans)) <= 1:
        together = joint_epsilon([JointRelease.of(plan) for plan in plans], 1e-5)
        assert together <= epsilon_max * 1.0001


def test_an_analyst_who_adapts_stays_within_the_budget() -> None:
    """Hockey-stick divergence of a sequence chosen after what was seen, by simulation.

    The analyst looks at the patient's own privacy loss so far, which nobody can, and
    goes on with the kind of event that is cheap at one order or at the other, until
    neither order holds another.
    """
    budget = Filter(epsilon_max=1.0, delta=0.1)
    kinds = [(event(2.5, 1.0, 1), "plain"), (event(0.6, 0.02, 1), "sampled")]
    prices = np.array([[rdp(kind, order) for order in budget.orders] for kind, _ in kinds])
    random = np.random.default_rng(5)
    count = 100_000
    loss, spent = np.zeros(count), np.zeros((count, 2))
    working = np.ones(count, dtype=bool)
    while working.any():
        choice = (loss > 0.2).astype(int)  # luck so far: sampled from now on
        after = spent + prices[choice]
        working &= (after <= budget.capacities).any(axis=1)
        for number, (kind, _) in enumerate(kinds):
            chosen = working & (choice == number)
            z, q = kind.noise_multiplier, kind.sampling_rate
            x = random.normal(0, z, count) + (random.random(count) < q)  # the patient is there
            ratio = np.log1p(q * np.expm1((2 * x - 1) / (2 * z * z)))
            loss = np.where(chosen, loss + ratio, loss)
        spent = np.where(working[:, None], after, spent)
    tail = np.maximum(0, -np.expm1(budget.epsilon_max - loss))
    assert spent.max(axis=0)[0] > budget.capacities[0]  # some went beyond one order ...
    assert (spent <= budget.capacities).any(axis=1).all()  # ... and none beyond both
    assert tail.mean() + 4 * tail.std() / math.sqrt(count) <= budget.delta


def test_a_share_is_that_of_the_cheaper_order() -> None:
    budget = Filter(epsilon_max=10.0, delta=1e-5)
    quiet = event(0.6957, 0.05, 100)  # epsilon 8 by PLD
    upper, lower = (
        rdp(quiet, order) / capacity
        for order, capacity in zip(budget.orders, budget.capacities, strict=True)
    )
    assert lower < 1 < upper
    assert budget.share_of((quiet,)) == lower
    assert budget.share_of((event(1e-4, 1.0, 1),)) > 1e6


@pytest.mark.parametrize("epsilon_max", [0.0, -1.0, math.nan, math.inf])
def test_filter_refuses_an_epsilon_that_is_no_budget(epsilon_max: float) -> None:
    with pytest.raises(ValueError, match="epsilon_max must be finite and above zero"):
        Filter(epsilon_max=epsilon_max, delta=1e-5)


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, math.nan])
def test_filter_refuses_a_delta_outside_its_range(delta: float) -> None:
    with pytest.raises(ValueError, match="delta must lie in"):
        Filter(epsilon_max=1.0, delta=delta)


def test_filter_refuses_a_budget_that_no_order_holds() -> None:
    with pytest.raises(ValueError, match="too small"):
        Filter(epsilon_max=1e-4, delta=1e-9)


SHIPPED = sorted([*ROOT.glob("examples/*/*.yaml"), *ROOT.glob("collegium/studies/*.yaml")])


def shipped_study(path: Path) -> Study | None:
    """The study of a file, `None` where the file is a site's, or a part of a study."""
    try:
        return read_study(path.read_text(), str(path))
    except StudyRefused:
        return None


def test_shipped_studies_are_found() -> None:
    names = {study.name for path in SHIPPED if (study := shipped_study(path)) is not None}
    assert names >= {
        "heart-disease", "heart-three", "diabetes130", "pneumonia", "pneumonia-modes",
        "pneumonia-shared", "breast-cancer",
    }  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path,
            id=str(path.relative_to(ROOT)),
            marks=() if path.parent.name in ("studies", "heart-disease") else pytest.mark.long,
        )
        for path in SHIPPED
    ],
)
def test_no_shipped_study_is_refused_by_a_budget_with_a_fifth_to_spare(path: Path) -> None:
    """What the ledger books of it, against what PLD asks of one budget for both."""
    study = shipped_study(path)
    plans = {PrivacyPlan.at(study, site) for site in study.site_names} if study else set()
    for plan in filter(None, plans):
        events = (plan.training, plan.evaluation)
        by_pld = joint_epsilon([JointRelease.of(one) for one in events], plan.delta)
        budget = 1.2 * by_pld / 1.01  # joint prices are counted up to a hundredth too high
        assert Filter(epsilon_max=budget, delta=plan.delta).share_of(events) <= 1, plan


def test_ordinary_studies_are_not_called_dear_and_quiet_ones_are() -> None:
    ordinary = (event(1.844, 0.05, 200), event(2.4, 1.0, 1))
    assert 1.0 < times_too_dear(Filter(epsilon_max=10.0, delta=1e-6), ordinary) < DEAR
    quiet = (event(0.6836, 0.002, 1500), event(2.4, 1.0, 1))
    assert times_too_dear(Filter(epsilon_max=3.5, delta=1e-6), quiet) > DEAR
    assert times_too_dear(Filter(epsilon_max=3.5, delta=1e-6), (event(0.0, 0.5, 1),)) == math.inf


@pytest.mark.parametrize("module", [budget_filter, rounding, booked_price])
def test_examples_in_the_docstrings_hold(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
