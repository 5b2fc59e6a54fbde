"""Keys of recipients: an age key pair on X25519, its text forms, and the file of its secret half.

Only X25519 is taken. Of SSH keys, plugins and passphrases this software could encrypt to some, but
writes no header for them; and the library has no post-quantum identity in software.
"""

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from compliance.storage.atomic_file import read_named, write_new
from compliance.storage.clock import timestamp
from compliance.storage.encryption.bech32 import read_bech32, write_bech32
from protocol.codec import require_forms, text
from protocol.errors import PolicyRefused, WorkspaceRefused

_PUBLIC, _SECRET = "age", "age-secret-key-"
_KEY_BYTES = 32
_MAX_FILE = 1 << 16
#: The most recipients of one header.
MAX_RECIPIENTS = 64
#: A recipient's public key: ``age1`` and 58 letters.
AGE_KEY = text(r"age1[02-9ac-hj-np-z]{58}")
AgeKey: TypeAlias = Annotated[str, AGE_KEY]
_NAME = text(r"[^\W_](?:[\w .@'-]{0,98}[\w.])?")


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """A recipient: the name under which people know it, and its public key."""

    name: Annotated[str, _NAME]
    key: AgeKey

    def __post_init__(self) -> None:
        require_forms(self)

    @property
    def key_bytes(self) -> bytes:
        """The public key (32 bytes)."""
        return read_bech32(_PUBLIC, self.key)


class AgeIdentity:
    """A recipient's secret key. Its text form says nothing about it."""

    __slots__ = ("key", "private")

    #: The public key, ``age1...``.
    key: str

    def __init__(self, private: X25519PrivateKey) -> None:
        self.private = private
        self.key = write_bech32(_PUBLIC, private.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> "AgeIdentity":
        """Returns a new identity from the operating system's generator."""
        return cls(X25519PrivateKey.generate())

    @classmethod
    def from_text(cls, line: str) -> "AgeIdentity":
        """Returns the identity that a line holds; the inverse of ``secret_text``.

        Raises:
            ValueError: it holds none.
        """
        return cls(X25519PrivateKey.from_private_bytes(read_bech32(_SECRET, line)))

    def secret_text(self) -> str:
        """Returns the secret key as age programs write it, for its owner's file and memory."""
        return write_bech32(_SECRET, self.private.private_bytes_raw()).upper()


def read_recipient(said: str) -> Recipient:
    """Returns the recipient that ``NAME=age1...`` names.

    Raises:
        PolicyRefused: it names none; says which kinds are not taken.
    """
    name, _, key = said.partition("=")
    key = key.strip()
    try:
        if len(read_bech32(_PUBLIC, key)) != _KEY_BYTES:
            raise ValueError("it has another length")
        return Recipient(name=name.strip(), key=key)
    except ValueError as error:
        raise PolicyRefused(
            f"{said[:40]!r} is no recipient: {error}. Write NAME=age1..., the public half of a "
            "key on X25519, as collegium weights keygen makes one; no SSH key, plugin, passphrase"
        ) from error


def new_identity_file(path: Path) -> str:
    """Makes an identity in a new file that its owner alone may read; returns the public key.

    Raises:
        WorkspaceRefused: the file is there already, or cannot be written.
    """
    identity = AgeIdentity.generate()
    lines = (f"# created: {timestamp()}", f"# public key: {identity.key}", identity.secret_text())
    try:
        write_new(path, "".join(f"{line}\n" for line in lines).encode())
    except FileExistsError as error:
        raise WorkspaceRefused(f"{path} is there already: name another file") from error
    except OSError as error:
        raise WorkspaceRefused(f"{path} cannot be written: {error.strerror}") from error
    return identity.key


def read_identity_file(path: Path) -> tuple[AgeIdentity, ...]:
    """Returns the identities that a file holds, as age programs write it.

    Raises:
        WorkspaceRefused: the file cannot be read, or others can read it.
        PolicyRefused: it holds no identity that is taken here.
    """
    data = read_named(path, "--identity", _MAX_FILE)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise WorkspaceRefused(f"{path} can be read by others: chmod 600 {path}")
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines()]
    try:
        found = [AgeIdentity.from_text(one) for one in lines if one and not one.startswith("#")]
    except ValueError as error:
        raise PolicyRefused(
            f"{path} holds something else than AGE-SECRET-KEY-1...: no SSH key, plugin or "
            "encrypted file is taken here"
        ) from error
    if not found:
        raise PolicyRefused(f"{path} holds no identity: a line AGE-SECRET-KEY-1...")
    return tuple(found)
