"""The decision of a witness: whether it cosigns a head of a log, as a pure function.

A request (``add-checkpoint``) holds the size of the head that the witness cosigned
last, the proof that the new head extends that one, and the new head's note::

    old 20852014
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
    ...

    example.com/behind-the-sofa
    20852163
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — example.com/behind-the-sofa Az3grl...

Rules:

1. Only a log that the witness was told of is cosigned, and only what its key signed.
2. The size must be that of the head cosigned last, and the proof must hold.
3. The new head is durable before the answer leaves, and is written only where the
   head cosigned last is still the one that the decision was made on (*compare and
   set*); else an older head could be written over a newer one.

A third party answers so over HTTP (``compliance.audit.witness``), a hospital to what
it fetches from the coordinator (``silos.rounds.openings.cosigning``): it is reached by
nobody, and so cosigns by pull. For a hospital the head *cosigned last* is the newest
that it keeps, of which it may have taken part in a round without cosigning it.

Source: C2SP tlog-witness v1.0.0, ``add-checkpoint``.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from protocol.encoding import canonical_base64
from protocol.errors import LogForked, MessageRefused
from protocol.log.merkle import EMPTY_ROOT, HASH_BYTES, verify_consistency
from protocol.log.signed_note import (
    MAX_SIZE,
    Checkpoint,
    open_note,
    parse_checkpoint,
    split_note,
)

#: More lines no consistency proof has.
MAX_PROOF_LINES = 63
#: A request: a note, and a proof before it.
MAX_REQUEST_BYTES = (1 << 18) + 4096


@dataclass(frozen=True, kw_only=True)
class WitnessRequest:
    """The size of the head cosigned last, the proof from it, and the new head's note."""

    old: int
    proof: tuple[bytes, ...]
    note: bytes

    @property
    def to_bytes(self) -> bytes:
        """The request's body; the inverse is ``parse_witness_request``."""
        lines = [
            f"old {self.old}\n",
            *(base64.b64encode(one).decode() + "\n" for one in self.proof),
        ]
        return ("".join(lines) + "\n").encode() + self.note


def parse_witness_request(body: bytes) -> WitnessRequest:
    """Returns the request that a body holds; its note is not opened yet.

    Raises:
        MessageRefused: the form is wrong.
    """
    if len(body) > MAX_REQUEST_BYTES:
        raise MessageRefused(f"a request of {len(body)} bytes is too long")
    head, separator, note = body.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise MessageRefused("the lines before the checkpoint are not ASCII") from error
    if not separator or not first.startswith("old ") or len(lines) > MAX_PROOF_LINES:
        raise MessageRefused("a request has an old size, at most 63 proof lines and a checkpoint")
    return WitnessRequest(
        old=parse_size(first.removeprefix("old ")),
        proof=tuple(_hash(line) for line in lines),
        note=note,
    )


def parse_size(text: str) -> int:
    """Returns a tree's size in decimal, in its one spelling.

    Raises:
        MessageRefused: it is none.
    """
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or str(int(text)) != text:
        raise MessageRefused("a tree's size is a decimal number without leading zeroes")
    if int(text) > MAX_SIZE:
        raise MessageRefused("a tree's size is below 2^63")
    return int(text)


def _hash(line: str) -> bytes:
    decoded = canonical_base64(line, "a proof line")
    if len(decoded) != HASH_BYTES:
        raise MessageRefused(f"a proof line holds a hash of {HASH_BYTES} bytes")
    return decoded


@dataclass(frozen=True, kw_only=True)
class HeadToCosign:
    """A head that a witness may cosign: to be written durably in place of ``before``, first."""

    checkpoint: Checkpoint
    text: str
    note: bytes
    before: Checkpoint | None


@dataclass(frozen=True, kw_only=True)
class WitnessRefusal:
    """A request that is not followed, with the status that the standard has for it.

    ``size`` is that of the head cosigned last, where the status is 409. ``contradicts`` is
    that head where the log's key has signed another history beside it: the new note and the
    one of ``contradicts`` are the evidence.
    """

    status: int
    reason: str
    size: int | None = None
    contradicts: Checkpoint | None = None


