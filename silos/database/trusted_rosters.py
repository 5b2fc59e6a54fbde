"""The rosters that one hospital trusts, each checked against the one before it.

Rules:

1. The first roster that a hospital keeps names the hospital itself, with its
   own key.
2. What follows a kept roster carries the signatures of a quorum of that one's
   members (``roster.require_quorum``), whether it still names this hospital
   or not. One that names this hospital's next key makes it the hospital's own.
3. The founding roster carries every member's signature (``require_founding``),
   so this hospital's own: its people have compared it before they signed.
4. The first roster of a hospital that comes later is kept only when its people
   have compared the fingerprint with other members and say so.
5. A hospital may leave its chain, and so trust nothing of it any more. Its
   identity key goes with it: what was signed for the old chain names a key that
   this hospital no longer has, and founds nothing (rule 1).
6. Nothing begins under a roster after it has expired, nor later than a week
   after this hospital has signed or kept the one that follows it: a coordinator
   that keeps the next roster to itself keeps nobody in. What was signed is
   written down before the signature leaves.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from protocol.errors import MessageRefused, PolicyRefused, QuorumLost, StoreBroken
from protocol.identity.roster import (
    Roster,
    SignedRoster,
    SigningKey,
    parse_roster,
    require_founding,
    require_quorum,
    sign_roster,
)
from protocol.identity.timestamps import read_time, write_time
from silos.database.database import SiteDatabase
from silos.database.identity_keys import IdentityKeys, next_key, own_key, replace_key
from silos.database.tables import DepartureRow, HospitalRow, SignedRosterRow, TrustedRosterRow

#: For how long something may still begin under a roster after its successor was signed here.
SUCCESSOR_GRACE = timedelta(days=7)
_MAX_REASON = 2000


@dataclass(frozen=True, kw_only=True)
class RosterTerm:
    """Until when something may begin under a trusted roster, and what ends it."""

    roster: Roster
    ends: str
    reason: str


class TrustedRosters:
    """The chain of rosters in a hospital's database."""

    def __init__(self, hospital: SiteDatabase) -> None:
        self._hospital = hospital

    def newest(self) -> Roster | None:
        """Returns the newest trusted roster, or None before the first.

        Raises:
            StoreBroken: the chain was changed.
        """
        with self._hospital.session() as session:
            chain = _chain(session)
        return chain[-1] if chain else None

    def kept(self, digest: str) -> Roster:
        """Returns a roster that was trusted here once, by its digest.

        Raises:
            PolicyRefused: it never was, or its chain was left.
            StoreBroken: the chain was changed.
        """
        with self._hospital.session() as session:
            chain = _chain(session)
        for roster in chain:
            if roster.digest == digest:
                return roster
        raise PolicyRefused("the run's roster is not one that this hospital has trusted")

    def all(self) -> tuple[Roster, ...]:
        """Returns every roster that was ever trusted here, of chains that were left too.

        Raises:
            StoreBroken: one cannot be read, or the present chain was changed.
        """
        with self._hospital.session() as session:
            _chain(session)
            rows = session.scalars(select(TrustedRosterRow).order_by(TrustedRosterRow.number))
            return tuple(_signed(row).roster for row in rows)

    def keep(self, signed: SignedRoster, *, compared: str | None = None) -> Roster:
        """Keeps a roster that the rules allow, and returns it; again changes nothing.

        In the same transaction the next identity key becomes the hospital's
        own, where the roster names it.

        Args:
            signed: the roster and its members' signatures.
            compared: the roster's digest, from people who compared it with other
                members; needed only where rule 4 applies.

        Raises:
            PolicyRefused: the hospital does not stand in it, or nobody compared it.
            MessageRefused: a signature is wrong, or it does not follow what is kept.
            QuorumLost: too few have signed.
        """
        roster, site, keys = signed.roster, self._hospital.site, self._hospital.keys
        with self._hospital.session() as session:
            chain = _chain(session)
            if chain and roster == chain[-1]:
                return roster
            if chain:
                require_quorum(signed, chain[-1])
            else:
                _require_first(signed, site, own_key(session, keys), compared)
            session.add(_row(signed, _count(session) + 1, self._hospital.now()))
            coming = next_key(session, keys)
            if coming is not None and _names(roster, site, coming):
                replace_key(session, coming.public.hex(), self._hospital.now())
        IdentityKeys(self._hospital).forget_former()
        return roster

    def sign(self, roster: Roster, key: SigningKey) -> bytes:
        """Returns this hospital's signature under a roster, after writing down that it was made.

        Again, the same one; the first time counts.
        """
        signature = sign_roster(roster, key)
        with self._hospital.session() as session:
            if session.get(SignedRosterRow, roster.digest) is None:
                row = SignedRosterRow(digest=roster.digest, previous=roster.previous)
                row.document, row.signature = roster.canonical_bytes, signature
                row.signed_at = self._hospital.now()
                session.add(row)
        return signature

    def term(self, digest: str) -> RosterTerm:
        """Returns until when something may begin under a roster of the trusted chain.

        Raises:
            PolicyRefused: the roster is not of that chain.
            StoreBroken: the chain was changed.
        """
        with self._hospital.session() as session:
            chain, kept = _chain(session), _kept_at(session)
            query = select(SignedRosterRow).filter_by(previous=digest)
            signed = [(row.signed_at, row.document) for row in session.scalars(query)]
        found = [roster for roster in chain if roster.digest == digest]
        if not found:
            raise PolicyRefused("the run's roster is not one that this hospital has trusted")
        (roster,) = found
        terms = [RosterTerm(roster=roster, ends=roster.valid_until, reason="it expires")]
        for successor in chain:
            if successor.previous == digest:
                terms.append(_followed(roster, kept[successor.digest], "keeps", successor))
        for when, document in signed:
            terms.append(_followed(roster, when, "signed", parse_roster(document)))
        return min(terms, key=lambda term: term.ends)

    def require_current(self, digest: str) -> Roster:
        """Returns a trusted roster under which something may still begin now.

        Raises:
            PolicyRefused: it has expired, or its successor was signed or kept here a week ago.
        """
        term = self.term(digest)
        if self._hospital.now() >= term.ends:
            raise PolicyRefused(
                f"nothing begins under roster {term.roster.version} after {term.ends}: "
                f"{term.reason}. Ask the consortium's lead for the newest roster, and whether "
                "everybody has signed it; check this machine's clock"
            )
        return term.roster

    def leave(self, reason: str) -> SigningKey:
        """Ends trust in the whole chain, and in the identity key that it names.

        Runs must have been left before. What was kept stays to be read.

        Returns:
            The new identity key; no roster names it yet.

        Raises:
            PolicyRefused: no reason is given, or it is too long.
        """
        if not 0 < len(reason.strip()) <= _MAX_REASON:
            raise PolicyRefused(f"say why, in at most {_MAX_REASON} letters: nothing was left")
        key, now = SigningKey.generate(), self._hospital.now()
        self._hospital.keys.keep_identity(key)
        with self._hospital.session() as session:
            number = session.scalar(select(func.count()).select_from(DepartureRow)) or 0
            row = DepartureRow(number=number + 1, after=_count(session), left_at=now)
            row.reason = reason.strip()
            session.add(row)
            never_named = session.get_one(HospitalRow, 1).next_identity_key
            replace_key(session, key.public.hex(), now)
        IdentityKeys(self._hospital).forget_former()
        if never_named is not None:
            self._hospital.keys.forget_identity(never_named)
        return key


