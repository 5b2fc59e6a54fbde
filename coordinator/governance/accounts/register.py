"""The register of accounts: set, removed, unlocked; attempts to log in, counted and refused."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.governance.access.linked_identity import LinkedIdentity
from compliance.governance.access.lock_out import FailedLogins
from compliance.governance.access.sealed_key import read_sealed_key
from compliance.governance.people import Person, Role, same_name
from compliance.storage.clock import Clock, utc_now
from coordinator.database.store import Store
from coordinator.governance.accounts.folder import AccountFolder
from coordinator.governance.accounts.links import IdentityLink, LinkRegister
from coordinator.governance.accounts.log_entries import counted_for_log, row_entry
from coordinator.governance.accounts.tables import AccountRow, RefusedLoginRow
from coordinator.governance.governance import Authorised
from coordinator.governance.people_register import people_in, person_with_key
from protocol.errors import MessageRefused, PolicyRefused, StoreBroken
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import write_time

log = logging.getLogger("collegium.coordinator")

#: The place of the attempts under names that nobody has.
_UNKNOWN = ""


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account: whose, under which key, since when; ``failures`` in a row, ``wait`` in seconds.

    ``wait`` is None where only an administrator unlocks it.
    """

    person: str
    public_key: str
    since: str
    failures: int = 0
    wait: int | None = 0

    def to_json(self) -> dict[str, Any]:
        """Returns the account as ``--json`` shows it."""
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True)
class LoginAttempt:
    """A counted attempt: whose account is tried; ``box`` is None where there is none, or it waits.

    ``box`` holds the bytes of the sealed key. Nobody is told which of the two it is.
    """

    person: str = ""
    public_key: str = ""
    box: bytes | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the attempt as it travels; the inverse of ``read_attempt``."""
        box = None if self.box is None else self.box.decode()
        return {"person": self.person, "public_key": self.public_key, "box": box}


def read_attempt(said: Mapping[str, Any]) -> LoginAttempt:
    """Returns an attempt from its JSON form."""
    box = said["box"]
    return LoginAttempt(
        person=said["person"],
        public_key=said["public_key"],
        box=None if box is None else str(box).encode(),
    )


def accounts_in(
    session: Session, attempts: Mapping[str, FailedLogins], now: float
) -> tuple[Account, ...]:
    """Returns the accounts that there are, by name.

    Args:
        session: the consortium's database.
        attempts: by public key, as ``AccountFolder.read_attempts`` returns them.
        now: seconds since 1970.
    """
    found = []
    for row in _standing(session):
        tried = attempts.get(row.public_key, FailedLogins())
        left = tried.seconds_left(now)
        found.append(
            Account(
                person=row.person,
                public_key=row.public_key,
                since=row.since,
                failures=tried.failures,
                wait=None if math.isinf(left) else math.ceil(left),
            )
        )
    return tuple(found)


class AccountRegister:
    """The accounts over one consortium's database and folder.

    Args:
        store: the consortium's database.
        key: signs the log.
        folder: holds the sealed keys.
        clock: says what time it is.
    """

    def __init__(
        self, store: Store, key: SigningKey, folder: AccountFolder, clock: Clock = utc_now
    ) -> None:
        self._store, self._key, self._folder, self._clock = store, key, folder, clock
        #: Who logs in at a provider of OpenID Connect.
        self.links = LinkRegister(store, key, folder, clock)

    def set(self, taken: Authorised, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Sets a person's own account; the one before ends.

        Raises:
            PolicyRefused: it is another person's.
            MessageRefused: the box is not the one whose digest the act names.
        """
        box = read_sealed_key(str(payload.get("box", "")).encode())
        said = taken.request.details
        if same_name(taken.request.subject) != same_name(taken.person):
            raise PolicyRefused("everybody sets their own account, with their own key")
        if box.digest != said.get("box") or box.public_key != said.get("key"):
            raise MessageRefused("the sealed key is not the one whose digest the act names")
        with self._store.read() as session:
            person = person_with_key(session, box.public_key)
        if person is None or person.name != taken.person or box.person != taken.person:
            raise PolicyRefused("the sealed key is another person's")
        self._folder.put(box)
        row = AccountRow(
            person=taken.person,
            public_key=box.public_key,
            box=box.digest,
            since=taken.at,
            act=taken.act or "",
        )
        ended = self._end(taken.person, taken.at, (row,))
        for former in ended - {box.digest}:
            self._folder.drop(former)
        self._clear(box.public_key)
        return {"person": taken.person}

    def remove(self, taken: Authorised, _payload: Mapping[str, Any]) -> dict[str, Any]:
        """Removes a person's account; its owner does it, or an administrator.

        Raises:
            PolicyRefused: somebody else asks, or there is no such account.
        """
        name = taken.request.subject
        if same_name(name) != same_name(taken.person):
            self._require_administrator(taken.person)
        ended = self._end(name, taken.at, ())
        if not ended:
            raise PolicyRefused(f"{name!r} has no account: collegium people account list")
        for former in ended:
            self._folder.drop(former)
        return {"person": name}

    def unlock(self, taken: Authorised, _payload: Mapping[str, Any]) -> dict[str, Any]:
        """Lets a locked account try again.

        Raises:
            PolicyRefused: there is no such account.
        """
        with self._store.read() as session:
            row = _account(session, taken.request.subject)
        if row is None:
            raise PolicyRefused(
                f"{taken.request.subject!r} has no account: collegium people account list"
            )
        self._clear(row.public_key)
        return {"person": row.person}

    def login(self, taken: Authorised, _payload: Mapping[str, Any]) -> dict[str, Any]:
        """Uses the one-time step that a login names, and forgets the failures before it.

        Raises:
            PolicyRefused: the step was used.
        """
        step = taken.request.details.get("step")
        if step is None:  # it was written down; no account had a part in it
            return {}
        with self._store.read() as session:
            row = _account(session, taken.person)
        if row is None:
            raise PolicyRefused(f"{taken.person!r} has no account")
        self.use_step(row.public_key, step if isinstance(step, int) else -1)
        return {}

    def attempt(self, name: str, *, is_code: bool = False) -> LoginAttempt:
        """Counts an attempt to log in, or to give a code, and returns what is tried.

        Args:
            name: as it was typed.
            is_code: whether somebody who has logged in gives a code: that is counted apart, so
                that nobody who fails to log in keeps those inside from their acts.
        """
        now = self._clock()
        with self._store.read() as session:
            row = _account(session, name)
            person = None if row is None else person_with_key(session, row.public_key)
        is_open = row is not None and person is not None and _is_usable(person, row, now)
        with self._folder.attempts() as known:  # written either way: it takes the same time
            none = known.get(_UNKNOWN, FailedLogins())
            known[_UNKNOWN] = replace(none, last=now.timestamp())
            if row is None or person is None or not is_open:
                return LoginAttempt()
            place = _codes_of(row.public_key) if is_code else row.public_key
            tried = known.get(place, FailedLogins())
            if tried.seconds_left(now.timestamp()) > 0:
                return LoginAttempt()
            known[place] = replace(tried, failures=tried.failures + 1, last=now.timestamp())
        try:
            box = self._folder.get(row.box)
        except StoreBroken as error:  # whoever tries is not told that there is an account
            log.error("the account of %s: %s", row.person, error)
            return LoginAttempt()
        return LoginAttempt(person=person.name, public_key=person.public_key, box=box.to_bytes())

    def refuse(self, name: str) -> None:
        """Writes down that a login was refused: at once, then once an hour what came meanwhile."""
        now = self._clock().timestamp()
        with self._store.read() as session:
            row = _account(session, name)
        key, person = (_UNKNOWN, None) if row is None else (row.public_key, row.person)
        with self._folder.attempts() as known:
            known[key], refused = counted_for_log(known.get(key, FailedLogins()), now)
            if refused:
                self._log_refused(person, refused)

    def identify(self, identity: LinkedIdentity, handle: str) -> IdentityLink:
        """Returns whose an identity is; see ``LinkRegister.log_in``. A refusal is logged.

        Raises:
            PolicyRefused: nobody's, or the person may not look.
        """
        try:
            return self.links.log_in(identity, handle)
        except PolicyRefused:
            self.refuse("")
            raise

    def use_step(self, public_key: str, step: int) -> None:
        """Uses a one-time step of an account, once, and forgets the failures before it.

        Raises:
            PolicyRefused: it, or a later one, was used.
        """
        with self._store.read() as session:
            named = select(AccountRow).filter_by(public_key=public_key, until=None)
            row = session.scalars(named.limit(1)).first()
        if row is None:
            raise PolicyRefused("there is no account under this key")
        with self._folder.attempts() as known:
            tried = known.get(public_key, FailedLogins())
            if step <= tried.step:
                raise PolicyRefused(
                    "this code was used already: wait for the next one, half a minute at most"
                )
            if tried.unlogged:
                self._log_refused(row.person, tried.unlogged)
            known[public_key] = FailedLogins(step=step, logged=tried.logged)
            known.pop(_codes_of(public_key), None)

    def _log_refused(self, person: str | None, refused: int) -> None:
        with self._store.transaction() as transaction:
            row = RefusedLoginRow(at=write_time(self._clock()), person=person, refused=refused)
            transaction.log([row_entry(transaction, "login-refused", row)], self._key)

    def _end(self, name: str, at: str, new: Sequence[AccountRow]) -> frozenset[str]:
        """Ends a person's accounts and writes new ones; returns the digests of the ended boxes."""
        with self._store.transaction() as transaction:
            rows = [
                row
                for row in _standing(transaction.session)
                if same_name(row.person) == same_name(name)
            ]
            entries = []
            for row in rows:
                row.until = at
                entries.append(row_entry(transaction, "account-ended", row))
            entries += [row_entry(transaction, "account-set", row) for row in new]
            if entries:
                transaction.log(entries, self._key)
            return frozenset(row.box for row in rows)

    def _clear(self, public_key: str) -> None:
        with self._folder.attempts() as known:
            tried = known.get(public_key, FailedLogins())
            known[public_key] = replace(tried, failures=0, last=0.0)
            known.pop(_codes_of(public_key), None)

    def _require_administrator(self, name: str) -> None:
        with self._store.read() as session:
            people = people_in(session)
        roles = next((one.roles for one in people if same_name(one.name) == same_name(name)), ())
        if Role.ADMINISTRATOR not in roles:
            raise PolicyRefused(f"{name} removes their own account; an administrator, anybody's")


