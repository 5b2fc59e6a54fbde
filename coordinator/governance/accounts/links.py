"""The register of links: which identity at a provider of OpenID Connect is which person.

Rules:

1. Two people link an identity; it is linked to a person under one key, so that a new key needs a
   new link. One person ends it.
2. An identity is linked to one person, and a person to one identity of an issuer.
3. A login by a link lets its person look and signs nothing. It is logged, one entry an hour and
   link at most, with how many there were.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.governance.access.linked_identity import LinkedIdentity
from compliance.governance.access.lock_out import FailedLogins
from compliance.governance.access.looking import require_look
from compliance.governance.people import TRUSTED, same_name
from compliance.storage.clock import Clock, utc_now
from coordinator.database.store import Store
from coordinator.governance.accounts.folder import AccountFolder
from coordinator.governance.accounts.log_entries import counted_for_log, row_entry
from coordinator.governance.accounts.tables import IdentityLinkRow, IdentityLoginRow
from coordinator.governance.governance import Authorised
from coordinator.governance.people_register import people_in, person_with_key, policy_in
from protocol.errors import MessageRefused, PolicyRefused
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import write_time

_HANDLE = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, kw_only=True)
class IdentityLink:
    """A link that stands: whose, under which key, to which identity, since when."""

    person: str
    public_key: str
    issuer: str
    subject: str
    since: str

    def to_json(self) -> dict[str, Any]:
        """Returns the link as ``--json`` shows it."""
        return dict(vars(self))


def links_in(session: Session) -> tuple[IdentityLink, ...]:
    """Returns the links that stand, by the person's name."""
    return tuple(
        IdentityLink(
            person=row.person,
            public_key=row.public_key,
            issuer=row.issuer,
            subject=row.subject,
            since=row.since,
        )
        for row in _standing(session)
    )


def require_linked(session: Session, public_key: str, identity: LinkedIdentity) -> None:
    """Checks that an identity is linked to whoever has a key, now.

    Raises:
        PolicyRefused: the link has ended.
    """
    row = _of_identity(session, identity)
    if row is None or row.public_key != public_key:
        raise PolicyRefused("the link to this identity has ended: log in with your account")


class LinkRegister:
    """The links over one consortium's database.

    Args:
        store: the consortium's database.
        key: signs the log.
        folder: counts logins that were not logged yet.
        clock: says what time it is.
    """

    def __init__(
        self, store: Store, key: SigningKey, folder: AccountFolder, clock: Clock = utc_now
    ) -> None:
        self._store, self._key, self._folder, self._clock = store, key, folder, clock

    def link(self, taken: Authorised, _payload: Mapping[str, Any]) -> dict[str, Any]:
        """Links an identity to a person, once two people have signed it.

        Raises:
            PolicyRefused: there is no such person under the key, or one of the two is linked.
        """
        said = taken.request.details
        identity = LinkedIdentity(
            issuer=str(said.get("issuer", "")), subject=str(said.get("subject", ""))
        )
        with self._store.transaction() as transaction:
            known = {(one.name, one.public_key) for one in people_in(transaction.session)}
            if (taken.request.subject, said.get("key")) not in known:
                raise PolicyRefused(
                    f"{taken.request.subject!r} has no such key: collegium people list"
                )
            for row in _standing(transaction.session):
                _require_other(row, taken.request.subject, identity)
            row = IdentityLinkRow(
                person=taken.request.subject,
                public_key=str(said.get("key")),
                issuer=identity.issuer,
                subject=identity.subject,
                since=taken.at,
                act=taken.act or "",
            )
            transaction.log([row_entry(transaction, "identity-linked", row)], self._key)
        return {"person": taken.request.subject}

    def unlink(self, taken: Authorised, _payload: Mapping[str, Any]) -> dict[str, Any]:
        """Ends all links of a person: one's own, or as one who confirms changes anybody's.

        Raises:
            PolicyRefused: somebody else asks, or there is none.
        """
        name = taken.request.subject
        with self._store.transaction() as transaction:
            people = people_in(transaction.session)
            roles = next((one.roles for one in people if one.name == taken.person), frozenset())
            if same_name(name) != same_name(taken.person) and roles.isdisjoint(TRUSTED):
                raise PolicyRefused(
                    f"{taken.person} ends their own login; anybody's, whoever confirms changes"
                )
            entries = []
            for row in _standing(transaction.session):
                if same_name(row.person) == same_name(name):
                    row.until = taken.at
                    entries.append(row_entry(transaction, "identity-unlinked", row))
            if not entries:
                raise PolicyRefused(f"{name!r} has no linked login: collegium people account links")
            transaction.log(entries, self._key)
        return {"person": name}

    def log_in(self, identity: LinkedIdentity, handle: str) -> IdentityLink:
        """Returns whose an identity is, who may look now; the login is logged.

        Args:
            identity: as the provider has signed it.
            handle: names the session in the log; no secret.

        Raises:
            PolicyRefused: nobody is linked to it, or the person may not look.
            MessageRefused: the handle has another form.
        """
        if not _HANDLE.fullmatch(handle):
            raise MessageRefused("a session is named by 16 hexadecimal digits")
        now = self._clock()
        with self._store.read() as session:
            row = _of_identity(session, identity)
            if row is None:
                raise PolicyRefused("nobody is linked to this identity")
            found = person_with_key(session, row.public_key)
            person = require_look(found, policy_in(session), None, write_time(now))
            if person.name != row.person:
                raise PolicyRefused("the link is of another person")
            number = row.id
        link = IdentityLink(
            person=person.name,
            public_key=person.public_key,
            issuer=identity.issuer,
            subject=identity.subject,
            since=row.since,
        )
        self._note(number, link, handle, now.timestamp())
        return link

    def _note(self, number: int, link: IdentityLink, handle: str, now: float) -> None:
        """Logs a login at once, then once an hour how many there were."""
        place = f"link {number}"
        with self._folder.attempts() as known:
            known[place], logins = counted_for_log(known.get(place, FailedLogins()), now)
            if not logins:
                return
            with self._store.transaction() as transaction:
                row = IdentityLoginRow(
                    at=write_time(self._clock()),
                    link=number,
                    person=link.person,
                    session=handle,
                    logins=logins,
                )
                transaction.log([row_entry(transaction, "identity-login", row)], self._key)


def _require_other(row: IdentityLinkRow, name: str, identity: LinkedIdentity) -> None:
    if (row.issuer, row.subject) == (identity.issuer, identity.subject):
        raise PolicyRefused(f"this identity is {row.person}'s: end that link before")
    if row.issuer == identity.issuer and same_name(row.person) == same_name(name):
        raise PolicyRefused(
            f"{row.person} is linked at this issuer: end that link before (collegium people "
            "account unlink)"
        )


def _standing(session: Session) -> Sequence[IdentityLinkRow]:
    query = select(IdentityLinkRow).where(IdentityLinkRow.until.is_(None))
    return session.scalars(query.order_by(IdentityLinkRow.person, IdentityLinkRow.id)).all()


def _of_identity(session: Session, identity: LinkedIdentity) -> IdentityLinkRow | None:
    named = select(IdentityLinkRow).filter_by(subject=identity.subject, until=None)
    found = [row for row in session.scalars(named) if row.issuer == identity.issuer]
    return found[0] if len(found) == 1 else None
