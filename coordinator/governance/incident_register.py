"""The register of incidents and legal holds: each step is written with its entry of the log."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.audit.log import NewEntry
from compliance.governance.incidents.course import (
    Incident,
    IncidentState,
    IncidentStep,
    Measure,
    open_incident,
    read_steps,
    steps_text,
)
from compliance.governance.retention import Hold
from compliance.storage.clock import Clock
from coordinator.database.store import LoggedRow, RunRow, Store, StudyRow, Transaction
from coordinator.governance.governance import Authorised
from coordinator.governance.people_register import is_governed, policy_in
from coordinator.governance.tables import HoldRow, IncidentRow
from protocol.errors import PolicyRefused, StoreBroken
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import read_time, write_time

_MAX_REASON = 2000


@dataclass(frozen=True, kw_only=True)
class NumberedIncident:
    """An incident with its number in this consortium."""

    number: int
    incident: Incident


class IncidentRegister:
    """The incidents of one consortium.

    Args:
        store: the consortium's database.
        key: signs the log.
        clock: says what time it is.
    """

    def __init__(self, store: Store, key: SigningKey, clock: Clock) -> None:
        self._store, self._key, self._clock = store, key, clock

    def open(self, taken: Authorised) -> dict[str, Any]:
        """Opens an incident; returns it as ``--json`` shows it."""
        said = taken.request.details
        with self._store.transaction() as transaction:
            policy = policy_in(transaction.session)
            step = self._step(taken, "open")
            made = open_incident(
                str(said.get("kind", "")),
                taken.request.subject,
                str(said.get("severity", "")),
                step,
                drill=said.get("drill") is True,
                known_at=_time(said.get("known")) or step.at,
                notify_hours=policy.notify_hours,
            )
            row = IncidentRow(
                kind=made.kind,
                title=made.title,
                severity=made.severity,
                drill=made.drill,
                known_at=made.known_at,
                due_at=made.due_at,
            )
            return self._written(transaction, row, made)

    def require_containable(self, taken: Authorised, incident: Incident) -> None:
        """Checks that a containment can be written down, before anything is done.

        Raises:
            PolicyRefused: the incident is closed, or nothing is said about it.
        """
        incident.contain(self._step(taken, "contain"))

    def contain(self, taken: Authorised, measures: Sequence[Measure]) -> dict[str, Any]:
        """Writes down a containment and what came of each measure."""
        with self._store.transaction() as transaction:
            row = incident_row(transaction.session, taken.request.subject)
            confirm_by = None
            if measures and not row.drill and is_governed(transaction.session):
                hours = policy_in(transaction.session).confirm_hours
                confirm_by = write_time(self._clock() + timedelta(hours=hours))
            step = self._step(taken, "contain", tuple(measures), confirm_by)
            return self._written(transaction, row, incident_of(row).contain(step))

    def confirm(self, taken: Authorised) -> dict[str, Any]:
        """Writes down that another person confirms the containments that wait.

        Raises:
            PolicyRefused: the act names another number of steps (``steps``): one was added since
                the person looked.
        """
        with self._store.transaction() as transaction:
            row = incident_row(transaction.session, taken.request.subject)
            incident = incident_of(row)
            if taken.request.details.get("steps", len(incident.steps)) != len(incident.steps):
                raise PolicyRefused("the incident has other steps than were confirmed: look again")
            made = incident.confirm(taken.person, self._now)
            return self._written(transaction, row, made, step="confirmed")

    def notify(self, taken: Authorised) -> dict[str, Any]:
        """Writes down a notification, or why none is due."""
        with self._store.transaction() as transaction:
            row = incident_row(transaction.session, taken.request.subject)
            made = incident_of(row).notify(self._step(taken, "notify"), self._clock())
            return self._written(transaction, row, made)

    def close(self, taken: Authorised) -> dict[str, Any]:
        """Closes an incident."""
        with self._store.transaction() as transaction:
            row = incident_row(transaction.session, taken.request.subject)
            made = incident_of(row).close(self._step(taken, "close"))
            return self._written(transaction, row, made)

    def place_hold(self, taken: Authorised) -> dict[str, Any]:
        """Places a legal hold of a run, or of all runs of a study.

        Raises:
            PolicyRefused: there is no such run or study, no reason, or it is held already.
        """
        kind, subject = taken.request.subject_kind, taken.request.subject
        reason = str(taken.request.details.get("reason", "")).strip()
        if not reason or len(reason) > _MAX_REASON:
            raise PolicyRefused("a legal hold needs a reason")
        with self._store.transaction() as transaction:
            session = transaction.session
            table: dict[str, type[LoggedRow]] = {"run": RunRow, "study": StudyRow}
            if kind not in table or session.get(table[kind], subject) is None:
                raise PolicyRefused(f"there is no {kind} {subject} to be held")
            if _standing_hold(session, kind, subject) is not None:
                raise PolicyRefused(f"{kind} {subject} is held already")
            row = HoldRow(
                kind=kind,
                subject=subject,
                reason=reason,
                placed_by=taken.person,
                placed_at=taken.at,
            )
            self._log(transaction, "hold-placed", row)
            return {"hold": row.id, "kind": kind, "subject": subject}

    def lift_hold(self, taken: Authorised) -> dict[str, Any]:
        """Lifts a legal hold.

        Raises:
            PolicyRefused: there is none.
        """
        kind, subject = taken.request.subject_kind, taken.request.subject
        with self._store.transaction() as transaction:
            row = _standing_hold(transaction.session, kind, subject)
            if row is None:
                raise PolicyRefused(f"{kind} {subject} is not held")
            row.lifted_by, row.lifted_at = taken.person, self._now
            self._log(transaction, "hold-lifted", row)
            return {"hold": row.id, "kind": kind, "subject": subject, "lifted": True}

    @property
    def _now(self) -> str:
        return write_time(self._clock())

    def _step(
        self,
        taken: Authorised,
        step: str,
        measures: tuple[Measure, ...] = (),
        confirm_by: str | None = None,
    ) -> IncidentStep:
        said = taken.request.details
        return IncidentStep(
            step=step,
            at=taken.at,
            person=taken.person,
            role=taken.role,
            note=str(said.get("note", "")),
            told=str(said.get("to", "")),
            act=taken.act,
            measures=measures,
            confirm_by=confirm_by,
        )

    def _written(
        self, transaction: Transaction, row: IncidentRow, made: Incident, step: str = ""
    ) -> dict[str, Any]:
        row.state, row.steps_json = made.state, steps_text(made.steps)
        step = step or {IncidentState.OPEN: "opened"}.get(made.state, str(made.state))
        self._log(transaction, f"{'drill' if made.drill else 'incident'}-{step}", row)
        return incident_json(row.id, made, self._clock())

    def _log(self, transaction: Transaction, kind: str, row: LoggedRow) -> None:
        record = transaction.write(row)
        entry = NewEntry(type=kind, run_id=None, payload=record, record=record)
        transaction.log([entry], self._key)


def incident_row(session: Session, number: str) -> IncidentRow:
    """Returns the row of an incident by its number.

    Raises:
        PolicyRefused: there is none.
    """
    known = number.isdecimal() and len(number) < 10
    row = session.get(IncidentRow, int(number)) if known else None
    if row is None:
        raise PolicyRefused(f"there is no incident {number}: collegium incident list")
    return row


def incident_of(row: IncidentRow) -> Incident:
    """Returns the incident that a row holds.

    Raises:
        StoreBroken: the row is damaged.
    """
    try:
        state = IncidentState(row.state)
    except ValueError as error:
        raise StoreBroken("the record of an incident is damaged; restore a backup") from error
    return Incident(
        kind=row.kind,
        title=row.title,
        severity=row.severity,
        drill=row.drill,
        known_at=row.known_at,
        due_at=row.due_at,
        state=state,
        steps=read_steps(row.steps_json),
    )


def incidents_in(session: Session, *, closed: bool = True) -> tuple[NumberedIncident, ...]:
    """Returns incidents, the newest first; those that are closed only where it is asked for."""
    query = select(IncidentRow).order_by(IncidentRow.id.desc())
    if not closed:
        query = query.where(IncidentRow.state != IncidentState.CLOSED)
    return tuple(
        NumberedIncident(number=row.id, incident=incident_of(row)) for row in session.scalars(query)
    )


def incident_json(number: int, incident: Incident, now: datetime) -> dict[str, Any]:
    """Returns an incident as ``--json`` shows it, with the hours left to the notification."""
    return {
        "number": number,
        "kind": incident.kind,
        "title": incident.title,
        "severity": incident.severity,
        "drill": incident.drill,
        "state": incident.state,
        "known_at": incident.known_at,
        "due_at": incident.due_at,
        "hours_left": incident.hours_left(now),
        "unconfirmed": len(incident.unconfirmed),
        "steps": json.loads(steps_text(incident.steps)),
    }


def holds_in(session: Session) -> tuple[Hold, ...]:
    """Returns every legal hold, lifted ones too, in order."""
    return tuple(
        Hold(
            kind=row.kind,
            subject=row.subject,
            reason=row.reason,
            placed_by=row.placed_by,
            placed_at=row.placed_at,
            lifted_at=row.lifted_at,
        )
        for row in session.scalars(select(HoldRow).order_by(HoldRow.id))
    )


def _standing_hold(session: Session, kind: str, subject: str) -> HoldRow | None:
    query = select(HoldRow).filter_by(kind=kind, subject=subject, lifted_at=None)
    return session.scalars(query).first()


def _time(said: Any) -> str | None:
    """Returns a time as it is kept.

    Raises:
        PolicyRefused: it is none, or names no zone.
    """
    if said is None:
        return None
    try:
        found = read_time(str(said))
    except ValueError as error:
        raise PolicyRefused(f"{said} is no time: 2026-01-05T08:00:00Z is one") from error
    if found.tzinfo is None:
        raise PolicyRefused(f"{said} names no time zone: 2026-01-05T08:00:00Z does")
    return write_time(found)
