"""The register of alerts: raised once while a cause lasts, acknowledged by a person, closed.

Rules:

1. A cause that has no open alert of its rule and subject raises one; one that has changes
   nothing. An open alert whose cause is gone, or whose rule was taken out of the file, is
   closed. One about which nothing was looked at stays as it is.
2. With an alert and in the same transaction stand the messages that its webhooks are to get:
   what was raised is sent, or shown as not sent.
3. An acknowledgement names a person, is given once and is kept. It closes nothing.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from compliance.audit.log import NewEntry
from compliance.storage.clock import Clock, utc_now
from coordinator.alerts.judging import Cause, Judgement
from coordinator.database.alert_tables import AlertMessageRow, AlertRow
from coordinator.database.store import Store, Transaction
from coordinator.governance.alert_notes import acknowledge, alert_entry
from protocol.encoding import digest
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import write_time


@dataclass(frozen=True, kw_only=True)
class Settled:
    """The numbers of the alerts that a look has raised and closed."""

    raised: tuple[int, ...]
    closed: tuple[int, ...]


class AlertRegister:
    """The alerts of one folder's database.

    Args:
        store: the consortium's database.
        key: signs the log.
        clock: says what time it is.
    """

    def __init__(self, store: Store, key: SigningKey, clock: Clock = utc_now) -> None:
        self._store, self._key, self._clock = store, key, clock

    def settle(self, judgement: Judgement, told: Mapping[str, Sequence[str]]) -> Settled:
        """Raises and closes what a look has found.

        Args:
            judgement: the causes that are there now.
            told: by rule, the webhooks that it tells; a rule that is missing was taken out.
        """
        causes = {(cause.rule, cause.key): cause for cause in judgement.causes}
        if self._is_settled(causes, judgement.unknown):
            return Settled(raised=(), closed=())
        now = write_time(self._clock())
        with self._store.transaction() as transaction:
            query = select(AlertRow).where(AlertRow.closed_at.is_(None)).order_by(AlertRow.id)
            standing = {(row.rule, row.subject): row for row in transaction.session.scalars(query)}
            raised, closed, entries = [], [], []
            for place, row in standing.items():
                if place not in causes and row.rule not in judgement.unknown:
                    row.closed_at = now
                    entries.append(alert_entry("alert-closed", row, transaction))
                    entries += self._queued(transaction, row, "closed", told.get(row.rule, ()), now)
                    closed.append(row.id)
            for place, cause in causes.items():
                if place not in standing:
                    row = _row(cause, now)
                    entries.append(alert_entry("alert-raised", row, transaction))
                    entries += self._queued(transaction, row, "raised", told[cause.rule], now)
                    raised.append(row.id)
            if entries:
                transaction.log(entries, self._key)
        return Settled(raised=tuple(raised), closed=tuple(closed))

    def _is_settled(self, causes: Mapping[tuple[str, str], Cause], unknown: frozenset[str]) -> bool:
        """Whether there is nothing to raise or close, so that no writer is held up."""
        query = select(AlertRow.rule, AlertRow.subject).where(AlertRow.closed_at.is_(None))
        with self._store.read() as session:
            standing = {(rule, subject) for rule, subject in session.execute(query)}
        gone = {place for place in standing - causes.keys() if place[0] not in unknown}
        return not gone and causes.keys() <= standing

    def acknowledge(self, number: int, by: str, note: str = "") -> None:
        """Keeps who has taken note of an alert, and what they say.

        Raises:
            PolicyRefused: nobody is named, the text is too long, there is no such alert, or
                somebody has acknowledged it already.
        """
        at = write_time(self._clock())
        with self._store.transaction() as transaction:
            entry = acknowledge(transaction, number, by, note, at)
            transaction.log([entry], self._key)

    def _queued(
        self, transaction: Transaction, row: AlertRow, event: str, told: Sequence[str], now: str
    ) -> list[NewEntry]:
        """Queues a message for each webhook; returns what is to be logged."""
        messages = [
            AlertMessageRow(
                alert_id=row.id, webhook=webhook, event=event, name=f"msg_{secrets.token_hex(16)}",
                state="waiting", attempts=0, created_at=now, due_at=now,
            )
            for webhook in told
        ]  # fmt: skip
        records = transaction.write_all(messages)
        return [
            NewEntry(
                type="alert-queued", run_id=None, payload=digest(one.name.encode()), record=record
            )
            for one, record in zip(messages, records, strict=True)
        ]


def _row(cause: Cause, now: str) -> AlertRow:
    return AlertRow(
        rule=cause.rule,
        kind=cause.kind,
        severity=cause.severity,
        subject=cause.key,
        run_id=cause.run,
        cause_json=json.dumps(cause.to_json(), sort_keys=True, allow_nan=False),
        raised_at=now,
    )
