"""Alerts as pages and commands show them."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.database.alert_tables import AlertMessageRow, AlertRow
from protocol.errors import StoreBroken


@dataclass(frozen=True, kw_only=True)
class AlertMessage:
    """A message about an alert to one webhook: waiting, sent or failed; ``failure`` says why."""

    webhook: str
    event: str
    state: str
    attempts: int
    failure: str | None
    due_at: str


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alert; ``cause`` is what it says, see ``coordinator.alerts.judging.Cause``."""

    number: int
    severity: str
    run: str | None
    cause: Mapping[str, Any]
    raised_at: str
    closed_at: str | None
    acknowledged_by: str | None
    acknowledged_at: str | None
    note: str | None
    messages: tuple[AlertMessage, ...] = ()

    @property
    def state(self) -> str:
        """The state in a word: open, acknowledged or closed."""
        if self.closed_at is not None:
            return "closed"
        return "acknowledged" if self.acknowledged_by else "open"

    @property
    def unsent(self) -> tuple[AlertMessage, ...]:
        """The messages that have not arrived."""
        return tuple(one for one in self.messages if one.state != "sent")

    def to_json(self) -> dict[str, Any]:
        """Returns the alert as ``--json`` shows it."""
        return {
            "number": self.number,
            "state": self.state,
            **self.cause,
            "raised_at": self.raised_at,
            "closed_at": self.closed_at,
            "acknowledged_by": self.acknowledged_by,
            "acknowledged_at": self.acknowledged_at,
            "note": self.note,
            "messages": [vars(one) for one in self.messages],
        }


def alerts_in(
    session: Session, *, run: str | None = None, number: int | None = None, closed: bool = False
) -> tuple[Alert, ...]:
    """Returns alerts, the newest first.

    Args:
        session: the consortium's database.
        run: only those about this run.
        number: only this one.
        closed: also those that are closed.

    Raises:
        StoreBroken: what is stored about one cannot be read.
    """
    query = select(AlertRow).order_by(AlertRow.id.desc())
    if run is not None:
        query = query.filter_by(run_id=run)
    if number is not None:
        query = query.filter_by(id=number)
    if not closed:
        query = query.where(AlertRow.closed_at.is_(None))
    rows = session.scalars(query).all()
    sent = _messages(session, [row.id for row in rows])
    try:
        return tuple(_alert(row, tuple(sent[row.id])) for row in rows)
    except (ValueError, TypeError) as error:
        raise StoreBroken("the record of an alert is damaged; restore a backup") from error


def _messages(session: Session, alerts: list[int]) -> Mapping[int, list[AlertMessage]]:
    found: dict[int, list[AlertMessage]] = defaultdict(list)
    if not alerts:
        return found
    query = select(AlertMessageRow).where(AlertMessageRow.alert_id.in_(alerts))
    for row in session.scalars(query.order_by(AlertMessageRow.id)):
        found[row.alert_id].append(
            AlertMessage(
                webhook=row.webhook,
                event=row.event,
                state=row.state,
                attempts=row.attempts,
                failure=row.failure,
                due_at=row.due_at,
            )
        )
    return found


def _alert(row: AlertRow, messages: tuple[AlertMessage, ...]) -> Alert:
    return Alert(
        number=row.id,
        severity=row.severity,
        run=row.run_id,
        cause=json.loads(row.cause_json),
        raised_at=row.raised_at,
        closed_at=row.closed_at,
        acknowledged_by=row.acknowledged_by,
        acknowledged_at=row.acknowledged_at,
        note=row.note,
        messages=messages,
    )
