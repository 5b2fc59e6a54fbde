"""A proof file of C2SP tlog-proof, verified without the log."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from protocol.errors import MessageRefused
from protocol.identity.roster import SigningKey
from protocol.log.cosignature import Ed25519Cosigner, KeyType, VerifierKey
from protocol.log.merkle import leaf_hash
from protocol.log.merkle_proofs import Tree
from protocol.log.signed_note import checkpoint_text, sign_note, with_lines
from protocol.log.tlog_proof import TlogProof, parse_tlog_proof, verify_tlog_proof
from protocol.log.witness_policy import PolicyLog, PolicyWitness, WitnessPolicy

KEY = SigningKey.from_bytes(bytes(32))
LOG = VerifierKey(name="example.org/log", type=KeyType.ED25519, public=KEY.public)
EAST = Ed25519Cosigner.of_site("east", SigningKey.from_bytes(b"e" * 32))
POLICY = WitnessPolicy(
    logs=(PolicyLog(key=LOG),),
    witnesses=(PolicyWitness(name="east", key=EAST.key),),
    quorum="east",
)
ENTRIES = [b'{"seq":%d}' % number for number in range(20)]
TREE = Tree(leaf_hash(entry) for entry in ENTRIES)


def proof_of(index: int, size: int = 20, cosigned: bool = True) -> TlogProof:
    text = checkpoint_text(LOG.name, size, TREE.root(size))
    note = sign_note(text, LOG.name, KEY)
    if cosigned:
        note = with_lines(note, [EAST.cosign(text, 7)])
    return TlogProof(index=index, path=TREE.inclusion(index, size), note=note, extra=ENTRIES[index])


def test_every_entry_is_proven_under_every_head_and_no_other_entry_is() -> None:
    for size in (1, 2, 3, 17, 20):
        for index in range(size):
            proof = parse_tlog_proof(proof_of(index, size).to_bytes)
            assert proof == proof_of(index, size)
            found = verify_tlog_proof(proof, ENTRIES[index], POLICY)
            assert (found.index, found.checkpoint.size) == (index, size)
            assert [one.time for one in found.cosignatures] == [7]
            with pytest.raises(MessageRefused, match="is not under this root"):
                verify_tlog_proof(proof, ENTRIES[index] + b" ", POLICY)


def test_a_head_that_lacks_the_quorum_or_is_another_logs_proves_nothing() -> None:
    with pytest.raises(MessageRefused, match="not cosigned as the policy"):
        verify_tlog_proof(proof_of(3, cosigned=False), ENTRIES[3], POLICY)
    other = VerifierKey(name=LOG.name, type=KeyType.ED25519, public=EAST.key.public)
    policy = WitnessPolicy(logs=(PolicyLog(key=other),))
    with pytest.raises(MessageRefused, match="signed by no log that is trusted here"):
        verify_tlog_proof(proof_of(3), ENTRIES[3], policy)
    alone = WitnessPolicy(logs=(PolicyLog(key=LOG),))
    assert verify_tlog_proof(proof_of(3, cosigned=False), ENTRIES[3], alone).index == 3


def test_extra_is_left_out_or_taken_as_it_is() -> None:
    bare = replace(proof_of(3), extra=None)
    assert b"extra" not in bare.to_bytes
    assert parse_tlog_proof(bare.to_bytes) == bare
    empty = replace(bare, extra=b"")
    assert parse_tlog_proof(empty.to_bytes) == empty


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"c2sp.org/tlog-proof@v1", b"c2sp.org/tlog-proof@v2"),
        (b"index 3", b"index 03"),
        (b"index 3", b"index -3"),
        (b"index 3", b"number 3"),
        (b"extra ", b"extra"),
        (b"extra ", b"extra !"),
        (b"index 3\n", b"index 3\nAAAA\n"),
        (b"index 3\n", b"index 3\n" + (b"A" * 43 + b"=\n") * 64),
        (b"\n\n", b"\n"),
        (b"\n\n", b"\n\n\n"),
    ],
)
def test_a_malformed_proof_is_refused(old: bytes, new: bytes) -> None:
    spoilt = proof_of(3).to_bytes.replace(old, new)
    with pytest.raises(MessageRefused):
        verify_tlog_proof(parse_tlog_proof(spoilt), ENTRIES[3], POLICY)


@given(place=some.integers(0, 10**6), bit=some.integers(0, 7))
def test_no_bit_of_a_proof_can_be_flipped_unnoticed(place: int, bit: int) -> None:
    data = bytearray(proof_of(3).to_bytes)
    place %= len(data)
    data[place] ^= 1 << bit
    try:
        proof = parse_tlog_proof(bytes(data))
        found = verify_tlog_proof(proof, ENTRIES[3], POLICY)
    except MessageRefused:
        return
    # Only what the proof does not vouch for can differ: extra data, and the bytes of base64
    # that spell the same.
    assert (found.index, found.checkpoint.root) == (3, TREE.root(20))
    assert proof.extra != ENTRIES[3] or bytes(data) == proof_of(3).to_bytes


@given(data=some.binary(max_size=120))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(MessageRefused):
        assert parse_tlog_proof(data).to_bytes == data
