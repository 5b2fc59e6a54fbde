"""Records of people and access policies: each is what was signed."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.governance.acts import ActRequest
from compliance.governance.people import read_kept_policy, same_name
from coordinator.audit.acts.history import ActHistory
from coordinator.audit.acts.signed_acts import CARRIED_OUT, carried_out
from coordinator.audit.faults import Faults
from coordinator.governance.governance import FOUND
from coordinator.governance.people_register import person_of
from coordinator.governance.tables import ActRow, PersonRow
from protocol.encoding import digest, digest_json, parse_canonical
from protocol.errors import StoreBroken


def check_people(
    session: Session, rows: Sequence[ActRow], history: ActHistory, faults: Faults
) -> None:
    """Checks that each record of a person, and each policy, is what two people, or one, signed."""
    acts = {row.digest: row for row in rows if row.outcome in CARRIED_OUT}
    made: set[str] = set()
    keys: dict[str, str] = {}
    for row in session.scalars(select(PersonRow).order_by(PersonRow.id)):
        with faults.checking(f"the record of {row.name}"):
            if row.act not in acts or row.act in made:
                raise StoreBroken("it was made without an act of its own")
            made.add(row.act)
            _require_signed_person(row, carried_out(session, acts[row.act]), keys)
        keys[same_name(row.name)] = row.public_key
    signed = set[str]()
    for act in acts.values():
        with faults.checking(f"act {act.id}"):
            request = carried_out(session, act)
            if request.action == "policy.change":
                text = str(request.details.get("policy")).encode()
                policy = read_kept_policy(parse_canonical(text))  # type: ignore[arg-type]
                signed |= {digest(text), digest_json(policy.to_json())}
    for _, policy in history.policies[1:]:
        if policy.version > 1 and policy.digest not in signed:
            faults.add(f"version {policy.version} of the access policy is none that was signed")


def _require_signed_person(row: PersonRow, asked: ActRequest, keys: Mapping[str, str]) -> None:
    person, name = person_of(row), same_name(row.name)
    key = asked.details.get("key") if asked.action != "person.roles" else keys.get(name)
    roles = asked.details.get("roles")
    if (
        asked.action not in ("person.add", "person.roles", FOUND)
        or same_name(asked.subject) != name
        or key != person.public_key
        or not isinstance(roles, tuple)
        or {role.strip() for role in roles} != person.roles
    ):
        raise StoreBroken("its name, key or roles are not what was signed")
