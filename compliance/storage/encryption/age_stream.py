"""Streams through age: encrypting into a header and a payload, decrypting the two as one file.

The library encrypts and decrypts; this file splits what it writes and joins what it reads. Memory
does not grow with the model.
"""

import hashlib
from collections.abc import Sequence
from typing import BinaryIO

from compliance.storage.encryption.age_header import read_header, unwrapped
from compliance.storage.encryption.age_keys import AgeIdentity, Recipient
from protocol.errors import MessageRefused

_MAC_LINE = b"\n--- "


class HeaderSplitter:
    """A writer that keeps an age file's header, and passes its payload on while hashing it.

    Args:
        payload: where the payload goes.
    """

    def __init__(self, payload: BinaryIO) -> None:
        self._payload = payload
        self._begun = b""
        self._hash = hashlib.sha256()
        #: The header's bytes, once they are complete.
        self.header = b""
        #: The payload's size so far.
        self.payload_bytes = 0

    def write(self, data: bytes) -> int:
        """Takes the next bytes of an age file."""
        if self.header:
            self._pass_on(data)
            return len(data)
        self._begun += data
        mac = self._begun.find(_MAC_LINE)
        end = self._begun.find(b"\n", mac + 1) + 1 if mac >= 0 else 0
        if end:
            self.header, rest = self._begun[:end], self._begun[end:]
            self._begun = b""
            self._pass_on(rest)
        return len(data)

    def flush(self) -> None:
        """Flushes the payload."""
        self._payload.flush()

    @property
    def payload_digest(self) -> str:
        """The SHA-256 of the payload so far."""
        return self._hash.hexdigest()

    def _pass_on(self, data: bytes) -> None:
        self._payload.write(data)
        self._hash.update(data)
        self.payload_bytes += len(data)


class _Joined:
    """A reader of a header and of the file that follows it; it keeps the fault of a disk."""

    def __init__(self, header: bytes, payload: BinaryIO) -> None:
        self._header, self._payload = header, payload
        self.fault: OSError | None = None

    def read(self, size: int = -1) -> bytes:
        if self._header and size > 0:
            piece, self._header = self._header[:size], self._header[size:]
            return piece
        try:
            return self._payload.read(size)
        except OSError as error:
            self.fault = error
            raise


def encrypt(plain: BinaryIO, payload: BinaryIO, recipients: Sequence[Recipient]) -> HeaderSplitter:
    """Encrypts a file for recipients; returns what was written.

    Raises:
        OSError: something cannot be read or written.
    """
    import pyrage

    splitter = HeaderSplitter(payload)
    keys = [pyrage.x25519.Recipient.from_str(one.key) for one in recipients]
    try:
        pyrage.encrypt_io(plain, splitter, keys)
    except pyrage.EncryptError as error:
        raise OSError(f"age could not encrypt: {error}") from error
    return splitter


def decrypt(header: bytes, payload: BinaryIO, plain: BinaryIO, identity: AgeIdentity) -> None:
    """Decrypts header and payload into a file.

    What was written before a refusal is authentic, and no model: whoever calls this throws it away.

    Raises:
        PolicyRefused: the header names no recipient whose identity this is.
        MessageRefused: header or payload was changed, or cut off.
        OSError: something cannot be read or written.
    """
    import pyrage

    own = pyrage.x25519.Identity.from_str(identity.secret_text())
    unwrapped(read_header(header), identity.private)
    joined = _Joined(header, payload)
    try:
        pyrage.decrypt_io(joined, plain, [own])
    except (pyrage.DecryptError, OSError) as error:
        # The library says of a wrong chunk what it says of a full disk; only the disk has a number.
        if joined.fault is not None:
            raise joined.fault from error
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise MessageRefused(f"header or payload was changed, or cut off: {error}") from error
