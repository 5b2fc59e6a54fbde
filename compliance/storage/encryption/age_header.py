"""The header of an age file: stanzas that each wrap the file key for one recipient, and a MAC.

Sealing and opening are the library's. This file reads and writes headers for one purpose alone: the
same file key for other recipients, before the same payload. It takes X25519 stanzas; of others it
reads the form and nothing else.

Source: age-encryption.org/v1, "Header" and "The X25519 recipient type".
"""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.errors import MessageRefused, PolicyRefused

#: More than the header of the most recipients that are taken.
MAX_HEADER = 1 << 16
_VERSION = b"age-encryption.org/v1\n"
_MAC = b"---"
_COLUMNS = 64
_FILE_KEY, _TAG, _MAC_BYTES = 16, 16, 32
_X25519, _INFO = "X25519", b"age-encryption.org/v1/X25519"
#: Safe as the only nonce: each wrap key is used once.
_ZERO_NONCE = bytes(12)
_ARGUMENT = re.compile(rb"[\x21-\x7e]+")


@dataclass(frozen=True, kw_only=True)
class Stanza:
    """A recipient's part of a header: its kind, then arguments; and the body."""

    arguments: tuple[str, ...]
    body: bytes

    def to_bytes(self) -> bytes:
        """Returns the stanza's lines; the last one has fewer than 64 letters, maybe none."""
        text = _base64(self.body)
        lines = [text[at : at + _COLUMNS] for at in range(0, len(text) + 1, _COLUMNS)]
        return "".join(f"{line}\n" for line in (f"-> {' '.join(self.arguments)}", *lines)).encode()


@dataclass(frozen=True, kw_only=True)
class AgeHeader:
    """A header's stanzas in order, and its MAC (32 bytes)."""

    stanzas: tuple[Stanza, ...]
    mac: bytes

    def to_bytes(self) -> bytes:
        """Returns the header as it begins an age file; the inverse of ``read_header``."""
        return _covered(self.stanzas) + f" {_base64(self.mac)}\n".encode()

    @property
    def own_stanzas(self) -> tuple[Stanza, ...]:
        """The stanzas of recipients on X25519."""
        return tuple(one for one in self.stanzas if one.arguments[0] == _X25519)


def read_header(data: bytes) -> AgeHeader:
    """Returns the header that bytes hold, and that alone.

    Raises:
        MessageRefused: they are no header of an age file, or hold more than one.
    """
    if len(data) > MAX_HEADER:
        raise MessageRefused(f"a header of an age file has at most {MAX_HEADER} bytes")
    if not data.startswith(_VERSION) or not data.endswith(b"\n"):
        raise MessageRefused("no header of an age file (age-encryption.org/v1)")
    lines = data[len(_VERSION) : -1].split(b"\n")
    stanzas = []
    while lines and lines[0].startswith(b"-> "):
        stanzas.append(_read_stanza(lines))
    if not stanzas or len(lines) != 1 or not lines[0].startswith(_MAC + b" "):
        raise MessageRefused("the header of an age file ends in one line with its MAC")
    mac = _bytes_of(lines[0][len(_MAC) + 1 :])
    if len(mac) != _MAC_BYTES:
        raise MessageRefused("the MAC of an age file has 32 bytes")
    return AgeHeader(stanzas=tuple(stanzas), mac=mac)


def unwrapped(header: AgeHeader, private: X25519PrivateKey) -> bytes:
    """Returns the file key (16 bytes) that a header holds for a recipient.

    Raises:
        PolicyRefused: it holds none for this one.
        MessageRefused: it was changed, or a stanza has another form.
    """
    for stanza in header.own_stanzas:
        found = _opened(stanza, private)
        if found is not None:
            if not hmac.compare_digest(_mac(found, header.stanzas), header.mac):
                raise MessageRefused("the header was changed: its MAC does not hold")
            return found
    raise PolicyRefused("the header names no recipient whose identity this is")


def header_for(file_key: bytes, recipients: Sequence[bytes]) -> AgeHeader:
    """Returns a header that wraps a file key (16 bytes) for recipients (32-byte public keys).

    Raises:
        ValueError: there is no recipient, or the key has another length.
    """
    if not recipients or len(file_key) != _FILE_KEY:
        raise ValueError("a header has a recipient, and a file key of 16 bytes")
    stanzas = tuple(_wrapped(file_key, recipient) for recipient in recipients)
    return AgeHeader(stanzas=stanzas, mac=_mac(file_key, stanzas))


def _wrapped(file_key: bytes, recipient: bytes) -> Stanza:
    ephemeral = X25519PrivateKey.generate()
    share = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    key = _derived(shared, share + recipient, _INFO)
    body = ChaCha20Poly1305(key).encrypt(_ZERO_NONCE, file_key, None)
    return Stanza(arguments=(_X25519, _base64(share)), body=body)


def _opened(stanza: Stanza, private: X25519PrivateKey) -> bytes | None:
    """Returns the file key of a stanza, None where it is another recipient's."""
    if len(stanza.arguments) != 2 or len(stanza.body) != _FILE_KEY + _TAG:
        raise MessageRefused("an X25519 stanza has one share, and a body of 32 bytes")
    share = _bytes_of(stanza.arguments[1].encode())
    own = private.public_key().public_bytes_raw()
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(share))
    except ValueError as error:
        raise MessageRefused("the share of an X25519 stanza is no point that is used") from error
    try:
        key = _derived(shared, share + own, _INFO)
        return ChaCha20Poly1305(key).decrypt(_ZERO_NONCE, stanza.body, None)
    except InvalidTag:
        return None


def _mac(file_key: bytes, stanzas: Sequence[Stanza]) -> bytes:
    return hmac.digest(_derived(file_key, None, b"header"), _covered(stanzas), "sha256")


def _covered(stanzas: Sequence[Stanza]) -> bytes:
    """Returns the bytes that the MAC covers: all up to ``---``."""
    return _VERSION + b"".join(one.to_bytes() for one in stanzas) + _MAC


def _derived(secret: bytes, salt: bytes | None, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)


def _read_stanza(lines: list[bytes]) -> Stanza:
    """Takes a stanza's lines off the front."""
    arguments = lines.pop(0).removeprefix(b"-> ").split(b" ")
    if not all(map(_ARGUMENT.fullmatch, arguments)):
        raise MessageRefused("a stanza of an age file holds an argument that is none")
    body = b""
    while lines:
        line = lines.pop(0)
        if len(line) > _COLUMNS:
            break
        body += line
        if len(line) < _COLUMNS:
            told = tuple(argument.decode("ascii") for argument in arguments)
            return Stanza(arguments=told, body=_bytes_of(body))
    raise MessageRefused("a stanza of an age file has no last line")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii").rstrip("=")


def _bytes_of(text: bytes) -> bytes:
    """Returns the bytes of base64 without padding, in its one spelling."""
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MessageRefused("an age file holds what is not base64") from error
    if _base64(data).encode() != text:
        raise MessageRefused("an age file holds base64 in another spelling")
    return data
