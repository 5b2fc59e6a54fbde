"""The keys of a round and the masks they make: pairwise masks cancel, self masks are removed.

A site u with secrets z (pair) and b (self), all fresh in every context::

    x_u    = HKDF(z, context, "mask-x25519")          its X25519 private key, X_u public
    pair   = HKDF(DH(x_u, X_v), context, "pair" u v)  for u < v; both sites derive it
    self   = HKDF(b, context, "self")
    y_u    = vector + PRG(self) + sum over v > u of PRG(pair) - sum over v < u of PRG(pair)

modulo 2**32 or 2**64; PRG is the ``Keystream``. Shares travel under a key of
their own for each direction::

    share  = HKDF(DH(k_u, K_v), context, "share" u v)

Rules:

1. Whoever lacks one of a site's pair keys, or its self key, sees uniform bits.
2. A key belongs to one context and one purpose; no key is used twice, so the
   all-zero nonce of a share's AES-256-GCM is used once.
3. A public key that gives the all-zero secret (a point of small order) is refused.

Source: Bonawitz et al. 2017 (CCS), section 4; RFC 7748, section 6.1.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol.context import RoundContext
from protocol.errors import MessageRefused
from protocol.keystream import CHUNK_BYTES, Keystream, Words, derive_key, scratch

_NONCE = bytes(12)
_LABEL = "collegium/sa1"
#: Fewer bytes of keystream than this are made before a second thread has started.
_WORTH_THREADS = 1 << 25
#: Threads take whole pages of a vector, so that no two write to one cache line.
_PAGE = 1 << 12
#: p of Curve25519, and the X25519 inputs (with their last bit clear) that give the all-zero secret.
_P = 2**255 - 19
_ORDER_8 = (
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
_SMALL_ORDER = frozenset((0, 1, *_ORDER_8, _P - 1, _P, _P + 1))


def mask_private_key(secret: bytes, context: RoundContext) -> X25519PrivateKey:
    """Returns x_u: the X25519 key that follows from the pair secret z."""
    return X25519PrivateKey.from_private_bytes(_key(secret, context, "mask-x25519"))


def pair_key(
    private: X25519PrivateKey, peer_public: bytes, context: RoundContext, site: str, peer: str
) -> bytes:
    """Returns the key that two sites share; the same from either side.

    Raises:
        MessageRefused: the peer's public key is not a usable point.
    """
    first, second = sorted((site, peer))
    return _key(_exchange(private, peer_public), context, "pair", first, second)


def self_key(secret: bytes, context: RoundContext) -> bytes:
    """Returns the key of a site's own mask."""
    return _key(secret, context, "self")


def self_commitment(secret: bytes, context: RoundContext) -> bytes:
    """Returns the 32 bytes by which a reconstructed self secret is recognised."""
    label = f"{_LABEL}\nself-secret\n{context.digest}\n"
    return hashlib.sha256(label.encode() + secret).digest()


def share_keys(
    private: X25519PrivateKey, peer_public: bytes, context: RoundContext, site: str, peer: str
) -> tuple[bytes, bytes]:
    """Returns the keys for what a site seals for a peer, and for what the peer seals for it.

    Raises:
        MessageRefused: the peer's public key is not a usable point.
    """
    secret = _exchange(private, peer_public)
    return _key(secret, context, "share", site, peer), _key(secret, context, "share", peer, site)


def require_usable(public: bytes) -> None:
    """Checks that a public key is a point with which a secret can be shared.

    Raises:
        MessageRefused: it has small order, or another length than 32 bytes.

    Source: RFC 7748, section 5 (the last bit is ignored); the points of order 1,
    2, 4 and 8, Bernstein's list at cr.yp.to/ecdh.html.
    """
    point = int.from_bytes(public, "little") & ((1 << 255) - 1)
    if len(public) != 32 or point in _SMALL_ORDER:
        raise MessageRefused("an X25519 public key is not a usable point")


def seal(key: bytes, context: RoundContext, sender: str, receiver: str, data: bytes) -> bytes:
    """Returns the data encrypted for one receiver; undone by ``unseal``."""
    return AESGCM(key).encrypt(_NONCE, data, _addressed(context, sender, receiver))


def unseal(key: bytes, context: RoundContext, sender: str, receiver: str, data: bytes) -> bytes:
    """Returns what was sealed.

    Raises:
        MessageRefused: it was not sealed under this key, context and direction.
    """
    try:
        return AESGCM(key).decrypt(_NONCE, data, _addressed(context, sender, receiver))
    except InvalidTag as error:
        raise MessageRefused("the sealed shares cannot be opened") from error


def apply_masks(
    vector: Words, *, add: Sequence[bytes], subtract: Sequence[bytes], threads: int = 1
) -> None:
    """Adds and subtracts the streams of keys, in place, modulo the word's size.

    One chunk of the vector takes all streams before the next one does: the
    chunk stays in the processor's cache, and no second vector is ever made.
    Threads take equal stretches of the vector; the result is the same for any
    number of them.

    >>> vector = np.zeros(3, dtype=np.uint32)
    >>> apply_masks(vector, add=[bytes(32)], subtract=[])
    >>> apply_masks(vector, add=[], subtract=[bytes(32)])
    >>> vector
    array([0, 0, 0], dtype=uint32)
    """
    if threads == 1 or vector.nbytes * (len(add) + len(subtract)) < _WORTH_THREADS:
        _mask_stretch(vector, add, subtract, 0)
        return
    stretch = -(-vector.nbytes // threads // _PAGE) * _PAGE // vector.itemsize
    starts = range(0, len(vector), stretch)
    with ThreadPoolExecutor(threads) as pool:
        masked = [
            pool.submit(_mask_stretch, vector[start : start + stretch], add, subtract, start)
            for start in starts
        ]
        for done in masked:
            done.result()


def _mask_stretch(
    vector: Words, add: Sequence[bytes], subtract: Sequence[bytes], start: int
) -> None:
    """Masks the words of a longer vector that begin at ``start``."""
    skip = start * vector.itemsize
    added = [Keystream(key, skip=skip) for key in add]
    subtracted = [Keystream(key, skip=skip) for key in subtract]
    buffer = scratch()
    step = CHUNK_BYTES // vector.dtype.itemsize
    for place in range(0, len(vector), step):
        chunk = vector[place : place + step]
        for stream in added:
            stream.add_to(chunk, buffer)
        for stream in subtracted:
            stream.subtract_from(chunk, buffer)


def word_type(context: RoundContext) -> np.dtype[np.unsignedinteger]:
    """Returns the little-endian word of the context's ring, as blobs hold it."""
    return np.dtype("<u4" if context.ring_bits == 32 else "<u8")


def _key(secret: bytes, context: RoundContext, *purpose: str) -> bytes:
    # Site names hold no slash, so different purposes never spell the same text.
    return derive_key(secret, salt=context.salt, info="/".join((_LABEL, *purpose)).encode())


def _exchange(private: X25519PrivateKey, peer_public: bytes) -> bytes:
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(peer_public))
    except ValueError as error:
        raise MessageRefused("an X25519 public key is not a usable point") from error


def _addressed(context: RoundContext, sender: str, receiver: str) -> bytes:
    return "/".join((context.digest, sender, receiver)).encode()
