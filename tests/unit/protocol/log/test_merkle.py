"""The Merkle tree against published vectors, a naive tree, and every mutation of a proof."""

from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import MessageRefused
from protocol.log.merkle import (
    Frontier,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from protocol.log.merkle_proofs import Tree
from tests.support.reference.merkle import audit_path, tree_hash

# The inputs and roots of the certificate-transparency project's own tests.
ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


def leaves_of(size: int) -> list[bytes]:
    return [leaf_hash(number.to_bytes(2, "big")) for number in range(size)]


@pytest.mark.parametrize("size", range(9))
def test_root_is_the_published_one(size: int) -> None:
    assert root(LEAVES[:size]).hex() == ROOTS[size]


def test_inclusion_proof_is_the_published_one() -> None:
    assert [part.hex() for part in Tree(LEAVES).inclusion(5, len(LEAVES))] == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


def test_consistency_proofs_are_the_published_ones() -> None:
    assert [part.hex() for part in Tree(LEAVES).consistency(6, len(LEAVES))] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert [part.hex() for part in Tree(LEAVES).consistency(2, 5)] == [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]


@given(st.lists(st.binary(max_size=4), max_size=40))
def test_root_equals_the_naive_tree(entries: list[bytes]) -> None:
    assert root([leaf_hash(entry) for entry in entries]) == tree_hash(entries)


@given(st.lists(st.binary(max_size=4), max_size=40))
def test_appending_equals_building_anew(entries: list[bytes]) -> None:
    frontier = Frontier.empty()
    for place, entry in enumerate(entries):
        frontier = frontier.append(leaf_hash(entry))
        assert frontier.root == tree_hash(entries[: place + 1])
        assert len(frontier.hashes) <= (place + 1).bit_length()


def test_every_leaf_of_every_small_tree_is_proved() -> None:
    entries = [number.to_bytes(2, "big") for number in range(33)]
    for size in range(1, 34):
        leaves, top = leaves_of(size), tree_hash(entries[:size])
        for index in range(size):
            proof = Tree(leaves).inclusion(index, len(leaves))
            assert list(proof) == audit_path(index, entries[:size])
            verify_inclusion(leaves[index], index, size, proof, top)


def test_every_pair_of_small_trees_is_consistent() -> None:
    leaves = leaves_of(33)
    for second in range(1, 34):
        for first in range(1, second + 1):
            proof = Tree(leaves).consistency(first, second)
            roots = root(leaves[:first]), root(leaves[:second])
            verify_consistency(first, second, proof, *roots)


def test_every_proof_in_every_tree_up_to_256_holds_and_none_of_them_for_its_neighbour() -> None:
    leaves = [leaf_hash(number.to_bytes(2, "big")) for number in range(256)]
    tree, tops = Tree(leaves), [root(leaves[:size]) for size in range(257)]
    passed = 0
    for size in range(1, 257):
        for index in range(size):
            path = tree.inclusion(index, size)
            verify_inclusion(leaves[index], index, size, path, tops[size])
            if size > 1:
                with suppress(MessageRefused):
                    verify_inclusion(
                        leaves[index], index - 1 if index else 1, size, path, tops[size]
                    )
                    passed += 1
        for first in range(1, size + 1):
            proof = tree.consistency(first, size)
            verify_consistency(first, size, proof, tops[first], tops[size])
            with suppress(MessageRefused):
                verify_consistency(first, size, proof, tops[first - 1], tops[size])
                passed += 1
    assert not passed


@dataclass(frozen=True)
class Claim:
    """The arguments of a true inclusion claim, to be spoilt one at a time."""

    leaf: bytes
    index: int
    size: int
    proof: tuple[bytes, ...]
    top: bytes


@given(st.data())
@settings(max_examples=200)
def test_spoilt_inclusion_claim_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 40))
    index = data.draw(st.integers(0, size - 1))
    leaves = leaves_of(size)
    true = Claim(
        leaves[index], index, size, Tree(leaves).inclusion(index, len(leaves)), root(leaves)
    )
    wrong = leaf_hash(b"wrong")
    spoilt = [
        Claim(wrong, index, size, true.proof, true.top),
        Claim(true.leaf, size, size, true.proof, true.top),
        Claim(true.leaf, -1, size, true.proof, true.top),
        Claim(true.leaf, index, size, (*true.proof, wrong), true.top),
        Claim(true.leaf, index, size, true.proof, wrong),
        Claim(true.leaf, index, 0, true.proof, true.top),
    ]
    if true.proof:
        place = data.draw(st.integers(0, len(true.proof) - 1))
        changed = (*true.proof[:place], wrong, *true.proof[place + 1 :])
        other = (index + 1) % size
        spoilt += [
            Claim(true.leaf, index, size, changed, true.top),
            Claim(true.leaf, index, size, true.proof[:-1], true.top),
            Claim(true.leaf, other, size, true.proof, true.top),
            Claim(true.leaf, index, size, (true.proof[0][:31], *true.proof[1:]), true.top),
        ]
    for claim in spoilt:
        with pytest.raises(MessageRefused, match="leaf|proof"):
            verify_inclusion(claim.leaf, claim.index, claim.size, claim.proof, claim.top)