def require_own_place(roster: Roster, site: str, keys: Collection[SigningKey]) -> None:
    """Refuses a roster in which a hospital does not stand with a key of its own.

    Args:
        keys: the hospital's own key, and the next one where that may be named.

    Raises:
        PolicyRefused: says what stands there instead.
    """
    if site not in roster.sites:
        raise PolicyRefused(
            f"roster {roster.version} does not name hospital {site}: ask the consortium"
        )
    if not any(_names(roster, site, key) for key in keys):
        raise PolicyRefused(
            f"roster {roster.version} names another key for hospital {site} than its "
            "own: do not sign it, and tell the other members"
        )


def _require_first(signed: SignedRoster, site: str, own: SigningKey, compared: str | None) -> None:
    roster = signed.roster
    require_own_place(roster, site, [own])
    if roster.version == 1:
        require_founding(signed)
    elif compared != roster.digest:
        raise PolicyRefused(
            f"roster {roster.version} is the first that this hospital sees: compare its "
            "fingerprint with other members, then collegium silo roster trust"
        )


def _names(roster: Roster, site: str, key: SigningKey) -> bool:
    return site in roster.sites and roster.key_of(site) == key.public


def _chain(session: Session) -> list[Roster]:
    """Returns the rosters that are trusted, oldest first, after checking that each follows."""
    left = session.scalar(select(func.max(DepartureRow.after))) or 0
    query = (
        select(TrustedRosterRow)
        .where(TrustedRosterRow.number > left)
        .order_by(TrustedRosterRow.number)
    )
    kept = [_signed(row) for row in session.scalars(query)]
    for before, signed in zip(kept, kept[1:], strict=False):
        try:
            require_quorum(signed, before.roster)
        except (MessageRefused, QuorumLost) as error:
            raise StoreBroken(
                f"roster {signed.roster.version} no longer follows the one before it "
                f"({error}): restore the hospital's database"
            ) from error
    return [signed.roster for signed in kept]


def _followed(roster: Roster, when: str, did: str, successor: Roster) -> RosterTerm:
    return RosterTerm(
        roster=roster,
        ends=write_time(read_time(when) + SUCCESSOR_GRACE),
        reason=f"this hospital {did} roster {successor.version}, since {when}",
    )


def _kept_at(session: Session) -> dict[str, str]:
    """Returns when each roster was kept, by its digest; the newest time of any that came twice."""
    query = select(TrustedRosterRow).order_by(TrustedRosterRow.number)
    return {_signed(row).roster.digest: row.kept_at for row in session.scalars(query)}


def _count(session: Session) -> int:
    return session.scalar(select(func.max(TrustedRosterRow.number))) or 0


def _row(signed: SignedRoster, number: int, now: str) -> TrustedRosterRow:
    signatures = {site: signature.hex() for site, signature in signed.signatures.items()}
    return TrustedRosterRow(
        number=number,
        version=signed.roster.version,
        document=signed.roster.canonical_bytes,
        signatures_json=json.dumps(signatures, sort_keys=True),
        kept_at=now,
    )


def _signed(row: TrustedRosterRow) -> SignedRoster:
    try:
        signatures = {
            site: bytes.fromhex(text) for site, text in json.loads(row.signatures_json).items()
        }
        return SignedRoster(roster=parse_roster(row.document), signatures=signatures)
    except (MessageRefused, ValueError, TypeError, AttributeError) as error:
        raise StoreBroken(
            f"roster {row.version} was changed: restore the hospital's database"
        ) from error
