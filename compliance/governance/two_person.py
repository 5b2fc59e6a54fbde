"""The two-person rule: one person proposes a change, another one confirms it in time.

Rules:

1. Proposer and second person are two names and two keys. A second key of the same name is the
   same person.
2. Nobody confirms a change of their own rights, and nobody proposes more for themselves: a change
   of a person's key or roles is proposed and confirmed by two others.
3. A change that nobody confirmed in time has lapsed. Anybody who works here withdraws one.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from compliance.governance.acts import ActRequest
from compliance.governance.people import AccessPolicy, Person, Role, read_roles, same_name
from protocol.errors import PolicyRefused
from protocol.identity.timestamps import read_time, write_time

#: Changes of what a person may do.
_OF_PEOPLE = frozenset({"person.add", "person.roles"})


class ChangeState(StrEnum):
    """A state of a change."""

    PROPOSED = "proposed"
    DONE = "done"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"
    LAPSED = "lapsed"


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change that one person proposed under a key; ``expires`` is when it lapses."""

    request: ActRequest
    proposed_by: str
    proposed_key: str
    expires: str
    state: ChangeState = ChangeState.PROPOSED

    def state_at(self, time: str) -> ChangeState:
        """Returns the state at a time: a proposal that waited too long has lapsed."""
        if self.state is ChangeState.PROPOSED and self.expires <= time:
            return ChangeState.LAPSED
        return self.state


def propose(request: ActRequest, person: Person, policy: AccessPolicy, time: str) -> Change:
    """Returns a change that waits for a second person.

    Raises:
        PolicyRefused: it would give the proposer other rights, needs no second person, or names a
            role that there is not or a key of another form, which nobody could confirm.
    """
    if policy.right(request.action).second is None:
        raise PolicyRefused(f"{request.action} needs no second person")
    if request.action in _OF_PEOPLE and same_name(request.subject) == same_name(person.name):
        raise PolicyRefused(
            f"{person.name} proposes no change of their own key or roles: another one does"
        )
    if request.action in _OF_PEOPLE:
        roles_of(request)
    if request.action == "person.add":
        key_of(request)
    expires = read_time(time) + timedelta(hours=policy.change_hours)
    return Change(
        request=request,
        proposed_by=person.name,
        proposed_key=person.public_key,
        expires=write_time(expires),
    )


def require_second(change: Change, person: Person, policy: AccessPolicy, time: str) -> Role:
    """Returns the role in which a person may confirm a change now.

    Raises:
        PolicyRefused: it no longer waits, the person proposed it or is who it is about, or has no
            role that confirms it.
    """
    require_waiting(change, time)
    if change.proposed_key == person.public_key or same_name(change.proposed_by) == same_name(
        person.name
    ):
        raise PolicyRefused(f"{person.name} proposed it: another person confirms")
    of_person = change.request.subject_kind == "person"
    if of_person and same_name(change.request.subject) == same_name(person.name):
        raise PolicyRefused(f"the change is about {person.name}: another person confirms")
    second = policy.right(change.request.action).second or frozenset()
    found = sorted(person.roles & second)
    if not found:
        raise PolicyRefused(
            f"{person.name} may not confirm {change.request.action}: that takes "
            f"{' or '.join(sorted(second))}"
        )
    return found[0]


def require_waiting(change: Change, time: str) -> None:
    """Checks that a change waits for its second person.

    Raises:
        PolicyRefused: it is done, withdrawn or lapsed.
    """
    state = change.state_at(time)
    if state is ChangeState.LAPSED:
        raise PolicyRefused(f"the change lapsed at {change.expires}: propose it again")
    if state is not ChangeState.PROPOSED:
        raise PolicyRefused(f"the change is {state} already")


def roles_of(request: ActRequest) -> frozenset[Role]:
    """Returns the roles that a change of a person asks for.

    Raises:
        PolicyRefused: one is none, or none is named.
    """
    said = request.details.get("roles", ())
    return read_roles(said if isinstance(said, tuple) else ())


def key_of(request: ActRequest) -> str:
    """Returns the public key of the person whom a change adds.

    Raises:
        PolicyRefused: it has another form.
    """
    key = request.details.get("key")
    if not isinstance(key, str) or len(key) != 64 or not set(key) <= set("0123456789abcdef"):
        raise PolicyRefused(
            "a person's public key is 64 hexadecimal digits: collegium people key prints it"
        )
    return key
