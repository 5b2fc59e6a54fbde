"""Tables of the consortium's members: invitations, keys, certificates, rosters.

Every write of a row is one entry of the log (``store.LoggedRow``). Of a token
only the hash is kept.
"""

import json

from sqlalchemy import LargeBinary, String, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from coordinator.database.store import LoggedRow
from protocol.errors import FederationError, StoreBroken
from protocol.identity.roster import SignedRoster, parse_roster, require_founding, require_quorum


class InvitationRow(LoggedRow):
    """A one-time token, by its SHA-256; state is open, used or withdrawn."""

    __tablename__ = "invitation"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    site: Mapped[str] = mapped_column(String(63), index=True)
    state: Mapped[str] = mapped_column(String(16))
    expires: Mapped[str] = mapped_column(String(32))
    used_at: Mapped[str | None] = mapped_column(String(32))


class MemberRow(LoggedRow):
    """A hospital under one identity key.

    State is enrolled; announced (its next key, which no roster names yet);
    replaced, withdrawn or revoked (a key that speaks no longer).
    """

    __tablename__ = "member"
    public_key: Mapped[str] = mapped_column(String(64), primary_key=True)
    site: Mapped[str] = mapped_column(String(63), index=True)
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)


class CertificateRow(LoggedRow):
    """A certificate that the authority issued; its own stand under the site "coordinator"."""

    __tablename__ = "certificate"
    serial: Mapped[str] = mapped_column(String(40), primary_key=True)
    site: Mapped[str] = mapped_column(String(63), index=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    not_after: Mapped[str] = mapped_column(String(32))
    revoked_at: Mapped[str | None] = mapped_column(String(32))


class RosterRow(LoggedRow):
    """A roster's canonical bytes and the members' signatures; proposed, signed or withdrawn."""

    __tablename__ = "roster"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(index=True)
    document: Mapped[bytes] = mapped_column(LargeBinary)
    signatures_json: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))

    @property
    def signed(self) -> SignedRoster:
        """The roster with its signatures.

        Raises:
            MessageRefused: the roster's bytes were changed.
            ValueError: the signatures were.
        """
        votes = json.loads(self.signatures_json).items()
        return SignedRoster(
            roster=parse_roster(self.document),
            signatures={site: bytes.fromhex(signature) for site, signature in votes},
        )


def require_chain(session: Session) -> None:
    """Checks that every signed roster is what the members of the one before can have signed.

    Raises:
        StoreBroken: one is not.
    """
    rows = session.scalars(select(RosterRow).filter_by(state="signed").order_by(RosterRow.version))
    before = None
    for row in rows:
        try:
            signed = row.signed
            before = require_founding(signed) if before is None else require_quorum(signed, before)
        except FederationError as error:
            raise StoreBroken(f"roster {row.version} is not what its members signed") from error
