"""The requests and replies between a hospital and the coordinator's service.

Rules:

1. A hospital speaks first, always: it asks for *deliveries*, fetches blobs and
   sends *answers*. Nothing is ever pushed to it.
2. Each of its requests carries a *proof*: its signature over method, target,
   body, time and a nonce. TLS only admits the connection; the proof identifies the
   sender, and a replayed one is refused.
3. Each reply to a hospital carries the coordinator's signature over the request
   that it answers, its status and its body. An attacker with a TLS key of the
   coordinator, but not its signing key, can withhold a reply but not forge one;
   and one that was given before answers no other request.
4. A delivery may be fetched, and an answer sent, any number of times: the same
   number always means the same bytes.
5. Blobs are named by BLAKE3 (ADR 4), so that an upload can be resumed by name.
   What is fetched by name needs no signature: the delivery that named it has one.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated

from protocol.codec import (
    Digest,
    SiteName,
    base64_bytes,
    from_json,
    hex_bytes,
    integer,
    nested,
    optional,
    require_forms,
    text,
    to_json,
)
from protocol.encoding import Json, blob_digest, canonical, digest, parse_canonical
from protocol.errors import MessageRefused
from protocol.identity.roster import SigningKey, verify

#: The header that carries a proof.
PROOF_HEADER = "collegium-proof"
#: The header that carries the coordinator's signature under a reply.
REPLY_HEADER = "collegium-reply"
#: Replies of which only the status is believed: to unproven peers, or while the service fails.
UNSIGNED_STATUSES = frozenset({400, 403, *range(500, 600)})
#: The largest part of a blob that is sent at once.
CHUNK_BYTES = 8 << 20
#: The largest blob: 2**27 parameters of 64 bits.
MAX_BLOB_BYTES = 1 << 30
#: How far a hospital's clock may be from the coordinator's.
MAX_SKEW_SECONDS = 300
_MAX_MESSAGE = 1 << 23
_MAX_PROOF = 4096
_MAX_COMMAS = 8
_REQUEST, _REPLY = "request", "reply"
_RUN = text(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")
_KIND = text(r"[a-z][a-z-]{0,31}")
_BLOB = text(r"[0-9a-f]{64}")
_COUNT = integer(0, 2**53 - 1)


@dataclass(frozen=True, kw_only=True)
class BlobName:
    """A blob by its digest, and how long it is."""

    digest: Annotated[str, _BLOB]
    size: Annotated[int, integer(0, MAX_BLOB_BYTES)]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One thing that a hospital is asked; ``number`` rises, ``kind`` names the step."""

    number: Annotated[int, _COUNT]
    run_id: Annotated[str, _RUN]
    kind: Annotated[str, _KIND]
    message: Annotated[bytes, base64_bytes(_MAX_MESSAGE)]
    blob: Annotated[BlobName | None, optional(nested(BlobName))] = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A hospital's answer to a delivery; of a refusal only its class crosses."""

    number: Annotated[int, _COUNT]
    message: Annotated[bytes, base64_bytes(_MAX_MESSAGE)] = b""
    blob: Annotated[BlobName | None, optional(nested(BlobName))] = None
    refusal: Annotated[str | None, optional(text(r"[A-Za-z]{1,40}"))] = None


def to_bytes(record: Delivery | Answer) -> bytes:
    """Returns a record's canonical bytes."""
    return canonical(to_json(record))


def parse_delivery(data: bytes) -> Delivery:
    """Returns the delivery in these bytes.

    Raises:
        MessageRefused: the form is wrong.
    """
    return from_json(Delivery, _few_fields(data))


def parse_answer(data: bytes) -> Answer:
    """Returns the answer in these bytes.

    Raises:
        MessageRefused: the form is wrong.
    """
    return from_json(Answer, _few_fields(data))


