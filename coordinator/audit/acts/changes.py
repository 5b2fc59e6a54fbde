"""Changes by two people: proposed by one, confirmed by another who had the right to."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from compliance.governance.acts import read_act
from compliance.governance.people import same_name
from compliance.governance.two_person import Change, ChangeState, require_second
from coordinator.audit.acts.history import ActHistory
from coordinator.audit.acts.signed_acts import CARRIED_OUT
from coordinator.audit.faults import Faults
from coordinator.governance.governance import change_of, changes_in
from coordinator.governance.tables import ActRow
from protocol.errors import PolicyRefused, StoreBroken


def check_changes(
    session: Session,
    rows: Sequence[ActRow],
    taken: Mapping[str, int],
    history: ActHistory,
    faults: Faults,
) -> None:
    """Checks that each change was proposed and confirmed by two people who signed exactly it.

    Args:
        session: reads the database.
        rows: every act.
        taken: by its digest the first entry about each act that was taken.
        history: people and policies at each entry.
        faults: takes what is found wrong.
    """
    confirmed = {(row.subject, row.person): row for row in rows if row.action == "change.confirm"
                 and row.outcome in CARRIED_OUT}  # fmt: skip
    proposed = set()
    for row in rows:
        if row.outcome == "proposed":
            with faults.checking(f"act {row.id}"):
                proposed.add((read_act(row.document).request.digest, row.person))
    for change in changes_in(session, decided=True):
        with faults.checking(f"change {change.id}"):
            asked, name = change_of(change), f"change {change.id}"
            if (asked.request.digest, change.proposed_by) not in proposed:
                raise StoreBroken(f"{name}: {change.proposed_by} signed no such proposal")
            if change.state not in (ChangeState.DONE, ChangeState.FAILED):
                continue
            if same_name(change.proposed_by) == same_name(str(change.decided_by)):
                raise StoreBroken(f"{name} was proposed and confirmed by one person")
            second = confirmed.get((str(change.id), str(change.decided_by)))
            if second is None:
                raise StoreBroken(f"{name}: {change.decided_by} signed no confirmation")
            _check_second(asked, second, taken[second.digest], history, name)


def _check_second(asked: Change, row: ActRow, seq: int, history: ActHistory, name: str) -> None:
    """Checks that a second person confirmed exactly this change, and had the right to."""
    act = read_act(row.document)
    if act.request.details.get("digest") != asked.request.digest:
        raise StoreBroken(f"{name}: what {row.person} confirmed is not what the change says")
    own = (act.person, act.public_key)
    person = next((p for p in history.people_at(seq) if (p.name, p.public_key) == own), None)
    if person is None:
        return  # a fault, which is told of the act
    waiting = replace(asked, state=ChangeState.PROPOSED)
    try:
        require_second(waiting, person, history.policy_at(seq), row.at)
    except PolicyRefused as error:
        raise StoreBroken(f"{name} was confirmed without the right to: {error}") from error
