"""Acts of people and alerts in a large store, each written as the service writes it."""

import hashlib
import random
from collections.abc import Sequence
from datetime import timedelta

from compliance.storage.clock import utc_now
from coordinator.alerts.judging import Cause, Judgement
from coordinator.alerts.register import AlertRegister
from coordinator.database.store import Store
from protocol.identity.roster import SigningKey
from tests.support.hospital.people import ADA, BEA, CLEO, People

#: Who is registered in a large store.
NAMES = (ADA, BEA, CLEO)


def key_of(name: str) -> SigningKey:
    """Returns the key of a person of a large store: the same in every one, so that they log in."""
    return SigningKey.from_bytes(hashlib.sha256(name.encode()).digest())


def add_acts(store: Store, key: SigningKey, runs: Sequence[str], count: int) -> None:
    """Registers three people, who then do something about a run so often; nothing for 0."""
    if not count:
        return
    people, chance = People.over(store, key), random.Random(1)
    people.keys |= {name: key_of(name) for name in NAMES}
    people.found()
    for number in range(count):
        run = chance.choice(runs)
        if number % 3:
            people.act(CLEO, "report.export", ("run", run), {"kind": "model-card"})
        else:
            people.act(BEA, "report.sign", ("run", run), {"kind": "privacy-statement"})


def add_alerts(store: Store, key: SigningKey, runs: Sequence[str], count: int) -> None:
    """Raises so many alerts, of which every second is closed, and some acknowledged."""
    now = utc_now() - timedelta(hours=4)
    register = AlertRegister(store, key, lambda: now)
    causes = [
        Cause(
            rule="runs-that-fail",
            kind="run-failed",
            severity=("critical", "warning", "info")[number % 3],
            subject=f"run {runs[number % len(runs)]} {number}",
            text=f"run {runs[number % len(runs)]} failed: too few hospitals answered",
            remedy="start it again",
            run=runs[number % len(runs)],
        )
        for number in range(count)
    ]
    told: dict[str, tuple[str, ...]] = {"runs-that-fail": ()}
    register.settle(Judgement(causes=tuple(causes), unknown=frozenset()), told)
    register.settle(Judgement(causes=tuple(causes[::2]), unknown=frozenset()), told)
