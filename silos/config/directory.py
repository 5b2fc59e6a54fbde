"""The place of a hospital's database: a file in its home, or the server named in its site file."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol.errors import SiteFileRefused, WorkspaceRefused
from silos.config.site_file import SiteFile, site_file_of
from silos.database.database import SiteDatabase, open_hospital, read_hospital

_FILE = "hospital.db"
#: The folder of masked blobs, for a database that is no file.
_BLOBS = "hospital-blobs"
_LOCK = ".supervisor"


def make_own(home: Path, site: SiteFile, *, simulated: bool) -> None:
    """Makes the database with fresh keys.

    Raises:
        WorkspaceRefused: it cannot be made, or is another hospital's.
    """
    place, blobs = _place(home, site)
    open_hospital(place, site=site.name, simulated=simulated, blobs=blobs).close()


def open_own(home: Path, site: SiteFile) -> SiteDatabase:
    """Opens the hospital's database.

    Raises:
        WorkspaceRefused: there is none yet, or it does not answer.
        LedgerBroken: it is damaged.
    """
    place, blobs = _place(home, site)
    _require_made(place)
    return open_hospital(place, site=site.name, blobs=blobs)


def read_own(home: Path, site: SiteFile) -> SiteDatabase:
    """Opens the hospital's database to be looked at only.

    Raises:
        WorkspaceRefused, LedgerBroken: see ``open_own``.
    """
    place, blobs = _place(home, site)
    _require_made(place)
    return read_hospital(place, site=site.name, blobs=blobs)


@contextmanager
def reading(home: Path) -> Iterator[tuple[SiteFile, SiteDatabase]]:
    """Yields a home's site file and its database, to be looked at only.

    Raises:
        SiteFileRefused, WorkspaceRefused, LedgerBroken: one of them cannot be read; says why.
    """
    site = site_file_of(home)
    hospital = read_own(home, site)
    try:
        yield site, hospital
    finally:
        hospital.close()


@contextmanager
def opened(home: Path) -> Iterator[tuple[SiteFile, SiteDatabase]]:
    """Yields a home's site file and open database.

    Raises:
        SiteFileRefused, WorkspaceRefused, LedgerBroken: one of them cannot be used; says why.
    """
    site = site_file_of(home)
    hospital = open_own(home, site)
    try:
        require_own(site, hospital)
        yield site, hospital
    finally:
        hospital.close()


def require_own(site: SiteFile, hospital: SiteDatabase) -> None:
    """Refuses a site file that names another hospital than the database beside it.

    Raises:
        SiteFileRefused: says both names.
    """
    if site.name != hospital.site:
        raise SiteFileRefused(
            f"the site file names {site.name}, the database beside it is of {hospital.site}: "
            "mend name"
        )


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Holds the home's lock: one supervisor for one hospital.

    Raises:
        WorkspaceRefused: a supervisor holds it.
    """
    with (home / _LOCK).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WorkspaceRefused(
                f"a supervisor is at work over --home {home}: collegium silo stop ends it"
            ) from error
        yield


def is_at_work(home: Path) -> bool:
    """Whether a supervisor holds the home's lock."""
    if not (home / _LOCK).exists():
        return False
    with (home / _LOCK).open("r") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _place(home: Path, site: SiteFile) -> tuple[Path | str, Path]:
    return site.database or home / _FILE, home / _BLOBS


def _require_made(place: Path | str) -> None:
    if isinstance(place, Path) and not place.is_file():
        raise WorkspaceRefused(
            f"--home {place.parent} holds no {_FILE}: collegium silo init makes one"
        )
