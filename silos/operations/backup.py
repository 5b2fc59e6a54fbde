"""Backups of a hospital, encrypted with age to whom its site file names; two that are kept apart.

The *ledger's* holds the database, masked vectors, studies and the site file, and no key. The
*keys'* holds the private keys and the TLS folder. What shows that a ledger is no old copy
(``hospital-heads``) is in neither: it must stay behind when a backup is restored.

Any age program opens them: ``age --decrypt --identity FILE backup.tar.age | tar x``.
Source: age-encryption.org/v1.
"""

import io
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal, TypeAlias

from compliance.storage.atomic_file import write_whole
from compliance.storage.clock import utc_now
from protocol.errors import PolicyRefused, WorkspaceRefused
from silos.config.folder import SITE_FILE
from silos.config.site_file import SiteFile, site_file_of
from silos.training.private_folder import private_folder

What: TypeAlias = Literal["ledger", "keys"]
_DATABASE = "hospital.db"
_FOLDERS: dict[What, tuple[str, ...]] = {
    "ledger": ("hospital-blobs", "studies", SITE_FILE),
    "keys": ("hospital-keys", "tls"),
}


def back_up(home: Path, to: Path, what: What) -> Path:
    """Writes a backup while the hospital works; returns its file.

    Raises:
        PolicyRefused: the site file names nobody who may read it.
        WorkspaceRefused: it cannot be written.
    """
    site = site_file_of(home)
    recipients = site.backup.ledger if what == "ledger" else site.backup.keys
    if not recipients:
        raise PolicyRefused(
            f"backup.{what} in the site file names nobody: write the age recipients there who "
            "may read this backup (age-keygen makes a pair; only its public half belongs here)"
        )
    name = f"{site.name}-{what}-{utc_now():%Y%m%dT%H%M%SZ}.tar.age"
    try:
        to.mkdir(mode=0o700, parents=True, exist_ok=True)
        with private_folder() as folder:
            write_whole(to / name, _encrypted(_packed(home, site, what, folder), recipients))
    except (OSError, sqlite3.Error) as error:
        raise WorkspaceRefused(f"the backup cannot be written: {error}") from error
    return to / name


def restore(file: Path, home: Path, identity: Path) -> tuple[str, ...]:
    """Unpacks a backup into a home; returns the names of what it brought.

    Raises:
        WorkspaceRefused: it cannot be opened with this identity, or something that it
            brings is there already; then nothing is changed.
    """
    try:
        data = _decrypted(file.read_bytes(), identity.read_text(encoding="utf-8"))
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            names = archive.getnames()
            there = [name for name in names if (home / name).exists()]
            if there:
                raise WorkspaceRefused(
                    f"{home} already holds {there[0]}: nothing was restored. Move it away first, "
                    "and keep it: a ledger that is older than its releases is refused"
                )
            _unpack(archive, home)
    except (OSError, tarfile.TarError, UnicodeDecodeError) as error:
        raise WorkspaceRefused(f"{file.name} cannot be restored: {error}") from error
    for path in home.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return tuple(names)


def _unpack(archive: tarfile.TarFile, home: Path) -> None:
    """Writes an archive's files below a home; nothing where it holds anything else."""
    members = archive.getmembers()
    for member in members:
        inside = (home / member.name).resolve().is_relative_to(home.resolve())
        if not inside or not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"it holds {member.name!r}, which no backup does")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for member in members:
        path, source = home / member.name, archive.extractfile(member)
        if source is None:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            continue
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(source.read())


def _packed(home: Path, site: SiteFile, what: What, folder: Path) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        if what == "ledger" and site.database is None:
            archive.add(_online_copy(home / _DATABASE, folder), _DATABASE)
        for path in _files(home, what):
            archive.add(path, str(path.relative_to(home)), recursive=False)
    return made.getvalue()


def _online_copy(database: Path, folder: Path) -> Path:
    """Returns a copy of a database in one state, made while others write to it."""
    copy = folder / _DATABASE
    with (
        closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    return copy


def _files(home: Path, what: What) -> Iterator[Path]:
    for name in _FOLDERS[what]:
        place = home / name
        found = [place] if place.is_file() else sorted(place.rglob("*"))
        yield from (path for path in found if path.is_file())


def _encrypted(data: bytes, recipients: tuple[str, ...]) -> bytes:
    import pyrage

    return bytes(pyrage.encrypt(data, [recipient_of(text) for text in recipients]))


def recipient_of(text: str) -> object:
    """Returns an age recipient: ``age1...``, or an OpenSSH public key.

    Raises:
        PolicyRefused: it is none.
    """
    import pyrage

    try:
        if text.startswith("age1"):
            return pyrage.x25519.Recipient.from_str(text)
        return pyrage.ssh.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise PolicyRefused(
            f"{text[:20]!r} in the site file is no age recipient: {error}"
        ) from error


def _decrypted(data: bytes, identity: str) -> bytes:
    import pyrage

    lines = [line for line in identity.splitlines() if line.startswith("AGE-SECRET-KEY-")]
    try:
        keys: list[object] = [pyrage.x25519.Identity.from_str(line) for line in lines]
        if not keys:
            keys = [pyrage.ssh.Identity.from_buffer(identity.encode())]
        return bytes(pyrage.decrypt(data, keys))
    except (pyrage.IdentityError, pyrage.DecryptError) as error:
        raise WorkspaceRefused(
            f"this identity does not open the backup ({error}): take the one whose public half "
            "the site file named when it was made"
        ) from error
