"""Operations on the roster by a hospital's people: show it, compare it, sign it.

The roster says whose updates ours is summed with, so a person compares every
key in it with the other hospitals before signing; the coordinator cannot.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from protocol.errors import (
    LinkLost,
    MessageRefused,
    PolicyRefused,
    SiteFileRefused,
    WorkspaceRefused,
)
from protocol.identity.fingerprints import require_compared, safety_number
from protocol.identity.roster import (
    MAX_ROSTER_LIFE,
    CoordinatorIdentity,
    Member,
    Roster,
    SignedRoster,
)
from protocol.identity.timestamps import read_time
from protocol.transport.enrolment import RosterNews, parse
from silos.config.coordinator_identity import require_coordinator, require_names
from silos.config.credentials import Credentials
from silos.config.directory import opened
from silos.config.folder import SITE_FILE
from silos.config.site_file import SiteFile
from silos.database.database import SiteDatabase
from silos.database.identity_keys import IdentityKeys
from silos.database.trusted_rosters import TrustedRosters, require_own_place
from silos.network.client import CoordinatorClient


class Line(Protocol):
    """The line to the coordinator, as far as it is needed here (``client.CoordinatorClient``)."""

    def document(self, name: str) -> bytes | None:
        """Returns a document that the coordinator publishes, or None."""

    def hand_in(self, name: str, body: bytes) -> bytes:
        """Hands something in; returns the reply."""


@dataclass(frozen=True, kw_only=True)
class RosterView:
    """The roster that is trusted, the one that waits for people, and why news are missing.

    ``proposed`` waits for signatures; ``first`` is the newest signed roster
    that a hospital which comes later has to compare before it trusts any, and
    ``before`` are those that it says it follows.
    """

    trusted: Roster | None
    proposed: SignedRoster | None = None
    first: SignedRoster | None = None
    before: tuple[Roster, ...] = ()
    problem: str = ""


@contextmanager
def line_of(home: Path, site: SiteFile, hospital: SiteDatabase) -> Iterator[CoordinatorClient]:
    """Yields the line to the coordinator.

    Raises:
        SiteFileRefused: the site file names no coordinator.
        WorkspaceRefused: this hospital has not enrolled.
        PolicyRefused, StoreBroken: its certificate cannot be used.
    """
    if site.coordinator is None:
        raise SiteFileRefused(
            f"{home / SITE_FILE}: coordinator is missing: it is in the invitation"
        )
    credentials = Credentials(home / "tls", site.name)
    if not credentials.enrolled:
        raise WorkspaceRefused("this hospital has not enrolled: collegium silo enrol")
    keys = IdentityKeys(hospital)
    wire = CoordinatorClient(
        site.name,
        site.coordinator,
        keys.own,
        credentials.context(),
        coordinator=require_coordinator(credentials.coordinator, hospital).key,
        next_key=keys.next,
    )
    try:
        yield wire
    finally:
        wire.close()


def look(home: Path) -> RosterView:
    """Returns the rosters, with the coordinator's news where it can be reached."""
    with opened(home) as (site, hospital):
        try:
            with line_of(home, site, hospital) as line:
                return refresh(hospital, line)
        except (LinkLost, MessageRefused, PolicyRefused, WorkspaceRefused) as error:
            return RosterView(trusted=TrustedRosters(hospital).newest(), problem=str(error))


def refresh(hospital: SiteDatabase, line: Line) -> RosterView:
    """Keeps every roster that the rules let this hospital keep; returns what is left to people.

    Raises:
        MessageRefused, QuorumLost: what came follows nothing that is trusted.
        LinkLost, PolicyRefused: the coordinator cannot be asked.
    """
    rosters = TrustedRosters(hospital)
    trusted = rosters.newest()
    found = line.document(f"rosters/{trusted.version if trusted else 0:x}")
    if found is None:
        return RosterView(trusted=trusted)
    news = parse(RosterNews, found)
    own = Member(site=hospital.site, public_key=IdentityKeys(hospital).own.public.hex())
    if trusted is None and news.signed and own not in news.signed[0].roster.members:
        *before, first = news.signed
        earlier = tuple(signed.roster for signed in before)
        return RosterView(trusted=None, proposed=news.proposed, first=first, before=earlier)
    for signed in news.signed:
        rosters.keep(signed)
    return RosterView(trusted=rosters.newest(), proposed=news.proposed)


def safety_numbers(home: Path) -> tuple[Roster | None, dict[str, str]]:
    """Returns a roster and the number that this hospital reads to each of its other members.

    The roster is the one that waits to be signed or trusted, else the trusted one.
    """
    with opened(home) as (_, hospital):
        view = look(home)
        waiting = view.proposed or view.first
        roster = waiting.roster if waiting is not None else view.trusted
        if roster is None:
            return None, {}
        return roster, numbers_in(roster, hospital.site)


