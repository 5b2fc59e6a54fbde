"""What travels between a hospital and the coordinator's service, beside the protocol's messages.

Rules:

1. A hospital speaks first, always: it asks for *deliveries*, fetches blobs and
   sends *answers*. Nothing is ever pushed to it.
2. Each of its requests carries a *proof*: its signature over method, target,
   body, time and a nonce. TLS only opens the gate; the proof says who speaks,
   and a replayed one is worth nothing.
3. A delivery may be fetched, and an answer sent, any number of times: the same
   number always means the same bytes.
4. Blobs are named by BLAKE3 (ADR 4), so that an upload can be resumed by name.

Source: ``transport-and-identity.md`` E; ruling 31.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated

from protocol.encoding import Json, canonical, parse_canonical
from protocol.errors import MessageRefused
from protocol.forms import (
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
from protocol.identity import SigningKey, verify

#: The header that carries a proof.
PROOF_HEADER = "collegium-proof"
#: The largest part of a blob that is sent at once.
CHUNK_BYTES = 8 << 20
#: The largest blob: 2**27 parameters of 64 bits.
MOST_BLOB_BYTES = 1 << 30
#: How far a hospital's clock may be from the coordinator's.
MOST_SKEW_SECONDS = 300
_MOST_MESSAGE = 1 << 23
_MOST_PROOF = 4096
_MOST_COMMAS = 8
_DOMAIN = "request"
_RUN = text(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")
_KIND = text(r"[a-z][a-z-]{0,31}")
_BLOB = text(r"[0-9a-f]{64}")
_COUNT = integer(0, 2**53 - 1)


@dataclass(frozen=True, kw_only=True)
class BlobName:
    """A blob by its digest, and how long it is."""

    digest: Annotated[str, _BLOB]
    size: Annotated[int, integer(0, MOST_BLOB_BYTES)]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One thing that a hospital is asked; ``number`` rises, ``kind`` names the step."""

    number: Annotated[int, _COUNT]
    run_id: Annotated[str, _RUN]
    kind: Annotated[str, _KIND]
    message: Annotated[bytes, base64_bytes(_MOST_MESSAGE)]
    blob: Annotated[BlobName | None, optional(nested(BlobName))] = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a hospital answered to a delivery; of a refusal only its class crosses."""

    number: Annotated[int, _COUNT]
    message: Annotated[bytes, base64_bytes(_MOST_MESSAGE)] = b""
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
    if data.count(b",") > _MOST_COMMAS:
        raise MessageRefused("neither a delivery nor an answer has so many fields")
    return parse_canonical(data)


@dataclass(frozen=True, kw_only=True)
class Proof:
    """Who makes a request, and which; ``time`` counts milliseconds since 1970.

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
    data = canonical(to_json(proof))
    return base64.b64encode(key.sign(_DOMAIN, data) + data).decode("ascii")


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
    verify(public, _DOMAIN, raw[64:], raw[:64])


def _raw(header: str) -> bytes:
    if len(header) > _MOST_PROOF:
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
