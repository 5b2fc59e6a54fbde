"""Keys of recipients: an age key pair on X25519, its text forms, and the file of its secret half.

Only X25519 is taken. Of SSH keys, plugins and passphrases this software could encrypt to some, but
writes no header for them; and the library has no post-quantum identity in software.

Their text form is Bech32: a prefix, ``1``, five bits a letter, a checksum.
Source: BIP 173, without its limit of 90 letters, as the age specification asks.
"""

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from compliance.storage.atomic_file import read_named, write_new
from compliance.storage.clock import timestamp
from protocol.codec import require_forms, text
from protocol.errors import PolicyRefused, WorkspaceRefused

_LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM = 6

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
        data = read_bech32(_PUBLIC, key)
        if len(data) != _KEY_BYTES:
            raise ValueError("it has another length")
        _require_secret(data)
        return Recipient(name=name.strip(), key=key)
    except ValueError as error:
        raise PolicyRefused(
            f"{said[:40]!r} is no recipient: {error}. Write NAME=age1..., the public half of a "
            "key on X25519, as collegium weights keygen makes one; no SSH key, plugin, passphrase"
        ) from error


def _require_secret(public: bytes) -> None:
    """Refuses a public key under which every shared secret is the same, known to everybody.

    Raises:
        ValueError: it is such a key: a point of low order (RFC 7748, section 6.1).
    """
    other = X25519PublicKey.from_public_bytes(public)
    try:
        X25519PrivateKey.generate().exchange(other)
    except ValueError as error:
        raise ValueError("its secret would be known to everybody") from error


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


def write_bech32(prefix: str, data: bytes) -> str:
    """Returns bytes as lower-case Bech32; the inverse of ``read_bech32``.

    >>> write_bech32("age", bytes(2))
    'age1qqqqlpnwam'
    """
    values = list(_regrouped(data, 8, 5, padded=True))
    checked = [*_expanded(prefix), *values]
    sum_ = _polymod([*checked, *([0] * _CHECKSUM)]) ^ 1
    values += [(sum_ >> 5 * (_CHECKSUM - 1 - i)) & 31 for i in range(_CHECKSUM)]
    return f"{prefix}1{''.join(_LETTERS[value] for value in values)}"


def read_bech32(prefix: str, text: str) -> bytes:
    """Returns the bytes that Bech32 of a prefix (lower case) stands for.

    Raises:
        ValueError: it has another prefix, a wrong letter or checksum, or both cases.
    """
    if text not in (text.lower(), text.upper()):
        raise ValueError("capitals and small letters are mixed")
    found, _, letters = text.lower().rpartition("1")
    if found != prefix or len(letters) < _CHECKSUM:
        raise ValueError(f"it does not begin with {prefix}1")
    if not set(letters) <= set(_LETTERS):
        raise ValueError("it holds a letter that no key has")
    values = [_LETTERS.index(letter) for letter in letters]
    if _polymod([*_expanded(prefix), *values]) != 1:
        raise ValueError("its checksum is wrong: a letter was mistyped or lost")
    return bytes(_regrouped(values[:-_CHECKSUM], 5, 8, padded=False))


def _expanded(prefix: str) -> list[int]:
    return [*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix)]


def _polymod(values: Iterable[int]) -> int:
    """Returns the remainder that makes the checksum: a BCH code over GF(32)."""
    state = 1
    for value in values:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATORS):
            state ^= generator if (top >> bit) & 1 else 0
    return state


def _regrouped(values: Iterable[int], width: int, to: int, *, padded: bool) -> Iterator[int]:
    """Yields the same bits in groups of another width.

    Raises:
        ValueError: without padding, bits are left over that are not zero, or too many.
    """
    held = bits = 0
    for value in values:
        held, bits = (held << width) | value, bits + width
        while bits >= to:
            bits -= to
            yield held >> bits
            held &= (1 << bits) - 1
    if padded and bits:
        yield held << (to - bits)
    elif not padded and (bits >= width or held):
        raise ValueError("it ends in bits that no key has")
