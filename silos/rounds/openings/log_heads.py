"""The heads of a coordinator's log that a hospital took part under, and the evidence of a fork.

Rules:

1. Rows are only ever added. All heads of one log (one origin) were proven to be
   of one history before they were kept, so the largest one stands for all.
2. A head is durable before the hospital's first answer in the round that named
   it: it is written in the transaction that binds the hospital to the round.
3. Two notes that were not shown to agree are both kept, as evidence of what the
   coordinator told whom. Of one size they prove by themselves that it
   signed two histories.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, insert, select

from protocol.errors import LogForked, OutOfOrder
from protocol.log.signed_note import log_origin
from protocol.secagg.client import Binding, EquivocationGuard
from protocol.secagg.context import RoundContext
from protocol.secagg.log_proof import SignedHead
from silos.database.database import SiteDatabase
from silos.database.tables import CosignedHeadRow, LogForkRow, LogHeadRow, OwnEventRow

#: Pairs of notes that are kept of all logs: more would only fill the disk.
MAX_FORKS = 100


@dataclass(frozen=True, kw_only=True)
class Fork:
    """The note that was kept, the one that was not shown to agree with it, where and when."""

    kept_note: bytes
    other_note: bytes
    run: str
    seen_at: str


@dataclass(frozen=True, kw_only=True)
class OwnEvent:
    """The proof (tlog-proof) that the log holds what this hospital sent in a round."""

    context: RoundContext
    index: int
    proof: bytes


class LogHeads:
    """The heads that one hospital keeps of one coordinator's log.

    Args:
        hospital: the hospital's database.
        public: the key that signs the log.
    """

    def __init__(self, hospital: SiteDatabase, public: bytes) -> None:
        self._hospital = hospital
        self.public = public
        self._origin = log_origin(public)

    def newest(self) -> SignedHead | None:
        """Returns the head with most entries, or None when none was ever kept."""
        return self._one(_NEWEST, {"origin": self._origin})

    def at(self, size: int) -> SignedHead | None:
        """Returns the kept head of so many entries, or None."""
        return self._one(_AT, {"origin": self._origin, "size": size})

    def all(self) -> tuple[SignedHead, ...]:
        """Returns every kept head, the smallest first."""
        query = _HEADS.order_by(LogHeadRow.size)
        with self._hospital.reading() as connection:
            rows = connection.execute(query, {"origin": self._origin}).all()
        return tuple(SignedHead(**row._mapping) for row in rows)

    def keeping(self, head: SignedHead, event: "OwnEvent | None" = None) -> EquivocationGuard:
        """Returns the signing record, which keeps a head, and a proof, with its next record."""
        return _ChainWithHead(self, head, event)

    def own_events(self) -> tuple[bytes, ...]:
        """Returns the proofs (tlog-proof) that the log holds what this hospital sent, in order."""
        with self._hospital.reading() as connection:
            rows = connection.execute(_EVENTS, {"origin": self._origin}).all()
        return tuple(bytes(row.proof) for row in rows)

    def write_event(self, connection: Connection, event: "OwnEvent") -> None:
        """Writes the proof of an own event within a transaction; the first one stays."""
        row = {"origin": self._origin, "entry": event.index}
        if connection.execute(_EVENT, row).one_or_none() is None:
            values = row | {
                "run_id": event.context.run_id,
                "round_kind": event.context.round_kind,
                "number": event.context.round,
                "proof": event.proof,
                "kept_at": self._hospital.now(),
            }
            connection.execute(_KEEP_EVENT, values)

    def keep_instead(self, head: SignedHead, before: SignedHead | None) -> None:
        """Keeps a head where the newest one is still ``before``: compared and set in one write.

        Raises:
            OutOfOrder: another was kept meanwhile.
            StoreBroken: it cannot be written.
        """
        with self._hospital.connection() as connection:
            newest = connection.execute(_NEWEST, {"origin": self._origin}).one_or_none()
            if (newest.size if newest else None) != (before.size if before else None):
                raise OutOfOrder("another head was kept while this one was looked at")
            self.write(connection, head)

    def require_unforked(self) -> None:
        """Refuses everything under a log that has shown this hospital two histories.

        Raises:
            LogForked: two notes that were not shown to agree are kept.
        """
        if self.forks():
            raise LogForked(
                "the coordinator's log has shown this hospital two histories: it takes part in "
                "nothing under that log any more (collegium silo log shows both notes)"
            )

    def keep(self, head: SignedHead) -> None:
        """Keeps a head that was proven to extend, or to be part of, what is kept.

        Raises:
            StoreBroken: it cannot be written.
        """
        with self._hospital.connection() as connection:
            self.write(connection, head)

    def write(self, connection: Connection, head: SignedHead) -> None:
        """Writes a head within a transaction; one that is there already is not written again."""
        row = {"origin": self._origin, "size": head.size}
        if connection.execute(_AT, row).one_or_none() is None:
            values = row | {"root": head.root, "note": head.note, "kept_at": self._hospital.now()}
            connection.execute(_KEEP, values)

    def write_cosigned(self, connection: Connection, head: SignedHead) -> None:
        """Writes the cosigned note of a head within a transaction; the first one stays."""
        row = {"origin": self._origin, "size": head.size}
        if connection.execute(_COSIGNED, row).one_or_none() is None:
            values = row | {"note": head.note, "kept_at": self._hospital.now()}
            connection.execute(_KEEP_COSIGNED, values)

    def newest_cosigned(self) -> bytes | None:
        """Returns the note of the newest head that a round was opened under, with cosignatures."""
        with self._hospital.reading() as connection:
            row = connection.execute(_NEWEST_COSIGNED, {"origin": self._origin}).one_or_none()
        return None if row is None else bytes(row.note)

    def keep_fork(self, kept: SignedHead, other: SignedHead, run: str) -> None:
        """Keeps two notes that were not shown to agree, each pair once.

        Raises:
            StoreBroken: they cannot be written.
        """
        pair = {"origin": self._origin, "kept_note": kept.note, "other_note": other.note}
        with self._hospital.connection() as connection:
            number = connection.execute(_COUNT).scalar_one()
            known = connection.execute(_FORK, pair).first()
            if known is None and number < MAX_FORKS:
                row = pair | {"number": number, "run": run, "seen_at": self._hospital.now()}
                connection.execute(_KEEP_FORK, row)

    def forks(self) -> tuple[Fork, ...]:
        """Returns the evidence against this log's coordinator, oldest first."""
        with self._hospital.reading() as connection:
            found = connection.execute(_FORKS, {"origin": self._origin}).all()
        return tuple(Fork(**row._mapping) for row in found)

    def _one(self, query: object, where: dict[str, object]) -> SignedHead | None:
        with self._hospital.reading() as connection:
            row = connection.execute(query, where).one_or_none()  # type: ignore[call-overload]
        return None if row is None else SignedHead(**row._mapping)


