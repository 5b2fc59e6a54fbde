"""Every message of a round: one frozen record each, one strict decoder for all.

On the wire a message is a 64-byte Ed25519 signature and canonical JSON::

    {"body":{...},"ctx":"<context digest>","from":"<site>","type":"masked","v":1}

signed as ``collegium/v1/<type>``, a line feed and the JSON bytes.

Rules:

1. Size first, then form, version, type, context and sender, then the
   signature, then the body. Nothing of the body is looked at before the
   signature holds.
2. A message of another step is ``OutOfOrder``; anything else that does not
   fit is ``MessageRefused``. No other error leaves the decoder.
3. Vectors are not messages: they are blobs of little-endian words, named by
   their BLAKE3. Sealed shares are not messages either: their owner's signed
   header names each.

Every step has a request of the coordinator and an answer of the silo:

    advertise     RoundOpen        -> Advertise, or HeldHead
    share         AdvertList       -> ShareHeader, and the entries that it names
    masked        SenderList, and the entries for the silo -> Masked and a blob, or Complaint
    consistency   SurvivorList     -> Consistency
    unmask        SignatureList    -> Reveal
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Protocol, TypeAlias, TypeVar

from protocol.codec import (
    DIGEST,
    MAX_SITES,
    Digest,
    SiteName,
    base64_bytes,
    from_json,
    hex_bytes,
    integer,
    list_of,
    map_of,
    nested,
    optional,
    to_json,
)
from protocol.encoding import Json, canonical, digest, digest_json, parse_canonical
from protocol.errors import MessageRefused, OutOfOrder
from protocol.identity.roster import SigningKey, verify
from protocol.secagg.context import RoundContext
from protocol.secagg.log_proof import LogProof
from protocol.secagg.secret_sharing import OPENING_BYTES, ShareKind
from protocol.vectors.evaluation import MAX_OWN_CELLS
from protocol.vectors.ring_bounds import COUNT_LIMIT

VERSION = 1
SIGNATURE_BYTES = 64
HASH_BYTES = 32
#: Two openings and the tag of AES-GCM.
SEALED_BYTES = 2 * OPENING_BYTES + 16
#: Two commitments and what is sealed for the holder.
ENTRY_BYTES = 2 * HASH_BYTES + SEALED_BYTES
_SMALL = 2048
_HEADER = 64 * MAX_SITES + _SMALL

Bytes32: TypeAlias = Annotated[bytes, hex_bytes(32)]


class Message(Protocol):
    """A frozen record that travels in a signed envelope."""

    type: ClassVar[str]
    max_bytes: ClassVar[int]


M = TypeVar("M", bound=Message)


@dataclass(frozen=True, kw_only=True)
class RoundOpen:
    """Coordinator: take part in this context; ``log`` proves its log's head to one hospital.

    Without a proof (None) no hospital takes part. ``own`` is the newest ``Masked``
    that the coordinator holds of this hospital, from any round: its ledger must
    have the head that it signed there.
    """

    type: ClassVar[str] = "round-open"
    max_bytes: ClassVar[int] = 1 << 18
    context: Annotated[RoundContext, nested(RoundContext)]
    log: Annotated[LogProof | None, optional(nested(LogProof))] = None
    own: Annotated[bytes | None, optional(base64_bytes(_SMALL))] = None


@dataclass(frozen=True, kw_only=True)
class HeldHead:
    """Silo: instead of keys, the newest head that it holds of the coordinator's log (0: none).

    The proof that was sent starts from another head; the coordinator opens the
    round to this silo again, with a proof that starts from this one.
    """

    type: ClassVar[str] = "held-head"
    max_bytes: ClassVar[int] = _SMALL
    size: Annotated[int, integer(0, 2**53 - 1)]
    root: Digest


@dataclass(frozen=True, kw_only=True)
class Advertise:
    """Silo: X_u, K_u and the commitment to b_u, all made for this context."""

    type: ClassVar[str] = "advertise"
    max_bytes: ClassVar[int] = _SMALL
    mask_public: Bytes32
    share_public: Bytes32
    self_commitment: Bytes32


@dataclass(frozen=True, kw_only=True)
class AdvertList:
    """Coordinator: the signed adverts of U1, by site."""

    type: ClassVar[str] = "advert-list"
    max_bytes: ClassVar[int] = 1 << 20
    adverts: Annotated[Mapping[str, bytes], map_of(base64_bytes(_SMALL), MAX_SITES)]


@dataclass(frozen=True, kw_only=True)
class ShareHeader:
    """Silo: which adverts it used, and the digest of each entry it made.

    ``entries`` holds 32 bytes for each site of U1, in sorted order: its
    signature therefore covers every commitment and every ciphertext. The
    entries themselves travel beside it.
    """

    type: ClassVar[str] = "share"
    max_bytes: ClassVar[int] = 2 * _HEADER
    adverts: Digest
    entries: Annotated[bytes, base64_bytes(32 * MAX_SITES)]


@dataclass(frozen=True, kw_only=True)
class ShareEntry:
    """The shares of one owner for one holder: two commitments and the sealed openings.

    An owner seals nothing for itself: that entry's ``sealed`` is all zeros.
    """

    self_commitment: bytes
    pair_commitment: bytes
    sealed: bytes

    @property
    def commitments(self) -> bytes:
        """Both commitments, 64 bytes."""
        return self.self_commitment + self.pair_commitment

    def to_bytes(self) -> bytes:
        """Returns the entry's 276 bytes; the inverse of ``parse_entry``."""
        return self.commitments + self.sealed


