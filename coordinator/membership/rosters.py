"""The rosters: proposed by the coordinator, signed by the members, kept in order.

The first is signed by every hospital that it names, what follows by a quorum of
the members before it. So the coordinator proposes, and never decides.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.database.store import Store
from coordinator.membership.authority import Authority
from coordinator.membership.tables import RosterRow
from coordinator.membership.transactions import (
    acting,
    members_in,
    names,
    newest_roster,
    proposed_row,
)
from protocol.errors import MessageRefused, PolicyRefused, QuorumLost
from protocol.identity.roster import (
    ROSTER_LIFE,
    ROSTER_WARNING,
    CoordinatorIdentity,
    Member,
    Roster,
    SignedRoster,
    SigningKey,
    require_founding,
    require_quorum,
    verify,
)
from protocol.identity.timestamps import read_time, write_time
from protocol.transport.enrolment import RosterNews, to_bytes

#: Rosters that are sent at once; a hospital that missed more asks again.
_MAX_NEWS = 64


class Rosters:
    """The consortium's chain of rosters.

    Args:
        store: the consortium's database.
        key: signs the log.
        authority: knows the root; its clock dates the rosters.
    """

    def __init__(self, store: Store, key: SigningKey, authority: Authority) -> None:
        self._store, self._key, self._authority = store, key, authority

    def propose(self, *, renew: bool = False) -> Roster:
        """Returns the roster of all enrolled hospitals, to be signed; again, the same one.

        Args:
            renew: propose one that names the same hospitals for another year, too.

        Raises:
            MessageRefused: nobody is enrolled, or the signed roster says the same.
        """
        until = write_time(_midnight(self._authority.clock()) + ROSTER_LIFE)
        with acting(self._store, self._key) as acts:
            before = acts.newest_roster()
            roster = _next_roster(
                acts.session, before, self._authority.identity, until, renew=renew
            )
            proposed = acts.proposal()
            if proposed is not None:
                open_one = proposed.signed.roster
                same = replace(open_one, valid_until=until) == roster
                if same and read_time(until) - read_time(open_one.valid_until) <= ROSTER_WARNING:
                    return open_one
            acts.withdraw_proposal()
            row = acts.session.get(RosterRow, roster.digest) or RosterRow(digest=roster.digest)
            row.version, row.document = roster.version, roster.canonical_bytes
            row.state, row.signatures_json = "proposed", "{}"
            acts.write("roster-proposed", row)
        return roster

    def sign(self, site: str, signature: bytes) -> bool:
        """Takes a member's signature under the proposed roster; returns whether it is signed now.

        Raises:
            MessageRefused: nothing is proposed, the site has no vote on it, or
                the signature is not under this roster.
        """
        with acting(self._store, self._key) as acts:
            row = acts.proposal()
            if row is None:
                raise MessageRefused("no roster is proposed: fetch the newest one")
            before, signed = acts.newest_roster(), row.signed
            voter = acts.enrolled(site)
            if not names(signed.roster if before is None else before.roster, voter):
                raise MessageRefused(f"{site} has no vote on roster {row.version}")
            public = bytes.fromhex(voter.public_key)
            verify(public, "roster", signed.roster.canonical_bytes, signature)
            if signed.signatures.get(site) == signature:
                return False
            votes = dict(signed.signatures) | {site: signature}
            row.signatures_json = json.dumps({s: votes[s].hex() for s in sorted(votes)})
            acts.write("roster-vote", row)
            if not _is_signed(row.signed, before):
                return False
            row.state = "signed"
            acts.write("roster-signed", row)
            acts.adopt_keys(row.signed.roster)
        return True

    def require_valid(self, roster: Roster) -> None:
        """Refuses to begin anything under a roster that has expired.

        Raises:
            PolicyRefused: it has.
        """
        if write_time(self._authority.clock()) >= roster.valid_until:
            raise PolicyRefused(
                f"roster {roster.version} expired at {roster.valid_until}: collegium coordinator "
                "roster propose --renew, and its members sign it"
            )

    def standing(self) -> dict[str, Any] | None:
        """Returns the newest signed roster's version, end and days left; None before the first."""
        signed = self.current()
        if signed is None:
            return None
        left = read_time(signed.roster.valid_until) - self._authority.clock()
        return {
            "version": signed.roster.version,
            "valid_until": signed.roster.valid_until,
            "days_left": left.days,
            "is_due": left <= ROSTER_WARNING,
        }

    def current(self) -> SignedRoster | None:
        """Returns the newest signed roster, or None before the first."""
        with self._store.read() as session:
            return newest_roster(session)

    def proposed(self) -> SignedRoster | None:
        """Returns the roster that waits for signatures, with those that it has."""
        with self._store.read() as session:
            row = proposed_row(session)
            return None if row is None else row.signed

    def news(self, after: int) -> bytes:
        """Returns ``RosterNews``: signed rosters beyond a version, and the proposed one."""
        query = select(RosterRow).where(RosterRow.version > after, RosterRow.state == "signed")
        with self._store.read() as session:
            rows = session.scalars(query.order_by(RosterRow.version).limit(_MAX_NEWS))
            signed = tuple(row.signed for row in rows)
            proposed = proposed_row(session)
            open_one = None if proposed is None else proposed.signed
        return to_bytes(RosterNews(signed=signed, proposed=open_one))


def _midnight(now: datetime) -> datetime:
    """Returns the midnight at which this day began (UTC): a roster is valid for whole days."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _next_roster(
    session: Session,
    before: SignedRoster | None,
    coordinator: CoordinatorIdentity,
    until: str,
    *,
    renew: bool,
) -> Roster:
    """Returns the roster of all enrolled hospitals; an announced key goes before the old one."""
    keys = {row.site: row.public_key for row in members_in(session, None, "enrolled")}
    keys |= {row.site: row.public_key for row in members_in(session, None, "announced")}
    members = tuple(Member(site=site, public_key=keys[site]) for site in sorted(keys))
    if not members:
        raise MessageRefused("no hospital is enrolled: collegium coordinator invite SITE")
    if before is None:
        return Roster(coordinator=coordinator, members=members, valid_until=until)
    if members == before.roster.members and not renew:
        raise MessageRefused(
            f"roster {before.roster.version} names exactly the enrolled hospitals already, and is "
            f"valid until {before.roster.valid_until}: --renew proposes it for another year"
        )
    return Roster(
        coordinator=coordinator,
        members=members,
        valid_until=until,
        version=before.roster.version + 1,
        previous=before.roster.digest,
    )


def _is_signed(signed: SignedRoster, before: SignedRoster | None) -> bool:
    try:
        if before is None:
            require_founding(signed)
        else:
            require_quorum(signed, before.roster)
    except QuorumLost:
        return False
    return True
