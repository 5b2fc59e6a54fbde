"""Each act: its row says what was signed, by a person who had the right to it then."""

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from compliance.governance.acts import Act, ActRequest, SignedAct, read_act, require_time
from compliance.governance.people import ALONE, Person, others_who_confirm
from coordinator.audit.acts.history import ActHistory
from coordinator.governance.governance import FOUND, change_of, change_row
from coordinator.governance.tables import ActRow
from protocol.encoding import canonical
from protocol.errors import StoreBroken
from protocol.identity.timestamps import read_time

#: Outcomes of what is not refused and does not wait for a second person.
CARRIED_OUT = frozenset({"done", "failed", "allowed"})


def check_act(row: ActRow, taken: Mapping[str, int], history: ActHistory, public: bytes) -> None:
    """Checks that an act was signed by whoever had the right to it when the service took it.

    Args:
        row: the act.
        taken: by its digest the first entry about each act that was taken.
        history: people and policies at each entry.
        public: the log's key.

    Raises:
        FederationError: it was not; says why.
    """
    act = read_act(row.document)
    _require_same(row, act)
    SignedAct(act=act, signature=row.signature).require_signed()
    if act.consortium != public.hex():
        raise StoreBroken(f"act {row.id} is of another consortium")
    require_time(act.time, read_time(row.at))
    seq = taken[row.digest]
    people, policy = history.people_at(seq), history.policy_at(seq)
    if act.request.action == FOUND:
        _check_founding(row, act, people, history)
        return
    known = [one for one in people if (one.name, one.public_key) == (act.person, act.public_key)]
    if not known:
        raise StoreBroken(f"act {row.id}: {act.person} had no such key at {row.at}")
    person = known[0]
    person.require_usable(row.at)
    if act.policy != policy.digest:
        raise StoreBroken(f"act {row.id} names another access policy than was in force")
    policy.role_for(person, act.request.action)
    right = policy.right(act.request.action)
    if right.second is not None and row.outcome != "proposed":
        others = others_who_confirm(people, act.person, row.at)
        if others or act.request.action not in ALONE:
            raise StoreBroken(f"act {row.id} needs a second person, and was done without one")
    if row.role not in person.roles:
        raise StoreBroken(f"act {row.id}: {act.person} was not {row.role} at {row.at}")


def _check_founding(row: ActRow, act: Act, people: Sequence[Person], history: ActHistory) -> None:
    if others_who_confirm(people, "", row.at):
        raise StoreBroken(f"act {row.id} founds an administrator where there were people already")
    own = (act.person, act.public_key)
    if own not in {(one.person.name, one.person.public_key) for one in history.people}:
        raise StoreBroken(f"act {row.id}: {act.person} had no such key at {row.at}")


def _require_same(row: ActRow, act: Act) -> None:
    """Checks that a row says what was signed."""
    request = act.request
    said = (row.person, row.public_key, row.action, row.subject_kind, row.subject, row.policy)
    meant = (act.person, act.public_key, request.action, request.subject_kind, request.subject)
    details = canonical(request.to_json()["details"]).decode()
    if said != (*meant, act.policy) or (row.details_json, row.salt) != (details, act.salt):
        raise StoreBroken(f"act {row.id} is not what {act.person} signed")
    if row.digest != act.digest:
        raise StoreBroken(f"act {row.id} has another digest than was logged")


def carried_out(session: Session, row: ActRow) -> ActRequest:
    """Returns what an act did: what it asks for, or the change that it confirmed."""
    request = read_act(row.document).request
    if request.action != "change.confirm":
        return request
    return change_of(change_row(session, request.subject)).request
