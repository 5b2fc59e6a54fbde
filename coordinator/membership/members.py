"""The members of the consortium: invited, enrolled, certified, in a roster, revoked.

Rules:

1. A token is good once, for one site, for 72 hours; whatever is wrong with
   one, the refusal says the same. A newer invitation of a site ends the older.
2. A certificate is not a vote. A hospital counts from the roster that the
   members before it signed; the first roster is signed by all that it names.
3. An enrolled site keeps its identity key: another key comes by an announcement
   that the old key signed and a roster, or after the site was revoked.
4. Every act is an entry of the log, in the same transaction (``tables``).
"""

import secrets
from contextlib import AbstractContextManager
from dataclasses import dataclass

from cryptography import x509
from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.database.store import Store
from coordinator.membership.authority import Authority
from coordinator.membership.certificates import fingerprint, pem, write_serial
from coordinator.membership.rosters import Rosters
from coordinator.membership.tables import CertificateRow, InvitationRow, MemberRow
from coordinator.membership.transactions import (
    MemberActs,
    acting,
    members_in,
    names,
    newest_roster,
    require_new,
)
from protocol.encoding import digest
from protocol.errors import MessageRefused, StoreBroken
from protocol.identity.roster import COORDINATOR, SignedRoster, SigningKey
from protocol.identity.timestamps import write_time
from protocol.transport.enrolment import (
    INVITATION_LIFE,
    TOKEN_BYTES,
    CertificateReply,
    EnrolmentInvitation,
    next_port,
    parse_enrolment_request,
    parse_key_change,
    parse_renewal_request,
    to_bytes,
)

_MAX_REASON = 500


@dataclass(frozen=True, kw_only=True)
class MemberStatus:
    """The membership status of a site, for the coordinator's people.

    State is invited, lapsed (invited, but the invitation expired), enrolled or
    revoked; ``roster`` is the version of the newest signed roster when it names
    this key, so that the site has a vote.
    """

    site: str
    state: str
    public_key: str | None
    certificate_until: str | None
    roster: int | None
    reason: str | None


