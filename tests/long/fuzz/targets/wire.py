"""Targets around the network: deliveries, answers, proofs of requests and replies, notices."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from protocol.codec import from_json, to_json
from protocol.encoding import blob_digest, canonical, parse_canonical
from protocol.identity.roster import SigningKey
from protocol.transport.requests import (
    Answer,
    BlobName,
    Delivery,
    Proof,
    ReplyProof,
    open_reply,
    parse_answer,
    parse_delivery,
    read_proof,
    sign_proof,
    sign_reply,
    to_bytes,
    verify_proof,
)
from protocol.transport.run_announcement import (
    Joined,
    RunAnnouncement,
    RunEnd,
    open_announcement,
    open_end,
    parse_joined,
)
from tests.long.fuzz.engine import Attempt, Broken, Make, Target
from tests.long.fuzz.mutations import Tree, spoil_bytes, spoil_tree

_KEY = SigningKey.from_bytes(bytes(32))
_BLOB = BlobName(digest=blob_digest(b"blob"), size=4)
_ASKED = Delivery(number=7, run_id="run-1", kind="masked", message=b"please")
_DELIVERIES = (_ASKED, replace(_ASKED, kind="advertise", blob=_BLOB))
_ANSWERS = (
    Answer(number=7, message=b"here"),
    Answer(number=8, blob=_BLOB),
    Answer(number=9, refusal="BudgetSpent"),
)
_JOINED = (Joined(summary=b"a summary", signature=bytes(64), model="0" * 64),)
_NOTICE = RunAnnouncement(run_id="run-1", study="0" * 64, roster="f" * 64)
_PROOF = Proof(
    site="east", method="PUT", target="/v1/blobs/x?offset=0&size=9", body=blob_digest(b""),
    time=1_700_000_000_000, nonce=bytes(16),
)  # fmt: skip


def _spoilt(random: Random, trees: Sequence[Tree]) -> bytes:
    """Returns an honest record, or one that is spoilt as bytes or as a tree."""
    draw, tree = random.random(), random.choice(trees)
    if draw < 0.05:
        return canonical(tree)
    if draw < 0.35:
        return spoil_bytes(random, canonical(tree), [canonical(other) for other in trees])
    return spoil_tree(random, tree, trees)


def _prepare(records: Sequence[Any], again: Callable[[bytes], bytes]) -> Make:
    """Spoils records; ``again`` reads one and writes what it read."""
    trees = [to_json(record) for record in records]

    def make(random: Random) -> Attempt:
        data = _spoilt(random, trees)
        return Attempt(data=data, act=lambda: _same(again(data), data))

    return make


def _same(again: bytes, data: bytes) -> None:
    if again != data:
        raise Broken("what was read is written differently")


def _prepare_proof() -> Make:
    """Headers, and proofs that are signed again by the hospital that spoilt them."""
    tree, honest = to_json(_PROOF), sign_proof(_PROOF, _KEY).encode()

    def make(random: Random) -> Attempt:
        if random.random() < 0.3:
            header = spoil_bytes(random, honest, [honest])
        else:
            data = _spoilt(random, [tree])
            header = base64.b64encode(_KEY.sign("request", data) + data)
        return Attempt(data=header, act=lambda: _read_header(header))

    return make


def _read_header(header: bytes) -> None:
    text = header.decode("latin-1")  # as the service reads headers
    proof = read_proof(text)
    verify_proof(text, _KEY.public)
    _same(sign_proof(proof, _KEY).encode(), header)


def _prepare_reply() -> Make:
    """Headers of replies, and statements that the coordinator spoilt and signed."""
    request = sign_proof(_PROOF, _KEY)
    honest = sign_reply(request, 200, b"open", 5_000, _KEY).encode()
    tree = to_json(read_reply(honest))

    def make(random: Random) -> Attempt:
        if random.random() < 0.3:
            header = spoil_bytes(random, honest, [honest])
        else:
            data = _spoilt(random, [tree])
            header = base64.b64encode(_KEY.sign("reply", data) + data)
        return Attempt(data=header, act=lambda: _open_reply(header, request))

    return make


def read_reply(header: bytes) -> ReplyProof:
    """The statement that a header holds."""
    return from_json(ReplyProof, parse_canonical(base64.b64decode(header)[64:]))


def _open_reply(header: bytes, request: str) -> None:
    reply = open_reply(header.decode("latin-1"), request, 200, b"open", _KEY.public)
    _same(sign_reply(request, 200, b"open", reply.time, _KEY).encode(), header)


def _prepare_statement(domain: str, record: Any, act: Callable[[bytes], object]) -> Make:
    """What the coordinator signs about a run; ``act`` opens it."""
    tree = to_json(record)

    def make(random: Random) -> Attempt:
        data = _spoilt(random, [tree])
        signed = _KEY.sign(domain, data) + data
        if random.random() < 0.2:
            signed = spoil_bytes(random, signed, [signed])
        return Attempt(data=signed, act=lambda: act(signed))

    return make


def _prepare_notice() -> Make:
    return _prepare_statement(
        "run-notice", _NOTICE, lambda data: open_announcement(data, _KEY.public)
    )


def _prepare_end() -> Make:
    end = RunEnd(run_id="run-1")
    return _prepare_statement("run-end", end, lambda data: open_end(data, "run-1", _KEY.public))


WIRE_TARGETS: tuple[Target, ...] = (
    Target(
        name="delivery",
        prepare=lambda: _prepare(_DELIVERIES, lambda data: to_bytes(parse_delivery(data))),
    ),
    Target(
        name="answer",
        prepare=lambda: _prepare(_ANSWERS, lambda data: to_bytes(parse_answer(data))),
    ),
    Target(name="request-proof", prepare=_prepare_proof),
    Target(name="reply-proof", prepare=_prepare_reply),
    Target(name="run-notice", prepare=_prepare_notice),
    Target(name="run-end", prepare=_prepare_end),
    Target(
        name="joined",
        prepare=lambda: _prepare(_JOINED, lambda data: parse_joined(data).canonical_bytes),
    ),
)
