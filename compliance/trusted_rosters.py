"""The rosters that one hospital trusts, each checked against the one before it.

Rules:

1. The first roster that a hospital keeps names the hospital itself, with its
   own key.
2. What follows a kept roster carries the signatures of a quorum of that one's
   members (``identity.require_quorum``), whether it still names this hospital
   or not.
3. The founding roster carries every member's signature (``require_founding``),
   so this hospital's own: its people have compared it before they signed.
4. The first roster of a hospital that comes later is kept only when its people
   have compared the fingerprint with other members and say so.
"""

import json

from sqlalchemy import select

from compliance.hospital_tables import RosterRow
from compliance.store import Hospital
from protocol.errors import MessageRefused, PolicyRefused, QuorumLost, StoreBroken
from protocol.identity import (
    Roster,
    SignedRoster,
    SigningKey,
    parse_roster,
    require_founding,
    require_quorum,
)


class TrustedRosters:
    """The chain of rosters in a hospital's database."""

    def __init__(self, hospital: Hospital) -> None:
        self._hospital = hospital

    def newest(self) -> Roster | None:
        """Returns the newest trusted roster, or None before the first.

        Raises:
            StoreBroken: the chain was changed.
        """
        kept = self._kept()
        for before, signed in zip(kept, kept[1:], strict=False):
            try:
                require_quorum(signed, before.roster)
            except (MessageRefused, QuorumLost) as error:
                raise StoreBroken(
                    f"roster {signed.roster.version} no longer follows the one before it "
                    f"({error}): restore the hospital's database"
                ) from error
        return kept[-1].roster if kept else None

    def kept(self, digest: str) -> Roster:
        """Returns a roster that was trusted here once, by its digest.

        Raises:
            PolicyRefused: it never was.
            StoreBroken: the chain was changed.
        """
        self.newest()  # checks the chain
        for signed in self._kept():
            if signed.roster.digest == digest:
                return signed.roster
        raise PolicyRefused("the run's roster is not one that this hospital has trusted")

    def keep(self, signed: SignedRoster, *, compared: str | None = None) -> Roster:
        """Keeps a roster that the rules allow, and returns it; again changes nothing.

        Args:
            signed: the roster and its members' signatures.
            compared: the roster's digest, from people who compared it with other
                members; needed only where rule 4 applies.

        Raises:
            PolicyRefused: the hospital does not stand in it, or nobody compared it.
            MessageRefused: a signature is wrong, or it does not follow what is kept.
            QuorumLost: too few have signed.
        """
        roster, before = signed.roster, self.newest()
        if before is not None and roster == before:
            return before
        if before is not None:
            require_quorum(signed, before)
            self._write(signed)
            return roster
        require_own_place(roster, self._hospital)
        if roster.version == 1:
            require_founding(signed)
        elif compared != roster.digest:
            raise PolicyRefused(
                f"roster {roster.version} is the first that this hospital sees: compare its "
                "fingerprint with other members, then collegium silo roster trust"
            )
        self._write(signed)
        return roster

    def own_keys(self) -> frozenset[str]:
        """Returns every public key (hexadecimal) under which a kept roster names this hospital."""
        site = self._hospital.site
        return frozenset(
            member.public_key
            for signed in self._kept()
            for member in signed.roster.members
            if member.site == site
        )

    def _write(self, signed: SignedRoster) -> None:
        signatures = {site: signature.hex() for site, signature in signed.signatures.items()}
        row = RosterRow(
            version=signed.roster.version,
            document=signed.roster.canonical_bytes,
            signatures_json=json.dumps(signatures, sort_keys=True),
            kept_at=self._hospital.now(),
        )
        with self._hospital.session() as session:
            session.add(row)

    def _kept(self) -> list[SignedRoster]:
        with self._hospital.session() as session:
            rows = list(session.scalars(select(RosterRow).order_by(RosterRow.version)))
            return [_signed(row) for row in rows]


def require_own_place(roster: Roster, hospital: Hospital) -> None:
    """Refuses a roster in which a hospital does not stand with its own key.

    Raises:
        PolicyRefused: says what stands there instead.
    """
    own = SigningKey.from_bytes(hospital.identity_key).public
    if hospital.site not in roster.sites:
        raise PolicyRefused(
            f"roster {roster.version} does not name hospital {hospital.site}: ask the consortium"
        )
    if roster.key_of(hospital.site) != own:
        raise PolicyRefused(
            f"roster {roster.version} names another key for hospital {hospital.site} than the one "
            "in its own database: do not sign it, and tell the other members"
        )


def _signed(row: RosterRow) -> SignedRoster:
    try:
        signatures = {
            site: bytes.fromhex(text) for site, text in json.loads(row.signatures_json).items()
        }
        return SignedRoster(roster=parse_roster(row.document), signatures=signatures)
    except (MessageRefused, ValueError, TypeError, AttributeError) as error:
        raise StoreBroken(
            f"roster {row.version} was changed: restore the hospital's database"
        ) from error
