"""All checks of acts, one after the other."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.audit.acts.accounts import check_accounts, check_links
from coordinator.audit.acts.changes import check_changes
from coordinator.audit.acts.governed_entries import check_entries, check_rows, simulated_runs
from coordinator.audit.acts.history import history_of
from coordinator.audit.acts.holds import check_holds
from coordinator.audit.acts.incidents import check_incidents
from coordinator.audit.acts.models import check_models
from coordinator.audit.acts.people import check_people
from coordinator.audit.acts.signed_acts import check_act
from coordinator.audit.faults import Faults
from coordinator.governance.governance import ACT_ENTRY
from coordinator.governance.tables import ActRow
from protocol.log.entry import LogEntry


def check_acts(
    session: Session,
    entries: Sequence[LogEntry],
    sizes: Sequence[int],
    public: bytes,
    faults: Faults,
) -> int:
    """Checks every act, change and governed entry; returns how many acts were taken.

    Args:
        session: reads the database.
        entries: the whole log, in order.
        sizes: the sizes of the signed heads, in order: what was logged at once.
        public: the log's key.
        faults: takes what is found wrong.
    """
    rows = session.scalars(select(ActRow).order_by(ActRow.id)).all()
    history = history_of(session, entries, faults)
    with faults.checking("the models"):
        check_models(session, rows, entries, faults)
    if not rows and not history.people:
        return 0
    taken = _taken_at(entries)
    for row in rows:
        if row.outcome != "refused":
            with faults.checking(f"act {row.id}"):
                check_act(row, taken, history, public)
    check_changes(session, rows, taken, history, faults)
    with faults.checking("the records of people"):
        check_people(session, rows, history, faults)
    with faults.checking("the incidents"):
        check_incidents(session, rows, history, faults)
    with faults.checking("the legal holds"):
        check_holds(session, rows, history, faults)
    with faults.checking("the accounts"):
        check_accounts(session, rows, faults)
    with faults.checking("the linked identities"):
        check_links(session, rows, entries, faults)
    check_entries(entries, sizes, rows, simulated_runs(session), faults)
    with faults.checking("the acts about runs and alerts"):
        check_rows(session, entries, rows, faults)
    return len(taken)


def _taken_at(entries: Sequence[LogEntry]) -> dict[str, int]:
    """Returns by its digest the first entry about each act that was taken."""
    found: dict[str, int] = {}
    for entry in entries:
        if entry.type.startswith(ACT_ENTRY) and entry.type != f"{ACT_ENTRY}refused":
            found.setdefault(entry.payload, entry.seq)
    return found
