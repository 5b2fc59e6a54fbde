"""Legal holds: placed and lifted by people who signed that."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.audit.acts.history import ActHistory
from coordinator.audit.acts.signed_acts import CARRIED_OUT, carried_out
from coordinator.audit.faults import Faults
from coordinator.governance.tables import ActRow, HoldRow


def check_holds(
    session: Session, rows: Sequence[ActRow], history: ActHistory, faults: Faults
) -> None:
    """Checks that each legal hold was placed, and lifted, by people who signed that."""
    signed = set[tuple[str, ...]]()
    for act in rows:
        if act.outcome in CARRIED_OUT and act.action in ("hold.place", "change.confirm"):
            with faults.checking(f"act {act.id}"):
                asked = carried_out(session, act)
                reason = str(asked.details.get("reason", "")).strip()
                told = reason if asked.action == "hold.place" else ""
                signed.add((asked.action, asked.subject_kind, asked.subject, act.person, told))
    since = min((record.person.since for record in history.people), default="")
    for row in session.scalars(select(HoldRow).order_by(HoldRow.id)):
        placed = ("hold.place", row.kind, row.subject, row.placed_by, row.reason)
        lifted = ("hold.lift", row.kind, row.subject, str(row.lifted_by), "")
        if (row.placed_at > since and placed not in signed) or (
            row.lifted_at is not None and row.lifted_at > since and lifted not in signed
        ):
            faults.add(f"the legal hold of {row.kind} {row.subject} is not what people signed")