def answer_login(register: AccountRegister, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the answer to a step of a login that no key signs yet; see ``AccountRegister``.

    Args:
        register: the accounts.
        asked: ``ask`` is attempt, code or refuse, with ``name``; step, with ``key`` and ``step``;
            or identify, with ``issuer``, ``subject`` and ``session``.

    Raises:
        MessageRefused: it is none of these.
        PolicyRefused: the step was used, or the identity is nobody's who may look.
    """
    what, name = asked.get("ask"), str(asked.get("name", ""))
    if what in ("attempt", "code"):
        return register.attempt(name, is_code=what == "code").to_json()
    if what == "refuse":
        register.refuse(name)
    elif what == "identify":
        issuer, subject = str(asked.get("issuer", "")), str(asked.get("subject", ""))
        identity = LinkedIdentity(issuer=issuer, subject=subject)
        return register.identify(identity, str(asked.get("session", ""))).to_json()
    elif what == "step" and type(asked.get("step")) is int:
        register.use_step(str(asked.get("key", "")), asked["step"])
    else:
        raise MessageRefused("a login asks for an attempt, a refusal, a step or an identity")
    return {}


def _codes_of(public_key: str) -> str:
    """Returns the place of the attempts at codes of somebody who has logged in."""
    return f"{public_key} codes"


def _standing(session: Session) -> Sequence[AccountRow]:
    query = select(AccountRow).where(AccountRow.until.is_(None))
    return session.scalars(query.order_by(AccountRow.person, AccountRow.id)).all()


def _account(session: Session, name: str) -> AccountRow | None:
    """Returns the account of a name, however it is spelled."""
    rows = [row for row in _standing(session) if same_name(row.person) == same_name(name)]
    return rows[-1] if rows else None


def _is_usable(person: Person, row: AccountRow, now: datetime) -> bool:
    """Whether a person's key is good, and the account is still that of this key."""
    try:
        person.require_usable(write_time(now))
    except PolicyRefused:
        return False
    return person.name == row.person
