"""One key, one stream of uniform bits: AES-256 in counter mode.

Rules:

1. A key has 256 bits, comes from the operating system or from HKDF, and makes
   one stream. A second stream takes a second key.
2. Words are the stream's bytes, little-endian: every word is equally likely,
   there is nothing to reject and no modulus bias.
3. Without the key the stream cannot be told from uniform bits.
"""

import secrets
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import DTypeLike, NDArray

Bytes: TypeAlias = bytes
RingVector: TypeAlias = NDArray[np.unsignedinteger]

#: Bytes in every key of the protocol.
KEY_BYTES = 32
#: A block of AES; the counter counts these.
BLOCK_BYTES = 16
#: The stream is made in pieces of this size, so that they stay in the processor's cache.
CHUNK_BYTES = 1 << 18
_ZEROS = memoryview(bytes(CHUNK_BYTES))
#: The words of a vector, and of the stream that is added to it.
_LITTLE: dict[object, np.dtype[np.unsignedinteger]] = {
    np.dtype(np.uint16): np.dtype("<u2"),
    np.dtype(np.uint32): np.dtype("<u4"),
    np.dtype(np.uint64): np.dtype("<u8"),
}


class Keystream:
    """AES-256-CTR over zeros, from a zero counter; successive calls continue the stream.

    ``skip`` starts a whole number of 16-byte blocks further on: several threads
    can each make their own part of one stream.

    >>> Keystream(bytes(32)).bytes(8).hex()
    'dc95c078a2408989'
    >>> [hex(word) for word in Keystream(bytes(32)).words(2, np.uint32)]
    ['0x78c095dc', '0x898940a2']
    >>> Keystream(bytes(32), skip=16).bytes(4) == Keystream(bytes(32)).bytes(20)[16:]
    True

    Raises:
        ValueError: the key does not have 32 bytes, or ``skip`` is not whole blocks.

    Source: NIST SP 800-38A, section 6.5.
    """

    def __init__(self, key: Bytes, *, skip: int = 0) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, got {len(key)}")
        if skip < 0 or skip % BLOCK_BYTES:
            raise ValueError(f"expected a multiple of {BLOCK_BYTES} bytes to skip, got {skip}")
        counter = (skip // BLOCK_BYTES).to_bytes(BLOCK_BYTES, "big")
        self._cipher = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()

    def bytes(self, count: int) -> Bytes:
        """Returns the next ``count`` bytes."""
        return self.words(count, np.uint8).tobytes()

    def words(self, count: int, dtype: DTypeLike = np.uint32) -> RingVector:
        """Returns the next (count,) words of an unsigned type: a ring's have 16, 32 or 64 bits."""
        words: RingVector = np.empty(count, dtype=np.dtype(dtype).newbyteorder("<"))
        if words.dtype.kind != "u":
            raise ValueError(f"words are unsigned integers, not {words.dtype}")
        self._fill(words.view(np.uint8))
        return words.astype(np.dtype(dtype), copy=False)

    def add_to(self, vector: RingVector, buffer: NDArray[np.uint8] | None = None) -> None:
        """Adds the stream to a vector in place, modulo the word's size.

        Args:
            vector: (size,) uint16, uint32 or uint64, contiguous and writable.
            buffer: ``scratch()`` of an earlier call; saves making one.
        """
        self._combine(np.add, vector, buffer)

    def subtract_from(self, vector: RingVector, buffer: NDArray[np.uint8] | None = None) -> None:
        """Undoes ``add_to`` of an equal stream."""
        self._combine(np.subtract, vector, buffer)

    def _combine(
        self, operation: Callable[..., object], vector: RingVector, buffer: NDArray[np.uint8] | None
    ) -> None:
        little = _LITTLE.get(vector.dtype)
        if little is None:
            raise ValueError(f"expected a vector of uint16, uint32 or uint64, got {vector.dtype}")
        raw = scratch() if buffer is None else buffer
        words = raw.view(little)
        for start in range(0, len(vector), len(words)):
            part = vector[start : start + len(words)]
            self._cipher.update_into(_ZEROS[: part.nbytes], raw[: part.nbytes].data)
            operation(part, words[: len(part)], out=part)

    def _fill(self, target: NDArray[np.uint8]) -> None:
        for start in range(0, len(target), CHUNK_BYTES):
            part = target[start : start + CHUNK_BYTES]
            self._cipher.update_into(_ZEROS[: len(part)], part.data)


def scratch() -> NDArray[np.uint8]:
    """Returns a buffer of one chunk, to be handed to ``add_to`` and ``subtract_from``."""
    return np.empty(CHUNK_BYTES, dtype=np.uint8)


def derive_key(secret: bytes, *, salt: bytes, info: bytes) -> bytes:
    """Returns the 32-byte key that belongs to a secret, a context and a purpose.

    Guarantee: another secret, salt or info gives an independent key.

    >>> salt, info = bytes(range(13)), bytes(range(0xF0, 0xFA))
    >>> derive_key(bytes([11] * 22), salt=salt, info=info).hex()[:16]
    '3cb25f25faacd57a'

    Source: HKDF-SHA256, RFC 5869, sections 2.2 and 2.3; the example is its test case 1.
    """
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(secret)


def fresh_key() -> bytes:
    """Returns 32 bytes from the operating system's generator."""
    return secrets.token_bytes(KEY_BYTES)
