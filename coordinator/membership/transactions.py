"""Writing the rows of members: each write with its entry of the log, all in one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.audit.log import NewEntry
from coordinator.database.store import LoggedRow, Store, Transaction
from coordinator.membership.tables import (
    CertificateRow,
    InvitationRow,
    MemberRow,
    RosterRow,
)
from protocol.errors import MessageRefused
from protocol.identity.roster import Member, Roster, SignedRoster, SigningKey
from protocol.transport.enrolment import EnrolmentRequest


@contextmanager
def acting(store: Store, key: SigningKey) -> Iterator["MemberActs"]:
    """Yields a transaction in which rows are written; what was done is logged at its end."""
    with store.transaction() as transaction:
        acts = MemberActs(transaction)
        yield acts
        if acts.entries:
            transaction.log(acts.entries, key)


class MemberActs:
    """Rows that are written in one transaction, each with its entry of the log."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.session = transaction.session
        self.entries: list[NewEntry] = []

    def write(self, act: str, row: LoggedRow) -> None:
        """Writes a row as it now is."""
        record = self._transaction.write(row)
        self.entries.append(NewEntry(type=act, run_id=None, payload=record, record=record))

    def members(self, site: str, *states: str) -> list[MemberRow]:
        """Returns a site's rows in these states."""
        return members_in(self.session, site, *states)

    def enrolled(self, site: str) -> MemberRow:
        """Returns the row under whose key a site signs.

        Raises:
            MessageRefused: there is none.
        """
        rows = self.members(site, "enrolled")
        if not rows:
            raise MessageRefused(f"site {site!r} is not enrolled")
        return rows[0]

    def find_place(self, asked: EnrolmentRequest) -> MemberRow | None:
        """Returns the row of a site that comes again, or None for one that comes first."""
        known = self.session.get(MemberRow, asked.public_key)
        enrolled = self.members(asked.site, "enrolled")
        if not enrolled:
            require_new(known)
            return None
        if known is not enrolled[0]:
            raise MessageRefused(
                f"{asked.site} is enrolled with another identity key: the coordinator revokes "
                "it before another one comes"
            )
        return known

    def use(self, invitation: InvitationRow, now: str) -> None:
        """Ends an invitation whose token was shown."""
        invitation.state, invitation.used_at = "used", now
        self.write("invitation-used", invitation)

    def withdraw_invitations(self, site: str) -> bool:
        """Ends a site's open invitations; returns whether there were any."""
        query = select(InvitationRow).filter_by(site=site, state="open")
        found = self.session.scalars(query).all()
        for row in found:
            row.state = "withdrawn"
            self.write("invitation-withdrawn", row)
        return bool(found)

    def revoke_certificates(self, site: str, now: str) -> None:
        """Ends a site's certificates that have not expired."""
        query = select(CertificateRow).filter_by(site=site, revoked_at=None)
        for row in self.session.scalars(query.where(CertificateRow.not_after > now)).all():
            row.revoked_at = now
            self.write("certificate-revoked", row)

    def proposal(self) -> RosterRow | None:
        """Returns the roster that waits for signatures."""
        return proposed_row(self.session)

    def newest_roster(self) -> SignedRoster | None:
        """Returns the newest signed roster."""
        return newest_roster(self.session)

    def withdraw_proposal(self) -> None:
        """Ends the roster that waits for signatures: it no longer says what is true."""
        row = self.proposal()
        if row is not None:
            row.state = "withdrawn"
            self.write("roster-withdrawn", row)

    def adopt_keys(self, roster: Roster) -> None:
        """Lets members sign with the new keys that a signed roster gives them."""
        for row in members_in(self.session, None, "announced"):
            if names(roster, row):
                before = self.enrolled(row.site)
                before.state = "replaced"
                self.write("key-replaced", before)
                row.state = "enrolled"
                self.write("key-adopted", row)


def names(roster: Roster, row: MemberRow) -> bool:
    """Whether a roster names a site with this very key."""
    return Member(site=row.site, public_key=row.public_key) in roster.members


def require_new(known: MemberRow | None) -> None:
    """Refuses an identity key that any site has used before.

    Raises:
        MessageRefused: the key has a row.
    """
    if known is not None:
        raise MessageRefused("this identity key was used before: make a new one")


def members_in(session: Session, site: str | None, *states: str) -> list[MemberRow]:
    """Returns the rows in these states, of one site or of all, by site."""
    query = select(MemberRow).where(MemberRow.state.in_(states)).order_by(MemberRow.site)
    return list(session.scalars(query if site is None else query.filter_by(site=site)))


def proposed_row(session: Session) -> RosterRow | None:
    """Returns the roster that waits for signatures."""
    return session.scalars(select(RosterRow).filter_by(state="proposed")).one_or_none()


def newest_roster(session: Session) -> SignedRoster | None:
    """Returns the newest signed roster, or None before the first."""
    query = select(RosterRow).filter_by(state="signed").order_by(RosterRow.version.desc())
    row = session.scalars(query.limit(1)).first()
    return None if row is None else row.signed