class Members:
    """The register of members. Safe to use from several threads and processes.

    Args:
        store: the consortium's database.
        authority: issues the certificates; its clock is this register's.
        key: signs the log; the root's certificate names its public half.

    ``rosters`` is where the roster is proposed and signed.

    Raises:
        StoreBroken: the root's certificate names another key.
    """

    def __init__(self, store: Store, authority: Authority, key: SigningKey) -> None:
        self._store, self._authority, self._key = store, authority, key
        if authority.identity.key != key.public:
            raise StoreBroken(
                "coordinator.key is not the key that tls/root.pem names: restore both from one "
                "backup"
            )
        self.rosters = Rosters(store, key, authority)

    def record_own_certificates(self) -> None:
        """Records the authority's own certificates that are new, the server's among them."""
        with self._acts() as acts:
            for certificate in self._authority.own_certificates:
                if acts.session.get(CertificateRow, write_serial(certificate)) is None:
                    acts.write("certified", _certificate_row(COORDINATOR, certificate))

    def invite(self, site: str, url: str, enrol_url: str | None = None) -> EnrolmentInvitation:
        """Returns an invitation; it is not kept, only its token's hash is.

        Args:
            site: the hospital's name, of which an older invitation ends.
            url: where hospitals reach the coordinator, ``https://host:port``.
            enrol_url: where this one enrols; the next port when None.

        Raises:
            MessageRefused: a hospital cannot have this name, or the URL is none.
        """
        expires = write_time(self._authority.clock() + INVITATION_LIFE)
        try:
            invitation = EnrolmentInvitation(
                site=site,
                url=url,
                enrol_url=enrol_url or next_port(url),
                root=self._authority.root_pem,
                token=secrets.token_bytes(TOKEN_BYTES),
                expires=expires,
            )
        except ValueError as error:
            raise MessageRefused(f"no invitation can be made for {site!r}: {error}") from error
        row = InvitationRow(
            token_hash=digest(invitation.token), site=site, state="open", expires=expires
        )
        with self._acts() as acts:
            acts.withdraw_invitations(site)
            acts.write("invited", row)
        return invitation

    def enrol(self, request: bytes) -> bytes:
        """Answers an ``EnrolmentRequest`` with a ``CertificateReply``.

        A site that is enrolled may come again with the same identity key, by
        another invitation; its earlier certificates end.

        Raises:
            MessageRefused: the request is damaged; the token is unknown, another
                site's, expired or used; or the identity key may not be this site's.
        """
        asked = parse_enrolment_request(request)
        with self._store.read() as session:  # an unproven peer cannot hold up a writer
            self._require_open(session.get(InvitationRow, digest(asked.token)), asked.site)
        with self._acts() as acts:
            invitation = self._require_open(
                acts.session.get(InvitationRow, digest(asked.token)), asked.site
            )
            row = acts.find_place(asked)
            if row is None:
                row = MemberRow(public_key=asked.public_key, site=asked.site, state="enrolled")
                acts.write("enrolled", row)
            acts.use(invitation, write_time(self._authority.clock()))
            acts.revoke_certificates(asked.site, write_time(self._authority.clock()))
            chain = self._certify(acts, asked.csr, asked.site)
        return to_bytes(CertificateReply(chain=chain))

    def renew(self, site: str, request: bytes) -> bytes:
        """Answers a ``RenewalRequest`` of an authenticated site with a ``CertificateReply``.

        Raises:
            MessageRefused: the request is damaged, another site's, not signed
                with the site's identity key, or the site is not enrolled.
        """
        with self._acts() as acts:
            public = bytes.fromhex(acts.enrolled(site).public_key)
            asked = parse_renewal_request(request, site, public)
            chain = self._certify(acts, asked.csr, site)
        return to_bytes(CertificateReply(chain=chain))

    def revoke(self, site: str, reason: str) -> None:
        """Ends a site's certificates, keys and invitations, and the roster that is proposed.

        It stands in the signed roster until the others sign one without it.

        Raises:
            MessageRefused: the site is neither enrolled nor invited.
        """
        with self._acts() as acts:
            invited = acts.withdraw_invitations(site)
            speaking = acts.members(site, "enrolled", "announced")
            if not speaking and not invited:
                raise MessageRefused(f"site {site!r} is neither enrolled nor invited")
            for row in speaking:
                row.state, row.reason = "revoked", reason[:_MAX_REASON]
                acts.write("revoked", row)
            acts.revoke_certificates(site, write_time(self._authority.clock()))
            if speaking:
                acts.withdraw_proposal()

    def announce_key(self, site: str, announcement: bytes) -> None:
        """Takes a member's ``KeyChange``; the next proposed roster names the new key.

        Raises:
            MessageRefused: the announcement is damaged or not genuine, the site
                is in no signed roster, or the new key was used before.
        """
        with self._acts() as acts:
            now = acts.enrolled(site)
            public = bytes.fromhex(now.public_key)
            change = parse_key_change(announcement, site, public)
            current = acts.newest_roster()
            if current is None or not names(current.roster, now):
                raise MessageRefused(
                    f"{site} is in no signed roster: it is revoked and invited again instead"
                )
            known = acts.session.get(MemberRow, change.after)
            if known is not None and (known.site, known.state) == (site, "announced"):
                return
            require_new(known)
            for row in acts.members(site, "announced"):
                row.state = "withdrawn"
                acts.write("key-withdrawn", row)
            acts.write(
                "key-announced", MemberRow(public_key=change.after, site=site, state="announced")
            )
            acts.withdraw_proposal()

    def is_anybody_invited(self) -> bool:
        """Whether an invitation is open, so that somebody may come to enrol."""
        now = write_time(self._authority.clock())
        wanted = select(InvitationRow.site).where(
            InvitationRow.state == "open", InvitationRow.expires > now
        )
        with self._store.read() as session:
            return session.scalars(wanted.limit(1)).first() is not None

    def certificate_allowed(self, serial: str, site: str) -> bool:
        """Whether a certificate, by its serial number in hexadecimal, is this site's and good."""
        now = write_time(self._authority.clock())
        with self._store.read() as session:
            row = session.get(CertificateRow, serial.lower().zfill(40))
            if row is None or row.revoked_at is not None or row.not_after <= now:
                return False
            return row.site == site != COORDINATOR

    def identity_key(self, site: str) -> bytes | None:
        """Returns the public key with which a site signs, or None unless it is enrolled."""
        with self._store.read() as session:
            rows = members_in(session, site, "enrolled")
            return bytes.fromhex(rows[0].public_key) if rows else None

    def listing(self) -> list[MemberStatus]:
        """Returns every site that was ever invited, by name."""
        with self._store.read() as session:
            return member_statuses(session, write_time(self._authority.clock()))

    def _certify(self, acts: MemberActs, csr: str, site: str) -> str:
        chain = self._authority.certify(csr, site)
        acts.write("certified", _certificate_row(site, chain[0]))
        return pem(*chain)

    def _require_open(self, row: InvitationRow | None, site: str) -> InvitationRow:
        now = write_time(self._authority.clock())
        if row is None or (row.site, row.state) != (site, "open") or row.expires <= now:
            raise MessageRefused(
                "the invitation is unknown, used, expired or another site's: ask the coordinator "
                "for a new one"
            )
        return row

    def _acts(self) -> AbstractContextManager[MemberActs]:
        return acting(self._store, self._key)


def _certificate_row(site: str, certificate: x509.Certificate) -> CertificateRow:
    return CertificateRow(
        serial=write_serial(certificate),
        site=site,
        fingerprint=fingerprint(certificate),
        not_after=write_time(certificate.not_valid_after_utc),
    )


def member_statuses(session: Session, now: str) -> list[MemberStatus]:
    """Returns every site that was ever invited, by name, as of a time."""
    current = newest_roster(session)
    sites = set(session.scalars(select(InvitationRow.site)))
    return [_status(session, site, current, now) for site in sorted(sites)]


def _status(session: Session, site: str, current: SignedRoster | None, now: str) -> MemberStatus:
    enrolled = members_in(session, site, "enrolled")
    revoked = members_in(session, site, "revoked")
    opened = select(InvitationRow.expires).filter_by(site=site, state="open")
    expires = session.scalars(opened).first()
    invited = expires is not None and expires > now
    state = "enrolled" if enrolled else "invited" if invited else "lapsed"
    if state == "lapsed" and (revoked or expires is None):
        state = "revoked"
    row = next(iter(enrolled or revoked[::-1]), None)
    good = select(CertificateRow.not_after).filter_by(site=site, revoked_at=None)
    in_roster = bool(enrolled) and current is not None and names(current.roster, enrolled[0])
    return MemberStatus(
        site=site,
        state=state,
        public_key=None if row is None else row.public_key,
        certificate_until=max(session.scalars(good), default=None) if enrolled else None,
        roster=current.roster.version if current is not None and in_roster else None,
        reason=row.reason if row is not None and state == "revoked" else None,
    )