def _few_fields(data: bytes) -> Json:
    """Returns the JSON of a record of few fields; any other would take long to read."""
    if data.count(b",") > _MAX_COMMAS:
        raise MessageRefused("neither a delivery nor an answer has so many fields")
    return parse_canonical(data)


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The signed proof of a request and its sender; ``time`` counts milliseconds since 1970.

    ``body`` is the BLAKE3 of the request's body.
    """

    site: SiteName
    method: Annotated[str, text(r"[A-Z]{3,6}")]
    target: Annotated[str, text(r"/[!-~]{0,500}")]
    body: Annotated[str, _BLOB]
    time: Annotated[int, _COUNT]
    nonce: Annotated[bytes, hex_bytes(16)]

    def __post_init__(self) -> None:
        require_forms(self)


def sign_proof(proof: Proof, key: SigningKey) -> str:
    """Returns the header's text: signature and proof, base64."""
    return _signed(_REQUEST, proof, key)


def read_proof(header: str) -> Proof:
    """Returns what a header claims; nothing is checked but its form.

    Raises:
        MessageRefused: the form is wrong.
    """
    return from_json(Proof, parse_canonical(_raw(header)[64:]))


def verify_proof(header: str, public: bytes) -> None:
    """Checks a header's signature.

    Raises:
        MessageRefused: it is not this key's.
    """
    raw = _raw(header)
    verify(public, _REQUEST, raw[64:], raw[:64])


@dataclass(frozen=True, kw_only=True)
class ReplyProof:
    """The coordinator's statement that it gave this reply to this request.

    ``request`` is the SHA-256 of the request's proof header, which holds a
    fresh nonce; ``body`` the BLAKE3 of the reply's body; ``time`` counts
    milliseconds since 1970 on the coordinator's clock.
    """

    request: Digest
    status: Annotated[int, integer(100, 599)]
    body: Annotated[str, _BLOB]
    time: Annotated[int, _COUNT]

    def __post_init__(self) -> None:
        require_forms(self)


def sign_reply(request: str, status: int, body: bytes, time: int, key: SigningKey) -> str:
    """Returns the header's text that makes a reply the coordinator's own.

    Args:
        request: the request's proof header.
        status: the reply's HTTP status.
        body: the reply's body.
        time: the coordinator's time, in milliseconds since 1970.
        key: the coordinator's signing key.
    """
    reply = ReplyProof(
        request=digest(request.encode()), status=status, body=blob_digest(body), time=time
    )
    return _signed(_REPLY, reply, key)


def open_reply(header: str, request: str, status: int, body: bytes, public: bytes) -> ReplyProof:
    """Returns the coordinator's statement about a reply that has arrived.

    Args:
        header: the reply's ``REPLY_HEADER``.
        request: the proof header of the request that was made.
        status: the HTTP status that arrived.
        body: the body that arrived.
        public: the coordinator's public key.

    Raises:
        MessageRefused: it is not signed with this key, or is about another
            request, status or body.
    """
    raw = _raw(header)
    verify(public, _REPLY, raw[64:], raw[:64])
    reply = from_json(ReplyProof, parse_canonical(raw[64:]))
    arrived = (digest(request.encode()), status, blob_digest(body))
    if (reply.request, reply.status, reply.body) != arrived:
        raise MessageRefused("the coordinator's signature is under another reply")
    return reply


def _signed(domain: str, record: Proof | ReplyProof, key: SigningKey) -> str:
    data = canonical(to_json(record))
    return base64.b64encode(key.sign(domain, data) + data).decode("ascii")


def _raw(header: str) -> bytes:
    if len(header) > _MAX_PROOF:
        raise MessageRefused("the proof is too long")
    try:
        raw = base64.b64decode(header, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MessageRefused("the proof is not base64") from error
    if base64.b64encode(raw).decode("ascii") != header:
        raise MessageRefused("the proof is not base64 in its canonical spelling")
    if len(raw) <= 64:
        raise MessageRefused("the proof is too short")
    return raw
