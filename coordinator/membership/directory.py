"""The coordinator's folder: made once, opened by every command.

::

    DIR/                 a workspace (``workspace.py``): database, signing key, snapshots
    DIR/tls, DIR/root    the certificate authority (``authority.py``)
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from compliance.storage.clock import Clock, utc_now
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.membership.authority import Authority
from coordinator.membership.members import Members
from protocol.errors import FederationError, StoreBroken, WorkspaceRefused


def make_home(
    home: Path, hosts: Sequence[str], clock: Clock = utc_now, database: str | None = None
) -> Authority:
    """Makes the coordinator's folder, whole or not at all; returns its authority.

    Args:
        home: a new or empty folder.
        hosts: names and addresses under which hospitals reach the coordinator.
        clock: says what time it is.
        database: the address of an empty PostgreSQL database; a file in the folder when None.

    Raises:
        WorkspaceRefused: the folder holds something, cannot be written, a host
            makes no sense, or the database cannot be used.
    """
    if any((home / name).exists() for name in ("tls", "collegium.db", "database.url")):
        raise WorkspaceRefused(f"--home {home} already holds a coordinator: choose another folder")
    was_there = home.exists()
    if was_there and (not home.is_dir() or any(home.iterdir())):
        raise WorkspaceRefused(f"--home {home} holds other files: choose a new or empty folder")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    workspace = Workspace.create(home, database)
    try:
        authority = Authority.create(home, hosts, workspace.public_key(), clock)
        Store(workspace.database).close()
        with open_members(home, clock) as members:
            members.record_own_certificates()
    except FederationError:
        workspace.discard(keep_folder=was_there)
        raise
    return authority


def is_coordinator(folder: Path) -> bool:
    """Whether a folder is a network coordinator's."""
    return (folder / "tls").exists()


@contextmanager
def open_members(home: Path, clock: Clock = utc_now) -> Iterator[Members]:
    """Yields the register of members of an existing folder.

    Raises:
        WorkspaceRefused: no coordinator lives there.
        StoreBroken: its database or its key is missing or damaged.
    """
    authority = Authority.open(home, clock)
    workspace = Workspace(home)
    database = workspace.database
    if isinstance(database, Path) and not database.is_file():  # a new one would know nobody
        raise StoreBroken("collegium.db is missing: restore it from a backup")
    store = Store(workspace.database)
    try:
        yield Members(store, authority, workspace.signing_key())
    finally:
        store.close()
