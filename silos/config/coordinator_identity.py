"""The identity of a hospital's coordinator: the one that the members' signed roster names.

Until a first roster is trusted it is the one of the invitation, whose root
people have compared. From then on nothing in ``HOME/tls`` changes it: another
coordinator is another consortium, for which a hospital leaves its chain first.
"""

from pathlib import Path

from protocol.errors import PolicyRefused
from protocol.identity.roster import CoordinatorIdentity, Roster
from silos.config.credentials import Credentials
from silos.database.database import SiteDatabase
from silos.database.trusted_rosters import TrustedRosters


def require_coordinator(found: CoordinatorIdentity, hospital: SiteDatabase) -> CoordinatorIdentity:
    """Returns the coordinator that was found, if the trusted roster names no other.

    Args:
        found: the one of an invitation, or of ``HOME/tls``.

    Raises:
        PolicyRefused: the trusted roster names another key or root.
    """
    trusted = TrustedRosters(hospital).newest()
    if trusted is not None:
        require_names(trusted, found)
    return found


def require_names(roster: Roster, coordinator: CoordinatorIdentity) -> None:
    """Refuses a roster of another coordinator than the one that this hospital has enrolled with.

    Raises:
        PolicyRefused: it names another key or root.
    """
    if roster.coordinator != coordinator:
        raise PolicyRefused(
            f"roster {roster.version} names another coordinator's key or TLS root than this "
            "hospital's enrolment: tell the other members. If they follow a new coordinator "
            "together: collegium silo roster leave, then enrol there"
        )


def coordinator_keys(home: Path, hospital: SiteDatabase) -> set[bytes]:
    """Returns the key of each coordinator that a trusted roster or the certificate's root names."""
    keys = {roster.coordinator.key for roster in TrustedRosters(hospital).all()}
    credentials = Credentials(home / "tls", hospital.site)
    return keys | {credentials.coordinator.key} if credentials.enrolled else keys
