"""Proofs from a growing Merkle tree, in O(log² n) hashes each.

The tree keeps the root of every complete subtree: 64 bytes for each leaf. A
proof about any size that the tree ever had then takes O(log² n) hashes; from
the leaves alone it would take n.

Source: RFC 6962, sections 2.1.1 (audit paths) and 2.1.2 (consistency proofs).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from protocol.log.merkle import EMPTY_ROOT, HASH_BYTES, node_hash


class Proofs(ABC):
    """Roots and proofs of every size that a tree has had, from its complete subtrees."""

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of leaves."""

    @abstractmethod
    def subtree(self, level: int, place: int) -> bytes:
        """Returns the root of 2**level leaves, of which the first is number place * 2**level."""

    def root(self, size: int) -> bytes:
        """Returns the root over the first ``size`` leaves.

        Raises:
            ValueError: there are not that many.
        """
        self._require(0 <= size <= self.size)
        return self._range(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """Returns the audit path of leaf ``index`` among the first ``size``, from the leaf upwards.

        Raises:
            ValueError: there is no such leaf.
        """
        self._require(0 <= index < size <= self.size)
        path, start, end = [], 0, size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        return tuple(reversed(path))

    def consistency(self, first: int, second: int) -> tuple[bytes, ...]:
        """Returns the proof that the first ``second`` leaves extend the first ``first``.

        Raises:
            ValueError: there are not that many leaves, or ``first`` is not positive.
        """
        self._require(0 < first <= second <= self.size)
        path, start, end = [], 0, second
        while end > first:
            middle = start + _split(end - start)
            if first <= middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        if start:  # the old tree is not one complete subtree: its last one begins the proof
            path.append(self._range(start, end))
        return tuple(reversed(path))

    def _range(self, start: int, end: int) -> bytes:
        """Returns the root over some leaves, where ``start`` is a multiple of a power of two."""
        count = end - start
        if count & (count - 1) == 0:
            level = count.bit_length() - 1
            return self.subtree(level, start >> level)
        middle = start + _split(count)
        return node_hash(self._range(start, middle), self._range(middle, end))

    def _require(self, true: bool) -> None:
        if not true:
            raise ValueError(f"there is no such part in a tree of {self.size} leaves")


class Tree(Proofs):
    """An append-only tree over leaf hashes, with proofs about every size it has had.

    >>> from protocol.log.merkle import leaf_hash
    >>> tree = Tree([leaf_hash(b""), leaf_hash(b"x")])
    >>> tree.inclusion(0, 2) == (leaf_hash(b"x"),)
    True
    """

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._levels: list[bytearray] = [bytearray()]  # [k]: the roots of 2**k leaves, in order
        for leaf in leaves:
            self.append(leaf)

    @property
    def size(self) -> int:
        """The number of leaves."""
        return len(self._levels[0]) // HASH_BYTES

    def append(self, leaf: bytes) -> None:
        """Adds one leaf hash.

        Raises:
            ValueError: it is no hash.
        """
        if len(leaf) != HASH_BYTES:
            raise ValueError(f"a leaf hash has {HASH_BYTES} bytes")
        level, place = 0, self.size
        self._levels[0] += leaf
        while place & 1:  # two complete subtrees of this level are one of the next
            leaf = node_hash(self.subtree(level, place - 1), leaf)
            level, place = level + 1, place >> 1
            if level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[level] += leaf

    def subtree(self, level: int, place: int) -> bytes:
        """See ``Proofs.subtree``."""
        return bytes(self._levels[level][place * HASH_BYTES : (place + 1) * HASH_BYTES])


def _split(size: int) -> int:
    """Returns the largest power of two below ``size``, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)
