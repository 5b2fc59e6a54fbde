"""What witnesses, hospitals and verifiers read from outside: requests, policies, keys, proofs."""

from random import Random

from protocol.errors import LogForked, MessageRefused
from protocol.identity.roster import SigningKey
from protocol.log.cosignature import (
    Ed25519Cosigner,
    KeyType,
    MlDsaCosigner,
    VerifierKey,
    cosignatures,
    parse_verifier_key,
)
from protocol.log.merkle import leaf_hash
from protocol.log.merkle_proofs import Tree
from protocol.log.signed_note import (
    Checkpoint,
    SignatureLine,
    checkpoint_text,
    sign_note,
    with_lines,
)
from protocol.log.tlog_proof import TlogProof, parse_tlog_proof, verify_tlog_proof
from protocol.log.witness import (
    HeadToCosign,
    WitnessRequest,
    decide,
    parse_witness_request,
)
from protocol.log.witness_policy import PolicyLog, PolicyWitness, WitnessPolicy, parse_policy
from tests.long.fuzz.engine import Attempt, Broken, Make, Target
from tests.long.fuzz.mutations import spoil_bytes

_ORIGIN = "example.org/log"
_KEY = SigningKey.from_bytes(b"k" * 32)
_LOG = VerifierKey(name=_ORIGIN, type=KeyType.ED25519, public=_KEY.public)
_ENTRIES = [b"entry %d" % number for number in range(21)]
_TREE = Tree(leaf_hash(entry) for entry in _ENTRIES)
_QUANTUM = MlDsaCosigner("witness.example.org/w1", b"q" * 32)
#: Not the other: its signatures are drawn, and an input must be made again from its seed.
_SIGNING = (
    Ed25519Cosigner.of_site("east", SigningKey.from_bytes(b"e" * 32)),
    Ed25519Cosigner("witness.example.org/w2", SigningKey.from_bytes(b"w" * 32)),
)
_COSIGNERS = (*_SIGNING, _QUANTUM)
#: A line of the ML-DSA-44 key that does not verify.
_WRONG = SignatureLine(
    name=_QUANTUM.key.name, key_id=_QUANTUM.key.key_id, signature=bytes(8 + 2420)
)
_POLICY = WitnessPolicy(
    logs=(PolicyLog(key=_LOG),),
    witnesses=tuple(
        PolicyWitness(name=f"w{place}", key=one.key) for place, one in enumerate(_COSIGNERS)
    ),
    quorum="w0",
)
_HELD = Checkpoint(origin=_ORIGIN, size=8, root=_TREE.root(8))


def _note(size: int) -> bytes:
    text = checkpoint_text(_ORIGIN, size, _TREE.root(size))
    return sign_note(text, _ORIGIN, _KEY)


def _cosigned(size: int) -> bytes:
    text = checkpoint_text(_ORIGIN, size, _TREE.root(size))
    return with_lines(_note(size), [cosigner.cosign(text, 7) for cosigner in _SIGNING])


def _prepare_request() -> Make:
    whole = WitnessRequest(old=8, proof=_TREE.consistency(8, 21), note=_note(21)).to_bytes
    others = [whole, _note(20), b"old 0\n\n", "old ٣\n".encode()]

    def make(random: Random) -> Attempt:
        data = spoil_bytes(random, whole, others)
        return Attempt(data=data, act=lambda: _decided(data))

    return make


def _decided(data: bytes) -> None:
    request = parse_witness_request(data)
    if request.to_bytes != data:
        raise Broken("a request is written otherwise than it was read")
    found = decide(request, {_ORIGIN: [(_ORIGIN, _KEY.public)]}, _HELD)
    if isinstance(found, HeadToCosign):
        size = found.checkpoint.size
        if not 8 <= size <= 21 or found.checkpoint.root != _TREE.root(size):
            raise Broken("another history would be cosigned")


def _prepare_policy() -> Make:
    whole = _POLICY.to_bytes + b"# end\n"
    others = [whole, b"group g 1 w0 w1\n", b"quorum none\n", b"\t any all \xff\n"]

    def make(random: Random) -> Attempt:
        data = spoil_bytes(random, whole, others)

        def act() -> None:
            policy = parse_policy(data)
            if parse_policy(policy.to_bytes) != policy:
                raise Broken("a policy is written otherwise than it was read")
            policy.is_met([one.key for one in _COSIGNERS])

        return Attempt(data=data, act=act)

    return make


def _prepare_key() -> Make:
    keys = [_LOG.text.encode(), *(one.key.text.encode() for one in _COSIGNERS)]

    def make(random: Random) -> Attempt:
        data = spoil_bytes(random, random.choice(keys), keys)

        def act() -> None:
            text = data.decode("utf-8", "surrogateescape")
            if parse_verifier_key(text).text != text:
                raise Broken("a key has two spellings")

        return Attempt(data=data, act=act)

    return make


def _prepare_cosignatures() -> Make:
    whole = _cosigned(21)
    others = [whole, _cosigned(20), _note(21), _WRONG.text.encode()]

    def make(random: Random) -> Attempt:
        data = spoil_bytes(random, whole, others)
        return Attempt(data=data, act=lambda: cosignatures(data, [one.key for one in _COSIGNERS]))

    return make


def _prepare_proof() -> Make:
    def proof(index: int) -> bytes:
        path = _TREE.inclusion(index, 21)
        found = TlogProof(index=index, path=path, note=_cosigned(21), extra=_ENTRIES[index])
        return found.to_bytes

    whole, others = proof(5), [proof(6), _cosigned(21)]

    def make(random: Random) -> Attempt:
        data = spoil_bytes(random, whole, others)

        def act() -> None:
            read = parse_tlog_proof(data)
            if read.to_bytes != data:
                raise Broken("a proof is written otherwise than it was read")
            found = verify_tlog_proof(read, _ENTRIES[5], _POLICY)
            if found.index != 5:
                raise Broken("an entry was proven at another place")

        return Attempt(data=data, act=act)

    return make


WITNESS_TARGETS: tuple[Target, ...] = (
    Target(name="witness-request", prepare=_prepare_request, refusals=(MessageRefused, LogForked)),
    Target(name="witness-policy", prepare=_prepare_policy),
    Target(name="verifier-key", prepare=_prepare_key),
    Target(name="cosignatures", prepare=_prepare_cosignatures),
    Target(name="tlog-proof", prepare=_prepare_proof),
)
