"""RFC 6962 Merkle tree: roots, the verifiers of proofs, and appending without the old leaves.

Rules:

1. A leaf is ``SHA-256(0x00 || data)``, an inner node ``SHA-256(0x01 || left ||
   right)``; no leaf can pass for an inner node. The root of nothing is SHA-256
   of nothing.
2. A tree of n leaves splits at the largest power of two below n.
3. A proof must be used up exactly: too short, too long or for another place
   is a refusal, and so is a proof about an empty tree.

``merkle_proofs`` makes the proofs.

Source: RFC 6962, section 2.1; the verifiers follow RFC 9162, sections 2.1.3.2
and 2.1.4.2.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from protocol.errors import MessageRefused

HASH_BYTES = 32
#: The root of a tree without leaves.
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Returns the hash of one entry.

    >>> leaf_hash(b"").hex()[:16]
    '6e340b9cffb37a98'
    """
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Returns the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Returns the root over leaf hashes, in order.

    >>> root([]).hex()[:16]
    'e3b0c44298fc1c14'
    """
    return Frontier.of(leaves).root


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes
) -> None:
    """Checks that a leaf hash is number ``index`` of the ``size`` under a root.

    >>> leaves = [leaf_hash(bytes([number])) for number in range(2)]
    >>> verify_inclusion(leaves[1], 1, 2, [leaves[0]], root(leaves))

    Raises:
        MessageRefused: it is not, or the proof has another length.
    """
    _check_hashes(proof)
    if not 0 <= index < size:
        raise MessageRefused(f"there is no leaf {index} in a tree of {size}")
    place, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise MessageRefused("the inclusion proof is too long")
        if place & 1 or place == last:
            computed = node_hash(sibling, computed)
            place, last = _past_left_edge(place, last)
        else:
            computed = node_hash(computed, sibling)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise MessageRefused("the inclusion proof is too short")
    if computed != expected_root:
        raise MessageRefused(f"leaf {index} is not under this root of {size} leaves")


def verify_consistency(
    first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes
) -> None:
    """Checks that a tree of ``second`` leaves keeps the first ``first`` unchanged.

    >>> leaves = [leaf_hash(bytes([number])) for number in range(2)]
    >>> verify_consistency(1, 2, [leaves[1]], root(leaves[:1]), root(leaves))

    Raises:
        MessageRefused: it does not, or the proof has another length.
    """
    _check_hashes(proof)
    if not 0 < first <= second:
        raise MessageRefused(f"a tree of {second} cannot extend one of {first}")
    if first == second:
        if proof or first_root != second_root:
            raise MessageRefused(f"two roots of {first} leaves differ")
        return
    path = list(proof) if first & (first - 1) else [first_root, *proof]
    if not path:
        raise MessageRefused("the consistency proof is too short")
    old, new = _walk(first - 1, second - 1, path)
    if old != first_root:
        raise MessageRefused(f"the first {first} leaves were changed")
    if new != second_root:
        raise MessageRefused(f"the proof does not lead to the root of {second} leaves")


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """The roots of a tree's complete subtrees, largest first: all that appending needs.

    Guarantee: at most log2(size) + 1 hashes; ``append`` costs as many.

    >>> Frontier.empty().append(leaf_hash(b"")).root.hex()[:16]
    '6e340b9cffb37a98'

    Raises:
        ValueError: the number of hashes is not that of the size's binary ones.
    """

    size: int
    hashes: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise ValueError(f"a tree of {self.size} has {self.size.bit_count()} complete subtrees")
        if any(len(value) != HASH_BYTES for value in self.hashes):
            raise ValueError(f"a hash has {HASH_BYTES} bytes")

    @classmethod
    def empty(cls) -> "Frontier":
        """Returns the frontier of a tree without leaves."""
        return cls(size=0, hashes=())

    @classmethod
    def of(cls, leaves: Sequence[bytes]) -> "Frontier":
        """Returns the frontier over leaf hashes."""
        stack: list[bytes] = []
        for place, leaf in enumerate(leaves):
            _push(stack, place, leaf)
        return cls(size=len(leaves), hashes=tuple(stack))

    def append(self, leaf: bytes) -> "Frontier":
        """Returns the frontier with one more leaf hash."""
        stack = list(self.hashes)
        _push(stack, self.size, leaf)
        return Frontier(size=self.size + 1, hashes=tuple(stack))

    @property
    def root(self) -> bytes:
        """The root over all leaves."""
        if not self.hashes:
            return EMPTY_ROOT
        computed = self.hashes[-1]
        for subtree in reversed(self.hashes[:-1]):
            computed = node_hash(subtree, computed)
        return computed


def _push(stack: list[bytes], size: int, leaf: bytes) -> None:
    """Adds a leaf: every trailing one of ``size`` is a subtree that is now complete in pairs."""
    while size & 1:
        leaf = node_hash(stack.pop(), leaf)
        size >>= 1
    stack.append(leaf)


def _walk(place: int, last: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Returns the old and the new root that a consistency path leads to."""
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise MessageRefused("the consistency proof is too long")
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            place, last = _past_left_edge(place, last)
        else:
            new = node_hash(new, sibling)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise MessageRefused("the consistency proof is too short")
    return old, new


def _past_left_edge(place: int, last: int) -> tuple[int, int]:
    """Skips the levels on which a node at the right edge has no sibling."""
    while not place & 1 and place:
        place, last = place >> 1, last >> 1
    return place, last


def _check_hashes(proof: Sequence[bytes]) -> None:
    if any(len(value) != HASH_BYTES for value in proof):
        raise MessageRefused(f"a proof holds hashes of {HASH_BYTES} bytes")