@dataclass(frozen=True, kw_only=True)
class SenderList:
    """Coordinator: the signed headers of U2, by site, the same to all.

    Beside it travel the entries that U2 made for the silo that reads this, in
    sorted order of U2: unsigned, for the headers name each.
    """

    type: ClassVar[str] = "sender-list"
    max_bytes: ClassVar[int] = 1 << 23
    headers: Annotated[Mapping[str, bytes], map_of(base64_bytes(2 * _HEADER), MAX_SITES)]


@dataclass(frozen=True, kw_only=True)
class Masked:
    """Silo: the digest of its masked blob, and the head of its ledger after SENT.

    In an evaluation also its own noised counts, in units, and the grid on which it counted: six
    numbers, or as many as the study asks for.
    """

    type: ClassVar[str] = "masked"
    max_bytes: ClassVar[int] = _SMALL
    blob: Digest
    ledger_head: Digest
    table: Annotated[
        tuple[int, ...], list_of(integer(-COUNT_LIMIT, COUNT_LIMIT), MAX_OWN_CELLS)
    ] = ()


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """Silo: instead of a vector, who made it impossible to take part."""

    type: ClassVar[str] = "complaint"
    max_bytes: ClassVar[int] = _SMALL
    against: SiteName


@dataclass(frozen=True, kw_only=True)
class SurvivorList:
    """Coordinator: U3, each with the digest of its blob."""

    type: ClassVar[str] = "survivor-list"
    max_bytes: ClassVar[int] = 1 << 16
    blobs: Annotated[Mapping[str, str], map_of(DIGEST, MAX_SITES)]


@dataclass(frozen=True, kw_only=True)
class Consistency:
    """Silo: its one statement on who is in this round (digests of U1, of U2, of U3 with blobs)."""

    type: ClassVar[str] = "consistency"
    max_bytes: ClassVar[int] = _SMALL
    adverts: Digest
    senders: Digest
    survivors: Digest


@dataclass(frozen=True, kw_only=True)
class SignatureList:
    """Coordinator: the signed Consistency messages, by site."""

    type: ClassVar[str] = "signature-list"
    max_bytes: ClassVar[int] = 1 << 20
    signatures: Annotated[Mapping[str, bytes], map_of(base64_bytes(_SMALL), MAX_SITES)]


@dataclass(frozen=True, kw_only=True)
class Reveal:
    """Silo: its shares of b for each survivor, of z for each other sender; never both for one.

    98 bytes for each (``protocol.secagg.secret_sharing.Opening``), in sorted order of U3 and
    of U2 without U3.
    """

    type: ClassVar[str] = "reveal"
    max_bytes: ClassVar[int] = 1 << 16
    self_shares: Annotated[bytes, base64_bytes(OPENING_BYTES * MAX_SITES)]
    pair_shares: Annotated[bytes, base64_bytes(OPENING_BYTES * MAX_SITES)]


_MESSAGES: tuple[type[Message], ...] = (
    RoundOpen,
    HeldHead,
    Advertise,
    AdvertList,
    ShareHeader,
    SenderList,
    Masked,
    Complaint,
    SurvivorList,
    Consistency,
    SignatureList,
    Reveal,
)
_TYPES = frozenset(message.type for message in _MESSAGES)
_ENVELOPE = {"v", "type", "ctx", "from", "body"}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """From whom, and in which context, a message must be. ``context`` None: any."""

    sender: str
    public: bytes
    context: str | None


def sign_message(message: Message, *, context: str, sender: str, key: SigningKey) -> bytes:
    """Returns the signed wire form of a message; the inverse of ``open_message``."""
    data = canonical(
        {
            "v": VERSION,
            "type": message.type,
            "ctx": context,
            "from": sender,
            "body": to_json(message),
        }
    )
    return key.sign(message.type, data) + data


