"""What an implementation that shares no code with ours says of our notes, cosignatures, proofs."""

import json
from typing import Any

import pytest

from protocol.identity.roster import SigningKey
from protocol.log.cosignature import Ed25519Cosigner, KeyType, VerifierKey
from protocol.log.merkle import leaf_hash, root, verify_consistency, verify_inclusion
from protocol.log.merkle_proofs import Tree
from protocol.log.signed_note import checkpoint_text, open_note, sign_note, with_lines
from tests.support.reference.go_verifier import SOURCE, GoVerifier, missing

FROZEN = SOURCE / "frozen.json"
SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 21, 64, 65, 100, 255, 256, 1000]
KEY = SigningKey.from_bytes(bytes(range(32)))
LOG = VerifierKey(name="example.org/log", type=KeyType.ED25519, public=KEY.public)
#: With the packages of Debian 12; the answers to ``REQUESTS`` are frozen.
REQUESTS: tuple[dict[str, Any], ...] = (
    {"do": "vectors", "sizes": SIZES},
    {
        "do": "sign",
        "seed": KEY.to_bytes().hex(),
        "name": LOG.name,
        "text": checkpoint_text(LOG.name, 3, bytes(32)),
    },
)


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> GoVerifier:
    if why := missing():
        pytest.skip(why)
    return GoVerifier(tmp_path_factory.mktemp("go"))


def leaves(size: int) -> list[bytes]:
    return [leaf_hash(number.to_bytes(2, "big")) for number in range(size)]


def cosigned_note(size: int, top: bytes) -> tuple[bytes, list[VerifierKey]]:
    text = checkpoint_text(LOG.name, size, top)
    cosigners = [
        Ed25519Cosigner.of_site(name, SigningKey.from_bytes(name.encode().ljust(32)))
        for name in ("east", "north", "west")
    ]
    lines = [cosigner.cosign(text, 1767600000 + place) for place, cosigner in enumerate(cosigners)]
    note = with_lines(sign_note(text, LOG.name, KEY), lines)
    return note, [cosigner.key for cosigner in cosigners]


def test_the_frozen_answers_are_those_of_the_program(go: GoVerifier) -> None:
    assert go.ask(*REQUESTS) == json.loads(FROZEN.read_text())


def test_our_trees_and_proofs_are_those_of_go() -> None:
    trees = json.loads(FROZEN.read_text())[0]["trees"]
    assert [tree["size"] for tree in trees] == SIZES
    whole = Tree(leaves(SIZES[-1]))
    for tree in trees:
        size, index, old = tree["size"], tree["index"], tree["old"]
        assert whole.root(size).hex() == tree["root"]
        assert [one.hex() for one in whole.inclusion(index, size)] == tree["inclusion"]
        assert [one.hex() for one in whole.consistency(old, size)] == tree["consistency"]


def test_our_verifiers_take_the_proofs_of_go() -> None:
    for tree in json.loads(FROZEN.read_text())[0]["trees"]:
        top, proof = bytes.fromhex(tree["root"]), [bytes.fromhex(one) for one in tree["inclusion"]]
        leaf = leaf_hash(tree["index"].to_bytes(2, "big"))
        verify_inclusion(leaf, tree["index"], tree["size"], proof, top)
        proof = [bytes.fromhex(one) for one in tree["consistency"]]
        verify_consistency(tree["old"], tree["size"], proof, bytes.fromhex(tree["old_root"]), top)


def test_our_note_is_the_one_that_go_signs() -> None:
    note = json.loads(FROZEN.read_text())[1]["note"].encode()
    text = checkpoint_text(LOG.name, 3, bytes(32))
    assert sign_note(text, LOG.name, KEY) == note
    assert open_note(note, LOG.name, KEY.public) == text


def test_go_takes_our_heads_and_cosignatures(go: GoVerifier) -> None:
    note, keys = cosigned_note(7, root(leaves(7)))
    asked = {"do": "note", "note": note.decode(), "keys": [LOG.text, *(key.text for key in keys)]}
    spoilt = {**asked, "note": note.decode().replace("\n7\n", "\n8\n")}
    (found, refused) = go.ask(asked, spoilt)
    assert found["ok"]
    assert found["signed_by"] == [LOG.name, *(key.name for key in keys)]
    assert "invalid signature" in refused["error"]


def test_go_takes_our_proofs_and_no_spoilt_one(go: GoVerifier) -> None:
    whole, asked, spoilt = Tree(leaves(300)), [], []
    for size in (1, 2, 13, 64, 299, 300):
        for index in {0, size // 3, size - 1}:
            path = [one.hex() for one in whole.inclusion(index, size)]
            leaf, top = leaf_hash(index.to_bytes(2, "big")).hex(), whole.root(size).hex()
            one = {"do": "inclusion", "index": index, "size": size, "leaf": leaf, "root": top}
            asked.append({**one, "proof": path})
            spoilt.append({**one, "proof": [*path, "00" * 32]})
        for old in {1, (size + 1) // 2, size}:
            path = [one.hex() for one in whole.consistency(old, size)]
            one = {"do": "consistency", "old": old, "first": whole.root(old).hex(), "size": size}
            one["root"] = whole.root(size).hex()
            asked.append({**one, "proof": path})
            spoilt.append({**one, "proof": [*path, "00" * 32]})
    assert all(answer.get("ok") for answer in go.ask(*asked))
    assert not any(answer.get("ok") for answer in go.ask(*spoilt))
