"""The watch over one folder: looks, settles what it found, and delivers; by itself or when asked.

The service wakes it after every round and at a run's end, and it looks by itself every
``LOOK_SECONDS``. It works in a thread of its own: neither a slow receiver nor a damaged record
holds up a run. The rules are read again at every look.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compliance.storage.clock import Clock, utc_now
from coordinator.alerts.deliveries import AlertDeliveries, Delivered, Sender
from coordinator.alerts.drift_readings import DriftReadings
from coordinator.alerts.facts import AlertFacts
from coordinator.alerts.gathering import Heard, gathered
from coordinator.alerts.judging import judged
from coordinator.alerts.register import AlertRegister
from coordinator.alerts.rules import AlertRules, VerificationRule, rules_of
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from protocol.counted import counted
from protocol.errors import FederationError

log = logging.getLogger("collegium.coordinator")

#: How often the watch looks when nothing wakes it, and how often it does at most.
LOOK_SECONDS, _REST_SECONDS = 300.0, 2.0
_STOPPING_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Look:
    """The result of one look: alerts raised and closed, rules not judged, messages delivered."""

    raised: tuple[int, ...]
    closed: tuple[int, ...]
    unknown: tuple[str, ...]
    delivered: Delivered


class AlertWatch:
    """The watch over a coordinator's or a simulation's folder.

    Args:
        home: the folder.
        heard: what the running service knows of the hospitals; None where none is asked.
        clock: says what time it is.
        sender: sends one message; over HTTPS when None.
        looked: is told of what each look has found, for metrics.

    Raises:
        WorkspaceRefused: there is no run in the folder, or its rules are refused.
        StoreBroken: its database or its key is missing or damaged.
    """

    def __init__(
        self,
        home: Path,
        heard: Callable[[], Heard | None] = lambda: None,
        clock: Clock = utc_now,
        sender: Sender | None = None,
        looked: Callable[[AlertFacts], None] = lambda facts: None,
    ) -> None:
        self._looked = looked
        self._workspace = Workspace.open(home)
        rules_of(home)  # a file that is wrong is told before anything begins
        self._heard, self._clock = heard, clock
        self._store = Store(self._workspace.database)
        key = self._workspace.signing_key()
        self._register = AlertRegister(self._store, key, clock)
        self._deliveries = AlertDeliveries(self._store, key, home, clock, sender)
        self._drift = DriftReadings()
        self._verified_at: float | None = None
        self._awake, self._ended = threading.Event(), threading.Event()

    def close(self) -> None:
        """Lets go of the database."""
        self._store.close()

    def look(self, *, by_hand: bool = False) -> Look:
        """Looks once.

        Args:
            by_hand: a person asked: the records are verified, and every message that has not
                arrived is tried again.

        Raises:
            WorkspaceRefused: the rules are refused.
            StoreBroken: the database cannot be read or written.
        """
        rules = rules_of(self._workspace.root)
        verify = by_hand or self._is_verification_due(rules)
        facts = gathered(
            self._store,
            self._workspace,
            self._clock(),
            heard=self._heard(),
            drift=self._drift,
            verify=verify,
        )
        if verify:
            self._verified_at = time.monotonic()
        self._looked(facts)
        found = judged(facts, rules)
        settled = self._register.settle(found, rules.told)
        delivered = self._deliveries.deliver(
            rules, all_of_them=by_hand, goes_on=lambda: not self._ended.is_set()
        )
        return Look(
            raised=settled.raised,
            closed=settled.closed,
            unknown=tuple(sorted(found.unknown)),
            delivered=delivered,
        )

    def _is_verification_due(self, rules: AlertRules) -> bool:
        hours = [rule.hours for rule in rules.rules if isinstance(rule, VerificationRule)]
        if not hours:
            return False
        return self._verified_at is None or time.monotonic() - self._verified_at >= 3600 * min(
            hours
        )

    def wake(self) -> None:
        """Has it look soon; returns at once."""
        self._awake.set()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Looks in a thread of its own until the block ends."""
        thread = threading.Thread(target=self._work, name="alerts", daemon=True)
        self._awake.set()
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._awake.set()
            thread.join(_STOPPING_SECONDS)

    def _work(self) -> None:
        while not self._ended.is_set():
            self._awake.wait(LOOK_SECONDS)
            self._awake.clear()
            if self._ended.is_set():
                return
            try:
                _tell(self.look())
            except (FederationError, OSError) as error:
                said = str(error) if isinstance(error, FederationError) else type(error).__name__
                log.error("alerts: this look failed: %s", said)
            except Exception:  # a run goes on whatever becomes of the watch
                log.exception("alerts: this look failed")
            self._ended.wait(_REST_SECONDS)


def _tell(look: Look) -> None:
    """Says in the service's log what a look has changed."""
    for number in look.raised:
        log.warning("alert %d was raised: collegium alerts show %d", number, number)
    for number in look.closed:
        log.info("alert %d was closed", number)
    if look.delivered.failed:
        failed = counted(look.delivered.failed, "receiver")
        log.warning("alerts: %s did not take what was sent", failed)
