"""People, acts, changes, incidents and holds as pages, reports and commands show them.

``GovernanceView`` is what was so at one look. Reports of a run ask ``acts`` with the run; those of
a period with its two ends. An act's ``record`` is what its entry of the log names, so that the
entry is found, and with it a proof. Rows of refused acts hold what somebody claimed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from compliance.governance.access.review import AccessReview, review_access
from compliance.governance.people import AccessPolicy, Person
from compliance.governance.retention import Hold
from compliance.governance.two_person import Change, ChangeState
from coordinator.governance.governance import change_of, changes_in
from coordinator.governance.incident_register import (
    NumberedIncident,
    holds_in,
    incident_json,
    incidents_in,
)
from coordinator.governance.people_register import is_governed, people_in, policy_in
from coordinator.governance.tables import ActRow
from protocol.errors import StoreBroken
from protocol.identity.timestamps import write_time


@dataclass(frozen=True, kw_only=True)
class RecordedAct:
    """One act: who, in which role, did what to what, when, under which policy, and what came of it.

    Attributes:
        outcome: done, failed (``reason`` says why), refused, proposed (it waits for a second
            person) or allowed (the service ended before it was done).
        effects: what was carried out; of a confirmation that of its change.
        details: names, numbers and reasons.
        record: the digest that the newest entry of the log about it names.
    """

    number: int
    at: str
    person: str
    role: str | None
    action: str
    subject_kind: str
    subject: str
    run: str | None
    details: Mapping[str, Any]
    policy: str
    outcome: str
    effects: str
    reason: str | None
    digest: str
    signature: str
    record: str

    def to_json(self) -> dict[str, Any]:
        """Returns the act as ``--json`` shows it."""
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True)
class WaitingChange:
    """A change with its number; ``digest`` is of what it asks for."""

    number: int
    change: Change
    digest: str
    state: ChangeState
    decided_by: str | None

    def to_json(self) -> dict[str, Any]:
        """Returns the change as ``--json`` shows it."""
        return {
            "number": self.number,
            "state": self.state,
            "proposed_by": self.change.proposed_by,
            "expires": self.change.expires,
            "decided_by": self.decided_by,
            "digest": self.digest,
            **self.change.request.to_json(),
        }


@dataclass(frozen=True, kw_only=True)
class GovernanceView:
    """The governance of a consortium at one time.

    ``governed`` is false while it is founding: what was done is then attributed to nobody.
    """

    governed: bool
    policy: AccessPolicy
    people: tuple[Person, ...]
    former: tuple[Person, ...]
    changes: tuple[WaitingChange, ...]
    incidents: tuple[NumberedIncident, ...]
    holds: tuple[Hold, ...]
    review: AccessReview
    reviewed_at: str | None
    reviewed_by: str | None

    @property
    def notice(self) -> str | None:
        """A sentence where acts are attributed to nobody; None where there are people."""
        if self.governed:
            return None
        return (
            "acts here are attributed to NOBODY: no person is registered (collegium people found)"
        )


def governance_in(session: Session, now: datetime, *, decided: bool = False) -> GovernanceView:
    """Returns how a consortium is governed.

    Args:
        session: the consortium's database.
        now: when it is looked at.
        decided: also changes that were confirmed, withdrawn or have lapsed.

    Raises:
        StoreBroken: a record is damaged.
    """
    people, policy, time = people_in(session), policy_in(session), write_time(now)
    former = people_in(session, former=True)
    reviewed = select(ActRow.at, ActRow.person).filter_by(action="access.review", outcome="done")
    last = session.execute(reviewed.order_by(ActRow.id.desc()).limit(1)).first()
    acted = select(ActRow.person, func.max(ActRow.at)).where(
        ActRow.outcome.in_(("done", "proposed"))
    )
    last_acts: dict[str, str] = {
        name: at for name, at in session.execute(acted.group_by(ActRow.person))
    }
    return GovernanceView(
        governed=is_governed(session),
        policy=policy,
        people=people,
        former=tuple(person for person in former if person.until is not None),
        changes=_changes(session, time, decided=decided),
        incidents=incidents_in(session),
        holds=holds_in(session),
        review=review_access(
            people, last_acts, policy, now, last_review=None if last is None else last[0]
        ),
        reviewed_at=None if last is None else last[0],
        reviewed_by=None if last is None else last[1],
    )


def acts_in(
    session: Session,
    *,
    run: str | None = None,
    study: str | None = None,
    person: str | None = None,
    since: str | None = None,
    until: str | None = None,
    newest: int | None = None,
) -> tuple[RecordedAct, ...]:
    """Returns acts, in the order in which the service took them.

    Args:
        session: the consortium's database.
        run: only those about this run; with ``study``, those about either.
        study: only those about this study, by its digest.
        person: only those of this person.
        since: only those from this time on.
        until: only those before this time.
        newest: only so many of the newest of them.

    Raises:
        StoreBroken: a record is damaged.
    """
    query = select(ActRow)
    about = []
    if run is not None:
        about.append(ActRow.run_id == run)
    if study is not None:
        about.append((ActRow.subject_kind == "study") & (ActRow.subject == study))
    if about:
        query = query.where(or_(*about))
    if person is not None:
        query = query.filter_by(person=person)
    if since is not None:
        query = query.where(ActRow.at >= since)
    if until is not None:
        query = query.where(ActRow.at < until)
    if newest is None:
        rows = session.scalars(query.order_by(ActRow.id)).all()
    else:
        rows = session.scalars(query.order_by(ActRow.id.desc()).limit(newest)).all()[::-1]
    return tuple(recorded_act(row) for row in rows)


def incidents_json(found: Sequence[NumberedIncident], now: datetime) -> list[dict[str, Any]]:
    """Returns incidents as ``--json`` shows them."""
    return [incident_json(one.number, one.incident, now) for one in found]


def _changes(session: Session, time: str, *, decided: bool) -> tuple[WaitingChange, ...]:
    found = tuple(
        WaitingChange(
            number=row.id,
            change=change_of(row),
            digest=row.request_digest,
            state=change_of(row).state_at(time),
            decided_by=row.decided_by,
        )
        for row in changes_in(session, decided=decided)
    )
    return tuple(one for one in found if decided or one.state is ChangeState.PROPOSED)


def recorded_act(row: ActRow) -> RecordedAct:
    """Returns an act as it is shown.

    Raises:
        StoreBroken: its record is damaged.
    """
    try:
        details = json.loads(row.details_json)
        signature = row.signature.hex()
    except (ValueError, TypeError, AttributeError) as error:
        raise StoreBroken("the record of an act is damaged; restore a backup") from error
    return RecordedAct(
        number=row.id,
        at=row.at,
        person=row.person,
        role=row.role,
        action=row.action,
        subject_kind=row.subject_kind,
        subject=row.subject,
        run=row.run_id,
        details=details,
        policy=row.policy,
        outcome=row.outcome,
        effects=row.effects,
        reason=row.reason,
        digest=row.digest,
        signature=signature,
        record=row.record,
    )