def numbers_in(roster: Roster, site: str) -> dict[str, str]:
    """Returns the safety number of one member of a roster with each of the others, by site.

    Raises:
        PolicyRefused: the roster does not name the site.
    """
    members = {member.site: member for member in roster.members}
    if site not in members:
        raise PolicyRefused(
            f"roster {roster.version} does not name hospital {site}: ask the consortium"
        )
    own = members.pop(site)
    return {name: safety_number(roster.coordinator, own, other) for name, other in members.items()}


def trust(home: Path, digest: str) -> Roster:
    """Keeps the first roster of a hospital that comes later, which its people have compared.

    Keys that the rosters before it give this hospital were its own: one that
    returns with a restored database may have forgotten them, and would take
    what it signed with them for somebody else's.

    Args:
        digest: the roster's, whole, as it was compared.

    Raises:
        MessageRefused: the roster has another digest.
        PolicyRefused: there is none to be trusted, it names another coordinator
            than the enrolment, or does not follow those that the coordinator shows.
    """
    with opened(home) as (site, hospital), line_of(home, site, hospital) as line:
        return trust_over(hospital, line, digest, _enrolled_with(home, site))


def trust_over(
    hospital: SiteDatabase, line: Line, digest: str, coordinator: CoordinatorIdentity
) -> Roster:
    """See ``trust``."""
    view = refresh(hospital, line)
    if view.first is None:
        raise PolicyRefused("there is no roster to compare: collegium silo roster show")
    roster, keys = view.first.roster, IdentityKeys(hospital)
    require_compared(digest, roster.digest, f"roster {roster.version}")
    require_names(roster, coordinator)
    _require_chain(roster, view.before)
    require_own_place(roster, hospital.site, [keys.own])
    keys.remember(
        member.public_key
        for earlier in view.before
        for member in earlier.members
        if member.site == hospital.site
    )
    return TrustedRosters(hospital).keep(view.first, compared=roster.digest)


def sign(home: Path, digest: str) -> tuple[Roster, bool]:
    """Signs the proposed roster with the hospital's own key, and hands the signature in.

    A roster that gives this hospital its next key is signed with the one before.

    Args:
        digest: the roster's, whole, as it was compared.

    Returns:
        The roster, and whether every signature that it needs is there now.

    Raises:
        PolicyRefused: nothing is proposed; it does not name this hospital with
            its own key or the next; it names another coordinator than the
            enrolment; or it has expired, or would not for more than a year.
        MessageRefused: it has another digest, or the coordinator does not take
            the signature.
    """
    with opened(home) as (site, hospital), line_of(home, site, hospital) as line:
        return sign_over(hospital, line, digest, _enrolled_with(home, site))


def sign_over(
    hospital: SiteDatabase, line: Line, digest: str, coordinator: CoordinatorIdentity
) -> tuple[Roster, bool]:
    """See ``sign``."""
    view = refresh(hospital, line)
    if view.proposed is None:
        raise PolicyRefused("no roster waits for signatures")
    roster = view.proposed.roster
    require_compared(digest, roster.digest, f"roster {roster.version}")
    require_names(roster, coordinator)
    _require_term(roster, hospital.now())
    keys = IdentityKeys(hospital)
    own, coming = keys.own, keys.next if view.trusted else None  # a first roster replaces no key
    require_own_place(roster, hospital.site, [own] if coming is None else [own, coming])
    _require_next(roster, view.trusted)
    signature = TrustedRosters(hospital).sign(roster, own)
    complete = line.hand_in("roster-signature", signature) == b"signed"
    if complete:
        refresh(hospital, line)
    return roster, complete


def _enrolled_with(home: Path, site: SiteFile) -> CoordinatorIdentity:
    return Credentials(home / "tls", site.name).coordinator


def _require_term(roster: Roster, now: str) -> None:
    """Requires a roster that is valid now, and not for longer than a year."""
    left = read_time(roster.valid_until) - read_time(now)
    if not timedelta(0) < left <= MAX_ROSTER_LIFE:
        raise PolicyRefused(
            f"roster {roster.version} would be valid until {roster.valid_until}, which is past or "
            f"more than {MAX_ROSTER_LIFE.days} days ahead by this machine's clock: check the "
            "clock, then ask the consortium's lead to propose the roster anew"
        )


def _require_chain(roster: Roster, before: tuple[Roster, ...]) -> None:
    """Requires each roster to name the one before it, down to the founding one."""
    wanted = roster.previous
    for earlier in reversed(before):
        if earlier.digest != wanted:
            break
        wanted = earlier.previous
    if wanted is not None:
        raise PolicyRefused(
            f"the coordinator does not show every roster before roster {roster.version}: nothing "
            "was kept"
        )


def _require_next(roster: Roster, trusted: Roster | None) -> None:
    """Requires the proposal to follow the trusted roster, so that no member was left out unseen."""
    follows = (trusted.version + 1, trusted.digest) if trusted else (1, None)
    if (roster.version, roster.previous) != follows:
        raise PolicyRefused(
            f"roster {roster.version} does not follow the one that this hospital trusts: do not "
            "sign it, and tell the other members"
        )