@given(st.data())
@settings(max_examples=200)
def test_rewritten_history_is_refused(data: st.DataObject) -> None:
    second = data.draw(st.integers(2, 40))
    first = data.draw(st.integers(1, second - 1))
    changed = data.draw(st.integers(0, first - 1))
    leaves = leaves_of(second)
    rewritten = [*leaves[:changed], leaf_hash(b"rewritten"), *leaves[changed + 1 :]]
    proof = Tree(rewritten).consistency(first, len(rewritten))
    with pytest.raises(MessageRefused, match="were changed|does not lead"):
        verify_consistency(first, second, proof, root(leaves[:first]), root(rewritten))


@given(st.data())
def test_consistency_proof_of_another_length_is_refused(data: st.DataObject) -> None:
    second = data.draw(st.integers(2, 40))
    first = data.draw(st.integers(1, second - 1))
    leaves = leaves_of(second)
    roots = root(leaves[:first]), root(leaves)
    proof = Tree(leaves).consistency(first, len(leaves))
    for other in (proof[:-1], (*proof, leaf_hash(b""))):
        with pytest.raises(MessageRefused, match="too short|too long|changed|does not lead"):
            verify_consistency(first, second, other, *roots)


def test_two_roots_of_one_size_are_an_equivocation() -> None:
    leaves = leaves_of(4)
    verify_consistency(4, 4, (), root(leaves), root(leaves))
    with pytest.raises(MessageRefused, match="two roots of 4 leaves differ"):
        verify_consistency(4, 4, (), root(leaves), root(leaves[::-1]))


@pytest.mark.parametrize("first", [0, 5])
def test_sizes_that_cannot_follow_are_refused(first: int) -> None:
    with pytest.raises(MessageRefused, match=f"a tree of 4 cannot extend one of {first}"):
        verify_consistency(first, 4, (), bytes(32), bytes(32))


def test_a_tree_that_grew_proves_every_size_that_it_had() -> None:
    leaves, tree = leaves_of(70), Tree()
    for size, leaf in enumerate(leaves, start=1):
        tree.append(leaf)
        assert tree.root(size) == root(leaves[:size])
    for size in range(1, 71):
        for index in range(size):
            proof = tree.inclusion(index, size)
            assert proof == Tree(leaves[:size]).inclusion(index, size)
            verify_inclusion(leaves[index], index, size, proof, root(leaves[:size]))
        for first in range(1, size + 1):
            roots = root(leaves[:first]), root(leaves[:size])
            verify_consistency(first, size, tree.consistency(first, size), *roots)


def test_proofs_for_leaves_that_are_not_there_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="no such part in a tree of 3"):
        Tree(leaves_of(3)).inclusion(3, 3)
    with pytest.raises(ValueError, match="no such part in a tree of 3"):
        Tree(leaves_of(3)).consistency(3, 4)


def test_frontier_of_a_wrong_width_is_refused() -> None:
    with pytest.raises(ValueError, match="a tree of 3 has 2 complete subtrees"):
        Frontier(size=3, hashes=(bytes(32),))
    with pytest.raises(ValueError, match="a hash has 32 bytes"):
        Frontier(size=1, hashes=(bytes(31),))
