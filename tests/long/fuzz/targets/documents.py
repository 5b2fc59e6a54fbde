"""Targets around what is kept, signed or sent whole: models, rosters, logs, summaries, studies."""

import base64
import json
import struct
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import lru_cache
from random import Random
from types import NoneType
from typing import Any, get_type_hints

import numpy as np

from compliance.audit.log import LoggedEntry, LogHead, NewEntry, extend, verify_log
from compliance.privacy.events import SampledGaussian
from protocol.codec import from_json, to_json
from protocol.encoding import canonical, parse_canonical
from protocol.errors import MessageRefused, QuorumLost, StoreBroken, StudyRefused
from protocol.identity.roster import (
    Member,
    Roster,
    SignedRoster,
    SigningKey,
    parse_roster,
    require_quorum,
    sign_roster,
)
from protocol.log.merkle import (
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from protocol.log.merkle_proofs import Tree as MerkleTree
from protocol.log.signed_note import checkpoint_text, key_id, open_note, parse_checkpoint, sign_note
from protocol.study.study_file import read_study
from protocol.transport.privacy_summary import (
    NamedApproval,
    SignedSummary,
    Summary,
    is_name,
    open_summary,
    read_summaries,
    sign_summary,
    write_summaries,
)
from protocol.vectors.tensors import decode_tensors, encode_tensors, model_digest
from tests.long.fuzz.engine import Attempt, Broken, Make, Target
from tests.long.fuzz.mutations import Tree, spoil_bytes, spoil_text, spoil_tree
from tests.support.hospital.rosters import roster_with
from tests.support.simulated.studies import TABLE_STUDY

_KEYS = [SigningKey.from_bytes(bytes([number]) * 32) for number in range(1, 8)]
_LOG = "collegium/audit/v1"


def _loose(data: bytes) -> str:
    """Returns text of any bytes; those that are not UTF-8 become lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


# --- canonical JSON, rosters ---

_TREES: tuple[Tree, ...] = (
    {"b": [1, True, None, "text"], "a": {"c": 0.5, "é": "ü"}},
    [1e-05, 2**53 - 1, "\u2028", {"": []}],
    "text", 7, None,
)  # fmt: skip


def _prepare_canonical() -> Make:
    corpus = [canonical(tree) for tree in _TREES]

    def make(random: Random) -> Attempt:
        if random.random() < 0.5:
            data = spoil_bytes(random, random.choice(corpus), corpus)
        else:
            data = spoil_tree(random, random.choice(_TREES), _TREES)
        return Attempt(data=data, act=lambda: _same(canonical(parse_canonical(data)), data))

    return make


@lru_cache(maxsize=1)
def _rosters() -> tuple[Roster, Roster]:
    members = tuple(
        Member(site=f"site-{place}", public_key=key.public.hex()) for place, key in enumerate(_KEYS)
    )
    before = roster_with(members[:4])
    return before, roster_with(members, version=2, previous=before.digest)


def _prepare_roster() -> Make:
    trees = [to_json(roster) for roster in _rosters()]

    def make(random: Random) -> Attempt:
        if random.random() < 0.3:
            data = spoil_bytes(random, canonical(random.choice(trees)), [canonical(trees[0])])
        else:
            data = spoil_tree(random, random.choice(trees), trees)
        return Attempt(data=data, act=lambda: _same(parse_roster(data).canonical_bytes, data))

    return make


def _prepare_signed_roster() -> Make:
    before, after = _rosters()
    tree = to_json(_signed(after))

    def make(random: Random) -> Attempt:
        data = spoil_tree(random, tree, [tree])
        again = random.random() < 0.5

        def act() -> None:
            signed = from_json(SignedRoster, parse_canonical(data))
            if again:
                signed = _signed(signed.roster)
            require_quorum(signed, before)

        return Attempt(data=data, act=act)

    return make


def _signed(roster: Roster) -> SignedRoster:
    signatures = {f"site-{place}": sign_roster(roster, _KEYS[place]) for place in range(4)}
    return SignedRoster(roster=roster, signatures=signatures)


# --- models ---

_SHAPES: tuple[Tree, ...] = (
    [], [0], [0, 2**64 - 1], [0, 2**60], [0, 7], [2**32, 2**32], [1] * 70, [1] * 9, [-1], [1.5],
    [2, 2], [4], [1], [2**63], [0, 2**32, 2**32],
)  # fmt: skip
_TYPES = (
    "F64",
    "F16",
    "BF16",
    "F8_E4M3",
    "F8_E5M2",
    "F8_E8M0",
    "F4",
    "BOOL",
    "I32",
    "C64",
    "X",
    "",
)


def _prepare_tensors() -> Make:
    generator = np.random.default_rng(0)
    models = [
        encode_tensors({"w": generator.normal(size=(3, 4)), "b": np.zeros(3)}),  # type: ignore[dict-item]
        encode_tensors({"empty": np.zeros((0, 2), np.float32), "one": np.ones((), np.float32)}),
        encode_tensors({}),
    ]

    def make(random: Random) -> Attempt:
        model = random.choice(models)
        if random.random() < 0.4:
            data = spoil_bytes(random, model, models)
        else:
            data = spoilt_model(random, model)
        return Attempt(data=data, act=lambda: _read_model(data))

    return make


def spoilt_model(random: Random, model: bytes) -> bytes:
    """Returns a model with another header, whose length field fits again."""
    size = struct.unpack("<Q", model[:8])[0]
    tree, body = json.loads(model[8 : 8 + size]), model[8 + size :]
    if random.random() < 0.3:
        header = spoil_tree(random, tree, [tree])
    else:
        shape, kind = random.choice(_SHAPES), random.choice(("F32", "F32", *_TYPES))
        count = 0 if 0 in shape else random.choice((4, 16, 2**63))
        offsets = random.choice(([0, count], [0, count], [0, count], [4, count], [count, 0], [0]))
        name = random.choice(("w", "w", "", "é", "__metadata__", "w" * 999))
        tree = {name: {"dtype": kind, "shape": shape, "data_offsets": offsets}}
        header, body = json.dumps(tree).encode(), bytes(count if count < 99 else 9)
    if random.random() < 0.2:
        body = spoil_bytes(random, body, [b"\xff\xff\x7f\x7f", b"\0\0\xc0\x7f", b"\0\0\x80\xff"])
    return struct.pack("<Q", len(header)) + header + body


def _read_model(data: bytes) -> None:
    model = decode_tensors(data)
    if model_digest(decode_tensors(encode_tensors(model))) != model_digest(model):
        raise Broken("the model that was read is not the one that was written")


# --- signed notes and the log ---


def _prepare_note() -> Make:
    key, text = _KEYS[0], checkpoint_text(_LOG, 7, bytes(range(32)))
    note = sign_note(text, _LOG, key)
    others = [note, sign_note(text, "hospital", _KEYS[1]), "— ".encode() * 3]

    def make(random: Random) -> Attempt:
        data = spoil_bytes(random, note, others)
        if random.random() < 0.6:
            data = _signed_again(spoil_bytes(random, text[:-1].encode(), others), key)
        return Attempt(data=data, act=lambda: _read_note(data, key))

    return make


def _signed_again(text: bytes, key: SigningKey) -> bytes:
    """Returns a note over any bytes, as whoever has the key could make it."""
    signature = base64.b64encode(key_id(_LOG, key.public) + key.sign_raw(text + b"\n")).decode()
    return text + f"\n\n\u2014 {_LOG} {signature}\n".encode()


def _read_note(data: bytes, key: SigningKey) -> None:
    checkpoint = parse_checkpoint(open_note(data, _LOG, key.public))
    checkpoint_text(checkpoint.origin, checkpoint.size, checkpoint.root)


def _prepare_checkpoint() -> Make:
    text = checkpoint_text(_LOG, 7, bytes(range(32)))

    def make(random: Random) -> Attempt:
        data = spoil_bytes(random, text.encode(), [text.encode(), "٣²\u2003x".encode()])

        def act() -> None:
            read = parse_checkpoint(_loose(data))
            again = checkpoint_text(read.origin, read.size, read.root)
            _same(again.encode("utf-8", "surrogateescape"), data)

        return Attempt(data=data, act=act)

    return make


_LEAVES = tuple(leaf_hash(bytes([number])) for number in range(21))
_TREE = MerkleTree(_LEAVES)
_SIZES = (-1, 0, 1, 2, 7, 8, 16, 20, 21, 22, 2**31, 2**64, 2**4000)


def _spoilt_proof(random: Random, proof: Sequence[bytes]) -> list[bytes]:
    spoilt = list(proof)
    for _ in range(random.choice((0, 1, 1, 2))):
        at = random.randrange(len(spoilt) + 1)
        choice = random.randrange(4)
        if choice == 0:
            spoilt[at : at + 1] = []
        elif choice == 1:
            spoilt.insert(at, random.choice((*_LEAVES, b"", bytes(31), bytes(33))))
        elif choice == 2 and at < len(spoilt):
            spoilt[at] = spoil_bytes(random, spoilt[at], _LEAVES)
        else:
            random.shuffle(spoilt)
    return spoilt * random.choice((1, 1, 1, 50))


def _prepare_inclusion() -> Make:
    def make(random: Random) -> Attempt:
        size = random.randrange(1, len(_LEAVES) + 1)
        place = random.randrange(size)
        top, leaf, index = root(_LEAVES[:size]), _LEAVES[place], place
        proof = _spoilt_proof(random, _TREE.inclusion(place, size))
        if random.random() < 0.3:
            index = random.choice((*range(size), *_SIZES))
        if random.random() < 0.3:
            leaf = random.choice((*_LEAVES, top, *proof, b""))

        def act() -> None:
            verify_inclusion(leaf, index, size, proof, top)
            if leaf != _LEAVES[index]:
                raise Broken(f"leaf {index} of {size} was proved to be another")

        return Attempt(data=b"".join(proof), act=act)

    return make


def _prepare_consistency() -> Make:
    def make(random: Random) -> Attempt:
        second = random.randrange(1, len(_LEAVES) + 1)
        first = random.randrange(1, second + 1)
        old, new = root(_LEAVES[:first]), root(_LEAVES[:second])
        proof = _spoilt_proof(random, _TREE.consistency(first, second))
        claimed = random.choice((first, first, *_SIZES))
        if random.random() < 0.3:
            old = random.choice((*_LEAVES, *proof, new, b""))

        def act() -> None:
            verify_consistency(claimed, second, proof, old, new)
            if old != root(_LEAVES[:claimed]):
                raise Broken(f"{second} leaves were proved to extend {claimed} others")

        return Attempt(data=b"".join(proof), act=act)

    return make


@lru_cache(maxsize=1)
def _log() -> tuple[list[LoggedEntry], list[LogHead]]:
    entries: list[LoggedEntry] = []
    heads: list[LogHead] = []
    for number in range(4):
        new = [NewEntry(type="result", run_id="run-1", payload=f"{number}" * 64, round=number)]
        logged, head = extend(heads[-1] if heads else None, new, "2026-01-01T00:00:00Z", _KEYS[0])
        entries += logged
        heads.append(head)
    return entries, heads


def _prepare_log() -> Make:
    entries, heads = _log()
    trees = [parse_canonical(entry.data) for entry in entries]
    notes = [head.note for head in heads]

    def make(random: Random) -> Attempt:
        kept, signed = list(entries), list(heads)
        at = random.randrange(len(kept))
        size, top, note = signed[at].size, signed[at].root, signed[at].note
        data = kept[at].data
        if random.random() < 0.5:
            data = spoil_tree(random, trees[at], trees)
            kept[at] = LoggedEntry(
                index=random.choice((at, at, 0, -1, 2**70)), leaf_hash=leaf_hash(data), data=data
            )
        elif random.random() < 0.7:
            data = note = spoil_bytes(random, note, notes)
        else:
            size = random.choice((size, *_SIZES))
            top = spoil_bytes(random, top, [top])
        signed[at] = replace(signed[at], size=size, root=top, note=note)
        return Attempt(data=data, act=lambda: verify_log(kept, signed, _KEYS[0].public))

    return make


# --- summaries and privacy events ---

SUMMARY = Summary(
    site="east", run_id="run-1", study_digest="0" * 64, unit="patient", patient="key",
    sides="together", mode="per_site",
    noise="exact", epsilon=1.0, delta=1e-5, epsilon_two_hospitals=2.3, evaluation_epsilon=None,
    epsilon_group_of_two=2.4, epsilon_group_of_three=4.0, priced_steps=40, priced_evaluations=1,
    noise_multiplier=4.2, evaluation_noise_multiplier=3.7, sampling_rate=0.5, steps=40, clip=1.0,
    budget_epsilon=10.0, budget_share=0.31, run_share=0.12, ledger_head="0" * 64,
    log_size=7, log_root="0" * 64,
    fallback_epsilon=None, engine="chain", torch="2.13.0", opacus="1.6.0", engine_distance=2e-7,
    opacus_distance=1e-7, opacus_epsilon=1.1,
    approvals=(NamedApproval(name="Dr. Ada Moss", on="2026-11-02"),),
)  # fmt: skip
_SUMMARY_TYPES = get_type_hints(Summary)


def _prepare_summary() -> Make:
    key = _KEYS[0]
    honest = sign_summary(SUMMARY, key)
    tree = parse_canonical(honest.data)

    def make(random: Random) -> Attempt:
        draw = random.random()
        if draw < 0.15:
            signed = SignedSummary(
                data=spoil_bytes(random, honest.data, [honest.data]), signature=honest.signature
            )
        elif draw < 0.3:
            signature = spoil_bytes(random, honest.signature, [honest.data])
            signed = SignedSummary(data=honest.data, signature=signature)
        else:
            spoilt = spoil_tree(random, tree, [tree])
            signed = SignedSummary(data=spoilt, signature=key.sign("summary", spoilt))
        return Attempt(data=signed.data, act=lambda: _read_summary(signed, key))

    return make


def _read_summary(signed: SignedSummary, key: SigningKey) -> None:
    summary = open_summary(signed, key.public)
    if not all(is_name(one.name) and len(one.on) == 10 for one in summary.approvals):
        raise Broken("an approver of the summary has no name or no day")
    for field in fields(summary):
        if field.name == "approvals":
            continue
        expected = _SUMMARY_TYPES[field.name]
        allowed = (expected,) if isinstance(expected, type) else (float, int, NoneType)
        value: Any = getattr(summary, field.name)
        if type(value) not in (*allowed, int if expected is float else NoneType):
            raise Broken("a field of the summary has another type")


def _prepare_words() -> Make:
    words = write_summaries({"east": sign_summary(SUMMARY, _KEYS[0])}).encode()
    tree = parse_canonical(words)

    def make(random: Random) -> Attempt:
        if random.random() < 0.4:
            data = spoil_bytes(random, words, [words])
        else:
            data = spoil_tree(random, tree, [tree])
        return Attempt(data=data, act=lambda: read_summaries(_loose(data)))

    return make


def _prepare_event() -> Make:
    tree = SampledGaussian(noise_multiplier=2.0, sampling_rate=0.5, steps=40).to_json()

    def make(random: Random) -> Attempt:
        data = spoil_tree(random, tree, [tree])

        def act() -> None:
            event = SampledGaussian.from_json(parse_canonical(data))
            _same(canonical(event.to_json()), data)

        return Attempt(data=data, act=act)

    return make


# --- studies ---

_IMAGES = TABLE_STUDY.replace(
    "FullyConnectedNet, hidden_channels: [4]", "Classifier, channels: [4], strides: [2]"
)
_YAML_TOKENS = (
    "", "~", "null", "true", "NO", "0x1F", "0x" + "F" * 5000, "9" * 5000, "1e400", "1e308", "-1",
    ".nan", "-.inf", "1_0", "12:30:45", "2001-99-99", "2001-01-01", '"\\uD800"', '"\\0"', "'",
    '"', "&a", "*a", "&a [*a]", "<<", "<<: *a", "=", "?", "? [a]: b", "- ", ": ", "{", "}", "[",
    "]", "|", ">", "%YAML 1.1", "---", "...", "#", "\t", "\0", "\ufeff", "\u2028", "\ud800", "é",
    "!!bool x", '!!int ""', '!!float ""', "!!timestamp x", "!!binary '#'", "!!set {a}",
    "!!omap [1]", "!!python/name:os.system", "!x y", "keyed_hash", "column", "file", "label_skew",
    "images", "table", "none", "per_site", "../x", "/x", "{rule: column, column: ''}",
    "{records: x, how: {rule: label_skew, shares: [1], seed: 1}}", "[]", "{}", "[[[[]]]]", "0",
    "1", "2", "3", "100", "0.5", "east", "coordinator", "age", "ward",
)  # fmt: skip


def _prepare_study() -> Make:
    def make(random: Random) -> Attempt:
        text = spoil_text(random, random.choice((TABLE_STUDY, TABLE_STUDY, _IMAGES)), _YAML_TOKENS)
        data = text.encode("utf-8", "surrogatepass")
        return Attempt(data=data, act=lambda: _read_study(text))

    return make


def _read_study(text: str) -> None:
    study = read_study(text)
    try:
        parse_canonical(study.canonical_bytes)
    except ValueError as error:
        raise Broken(f"a study was accepted that has no digest: {error}") from error


def _same(again: bytes, data: bytes) -> None:
    if again != data:
        raise Broken("what was read is written differently")


DOCUMENT_TARGETS: tuple[Target, ...] = (
    Target(name="canonical-json", prepare=_prepare_canonical),
    Target(name="roster", prepare=_prepare_roster),
    Target(
        name="signed-roster", prepare=_prepare_signed_roster, refusals=(MessageRefused, QuorumLost)
    ),
    Target(name="tensors", prepare=_prepare_tensors),
    Target(name="note", prepare=_prepare_note),
    Target(name="checkpoint", prepare=_prepare_checkpoint),
    Target(name="inclusion-proof", prepare=_prepare_inclusion),
    Target(name="consistency-proof", prepare=_prepare_consistency),
    Target(name="audit-log", prepare=_prepare_log, refusals=(StoreBroken,), weight=3),
    Target(name="summary", prepare=_prepare_summary),
    Target(name="summary-words", prepare=_prepare_words),
    Target(name="privacy-event", prepare=_prepare_event),
    Target(
        name="study", prepare=_prepare_study, refusals=(StudyRefused,), weight=1, memory=20_000,
        seconds=5.0,
    ),
)  # fmt: skip
