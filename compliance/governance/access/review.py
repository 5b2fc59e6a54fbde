"""The access review: who has which right, when they last used any, and what is to be looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from compliance.governance.people import AccessPolicy, Person, Role
from protocol.encoding import digest_json
from protocol.identity.timestamps import read_time, write_time

#: How many days before a key's end it is pointed out.
EXPIRING_DAYS = 30


@dataclass(frozen=True, kw_only=True)
class ReviewLine:
    """A person's line: roles, rights, last act, when the key ends, and what is to be looked at."""

    name: str
    roles: tuple[str, ...]
    rights: tuple[str, ...]
    last_act: str | None
    expires: str
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the line as ``--json`` shows it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class AccessReview:
    """The lines of everybody who has rights at a time, and what holds of them together."""

    at: str
    policy: int
    lines: tuple[ReviewLine, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the review as it is shown and signed."""
        return {
            "at": self.at,
            "policy": self.policy,
            "people": [line.to_json() for line in self.lines],
            "notes": list(self.notes),
        }

    @property
    def digest(self) -> str:
        """The digest of who has which right, whenever it is looked at."""
        said = [[line.name, list(line.roles), list(line.rights)] for line in self.lines]
        return digest_json({"policy": self.policy, "people": said})


def review_access(
    people: Sequence[Person],
    last_acts: Mapping[str, str],
    policy: AccessPolicy,
    now: datetime,
    *,
    last_review: str | None,
) -> AccessReview:
    """Returns the review of those whose records hold.

    Args:
        people: their records.
        last_acts: when each last did anything, by name.
        policy: the access policy in force.
        now: the time.
        last_review: when the access was last reviewed, None for never.
    """
    lines = tuple(
        _line(person, last_acts.get(person.name), policy, now)
        for person in sorted(people, key=lambda one: one.name)
    )
    return AccessReview(
        at=write_time(now),
        policy=policy.version,
        lines=lines,
        notes=tuple(_notes(people, policy, now, last_review)),
    )


def _line(person: Person, last: str | None, policy: AccessPolicy, now: datetime) -> ReviewLine:
    rights = sorted(name for name, right in policy.rights.items() if right.roles & person.roles)
    return ReviewLine(
        name=person.name,
        roles=tuple(sorted(person.roles)),
        rights=tuple(rights),
        last_act=last,
        expires=person.expires,
        notes=tuple(_person_notes(person, last, policy, now)),
    )


def _person_notes(
    person: Person, last: str | None, policy: AccessPolicy, now: datetime
) -> list[str]:
    found = []
    since = read_time(last or person.since)
    if now - since > timedelta(days=policy.review_days):
        found.append(f"has done nothing for {(now - since).days} days: are the rights needed?")
    left = read_time(person.expires) - now
    if left <= timedelta(0):
        found.append("the key has expired")
    elif left <= timedelta(days=EXPIRING_DAYS):
        found.append(f"the key ends in {left.days} days")
    if person.suspended is not None:
        found.append(f"suspended since {person.suspended}")
    if {Role.ADMINISTRATOR, Role.COMPLIANCE_OFFICER} <= person.roles:
        found.append("is administrator and compliance officer in one")
    return found


def _notes(
    people: Sequence[Person], policy: AccessPolicy, now: datetime, last: str | None
) -> list[str]:
    found = []
    for name, right in sorted(policy.rights.items()):
        if right.second is None:
            continue
        firsts = {person.name for person in people if person.roles & right.roles}
        seconds = {person.name for person in people if person.roles & right.second}
        if not any(firsts - {second} for second in seconds):
            found.append(f"{name}: no two people can do it")
    if last is None:
        found.append("the access was never reviewed")
    elif now - read_time(last) > timedelta(days=policy.review_days):
        found.append(f"the last review is of {last[:10]}")
    return found
