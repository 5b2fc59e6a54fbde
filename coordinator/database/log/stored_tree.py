"""The log's tree in the database: proofs without reading all leaves.

Each signed head keeps the roots of the complete subtrees before it. The root of a subtree that
is a left child stands in every head signed after its end and before its sibling's; a right child
is computed from its own children. So a proof takes O(log² n) short queries, whatever the log's
size, as long as no single append is larger than ``_MOST_LEAVES``.

What the database says is not checked here: a proof is held against the signed root by whoever
uses it.

Source: RFC 6962, sections 2.1.1 and 2.1.2.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.database.store import CheckpointRow, LogEntryRow, newest_head
from protocol.errors import StoreBroken
from protocol.log.merkle import HASH_BYTES, Frontier, node_hash
from protocol.log.merkle_proofs import Proofs

#: Leaves that are read and hashed rather than looked for as the root of a subtree.
_FEW_LEAVES = 64
#: Leaves that one proof reads at once where no head lies between.
_MOST_LEAVES = 4096


class StoredTree(Proofs):
    """The tree over the log's entries, as far as its newest signed head.

    Args:
        session: of the coordinator's database; it must last as long as the tree is used.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        head = newest_head(session)
        self._size = 0 if head is None else head.size

    @property
    def size(self) -> int:
        """The number of entries under the newest head."""
        return self._size

    def subtree(self, level: int, place: int) -> bytes:
        """Returns the root of 2**level entries, of which the first is number place * 2**level.

        Raises:
            StoreBroken: an entry or a head is missing, or holds no bytes.
        """
        count = 1 << level
        start = place * count
        if count <= _FEW_LEAVES:
            return self._computed(start, count)
        found = None if place & 1 else self._kept(start, count)
        if found is not None:
            return found
        if not place & 1 and count <= _MOST_LEAVES:
            return self._computed(start, count)
        return node_hash(self.subtree(level - 1, 2 * place), self.subtree(level - 1, 2 * place + 1))

    def _kept(self, start: int, count: int) -> bytes | None:
        """Returns the root of a left child from the first head that has it; None where none has."""
        query = select(CheckpointRow.size, CheckpointRow.frontier).where(
            CheckpointRow.size >= start + count, CheckpointRow.size < start + 2 * count
        )
        row = self._session.execute(query.order_by(CheckpointRow.size).limit(1)).first()
        if row is None:
            return None
        size, frontier = row
        larger = (size // (2 * count)).bit_count()  # the subtrees that come before it
        found = frontier[larger * HASH_BYTES : (larger + 1) * HASH_BYTES]
        if not isinstance(found, bytes) or len(found) != HASH_BYTES:
            raise StoreBroken(f"the head of {size} entries was changed: verify the log")
        return found

    def _computed(self, start: int, count: int) -> bytes:
        query = select(LogEntryRow.leaf_hash).where(
            LogEntryRow.idx >= start, LogEntryRow.idx < start + count
        )
        leaves = self._session.scalars(query.order_by(LogEntryRow.idx)).all()
        if len(leaves) != count or not all(isinstance(leaf, bytes) for leaf in leaves):
            raise StoreBroken(f"entries between {start} and {start + count} are missing: verify it")
        return Frontier.of(leaves).root
