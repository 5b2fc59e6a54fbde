"""Delivers what is queued about alerts; what does not arrive is kept, tried again and shown.

Rules:

1. A message is tried at once, then after 1, 2, 4, ... minutes, an hour at most, and given up
   after ``ATTEMPTS``; whoever asks for a look has all of them tried again.
2. An attempt is written down before it is made: a process that is killed meanwhile, or another
   one beside it, makes no second one at once. A message may still arrive twice, under one name.
3. A receiver that failed is left alone for the rest of a pass, so it does not hold up others; and
   it hears of an alert's end only after it has heard of the alert, or that was given up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from sqlalchemy import select

from compliance.audit.log import NewEntry
from compliance.storage.clock import Clock, utc_now
from coordinator.alerts.rules import AlertRules, Webhook
from coordinator.database.alert_tables import AlertMessageRow
from coordinator.database.store import Store, Transaction
from coordinator.views.alerts import alerts_in
from protocol.encoding import digest
from protocol.errors import LinkLost, WorkspaceRefused
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import write_time

#: So often a message is tried before it is given up: over about seven hours.
ATTEMPTS = 12
_LONGEST = timedelta(hours=1)


class Sender(Protocol):
    """A function that sends one message; see ``coordinator.alerts.webhook.send``."""

    def __call__(self, webhook: Webhook, folder: Path, name: str, moment: int, body: bytes) -> None:
        """Sends it, or raises ``LinkLost`` or ``WorkspaceRefused``."""


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """The result of a pass: messages that have arrived, and receivers that failed."""

    sent: int = 0
    failed: int = 0


def pause_after(attempts: int) -> timedelta:
    """Returns how long a message rests after so many attempts.

    >>> [str(pause_after(attempts)) for attempts in (1, 2, 12)]
    ['0:01:00', '0:02:00', '1:00:00']
    """
    return min(timedelta(minutes=float(2 ** (attempts - 1))), _LONGEST)


class AlertDeliveries:
    """The messages of one folder's database.

    Args:
        store: the consortium's database.
        key: signs the log.
        folder: where the webhooks' files lie.
        clock: says what time it is.
        sender: sends one message; ``webhook.send`` when None.
    """

    def __init__(
        self,
        store: Store,
        key: SigningKey,
        folder: Path,
        clock: Clock = utc_now,
        sender: Sender | None = None,
    ) -> None:
        self._store, self._key, self._folder = store, key, folder
        self._clock, self._sender = clock, sender

    def deliver(
        self,
        rules: AlertRules,
        *,
        all_of_them: bool = False,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> Delivered:
        """Tries the messages that are due; with ``all_of_them`` also those that rest or failed.

        Args:
            rules: say where each webhook is.
            all_of_them: see there.
            goes_on: false ends the pass before the next message; what is left stays due.
        """
        sent, down = 0, set[str]()
        for number, webhook in self._due(all_of_them=all_of_them):
            if webhook in down:
                continue
            if not goes_on():
                break
            failure = self._try(number, rules, all_of_them=all_of_them)
            if failure is None:
                sent += 1
            elif failure:
                down.add(webhook)
        return Delivered(sent=sent, failed=len(down))

    def _due(self, *, all_of_them: bool) -> list[tuple[int, str]]:
        row = AlertMessageRow
        query = select(row.id, row.webhook, row.alert_id, row.due_at).order_by(row.id)
        states = ("waiting", "failed") if all_of_them else ("waiting",)
        found: list[tuple[int, str]] = []
        resting, now = set(), self._now()
        with self._store.read() as session:
            for number, webhook, alert, due_at in session.execute(
                query.where(row.state.in_(states))
            ):
                if not all_of_them and due_at > now:
                    resting.add((webhook, alert))
                elif (webhook, alert) not in resting:
                    found.append((number, webhook))
        return found

    def _try(self, number: int, rules: AlertRules, *, all_of_them: bool) -> str | None:
        """Tries one message; returns why it did not arrive, None when it did.

        An empty text: another process has it in hand.
        """
        with self._store.transaction() as transaction:
            row = transaction.session.get_one(AlertMessageRow, number)
            is_due = all_of_them or (row.state == "waiting" and row.due_at <= self._now())
            if row.state == "sent" or not is_due:
                return ""
            row.attempts += 1
            row.state = "waiting"
            row.due_at = write_time(self._clock() + pause_after(row.attempts))
            self._log(transaction, "alert-tried", row)
            name, wanted, event, alert = row.name, row.webhook, row.event, row.alert_id
        failure = self._send(rules.webhooks.get(wanted), name, event, alert)
        with self._store.transaction() as transaction:
            row = transaction.session.get_one(AlertMessageRow, number)
            row.failure = failure
            if failure is None:
                row.state, row.due_at = "sent", self._now()
            elif row.attempts >= ATTEMPTS:
                row.state = "failed"
            self._log(transaction, f"alert-{'sent' if failure is None else 'unsent'}", row)
        return failure

    def _send(self, webhook: Webhook | None, name: str, event: str, alert: int) -> str | None:
        from coordinator.alerts.webhook import alert_body, send  # needs an HTTP client

        if webhook is None:
            return "the file of rules has no webhook of this name"
        with self._store.read() as session:
            (found,) = alerts_in(session, number=alert, closed=True)
        body, moment = alert_body(found, event), int(self._clock().timestamp())
        try:
            (self._sender or send)(webhook, self._folder, name, moment, body)
        except (LinkLost, WorkspaceRefused) as error:
            return str(error)
        return None

    def _log(self, transaction: Transaction, kind: str, row: AlertMessageRow) -> None:
        record = transaction.write(row)
        payload = digest(row.name.encode())
        entry = NewEntry(type=kind, run_id=None, payload=payload, record=record)
        transaction.log([entry], self._key)

    def _now(self) -> str:
        return write_time(self._clock())
