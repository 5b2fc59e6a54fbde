"""The output folder: one consortium's database, keys, snapshots and simulated hospitals.

::

    OUT/
      collegium.db            the coordinator's memory, or instead of it
      database.url            the PostgreSQL database that holds it, without a password
      coordinator.key         its signing key (mode 0600), coordinator.pub beside it
      release.key             the key of exported models (mode 0600), release.pub beside it
      snapshots/<digest>.safetensors, <digest>.json
      rounds/<context>/       what the newest rounds can be recomputed from
      states/                 what runs at work need to go on, and how far they are
      silos/<site>/           what lies inside each simulated hospital
      index.html              the page for people

A lock file says whether a run is at work in the folder, so that a run whose
process was killed is shown as interrupted, not as running.
"""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compliance.storage.atomic_file import FOR_ALL, read_whole, write_new, write_whole
from compliance.storage.database import without_password
from coordinator.database.store import Store
from protocol.encoding import digest
from protocol.errors import MessageRefused, StoreBroken, WorkspaceRefused
from protocol.identity.roster import SigningKey
from protocol.vectors.tensors import Tensors, decode_tensors, encode_tensors, model_digest


class Workspace:
    """Paths of one output folder; ``create`` makes a new one, ``open`` finds one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._address_file = root / "database.url"
        self._address: str | None = None
        self.key_file = root / "coordinator.key"
        self.public_file = root / "coordinator.pub"
        self.snapshots = root / "snapshots"
        self.rounds = root / "rounds"
        self.states = root / "states"
        self.silos = root / "silos"
        self.page = root / "index.html"

    @property
    def database(self) -> Path | str:
        """The place of the rows: a file in the folder, or the address of a PostgreSQL database.

        Raises:
            StoreBroken: the note that names the database cannot be read.
        """
        if self._address is None and self._address_file.exists():
            try:
                self._address = self._address_file.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise StoreBroken("database.url cannot be read: restore it") from error
        return self._address or self.root / "collegium.db"

    @classmethod
    def create(cls, root: Path, database: str | None = None) -> "Workspace":
        """Makes the folder and the coordinator's key.

        Args:
            root: a new or empty folder.
            database: the address of an empty PostgreSQL database for the rows. It
                is remembered without its password, which libpq then finds in
                PGPASSFILE or ``~/.pgpass``. A file in the folder when None.

        Raises:
            WorkspaceRefused: it cannot be written, or holds something already.
        """
        if root.exists() and not root.is_dir():
            raise WorkspaceRefused(f"--out {root} is a file: name a folder")
        if root.exists() and any(root.iterdir()):
            raise WorkspaceRefused(
                f"--out {root} already holds other files: choose an empty or new folder"
            )
        workspace = cls(root)
        if database is not None:
            _require_empty(database)
            workspace._address = database
        try:
            workspace.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            workspace.snapshots.mkdir(mode=0o700)
            workspace.silos.mkdir(mode=0o700)
            if database is not None:
                write_whole(workspace._address_file, without_password(database).encode() + b"\n")
            _write_key(workspace)
        except OSError as error:
            raise WorkspaceRefused(
                f"--out {root} cannot be written ({error.strerror}): choose another folder"
            ) from error
        return workspace

    @classmethod
    def open(cls, root: Path) -> "Workspace":
        """Returns an existing folder's workspace.

        Raises:
            WorkspaceRefused: there is no run in it.
        """
        workspace = cls(root)
        if isinstance(workspace.database, Path) and not workspace.database.is_file():
            if (root / "site.yaml").is_file():
                raise WorkspaceRefused(
                    f"{root} is a hospital's own folder: runs, report export and audit verify work "
                    "there; this one needs the coordinator's folder"
                )
            raise WorkspaceRefused(
                f"{root} holds no run: collegium simulate makes such a folder, and collegium "
                "coordinator init a coordinator's"
            )
        return workspace

    def discard(self, *, keep_folder: bool) -> None:
        """Removes all that a refused start left, and the folder itself unless it was there."""
        for path in self.root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not keep_folder:
            self.root.rmdir()

    def signing_key(self) -> SigningKey:
        """Returns the coordinator's key.

        Raises:
            StoreBroken: the key file is missing or damaged.
        """
        try:
            return SigningKey.from_bytes(bytes.fromhex(read_whole(self.key_file).decode().strip()))
        except (OSError, ValueError) as error:
            raise StoreBroken("coordinator.key is missing or damaged: restore it") from error

    def public_key(self) -> bytes:
        """Returns the key that the audit log is verified with.

        Raises:
            StoreBroken: the file is missing or damaged.
        """
        try:
            public = bytes.fromhex(read_whole(self.public_file).decode().strip())
        except (OSError, ValueError) as error:
            raise StoreBroken("coordinator.pub is missing or damaged: restore it") from error
        if len(public) != 32:
            raise StoreBroken("coordinator.pub is damaged: restore it")
        return public

    def keep_snapshot(self, model: Tensors, manifest: dict[str, Any]) -> str:
        """Writes a model and its manifest, named by the model's digest; returns the digest."""
        name = model_digest(model)
        data = encode_tensors(model)
        text = manifest_text(manifest, name, data)
        write_whole(self.snapshots / f"{name}.safetensors", data)
        write_whole(self.snapshots / f"{name}.json", text.encode())
        return name

    def read_snapshot(self, name: str) -> Tensors:
        """Returns a kept model, checked against its name.

        Raises:
            StoreBroken: missing, truncated or changed.
        """
        try:
            model = decode_tensors(read_whole(self.snapshots / f"{name}.safetensors"))
        except OSError as error:
            raise StoreBroken(f"snapshot {name[:12]} is missing: restore it") from error
        except MessageRefused as error:
            raise StoreBroken(f"snapshot {name[:12]} is damaged ({error}): restore it") from error
        if model_digest(model) != name:
            raise StoreBroken(
                f"snapshot {name[:12]} was changed: its parameters have another digest"
            )
        return model

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Holds the folder's lock: ended by the system even when the process is killed."""
        with (self.root / ".at-work").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise WorkspaceRefused(
                    f"--out {self.root} is in use by another collegium process: wait for it"
                ) from error
            yield

    @property
    def is_at_work(self) -> bool:
        """True while some process runs a study in this folder."""
        lock = self.root / ".at-work"
        if not lock.exists():
            return False
        with lock.open("r") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


def manifest_text(manifest: dict[str, Any], name: str, data: bytes) -> str:
    """Returns what stands beside a kept model: manifest, the model's name, the file's digest."""
    whole = manifest | {"model_digest": name, "file_sha256": digest(data)}
    return json.dumps(whole, sort_keys=True, indent=2, allow_nan=False)


def _require_empty(database: str) -> None:
    """Requires an empty database: a log of another key would never verify with a new one."""
    store = Store(database)
    try:
        used = store.is_used()
    finally:
        store.close()
    if used:
        raise WorkspaceRefused(
            "the PostgreSQL database already holds a consortium's rows: name an empty one"
        )


def _write_key(workspace: Workspace) -> None:
    key = SigningKey.generate()
    write_new(workspace.key_file, key.to_bytes().hex().encode() + b"\n")
    write_new(workspace.public_file, key.public.hex().encode() + b"\n", mode=FOR_ALL)
