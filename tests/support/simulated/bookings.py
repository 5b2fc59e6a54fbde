"""What a hospital books, for tests of its database: a plan of 3.0 rho, shares of 0.2."""

from pathlib import Path

import pytest

from compliance.ledger.entries import Reservation, SentToken
from compliance.privacy.budget_filter import Filter
from compliance.privacy.events import SampledGaussian
from silos.database.database import SiteDatabase, open_hospital

#: What the budget of these tests holds, in rho, at its upper and at its lower order.
HELD, HELD_BELOW = Filter(epsilon_max=8.0, delta=2e-5).capacities
PLAN = SampledGaussian(noise_multiplier=10.0, sampling_rate=1.0, steps=150)
SHARE = SampledGaussian(noise_multiplier=10.0, sampling_rate=1.0, steps=10)


def north(place: str, blobs: Path) -> SiteDatabase:
    """Opens the hospital of these tests."""
    return open_hospital(place, site="north", blobs=blobs)


def reserve(hospital: SiteDatabase) -> Reservation:
    """Books the plan."""
    hospital.ledger.open_budget(epsilon_max=8.0, delta=2e-5, signed_by="officer")
    return hospital.ledger.reserve(
        study="s" * 64, run="run-1", partition="training", round_kind="training", event=PLAN
    )


def send(hospital: SiteDatabase, plan: Reservation, context: str = "c") -> SentToken:
    """Books one share."""
    return hospital.ledger.mark_sent(plan, context=context, event=SHARE, blob="b", content=context)


def require_spent(hospital: SiteDatabase, shares: int) -> None:
    """The chain is intact and holds this many shares."""
    hospital.ledger.verify()
    assert hospital.ledger.summary().of("training").spent == pytest.approx(0.2 * shares / HELD)
