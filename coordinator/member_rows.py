"""What the consortium remembers of its members, and how it is held to the log.

Rules:

1. Every write of a row is one entry of the log: what was done, and the digest
   of the whole row afterwards. A row counts its own writes (``revision``).
2. So each row must be one that was logged, and all revisions together must be
   as many as the entries: a changed, added or removed row is found, and so is
   one that was put back to what it said before.
3. Of a token only the hash is kept.
"""

import json
from collections.abc import Sequence

from sqlalchemy import LargeBinary, String, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from compliance.audit_log import LoggedEntry
from coordinator.store import Base
from protocol.encoding import Json, digest_json
from protocol.errors import FederationError, StoreBroken
from protocol.identity import SignedRoster, parse_roster, require_founding, require_quorum

#: What is done to these rows, as the log calls it.
ACTS = frozenset(
    {
        "invited", "invitation-used", "invitation-withdrawn",
        "enrolled", "key-announced", "key-withdrawn", "key-adopted", "key-replaced", "revoked",
        "certified", "certificate-revoked",
        "roster-proposed", "roster-vote", "roster-signed", "roster-withdrawn",
    }
)  # fmt: skip


class MemberRecord(Base):
    """Base of the rows of this file."""

    __abstract__ = True
    revision: Mapped[int]


class InvitationRow(MemberRecord):
    """A one-time token, by its SHA-256; state is open, used or withdrawn."""

    __tablename__ = "invitation"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    site: Mapped[str] = mapped_column(String(63), index=True)
    state: Mapped[str] = mapped_column(String(16))
    expires: Mapped[str] = mapped_column(String(32))
    used_at: Mapped[str | None] = mapped_column(String(32))


class MemberRow(MemberRecord):
    """A hospital under one identity key.

    State is enrolled; announced (its next key, which no roster names yet);
    replaced, withdrawn or revoked (a key that speaks no longer).
    """

    __tablename__ = "member"
    public_key: Mapped[str] = mapped_column(String(64), primary_key=True)
    site: Mapped[str] = mapped_column(String(63), index=True)
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)


class CertificateRow(MemberRecord):
    """A certificate that the authority issued; its own stand under the site "coordinator"."""

    __tablename__ = "certificate"
    serial: Mapped[str] = mapped_column(String(40), primary_key=True)
    site: Mapped[str] = mapped_column(String(63), index=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    not_after: Mapped[str] = mapped_column(String(32))
    revoked_at: Mapped[str | None] = mapped_column(String(32))


class RosterRow(MemberRecord):
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


TABLES: tuple[type[MemberRecord], ...] = (InvitationRow, MemberRow, CertificateRow, RosterRow)


def row_digest(row: MemberRecord) -> str:
    """Returns the digest of all that a row says, and of the table that it is in."""
    said: dict[str, Json] = {"table": row.__tablename__}
    for column in row.__table__.columns:
        value = getattr(row, column.name)
        said[column.name] = value.hex() if isinstance(value, bytes) else value
    return digest_json(said)


def require_logged(session: Session, entries: Sequence[LoggedEntry]) -> None:
    """Checks invitations, members, certificates and rosters against the whole log.

    Raises:
        StoreBroken: a row is not one that was logged, or the chain of signed
            rosters is not what their members can have signed.
    """
    contents = [entry.content for entry in entries]
    logged = [content.payload for content in contents if content.type in ACTS]
    known, revisions = set(logged), 0
    for table in TABLES:
        for row in session.scalars(select(table)):
            if row_digest(row) not in known:
                raise StoreBroken(f"a row of the table {row.__tablename__} is not in the log")
            revisions += row.revision
    if revisions != len(logged):
        raise StoreBroken(
            f"members, invitations, certificates and rosters were written {len(logged)} times, "
            f"their rows say {revisions}: one was removed or put back"
        )
    _require_chain(session)


def _require_chain(session: Session) -> None:
    rows = session.scalars(select(RosterRow).filter_by(state="signed").order_by(RosterRow.version))
    before = None
    for row in rows:
        try:
            signed = row.signed
            before = require_founding(signed) if before is None else require_quorum(signed, before)
        except FederationError as error:
            raise StoreBroken(f"roster {row.version} is not what its members signed") from error