def open_message(wire: bytes, kind: type[M], origin: Origin) -> M:
    """Returns the message that a sender signed in a context.

    Raises:
        OutOfOrder: the message belongs to another step.
        MessageRefused: it is too large, malformed, of another context or
            sender, or its signature is not the sender's.
    """
    body = _body(wire, kind, origin)
    verify_message(wire, kind, origin)
    return from_json(kind, body)


def read_unverified(wire: bytes, kind: type[M], origin: Origin) -> M:
    """Returns what a message says, where what it says proves itself; else use ``open_message``.

    Raises:
        OutOfOrder: the message belongs to another step.
        MessageRefused: it is too large, malformed, or claims another context or sender.
    """
    return from_json(kind, _body(wire, kind, origin))


def verify_message(wire: bytes, kind: type[M], origin: Origin) -> None:
    """Checks a message's signature.

    Raises:
        MessageRefused: it is not the sender's.
    """
    verify(origin.public, kind.type, wire[SIGNATURE_BYTES:], wire[:SIGNATURE_BYTES])


def _body(wire: bytes, kind: type[M], origin: Origin) -> Json:
    """Returns the body of an envelope that has the right size, form, step, context and sender."""
    if not SIGNATURE_BYTES < len(wire) <= kind.max_bytes:
        raise MessageRefused(f"a {kind.type} message of {len(wire)} bytes is too short or too long")
    envelope = parse_canonical(wire[SIGNATURE_BYTES:])
    if not isinstance(envelope, dict) or set(envelope) != _ENVELOPE:
        raise MessageRefused("not an envelope")
    if type(envelope["v"]) is not int or envelope["v"] != VERSION:
        raise MessageRefused(f"expected protocol version {VERSION}")
    _check_type(envelope["type"], kind.type)
    if origin.context is not None and envelope["ctx"] != origin.context:
        raise MessageRefused(f"the {kind.type} message belongs to another context")
    if envelope["from"] != origin.sender:
        raise MessageRefused(f"the {kind.type} message is not from {origin.sender}")
    body: Json = envelope["body"]
    return body


def peek_type(wire: bytes) -> str | None:
    """Returns the type that an unverified message claims, or None when it has no such form."""
    try:
        envelope = parse_canonical(wire[SIGNATURE_BYTES : SIGNATURE_BYTES + _SMALL])
    except MessageRefused:
        return None
    claimed = envelope.get("type") if isinstance(envelope, dict) else None
    return claimed if isinstance(claimed, str) else None


def parse_entry(data: bytes) -> ShareEntry:
    """Returns the entry held in 276 bytes.

    Raises:
        MessageRefused: there are not 276 bytes.
    """
    if len(data) != ENTRY_BYTES:
        raise MessageRefused(f"an entry has {ENTRY_BYTES} bytes, got {len(data)}")
    return ShareEntry(
        self_commitment=data[:HASH_BYTES],
        pair_commitment=data[HASH_BYTES : 2 * HASH_BYTES],
        sealed=data[2 * HASH_BYTES :],
    )


def commitment_in(entry: bytes, kind: ShareKind) -> bytes:
    """Returns the 32-byte commitment to one of the two shares that an entry's bytes hold."""
    return entry[:HASH_BYTES] if kind is ShareKind.SELF else entry[HASH_BYTES : 2 * HASH_BYTES]


def pieces(data: bytes, size: int, count: int) -> list[bytes]:
    """Returns the ``count`` pieces of ``size`` bytes that data consists of.

    Raises:
        MessageRefused: it consists of another number of them.
    """
    if len(data) != size * count:
        raise MessageRefused(f"expected {count} pieces of {size} bytes, got {len(data)} bytes")
    return [data[start : start + size] for start in range(0, len(data), size)]


def header_of(entries: Iterable[bytes]) -> bytes:
    """Returns what a header says of its entries: the SHA-256 of each, in order."""
    return b"".join(hashlib.sha256(entry).digest() for entry in entries)


def digest_of_messages(messages: Mapping[str, bytes]) -> str:
    """Returns one digest for a set of signed messages, by site (U1, U2)."""
    return digest_json({site: digest(wire) for site, wire in messages.items()})


def digest_of_blobs(blobs: Mapping[str, str]) -> str:
    """Returns one digest for the survivors and their blobs (U3)."""
    return digest_json(dict(blobs))


def _check_type(claimed: Json, expected: str) -> None:
    if claimed == expected:
        return
    if isinstance(claimed, str) and claimed in _TYPES:
        raise OutOfOrder(f"expected a {expected} message, got {claimed}")
    raise MessageRefused(f"expected a {expected} message, got an unknown type")
