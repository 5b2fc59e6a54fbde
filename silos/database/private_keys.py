"""A hospital's private keys: a file each that its owner alone may read, never in the database.

Rules:

1. The database names a key by its public half, or by a digest; what is named there was kept
   here before. So a database, its backup and its administrator hold no secret.
2. A key is looked for among systemd's credentials first ($CREDENTIALS_DIRECTORY), then in the
   folder. Whatever makes a new key keeps it in the folder.
3. A file holds the key in hexadecimal. It is called ``split.key``, or ``identity-PUBLIC.key``.

``silo key`` says which keys there are; docs/operations.md how they are backed up.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from compliance.storage.atomic_file import remove, write_whole
from protocol.encoding import digest
from protocol.errors import WorkspaceRefused
from protocol.identity.roster import SigningKey

#: Where systemd shows a service its credentials, one file each.
_CREDENTIALS = "CREDENTIALS_DIRECTORY"
_SPLIT = "split.key"
_KEY_BYTES = 32


class PrivateKeys:
    """The folder of one hospital's private keys; it is made when the first key is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def folder(self) -> Path:
        """The folder of the keys."""
        return self._folder

    @property
    def has_split_key(self) -> bool:
        """Whether there is a split key, so whether this hospital was ever made."""
        return _found(self._folder, _SPLIT) is not None

    def keep_split_key(self, key: bytes) -> str:
        """Keeps the key that tells training from evaluation patients; returns its digest.

        Raises:
            WorkspaceRefused: it cannot be written.
        """
        self._keep(_SPLIT, key)
        return split_key_digest(key)

    def split_key(self, named: str) -> bytes:
        """Returns the split key whose digest the database names.

        Raises:
            WorkspaceRefused: it is missing, damaged or another one.
        """
        key = self._read(_SPLIT, "split key")
        if split_key_digest(key) != named:
            raise WorkspaceRefused(
                "the split key is another one than this hospital's database names: restore both "
                "from the same hospital's backups"
            )
        return key

    def keep_identity(self, key: SigningKey) -> None:
        """Keeps an identity key durably; again changes nothing.

        Raises:
            WorkspaceRefused: it cannot be written.
        """
        self._keep(_identity(key.public.hex()), key.to_bytes())

    def identity(self, public: str) -> SigningKey:
        """Returns the identity key with this public half (hexadecimal).

        Raises:
            WorkspaceRefused: it is missing or damaged.
        """
        key = SigningKey.from_bytes(self._read(_identity(public), f"identity key {public[:16]}"))
        if key.public.hex() != public:
            raise WorkspaceRefused(
                f"the identity key {public[:16]} is damaged: restore the backup of keys"
            )
        return key

    def forget_identity(self, public: str) -> None:
        """Removes the private half of a key, overwritten first; a credential stays where it is."""
        path = self._folder / _identity(public)
        with suppress(FileNotFoundError):
            with path.open("r+b") as file:
                file.write(bytes(path.stat().st_size))
                os.fsync(file.fileno())
            remove(path)

    def _keep(self, name: str, secret: bytes) -> None:
        if len(secret) != _KEY_BYTES:
            raise ValueError(f"a key has {_KEY_BYTES} bytes, got {len(secret)}")
        if _found(self._folder, name) is not None:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self._folder / name, secret.hex().encode() + b"\n")
        except OSError as error:
            raise WorkspaceRefused(f"a key cannot be kept: {error.strerror}") from error

    def _read(self, name: str, what: str) -> bytes:
        path = _found(self._folder, name)
        if path is None:
            raise WorkspaceRefused(
                f"this hospital's {what} is missing from {self._folder.name}: restore the backup "
                "of keys (docs/operations.md)"
            )
        try:
            secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except (OSError, ValueError) as error:
            raise WorkspaceRefused(f"{name} cannot be read: {_reason(error)}") from error
        if len(secret) != _KEY_BYTES:
            raise WorkspaceRefused(f"{name} is damaged: restore the backup of keys")
        return secret


def split_key_digest(key: bytes) -> str:
    """Returns what the database names a split key by."""
    return digest(b"collegium/v1/split-key\n" + key)


def key_files(publics: Iterable[str]) -> set[str]:
    """Returns the names of the files of a split key and of the keys of these identities."""
    return {_SPLIT, *map(_identity, publics)}


def _identity(public: str) -> str:
    return f"identity-{public}.key"


def _found(folder: Path, name: str) -> Path | None:
    credentials = os.environ.get(_CREDENTIALS)
    places = [Path(credentials), folder] if credentials else [folder]
    return next((place / name for place in places if (place / name).is_file()), None)


def _reason(error: OSError | ValueError) -> str:
    """Returns the reason, never a ValueError's own text: it may hold a piece of the key."""
    return str(error.strerror) if isinstance(error, OSError) else "it is damaged"
