"""The table of who may look at what; fixed in the software, checked beside the database.

Rules:

1. A person's role now decides, not the one at login.
2. What stands in no line is shown to nobody.
"""

from collections.abc import Mapping
from enum import StrEnum

from compliance.governance.people import AccessPolicy, Person, Role
from protocol.errors import PolicyRefused


class Subject(StrEnum):
    """A subject that people look at."""

    FIGURES = "figures"
    RUNS = "runs"
    SITES = "sites"
    MODELS = "models"
    REPORTS = "reports"
    AUDIT = "audit"
    APPROVALS = "approvals"


_EVERYBODY = frozenset(Role)
_OVERSEERS = _EVERYBODY - {Role.DATA_SCIENTIST}

#: The roles of which one must be had to look at a subject.
LOOKS: Mapping[Subject, frozenset[Role]] = {
    Subject.FIGURES: _EVERYBODY,
    Subject.RUNS: _EVERYBODY,
    Subject.SITES: _EVERYBODY,
    Subject.MODELS: _EVERYBODY,
    Subject.REPORTS: _EVERYBODY,
    Subject.AUDIT: _OVERSEERS,
    Subject.APPROVALS: _OVERSEERS,
}

#: The acts of the dashboard that each ask for a fresh one-time code.
ASKS_FOR_CODE = frozenset(
    {
        "change.confirm", "change.withdraw", "incident.contain", "incident.confirm",
        "model.promote", "report.sign",
        "hospital.revoke", "hospital.invite", "person.add", "person.roles", "person.retire",
        "policy.change", "budget.change", "hold.lift", "account.set", "account.remove",
        "account.unlock", "account.link", "account.unlink", "access.review",
    }
)  # fmt: skip


def may_look(roles: frozenset[Role], subject: Subject) -> bool:
    """Whether one of the roles may look at a subject."""
    return not LOOKS[subject].isdisjoint(roles)


def require_look(
    person: Person | None, policy: AccessPolicy, subject: Subject | None, time: str
) -> Person:
    """Returns the person, who may look at a subject at a time.

    Args:
        person: the record under the person's key now; None where there is none.
        policy: the access policy in force: the person needs its right ``login``.
        subject: what is looked at; None for the dashboard itself.
        time: when.

    Raises:
        PolicyRefused: the person may act no longer, or has no role that looks at it.
    """
    if person is None:
        raise PolicyRefused("nobody is registered under this key any more")
    person.require_usable(time)
    policy.role_for(person, "login")
    if subject is not None and not may_look(person.roles, subject):
        raise PolicyRefused(
            f"{person.name} ({', '.join(sorted(person.roles))}) may not look at {subject}: that "
            f"takes {' or '.join(sorted(LOOKS[subject]))}"
        )
    return person
