"""Incidents: each is as far as its signed steps say."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.governance.acts import read_act
from compliance.governance.incidents.course import Incident, IncidentState, IncidentStep
from coordinator.audit.acts.history import ActHistory
from coordinator.audit.acts.signed_acts import CARRIED_OUT
from coordinator.audit.faults import Faults
from coordinator.governance.incident_register import incident_of
from coordinator.governance.tables import ActRow, IncidentRow
from protocol.errors import StoreBroken


def check_incidents(
    session: Session, rows: Sequence[ActRow], history: ActHistory, faults: Faults
) -> None:
    """Checks that each incident is as far as steps were signed, each by an act of its own."""
    acts = {row.digest: row for row in rows if row.outcome in CARRIED_OUT}
    seconds = {(row.subject, row.person) for row in acts.values()
               if row.action == "incident.confirm"}  # fmt: skip
    since = min((record.person.since for record in history.people), default="")
    for row in session.scalars(select(IncidentRow).order_by(IncidentRow.id)):
        with faults.checking(f"incident {row.id}"):
            incident = incident_of(row)
            for step in incident.steps:
                if step.act is not None:
                    _require_signed_step(step, str(row.id), incident, acts.pop(step.act, None))
                elif step.at > since:
                    raise StoreBroken(f"incident {row.id}: a step has no act of a person")
                if step.confirmed_by and (str(row.id), step.confirmed_by) not in seconds:
                    raise StoreBroken(f"incident {row.id}: {step.confirmed_by} confirmed nothing")
            _require_reached(incident, row.id)


def _require_signed_step(
    step: IncidentStep, number: str, incident: Incident, row: ActRow | None
) -> None:
    if row is None:
        raise StoreBroken(f"incident {number}: a step ({step.step}) has no act of its own")
    said = read_act(row.document).request
    subject = incident.title if step.step == "open" else number
    meant = (said.action, said.subject.strip(), row.person, row.at, said.details.get("note", ""))
    is_same = meant == (f"incident.{step.step}", subject, step.person, step.at, step.note)
    drill = said.details.get("drill") is True
    if not is_same or (step.step == "open" and drill != incident.drill):
        raise StoreBroken(f"incident {number}: a step ({step.step}) is not what was signed")


def _require_reached(incident: Incident, number: int) -> None:
    """Checks that an incident has the steps without which its state is not reached."""
    steps = [step.step for step in incident.steps]
    last = {"close": IncidentState.CLOSED, "notify": IncidentState.NOTIFIED,
            "contain": IncidentState.CONTAINED}  # fmt: skip
    reached = next((state for step, state in last.items() if step in steps), IncidentState.OPEN)
    is_complete = reached is not IncidentState.CLOSED or {"contain", "notify"} <= {*steps}
    if incident.state is not reached or not is_complete:
        raise StoreBroken(f"incident {number} is {incident.state}, its steps do not say so")
