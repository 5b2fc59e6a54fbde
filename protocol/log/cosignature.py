r"""Cosignatures of a checkpoint: a witness's statement that it has seen one history.

A cosigner signs a head only after it has verified that it extends the head that it
signed before. Two forms, each one line of the note:

* **Ed25519**, type 0x04: over ``cosignature/v1\ntime <seconds>\n`` and the
  checkpoint's text;
* **ML-DSA-44**, type 0x06, which withstands quantum computers: over a
  ``cosigned_message`` that names cosigner, time, log, size and root.

Rules:

1. A line counts for a key only where name and key identifier are that key's.
   Lines of unknown keys are skipped; a line of a known key that does not verify
   spoils the whole note.
2. A key counts once, however many lines it has signed.
3. An Ed25519 key is of one cosigner: its message does not name it. A hospital
   cosigns with its identity key under one name (``site_cosigner``). What it signs
   for the protocol begins with ``collegium/v1/``, so that neither passes for the
   other.

Source: C2SP tlog-cosignature v1.0.1 and signed-note v1.0.0; FIPS 204 for ML-DSA-44.
"""

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from protocol.errors import MessageRefused
from protocol.identity.roster import SigningKey, verify_raw
from protocol.log.signed_note import (
    Checkpoint,
    SignatureLine,
    is_key_name,
    log_origin,
    parse_checkpoint,
    split_note,
)

#: The largest time of a cosignature, in seconds since 1970.
MAX_TIME = 2**63 - 1
_SITE = "collegium/witness/v1/"
_LABEL = b"subtree/v1\n\x00"
_TIME_BYTES = 8


class KeyType(IntEnum):
    """The type of a key in a note, as C2SP assigns the bytes."""

    ED25519 = 0x01
    ED25519_COSIGNER = 0x04
    ML_DSA_44_COSIGNER = 0x06


_PUBLIC_BYTES = {
    KeyType.ED25519: 32,
    KeyType.ED25519_COSIGNER: 32,
    KeyType.ML_DSA_44_COSIGNER: 1312,
}


