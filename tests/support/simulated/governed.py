"""People, changes and incidents of a consortium in memory, as a look at it shows them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from compliance.governance.access.review import AccessReview
from compliance.governance.acts import ActRequest
from compliance.governance.incidents.course import Incident, IncidentState, IncidentStep
from compliance.governance.people import FIRST_POLICY, Person, Role
from compliance.governance.two_person import Change, ChangeState
from coordinator.governance.incident_register import NumberedIncident
from coordinator.views.governance import GovernanceView, WaitingChange
from protocol.identity.timestamps import write_time

NOW = datetime(2026, 11, 29, 10, tzinfo=UTC)


def later(**by: float) -> str:
    """Returns a time so much after ``NOW``."""
    return write_time(NOW + timedelta(**by))


def person(name: str, *roles: Role, days: float = 300) -> Person:
    """Returns a person whose key ends in so many days."""
    return Person(
        name=name, public_key=name.encode().hex().ljust(64, "0")[:64], roles=frozenset(roles),
        expires=later(days=days), since=later(days=-10),
    )  # fmt: skip


def waiting(number: int, by: Person, *, hours: float = 48, about: str = "Dr. New") -> WaitingChange:
    """Returns a change of a person that waits for so many hours yet."""
    request = ActRequest(action="person.add", subject_kind="person", subject=about)
    change = Change(
        request=request, proposed_by=by.name, proposed_key=by.public_key,
        expires=later(hours=hours),
    )  # fmt: skip
    return WaitingChange(
        number=number, change=change, digest=request.digest, state=ChangeState.PROPOSED,
        decided_by=None,
    )  # fmt: skip


def incident(
    number: int,
    by: Person,
    state: IncidentState,
    *,
    hours: float = 60,
    drill: bool = False,
    unconfirmed: bool = False,
) -> NumberedIncident:
    """Returns an incident with so many hours to its notification."""
    role = min(by.roles)
    steps = [IncidentStep(step="open", at=later(), person=by.name, role=role, note="")]
    if unconfirmed:
        steps.append(
            IncidentStep(step="contain", at=later(), person=by.name, role=role, note="x",
                         confirm_by=later(hours=24))
        )  # fmt: skip
    return NumberedIncident(
        number=number,
        incident=Incident(
            kind="other", title="a laptop", severity="high", drill=drill, known_at=later(),
            due_at=later(hours=hours), state=state, steps=tuple(steps),
        ),
    )  # fmt: skip


def governed(
    *people: Person,
    changes: Sequence[WaitingChange] = (),
    incidents: Sequence[NumberedIncident] = (),
    notes: tuple[str, ...] = (),
) -> GovernanceView:
    """Returns how a consortium of these people is governed."""
    return GovernanceView(
        governed=bool(people), policy=FIRST_POLICY, people=people, former=(),
        changes=tuple(changes), incidents=tuple(incidents), holds=(),
        review=AccessReview(at=later(), policy=1, lines=(), notes=notes),
        reviewed_at=None, reviewed_by=None,
    )  # fmt: skip
