"""The keys with which a hospital's coordinators sign: the present one's, and those before it."""

from pathlib import Path

from compliance.store import Hospital
from compliance.trusted_rosters import TrustedRosters
from silos.credentials import Credentials


def coordinator_keys(home: Path, hospital: Hospital) -> set[bytes]:
    """Returns the key of each coordinator that a trusted roster or the certificate's root names."""
    keys = {roster.coordinator.key for roster in TrustedRosters(hospital).all()}
    credentials = Credentials(home / "tls", hospital.site)
    return keys | {credentials.coordinator.key} if credentials.enrolled else keys