def all_heads(hospital: SiteDatabase) -> tuple[tuple[str, SignedHead], ...]:
    """Returns every head that a hospital keeps, of whatever log: the log's origin and the head."""
    with hospital.reading() as connection:
        rows = connection.execute(_ALL_HEADS).all()
    return tuple(
        (row.origin, SignedHead(size=row.size, root=row.root, note=row.note)) for row in rows
    )


class _ChainWithHead:
    """A signing record whose first record also keeps a head, in the same transaction."""

    def __init__(self, heads: LogHeads, head: SignedHead, event: OwnEvent | None) -> None:
        self._heads, self._event = heads, event
        self._head: SignedHead | None = head
        self._signing_record = heads._hospital.signing_record()

    def record(self, *bindings: Binding) -> None:
        """See ``SqlEquivocationGuard.record``."""
        self._signing_record.record(*bindings, beside=self._write)
        self._head = None

    def _write(self, connection: Connection) -> None:
        if self._head is not None:
            self._heads.write(connection, self._head)
            self._heads.write_cosigned(connection, self._head)
            if self._event is not None:
                self._heads.write_event(connection, self._event)


_HEADS = select(LogHeadRow.size, LogHeadRow.root, LogHeadRow.note).where(
    LogHeadRow.origin == bindparam("origin")
)
_ALL_HEADS = select(LogHeadRow.origin, LogHeadRow.size, LogHeadRow.root, LogHeadRow.note).order_by(
    LogHeadRow.size
)
_NEWEST = _HEADS.order_by(LogHeadRow.size.desc()).limit(1)
_AT = _HEADS.where(LogHeadRow.size == bindparam("size"))
_COSIGNED = select(CosignedHeadRow.size).where(
    CosignedHeadRow.origin == bindparam("origin"), CosignedHeadRow.size == bindparam("size")
)
_NEWEST_COSIGNED = (
    select(CosignedHeadRow.note)
    .where(CosignedHeadRow.origin == bindparam("origin"))
    .order_by(CosignedHeadRow.size.desc())
    .limit(1)
)
_EVENT = select(OwnEventRow.entry).where(
    OwnEventRow.origin == bindparam("origin"), OwnEventRow.entry == bindparam("entry")
)
_EVENTS = (
    select(OwnEventRow.proof)
    .where(OwnEventRow.origin == bindparam("origin"))
    .order_by(OwnEventRow.entry)
)
_KEEP_EVENT = insert(OwnEventRow.__table__)  # type: ignore[arg-type]
_KEEP_COSIGNED = insert(CosignedHeadRow.__table__)  # type: ignore[arg-type]
_KEEP = insert(LogHeadRow.__table__)  # type: ignore[arg-type]  # a class's own table is one
_COUNT = select(func.count()).select_from(LogForkRow)
_FORKS = (
    select(LogForkRow.kept_note, LogForkRow.other_note, LogForkRow.run, LogForkRow.seen_at)
    .where(LogForkRow.origin == bindparam("origin"))
    .order_by(LogForkRow.number)
)
_FORK = _FORKS.where(
    LogForkRow.kept_note == bindparam("kept_note"),
    LogForkRow.other_note == bindparam("other_note"),
)
_KEEP_FORK = insert(LogForkRow.__table__)  # type: ignore[arg-type]