BAD_REQUEST, UNTRUSTED, UNKNOWN_LOG, CONFLICT, BAD_PROOF = 400, 403, 404, 409, 422


_EVENT = re.compile(rb"event ([0-9a-f]{64})\n\Z")


def with_event(answer: bytes, message: str | None) -> bytes:
    """Returns a hospital's answer with a last line that asks for the proof of its own event.

    Args:
        answer: a signature line, or a size.
        message: the digest of the message that it sent; None: it asks for nothing.
    """
    return answer if message is None else answer + f"event {message}\n".encode()


def split_event(answer: bytes) -> tuple[bytes, str | None]:
    """Returns a hospital's answer without its last line, and what that asks for."""
    found = _EVENT.search(answer)
    return (answer, None) if found is None else (answer[: found.start()], found[1].decode())


def origin_of(note: bytes) -> str:
    """Returns the origin that a note claims, unverified; the log whose state is to be read.

    Raises:
        MessageRefused: the form is not a checkpoint's.
    """
    return parse_checkpoint(split_note(note)[0], of_any_log=True).origin


def decide(
    request: WitnessRequest,
    trusted: Mapping[str, Sequence[tuple[str, bytes]]],
    newest: Checkpoint | None,
) -> HeadToCosign | WitnessRefusal:
    """Returns the head to cosign, or why not.

    Args:
        request: what was asked.
        trusted: of each log by its origin, the names and Ed25519 keys that sign it.
        newest: the head of that log that was cosigned last.

    Raises:
        MessageRefused: the note is malformed (400).
    """
    text, _ = split_note(request.note)
    head = parse_checkpoint(text, of_any_log=True)
    if head.origin not in trusted:
        return WitnessRefusal(status=UNKNOWN_LOG, reason="this witness does not know the log")
    if not _is_signed(request.note, trusted[head.origin]):
        return WitnessRefusal(status=UNTRUSTED, reason="no key that is trusted for the log signed")
    if request.old > head.size:
        return WitnessRefusal(status=BAD_REQUEST, reason="the old size exceeds the new one")
    size = newest.size if newest else 0
    if request.old != size:
        return WitnessRefusal(
            status=CONFLICT, reason="the old size is not that of the head cosigned last", size=size
        )
    if newest is not None and newest.size == head.size and newest.root != head.root:
        return WitnessRefusal(
            status=CONFLICT,
            reason=f"two roots of {size} entries are signed",
            size=size,
            contradicts=newest,
        )
    try:
        _require_extension(request, newest, head)
    except MessageRefused as error:
        return WitnessRefusal(status=BAD_PROOF, reason=str(error), contradicts=newest)
    return HeadToCosign(checkpoint=head, text=text, note=request.note, before=newest)


def require_cosigned(found: HeadToCosign | WitnessRefusal) -> HeadToCosign:
    """Returns the head of a decision to cosign.

    Raises:
        LogForked: the log's key has signed what was not shown to agree with the head before.
        MessageRefused: the request is refused for another reason.
    """
    if isinstance(found, HeadToCosign):
        return found
    kind = LogForked if found.contradicts is not None else MessageRefused
    raise kind(f"the head is not cosigned: {found.reason}")


def _is_signed(note: bytes, keys: Sequence[tuple[str, bytes]]) -> bool:
    for name, public in keys:
        try:
            open_note(note, name, public)
        except MessageRefused:
            continue
        return True
    return False


def _require_extension(
    request: WitnessRequest, newest: Checkpoint | None, head: Checkpoint
) -> None:
    if newest is None or newest.size == 0:
        if request.proof:
            raise MessageRefused("nothing is proven from an empty tree")
        if head.size == 0 and head.root != EMPTY_ROOT:
            raise MessageRefused("a tree without entries has one root")
        return
    verify_consistency(newest.size, head.size, request.proof, newest.root, head.root)
