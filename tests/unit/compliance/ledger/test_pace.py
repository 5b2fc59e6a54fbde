"""Forecast of a budget: runs that fit, the pace, the day on which it ends."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.ledger.pace import LEAST, PricedShare, budget_forecast

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def signed(days_ago: float, booked: float, own: float = 0.1) -> PricedShare:
    return PricedShare(at=NOW - timedelta(days=days_ago), booked=booked, own=own)


@given(st.integers(1, 50), st.integers(0, 50))
def test_as_many_runs_fit_as_the_rest_holds(made: int, more: int) -> None:
    price = 1 / (made + more)
    found = budget_forecast("east", [signed(1, made * price, price)], price, NOW)
    assert found is not None and found.runs_left == more


def test_pace_is_what_was_booked_over_the_days_since_the_first_of_the_runs() -> None:
    shares = [signed(200, 0.2), signed(50, 0.3), signed(20, 0.4), signed(10, 0.5)]
    found = budget_forecast("east", shares, 0.1, NOW)
    assert found is not None
    assert found.per_day == pytest.approx(0.3 / 50)  # from 0.2, before the run of 50 days ago
    assert found.since == date(2026, 10, 10)
    assert found.ends == (NOW + timedelta(days=0.5 / (0.3 / 50))).date()
    assert budget_forecast("east", [shares[2], shares[0], shares[3], shares[1]], 0.1, NOW) == found


def test_runs_between_the_first_and_the_last_of_the_window_do_not_matter() -> None:
    shares = [signed(50, 0.3), signed(20, 0.4), signed(10, 0.5)]
    assert budget_forecast("east", shares, 0.1, NOW) == budget_forecast(
        "east", [shares[0], shares[2]], 0.1, NOW
    )


@pytest.mark.parametrize(
    "shares", [[signed(LEAST - 1, 0.3), signed(1, 0.9)], [signed(91, 0.3)], [signed(400, 0.9)]]
)
def test_without_runs_that_are_spread_over_the_window_there_is_no_pace(
    shares: list[PricedShare],
) -> None:
    found = budget_forecast("east", shares, 0.1, NOW)
    assert found is not None
    assert (found.per_day, found.since, found.ends) == (None, None, None)
    assert found.booked == shares[-1].booked


def test_a_pace_of_nothing_has_no_end_and_a_spent_budget_ends_now() -> None:
    still = budget_forecast("east", [signed(50, 0.3, 0.0), signed(20, 0.3, 0.0)], None, NOW)
    assert still is not None and (still.per_day, still.ends, still.runs_left) == (0, None, None)
    spent = budget_forecast("east", [signed(50, 0.6), signed(20, 1.0)], 0.1, NOW)
    assert spent is not None and (spent.runs_left, spent.ends) == (0, NOW.date())


def test_nothing_signed_is_nothing_forecast() -> None:
    assert budget_forecast("east", [], 0.1, NOW) is None
