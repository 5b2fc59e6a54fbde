"""The keys of a round and the masks they make: pairwise masks cancel, self masks are removed.

A site u with secrets z (pair) and b (self), all fresh in every context::

    x_u    = HKDF(z, context, "mask-x25519")          its X25519 private key, X_u public
    pair   = HKDF(DH(x_u, X_v), context, "pair" u v)  for u < v; both sites derive it
    self   = HKDF(b, context, "self")
    y_u    = vector + PRG(self) + sum over v > u of PRG(pair) - sum over v < u of PRG(pair)

modulo 2**16, 2**32 or 2**64; PRG is the ``Keystream``. Shares travel under a key of
their own for each direction::

    share  = HKDF(DH(k_u, K_v), context, "share" u v)

Rules:

1. Without one of a site's pair keys, or its self key, its vector is uniform bits.
2. A key belongs to one context and one purpose; no key is used twice, so the
   all-zero nonce of a share's AES-256-GCM is used once.
3. A public key that gives the all-zero secret (a point of small order) is refused.
4. A reveal holds exactly one share for every sender: of b for a survivor, of
   z for one that sent no vector. Each opens the commitment of its owner.
5. Secrets are rebuilt from exactly t shares, with the same factors for all
   owners; a secret that does not match its owner's advert names the owner.

Source: Bonawitz et al. 2017 (CCS), section 4 and figure 4, round 4; RFC 7748, section 6.1.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol.errors import MessageRefused
from protocol.secagg.context import RoundContext
from protocol.secagg.messages import Advertise, Reveal, commitment_in, pieces
from protocol.secagg.secret_sharing import OPENING_BYTES, SHARE_BYTES, ShareKind, combine, commit
from protocol.vectors.keystream import CHUNK_BYTES, Keystream, RingVector, derive_key, scratch

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
    vector: RingVector, *, add: Sequence[bytes], subtract: Sequence[bytes], threads: int = 1
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
    vector: RingVector, add: Sequence[bytes], subtract: Sequence[bytes], start: int
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


def ring_dtype(context: RoundContext) -> np.dtype[np.unsignedinteger]:
    """Returns the little-endian word of the context's ring, as blobs hold it."""
    return np.dtype(f"<u{context.ring_bits // 8}")


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


@dataclass(frozen=True, kw_only=True)
class Shared:
    """The public facts of a round once the vectors have arrived.

    ``adverts`` are those of U1; ``entries`` every owner's entry for every
    holder, owners being U2; ``survivors`` are U3.
    """

    context: RoundContext
    adverts: Mapping[str, Advertise]
    entries: Mapping[str, Mapping[str, bytes]]
    survivors: tuple[str, ...]

    @cached_property
    def lost(self) -> tuple[str, ...]:
        """The senders of shares that are not in the sum."""
        return tuple(sorted(set(self.entries) - set(self.survivors)))


@dataclass(frozen=True, kw_only=True, repr=False)
class Revealed:
    """One holder's shares, by owner, each the one that its owner committed to."""

    self_shares: Mapping[str, int]
    pair_shares: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, repr=False)
class Rebuilt:
    """The survivors' b and the lost senders' z, by owner.

    ``liars`` are owners whose shares open their commitments and yet do not
    give the secret they advertised.
    """

    self_secrets: Mapping[str, bytes]
    pair_secrets: Mapping[str, bytes]
    liars: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, repr=False)
class MaskKeys:
    """The keys whose streams must be added to the masked sum, and subtracted from it."""

    add: tuple[bytes, ...]
    subtract: tuple[bytes, ...]


def check_reveal(reveal: Reveal, holder: str, shared: Shared) -> Revealed:
    """Returns the shares of one holder, after checking every one of them.

    Raises:
        MessageRefused: a share is missing, too many, or does not open its commitment.
    """
    return Revealed(
        self_shares=_checked(reveal.self_shares, ShareKind.SELF, shared.survivors, holder, shared),
        pair_shares=_checked(reveal.pair_shares, ShareKind.PAIR, shared.lost, holder, shared),
    )


def _checked(
    openings: bytes, kind: ShareKind, owners: tuple[str, ...], holder: str, shared: Shared
) -> Mapping[str, int]:
    """Returns one share for each owner, by owner."""
    shares, context = {}, shared.context.digest
    for owner, part in zip(owners, pieces(openings, OPENING_BYTES, len(owners)), strict=True):
        share, salt = part[:SHARE_BYTES], part[SHARE_BYTES:]
        promised = commitment_in(shared.entries[owner][holder], kind)
        if commit(salt, context, owner, holder, kind, share) != promised:
            raise MessageRefused(f"its share of site {owner} does not match the commitment")
        shares[owner] = int.from_bytes(share, "big")
    return shares


def rebuild(reveals: Mapping[str, Revealed], shared: Shared) -> Rebuilt:
    """Returns the secrets that checked reveals give.

    Args:
        reveals: at least t of them, by holder.
        shared: what is public.
    """
    holders = sorted(reveals)[: shared.context.threshold]
    self_secrets, pair_secrets, liars = {}, {}, []
    for owner in shared.survivors:
        shares = {holder: reveals[holder].self_shares[owner] for holder in holders}
        secret = _combined(shares, shared.context)
        if secret is None or not is_self_secret(secret, shared.adverts[owner], shared.context):
            liars.append(owner)
        else:
            self_secrets[owner] = secret
    for owner in shared.lost:
        shares = {holder: reveals[holder].pair_shares[owner] for holder in holders}
        secret = _combined(shares, shared.context)
        if secret is None or not is_pair_secret(secret, shared.adverts[owner], shared.context):
            liars.append(owner)
        else:
            pair_secrets[owner] = secret
    return Rebuilt(self_secrets=self_secrets, pair_secrets=pair_secrets, liars=tuple(liars))


def mask_keys(rebuilt: Rebuilt, shared: Shared) -> MaskKeys:
    """Returns the keys that take every mask out of the sum.

    The masks left are the self masks of all survivors, and the pair masks
    between survivors and lost senders.

    Raises:
        ValueError: there are liars, so that masks would be left in the sum.
    """
    if rebuilt.liars:
        raise ValueError("the secrets are not complete")
    context, adverts = shared.context, shared.adverts
    add: list[bytes] = []
    subtract = [self_key(secret, context) for secret in rebuilt.self_secrets.values()]
    for owner, secret in rebuilt.pair_secrets.items():
        private = mask_private_key(secret, context)
        for survivor in shared.survivors:
            key = pair_key(private, adverts[survivor].mask_public, context, owner, survivor)
            # The survivor added this stream for a peer after it, subtracted it for one before.
            (subtract if survivor < owner else add).append(key)
    return MaskKeys(add=tuple(add), subtract=tuple(subtract))


def _combined(shares: Mapping[str, int], context: RoundContext) -> bytes | None:
    try:
        return combine({context.coordinate_of(h): share for h, share in shares.items()})
    except MessageRefused:
        return None


def is_self_secret(secret: bytes, advert: Advertise, context: RoundContext) -> bool:
    """Whether a secret is the b that its owner advertised."""
    return self_commitment(secret, context) == advert.self_commitment


def is_pair_secret(secret: bytes, advert: Advertise, context: RoundContext) -> bool:
    """Whether a secret is the z whose public key its owner advertised."""
    public = mask_private_key(secret, context).public_key().public_bytes_raw()
    return public == advert.mask_public