@dataclass(frozen=True, kw_only=True)
class VerifierKey:
    """A public key under its name, as a verifier of notes is given it.

    Raises:
        ValueError: the name or the key's length is wrong.
    """

    name: str
    type: KeyType
    public: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.name) or len(self.public) != _PUBLIC_BYTES[self.type]:
            raise ValueError("a verifier's key has a plain name and the bytes of its type")

    @property
    def key_id(self) -> bytes:
        """The four bytes by which a signature line names the key."""
        named = self.name.encode() + b"\n" + bytes([self.type]) + self.public
        return hashlib.sha256(named).digest()[:4]

    @property
    def text(self) -> str:
        """The key as one line (a vkey); the inverse is ``parse_verifier_key``."""
        encoded = base64.b64encode(bytes([self.type]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    @property
    def is_cosigner(self) -> bool:
        """Whether its signatures are cosignatures."""
        return self.type is not KeyType.ED25519


def parse_verifier_key(text: str) -> VerifierKey:
    """Returns the key that a line holds.

    Raises:
        MessageRefused: it is no key, of an unknown type, or its identifier is another key's.
    """
    name, _, rest = text.partition("+")
    identifier, _, encoded = rest.partition("+")
    try:
        data = base64.b64decode(encoded, validate=True)
        key = VerifierKey(name=name, type=KeyType(data[0]), public=data[1:])
    except (binascii.Error, ValueError, IndexError) as error:
        raise MessageRefused(
            "a verifier's key is name+identifier+base64 of a known type"
        ) from error
    if key.text != f"{name}+{identifier}+{encoded}":
        raise MessageRefused("the identifier of a verifier's key is not that key's")
    return key


def log_key(public: bytes) -> VerifierKey:
    """Returns the key of the log that a coordinator's key signs, under the log's name."""
    return VerifierKey(name=log_origin(public), type=KeyType.ED25519, public=public)


def site_cosigner(site: str, public: bytes) -> VerifierKey:
    """Returns the key under which a hospital cosigns: its identity key.

    >>> site_cosigner("st-mary", bytes(32)).name
    'collegium/witness/v1/st-mary'
    """
    return VerifierKey(name=_SITE + site, type=KeyType.ED25519_COSIGNER, public=public)


def cosigning_site(name: str) -> str | None:
    """Returns the hospital that cosigns under a name; None of any other cosigner."""
    return name.removeprefix(_SITE) if name.startswith(_SITE) else None


class Cosigner(Protocol):
    """A private key that cosigns."""

    @property
    def key(self) -> VerifierKey:
        """Its public part."""

    def cosign(self, text: str, time: int) -> SignatureLine:
        """Returns the signature line over a checkpoint's text, at a time in seconds since 1970."""


class Ed25519Cosigner:
    """An Ed25519 key that cosigns under one name."""

    def __init__(self, name: str, key: SigningKey) -> None:
        self._key = key
        #: Its public part.
        self.key = VerifierKey(name=name, type=KeyType.ED25519_COSIGNER, public=key.public)

    @classmethod
    def of_site(cls, site: str, key: SigningKey) -> "Ed25519Cosigner":
        """Returns a hospital's cosigner."""
        return cls(_SITE + site, key)

    def cosign(self, text: str, time: int) -> SignatureLine:
        """Returns the signature line over a checkpoint's text.

        Raises:
            ValueError: the time is out of range.
        """
        signature = self._key.sign_raw(ed25519_message(text, time))
        return _line(self.key, time, signature)


class MlDsaCosigner:
    """An ML-DSA-44 key that cosigns under one name, made from its 32-byte seed."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._key = MLDSA44PrivateKey.from_seed_bytes(seed)
        public = self._key.public_key().public_bytes_raw()
        #: Its public part.
        self.key = VerifierKey(name=name, type=KeyType.ML_DSA_44_COSIGNER, public=public)

    def cosign(self, text: str, time: int) -> SignatureLine:
        """Returns the signature line over a checkpoint's text.

        Raises:
            ValueError: the time is out of range, or the log's name too long.
        """
        message = ml_dsa_message(self.key.name, parse_checkpoint(text, of_any_log=True), time)
        return _line(self.key, time, self._key.sign(message))


def ed25519_message(text: str, time: int) -> bytes:
    r"""Returns exactly what an Ed25519 cosignature covers.

    >>> ed25519_message("example\n0\n...\n", 7)
    b'cosignature/v1\ntime 7\nexample\n0\n...\n'
    """
    if not 0 <= time <= MAX_TIME:
        raise ValueError("a cosignature's time counts seconds since 1970")
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def ml_dsa_message(cosigner: str, checkpoint: Checkpoint, time: int) -> bytes:
    """Returns exactly what an ML-DSA-44 cosignature covers: the struct ``cosigned_message``."""
    if not 0 <= time <= MAX_TIME:
        raise ValueError("a cosignature's time counts seconds since 1970")
    start, numbers = 0, struct.Struct(">QQ")
    return b"".join(
        (
            _LABEL,
            _counted(cosigner),
            struct.pack(">Q", time),
            _counted(checkpoint.origin),
            numbers.pack(start, checkpoint.size),
            checkpoint.root,
        )
    )


def verify_cosignature(key: VerifierKey, text: str, line: SignatureLine) -> int:
    """Checks one line over a checkpoint's text; returns its time in seconds since 1970.

    Raises:
        MessageRefused: the line is not this key's, or its signature is wrong.
    """
    if (line.name, line.key_id) != (key.name, key.key_id) or not key.is_cosigner:
        raise MessageRefused("the signature line is not this cosigner's")
    time = cosignature_time(line)
    signature = line.signature[_TIME_BYTES:]
    if key.type is KeyType.ED25519_COSIGNER:
        verify_raw(key.public, ed25519_message(text, time), signature)
        return time
    checkpoint = parse_checkpoint(text, of_any_log=True)
    try:
        message = ml_dsa_message(key.name, checkpoint, time)
        MLDSA44PublicKey.from_public_bytes(key.public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise MessageRefused("the signature is not valid for this key") from error
    return time


def cosignature_time(line: SignatureLine) -> int:
    """Returns the time that a cosignature claims, in seconds since 1970; nothing is verified.

    Raises:
        MessageRefused: the line holds none.
    """
    if len(line.signature) < _TIME_BYTES:
        raise MessageRefused("a cosignature begins with its time")
    time = int.from_bytes(line.signature[:_TIME_BYTES], "big")
    if time > MAX_TIME:
        raise MessageRefused("a cosignature's time is out of range")
    return time


@dataclass(frozen=True, kw_only=True)
class Cosignature:
    """A verified cosignature: whose, when (seconds since 1970), and its line."""

    key: VerifierKey
    time: int
    line: SignatureLine


def cosignatures(note: bytes, keys: Iterable[VerifierKey]) -> list[Cosignature]:
    """Returns the cosignatures of known keys on a note, each key once, in the keys' order.

    Raises:
        MessageRefused: the form is not a note's, or a line of a known key does not verify.
    """
    text, lines = split_note(note)
    return cosigned_lines(text, lines, keys)


def cosigned_lines(
    text: str, lines: Iterable[SignatureLine], keys: Iterable[VerifierKey]
) -> list[Cosignature]:
    """Returns the cosignatures of known keys among lines over a checkpoint's text.

    Raises:
        MessageRefused: a line of a known key does not verify.
    """
    by_name: dict[tuple[str, bytes], list[SignatureLine]] = {}
    for line in lines:
        by_name.setdefault((line.name, line.key_id), []).append(line)
    found = []
    for key in dict.fromkeys(keys):
        own = by_name.get((key.name, key.key_id), ()) if key.is_cosigner else ()
        times = [(verify_cosignature(key, text, line), line) for line in own]
        if times:
            time, newest = max(times, key=lambda one: one[0])
            found.append(Cosignature(key=key, time=time, line=newest))
    return found


def _line(key: VerifierKey, time: int, signature: bytes) -> SignatureLine:
    stamped = struct.pack(">Q", time) + signature
    return SignatureLine(name=key.name, key_id=key.key_id, signature=stamped)


def _counted(name: str) -> bytes:
    data = name.encode()
    if not 1 <= len(data) <= 255:
        raise ValueError("an ML-DSA-44 cosignature names cosigner and log in 1 to 255 bytes")
    return bytes([len(data)]) + data
