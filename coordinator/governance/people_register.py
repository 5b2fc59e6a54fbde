"""The register of people: who is known under which key, with which roles, under which policy."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.audit.log import NewEntry
from compliance.governance.acts import ActRequest
from compliance.governance.people import (
    FIRST_POLICY,
    AccessPolicy,
    Person,
    Role,
    others_who_confirm,
    plain_name,
    read_kept_policy,
    read_roles,
    same_name,
)
from compliance.governance.two_person import key_of, roles_of
from coordinator.database.store import LoggedRow, Transaction
from coordinator.governance.tables import PersonRow, PolicyRow
from protocol.errors import PolicyRefused, StoreBroken
from protocol.identity.timestamps import write_time

#: For how many days a person's key is good at most, and unless it is said otherwise.
MAX_KEY_DAYS = 731
DEFAULT_KEY_DAYS = 365


def is_governed(session: Session) -> bool:
    """Whether a person was ever registered: from then on every act needs one."""
    return session.scalars(select(PersonRow.id).limit(1)).first() is not None


def people_in(session: Session, *, former: bool = False) -> tuple[Person, ...]:
    """Returns the people whose records hold, by name; with ``former`` every record, in order.

    Raises:
        StoreBroken: a record cannot be read.
    """
    query = select(PersonRow).order_by(PersonRow.name, PersonRow.id)
    if not former:
        query = query.where(PersonRow.until.is_(None))
    return tuple(person_of(row) for row in session.scalars(query))


def person_with_key(session: Session, public_key: str) -> Person | None:
    """Returns the newest record of the person who has or had a key."""
    query = select(PersonRow).filter_by(public_key=public_key).order_by(PersonRow.id.desc())
    row = session.scalars(query.limit(1)).first()
    return None if row is None else person_of(row)


def policy_in(session: Session) -> AccessPolicy:
    """Returns the access policy in force.

    Raises:
        StoreBroken: its record was changed.
    """
    row = session.scalars(select(PolicyRow).order_by(PolicyRow.version.desc()).limit(1)).first()
    return FIRST_POLICY if row is None else policy_of(row)


def policy_of(row: PolicyRow) -> AccessPolicy:
    """Returns the access policy that a row holds.

    Raises:
        StoreBroken: it was changed.
    """
    try:
        policy = read_kept_policy(json.loads(row.policy_json))
    except (ValueError, PolicyRefused) as error:
        raise StoreBroken("the access policy's record is damaged; restore a backup") from error
    if policy.digest != row.digest:
        raise StoreBroken("the access policy's record was changed; restore a backup")
    return policy


def is_founded(session: Session, time: str) -> bool:
    """Whether there is anybody at a time who adds people: else an administrator is founded."""
    return bool(others_who_confirm(people_in(session), "", time))


class PeopleWriter:
    """Changes of people and policy within one transaction; ``entries`` are to be logged."""

    def __init__(self, transaction: Transaction, now: datetime) -> None:
        self._transaction, self._now, self._time = transaction, now, write_time(now)
        self.entries: list[NewEntry] = []

    def write(self, kind: str, row: LoggedRow) -> None:
        """Writes a row as it now is."""
        record = self._transaction.write(row)
        self.entries.append(NewEntry(type=kind, run_id=None, payload=record, record=record))

    def add(self, request: ActRequest, act: str) -> None:
        """Adds a person, or gives one a new key, roles and end; the record before ends.

        Raises:
            PolicyRefused: the key was somebody's before, or the request has another form.
        """
        name, key = plain_name(request.subject), key_of(request)
        held = person_with_key(self._transaction.session, key)
        if held is not None and same_name(held.name) != same_name(name):
            raise PolicyRefused(f"this key is or was {held.name}'s: make a new one")
        rows = self._rows(name)
        if rows and rows[0].name != name:
            raise PolicyRefused(f"{name!r} is spelled {rows[0].name!r} here: write it so")
        if held is not None and not (rows and rows[0].public_key == key):
            raise PolicyRefused("this key was used before and ended: make a new one")
        days = request.details.get("days", DEFAULT_KEY_DAYS)
        if type(days) is not int or not 1 <= days <= MAX_KEY_DAYS:
            raise PolicyRefused(f"a key is good for 1 to {MAX_KEY_DAYS} days")
        self._end(rows)
        self._new(name, key, roles_of(request), write_time(self._now + timedelta(days=days)), act)

    def change_roles(self, request: ActRequest, act: str) -> None:
        """Gives a person other roles, and ends a suspension.

        Raises:
            PolicyRefused: there is no such person.
        """
        rows = self._require(request.subject)
        self._end(rows)
        row = rows[0]
        self._new(row.name, row.public_key, roles_of(request), row.expires, act)

    def retire(self, name: str) -> None:
        """Ends a person's rights.

        Raises:
            PolicyRefused: there is no such person, or nobody would be administrator any more.
        """
        self._end(self._require(name))
        left = (person.roles for person in people_in(self._transaction.session))
        if not any(Role.ADMINISTRATOR in roles for roles in left):
            raise PolicyRefused(f"{name} is the last administrator: add another one first")

    def suspend(self, name: str) -> None:
        """Keeps a person from acting from now on; again, it changes nothing.

        Raises:
            PolicyRefused: there is no such person.
        """
        for row in self._require(name):
            if row.suspended is None:
                row.suspended = self._time
                self.write("person-suspended", row)

    def change_policy(self, policy: AccessPolicy) -> None:
        """Puts a policy in force.

        Raises:
            PolicyRefused: it is not the next version.
        """
        before = policy_in(self._transaction.session)
        if policy.version != before.version + 1:
            raise PolicyRefused(f"the next policy is version {before.version + 1}")
        self._keep(policy)

    def keep_first_policy(self) -> None:
        """Keeps the first policy at the founding, so that it stays when the software changes."""
        if self._transaction.session.scalars(select(PolicyRow.version)).first() is None:
            self._keep(FIRST_POLICY)

    def _keep(self, policy: AccessPolicy) -> None:
        text = json.dumps(policy.to_json(), sort_keys=True)
        row = PolicyRow(
            version=policy.version, digest=policy.digest, policy_json=text, since=self._time
        )
        self.write("policy-changed", row)

    def _new(self, name: str, key: str, roles: frozenset[Role], expires: str, act: str) -> None:
        row = PersonRow(
            name=name,
            public_key=key,
            roles_json=json.dumps(sorted(roles)),
            expires=expires,
            since=self._time,
            act=act,
        )
        self.write("person-added", row)

    def _end(self, rows: Sequence[PersonRow]) -> None:
        for row in rows:
            row.until = self._time
            self.write("person-ended", row)

    def _rows(self, name: str) -> list[PersonRow]:
        """Returns a person's record that holds, however the name is spelled."""
        query = select(PersonRow).where(PersonRow.until.is_(None)).order_by(PersonRow.id)
        rows = self._transaction.session.scalars(query)
        return [row for row in rows if same_name(row.name) == same_name(name)]

    def _require(self, name: str) -> list[PersonRow]:
        rows = self._rows(name)
        if not rows:
            raise PolicyRefused(f"there is no {name!r}: collegium people list")
        return rows


def person_of(row: PersonRow) -> Person:
    """Returns the person's record that a row holds.

    Raises:
        StoreBroken: the row is damaged.
    """
    try:
        roles = read_roles(json.loads(row.roles_json))
    except (ValueError, TypeError, AttributeError, PolicyRefused) as error:
        raise StoreBroken("the record of a person is damaged; restore a backup") from error
    return Person(
        name=row.name,
        public_key=row.public_key,
        roles=roles,
        expires=row.expires,
        since=row.since,
        until=row.until,
        suspended=row.suspended,
    )
