"""The consortium's database: studies, runs, rounds, releases, models and the audit log.

Rules:

1. Every write of a row is one entry of the log, with the digest of all that the
   row then says (``LoggedRow``). A round's model, its record and its audit
   entries are committed in one transaction: after a crash either all of them
   are there or none.
2. Audit entries and checkpoints are only ever added (triggers refuse the rest).
3. The hospitals' budgets are not here; only the summaries they chose to sign.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from time import sleep
from typing import Any

from pydantic import ValidationError
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    and_,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from compliance.audit.log import LoggedEntry, LogHead, NewEntry, extend
from compliance.storage.clock import timestamp
from compliance.storage.database import NAMING_CONVENTION, open_database, open_for_reading
from compliance.storage.engines.revisions import OTHER_VERSION, is_newest
from compliance.storage.transactions import reading, writing
from protocol.encoding import Json, digest, digest_json
from protocol.errors import StoreBroken
from protocol.identity.roster import SigningKey
from protocol.secagg.context import RoundContext
from protocol.study.study import Study

MIGRATIONS = Path(__file__).parent / "migrations"
#: A seed is below 2^53; SQLite's integers are wide anyway.
_Seed = BigInteger().with_variant(Integer(), "sqlite")


class CoordinatorTable(DeclarativeBase):
    """Base of the consortium's tables."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class LoggedRow(CoordinatorTable):
    """A row of which every write is an entry of the log; it counts its own writes."""

    __abstract__ = True
    revision: Mapped[int]

    @property
    def content(self) -> dict[str, Json]:
        """All that the row says, and the table that it is in; bytes are ``{"hex": ...}``.

        Raises:
            TypeError, AttributeError: a cell holds what nobody writes there.
        """
        said: dict[str, Json] = {"table": self.__tablename__}
        for column in self.__table__.columns:
            value = getattr(self, column.name)
            # Marked, so that bytes and a text that spells them are not the same.
            said[column.name] = {"hex": value.hex()} if isinstance(value, bytes) else value
        return said

    @property
    def record(self) -> str:
        """The digest of ``content``, which the log's entry of the row's last write names.

        Raises:
            ValueError, TypeError, AttributeError: a cell holds what nobody writes there.
        """
        return digest_json(self.content)

    @property
    def place(self) -> dict[str, str]:
        """Of which run and round the row is, as a fault is told; of none where it is empty."""
        return {}


def logged_tables() -> tuple[type[LoggedRow], ...]:
    """Returns every table whose rows are held to the log, those of other files included."""
    found = [mapper.class_ for mapper in CoordinatorTable.registry.mappers]
    rows = [table for table in found if issubclass(table, LoggedRow)]
    return tuple(sorted(rows, key=lambda table: table.__tablename__))


class StudyRow(LoggedRow):
    """A study document, registered before any work."""

    __tablename__ = "study"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), index=True)
    document: Mapped[bytes] = mapped_column(LargeBinary)
    registered_at: Mapped[str] = mapped_column(String(32))


class RunRow(LoggedRow):
    """One execution of a study."""

    __tablename__ = "run"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    study_digest: Mapped[str] = mapped_column(ForeignKey("study.digest"), index=True)
    state: Mapped[str] = mapped_column(String(16))
    failure: Mapped[str | None] = mapped_column(Text)
    simulation: Mapped[bool]
    test_noise: Mapped[bool]
    seed: Mapped[int] = mapped_column(_Seed)
    sweep: Mapped[str | None] = mapped_column(String(32), index=True)
    started_at: Mapped[str] = mapped_column(String(32))
    ended_at: Mapped[str | None] = mapped_column(String(32))
    roster_json: Mapped[str] = mapped_column(Text)
    sites_json: Mapped[str] = mapped_column(Text)  # each hospital's signed summary
    exact_json: Mapped[str | None] = mapped_column(Text)
    environment_json: Mapped[str] = mapped_column(Text)
    model_digest: Mapped[str | None] = mapped_column(String(64))

    @property
    def place(self) -> dict[str, str]:
        """Of which run it is."""
        return {"run": str(self.id)}


class RoundRow(LoggedRow):
    """One aggregation: training or evaluation."""

    __tablename__ = "round"
    __table_args__ = (UniqueConstraint("run_id", "round_kind", "number", "attempt"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), index=True)
    round_kind: Mapped[str] = mapped_column(String(16))
    number: Mapped[int]
    attempt: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    context: Mapped[str] = mapped_column(String(64))
    survivors_json: Mapped[str] = mapped_column(Text)
    dropped_json: Mapped[str] = mapped_column(Text)
    conduct_json: Mapped[str] = mapped_column(Text)  # see ``conduct``
    context_json: Mapped[str] = mapped_column(Text)  # what the digest in ``context`` is of
    model_digest: Mapped[str | None] = mapped_column(String(64))
    opened_at: Mapped[str] = mapped_column(String(32))
    closed_at: Mapped[str | None] = mapped_column(String(32))

    @property
    def place(self) -> dict[str, str]:
        """Of which run, round (counted from 1) and attempt it is."""
        again = f", attempt {self.attempt}" if self.attempt else ""
        number = self.number + 1 if isinstance(self.number, int) else self.number
        return {"run": str(self.run_id), "round": f"{self.round_kind} {number}{again}"}


class AccusationRow(LoggedRow):
    """An accusation of a site in a round's attempt, with the signed messages that show it."""

    __tablename__ = "accusation"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), index=True)
    context: Mapped[str] = mapped_column(String(64))
    document: Mapped[bytes] = mapped_column(
        LargeBinary
    )  # see ``protocol.secagg.evidence.accusation``

    @property
    def place(self) -> dict[str, str]:
        """Of which run it is."""
        return {"run": str(self.run_id)}


class MaskedRow(LoggedRow):
    """A hospital's newest signed ``masked`` message: kept to be shown to it again."""

    __tablename__ = "masked_message"
    site: Mapped[str] = mapped_column(String(63), primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"))
    message: Mapped[bytes] = mapped_column(LargeBinary)
    kept_at: Mapped[str] = mapped_column(String(32))


class ReleaseRow(LoggedRow):
    """Figures about a run: what the protocol released, and what a red team found (``redteam``).

    A run releases each kind once, where every evaluation's figures are a kind; a red team may come
    again.
    """

    __tablename__ = "release"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    payload_json: Mapped[str] = mapped_column(Text)
    released_at: Mapped[str] = mapped_column(String(32))

    @property
    def place(self) -> dict[str, str]:
        """Of which run it is."""
        return {"run": str(self.run_id)}


class SnapshotRow(LoggedRow):
    """A model state that was kept; the bytes lie beside the database, named by digest."""

    __tablename__ = "snapshot"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), index=True)
    round_number: Mapped[int]
    model_digest: Mapped[str] = mapped_column(String(64), index=True)
    manifest_json: Mapped[str] = mapped_column(Text)
    created_at: Mapped[str] = mapped_column(String(32))

    @property
    def place(self) -> dict[str, str]:
        """Of which run it is."""
        return {"run": str(self.run_id)}


class ManifestRow(LoggedRow):
    """The manifest of a run: what its result follows from, but for what is secret."""

    __tablename__ = "run_manifest"
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    document: Mapped[str] = mapped_column(Text)  # see ``compliance.facts.dossier.run_manifest``

    @property
    def place(self) -> dict[str, str]:
        """Of which run it is."""
        return {"run": str(self.run_id)}


class ReferenceRow(LoggedRow):
    """A simulation's result with all records in one place: no consortium's run."""

    __tablename__ = "reference"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    sweep: Mapped[str] = mapped_column(String(32), index=True)
    study_digest: Mapped[str] = mapped_column(ForeignKey("study.digest"), index=True)
    mode: Mapped[str] = mapped_column(String(16))
    seed: Mapped[int] = mapped_column(_Seed)
    epsilon: Mapped[float | None] = mapped_column(Float)
    figures_json: Mapped[str] = mapped_column(Text)
    created_at: Mapped[str] = mapped_column(String(32))

    @property
    def place(self) -> dict[str, str]:
        """Of which run it is."""
        return {"run": str(self.id)}


class LogEntryRow(CoordinatorTable):
    """One line of the audit log, as the canonical bytes whose hash is the leaf."""

    __tablename__ = "audit_entry"
    idx: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run_id: Mapped[str | None] = mapped_column(String(32), index=True)
    leaf_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    entry: Mapped[bytes] = mapped_column(LargeBinary)


class CheckpointRow(CoordinatorTable):
    """A signed head of the log (C2SP checkpoint)."""

    __tablename__ = "audit_checkpoint"
    size: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    root: Mapped[bytes] = mapped_column(LargeBinary(32))
    note: Mapped[bytes] = mapped_column(LargeBinary)
    frontier: Mapped[bytes] = mapped_column(LargeBinary)  # what the next append needs, 32 B each


_ONCE = ReleaseRow.kind != "redteam"
Index("ix_release_run_kind", ReleaseRow.run_id, ReleaseRow.kind)
Index(
    "uq_release_run_kind",
    ReleaseRow.run_id,
    ReleaseRow.kind,
    unique=True,
    sqlite_where=_ONCE,
    postgresql_where=_ONCE,
)


class Store:
    """The consortium's database: a SQLite file, or a database of a PostgreSQL server.

    Raises:
        StoreBroken: it is damaged, no database, or newer than this software.
        WorkspaceRefused: it cannot be written, does not answer, or is held by another program.
    """

    def __init__(self, place: Path | str) -> None:
        self._engine, self._patient = open_database(place, MIGRATIONS), True

    @classmethod
    def for_reading(
        cls, place: Path | str, *, checked: bool = True, patient: bool = True
    ) -> "Store":
        """Returns a store that can change nothing, neither rows nor files; evidence is read so.

        Args:
            place: the file, or the address of a PostgreSQL database.
            checked: read a file once through before anything else; see ``open_for_reading``.
            patient: whether a silent server is waited for; see ``transactions.reading``.

        Raises:
            StoreSilent: the database does not answer.
            StoreBroken: it is damaged, or of another version of this software.
            WorkspaceRefused: it cannot be opened.
        """
        store = cls.__new__(cls)
        store._engine = open_for_reading(place, MIGRATIONS, checked=checked)
        store._patient = patient
        return store

    def close(self) -> None:
        """Lets go of the database."""
        self._engine.dispose()

    def has_rounds(self) -> bool:
        """True when a round was ever opened, or a reference trained: something is to be kept."""
        with self.read() as session:
            found = (select(row.id).limit(1) for row in (RoundRow, ReferenceRow))
            return any(session.scalars(query).first() is not None for query in found)

    def is_used(self) -> bool:
        """True when anything was ever logged or registered."""
        with self.read() as session:
            found = (select(row).limit(1) for row in (CheckpointRow, StudyRow))
            return any(session.scalars(query).first() is not None for query in found)

    @contextmanager
    def transaction(self) -> Iterator["Transaction"]:
        """Yields a transaction that is committed whole, or not at all.

        Raises:
            StoreBroken: the database is silent, held by somebody else, or refuses the change.
        """
        with writing(self._engine) as connection, Session(connection) as session:
            yield Transaction(session)
            session.flush()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Yields a session for queries, which all see the same state and wait for no writer.

        Raises:
            StoreSilent: the database does not answer.
            StoreBroken: it cannot be read.
        """
        with (
            reading(self._engine, patient=self._patient) as connection,
            Session(connection) as session,
        ):
            yield session


class Transaction:
    """One atomic step of the consortium's memory."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def session(self) -> Session:
        """The session, for queries and rows of other files."""
        return self._session

    def write(self, row: LoggedRow) -> str:
        """Writes a row as it now is; returns the record that its entry of the log must name."""
        (record,) = self.write_all([row])
        return record

    def write_all(self, rows: Sequence[LoggedRow]) -> list[str]:
        """Writes rows as they now are; returns the record of each."""
        for row in rows:
            row.revision = (row.revision or 0) + 1
        self._session.add_all(rows)
        self._session.flush()
        return [row.record for row in rows]

    def run(self, run_id: str) -> RunRow:
        """Returns a run's row, to be changed within this transaction."""
        return self._session.get_one(RunRow, run_id)

    def round(self, context: RoundContext) -> RoundRow:
        """Returns the row of a round's attempt, to be changed within this transaction."""
        return self._session.scalars(
            select(RoundRow).filter_by(
                run_id=context.run_id,
                round_kind=context.round_kind,
                number=context.round,
                attempt=context.attempt,
            )
        ).one()

    def open_rounds(self, run_id: str) -> Sequence[RoundRow]:
        """Returns a run's rounds that were begun and neither finished nor failed."""
        return self._session.scalars(
            select(RoundRow).filter_by(run_id=run_id, state="open").order_by(RoundRow.id)
        ).all()

    def register(self, study: Study) -> list[NewEntry]:
        """Records a study; returns what is to be logged, nothing where it was known."""
        if self._session.get(StudyRow, study.digest) is not None:
            return []
        row = StudyRow(
            digest=study.digest,
            name=study.name,
            document=study.canonical_bytes,
            registered_at=timestamp(),
        )
        record = self.write(row)
        kind = "study-registered"
        return [NewEntry(type=kind, run_id=None, payload=study.digest, record=record)]

    def release(self, run_id: str, kind: str, payload: dict[str, Any]) -> tuple[str, str]:
        """Records figures; returns the digests of their text and of their row, to be logged."""
        text = json.dumps(payload, sort_keys=True, allow_nan=False)
        row = ReleaseRow(run_id=run_id, kind=kind, payload_json=text, released_at=timestamp())
        return digest(text.encode()), self.write(row)

    def log(self, entries: Sequence[NewEntry], signer: SigningKey) -> LogHead:
        """Appends entries to the audit log and signs the new head.

        The entries' numbers are gap-free because every transaction holds the
        write lock from its first statement. Their time is another than that of the entries
        before, so that the times say where every head must be.
        """
        before = newest_head(self._session)
        last = None if before is None else self._session.get(LogEntryRow, before.size - 1)
        while (time := timestamp()) == (last and logged_entry(last).content.time):
            sleep(0.001)
        logged, head = extend(before, entries, time, signer)
        for new, entry in zip(entries, logged, strict=True):
            self._session.add(
                LogEntryRow(
                    idx=entry.index, run_id=new.run_id, leaf_hash=entry.leaf_hash, entry=entry.data
                )
            )
        self._session.add(_checkpoint_row(head))
        self._session.flush()
        return head


def require_own_version(session: Session) -> None:
    """Requires the form that this software writes, which may have changed since it was opened.

    Raises:
        StoreBroken: another version has changed it.
    """
    if not is_newest(session.connection(), MIGRATIONS):
        raise StoreBroken(f"the database {OTHER_VERSION}")


_HASH = 32


def _checkpoint_row(head: LogHead) -> CheckpointRow:
    return CheckpointRow(
        size=head.size, root=head.root, note=head.note, frontier=b"".join(head.frontier)
    )


def _head(row: CheckpointRow) -> LogHead:
    # SQLite keeps whatever type was written, so a changed row may hold text for bytes.
    if not all(isinstance(part, bytes) for part in (row.root, row.note, row.frontier)):
        raise StoreBroken(f"the log's head of size {row.size} was changed: it holds no bytes")
    hashes = tuple(row.frontier[i : i + _HASH] for i in range(0, len(row.frontier), _HASH))
    return LogHead(size=row.size, root=row.root, note=row.note, frontier=hashes)


def evaluation_of(session: Session, run_id: str, kind: str = "evaluation") -> str | None:
    """Returns the figures that an evaluation of a run released, as JSON; None before it.

    Without a ``kind`` it is the run's last evaluation.

    Raises:
        StoreBroken: there are several: nobody can say which were released.
    """
    query = select(ReleaseRow.payload_json).filter_by(run_id=run_id, kind=kind)
    found = session.scalars(query).all()
    if len(found) > 1:
        raise StoreBroken(f"run {run_id} has {len(found)} releases of one evaluation")
    return found[0] if found else None


def stored_study(session: Session, name: str) -> Study:
    """Returns the study that is stored under a digest.

    Raises:
        StoreBroken: the document is no study.
    """
    return read_study(name, session.get_one(StudyRow, name).document)


def read_study(name: str, document: bytes) -> Study:
    """Returns the study in a stored document; ``name`` is its digest.

    Raises:
        StoreBroken: the document is no study.
    """
    try:
        return _parsed(document)
    except ValidationError as error:
        raise StoreBroken(
            f"study {name[:16]} cannot be read: its record is damaged; restore a backup"
        ) from error


@lru_cache(maxsize=64)  # a study is frozen, and its document says all of it
def _parsed(document: bytes) -> Study:
    return Study.model_validate_json(document)


def newest_head(session: Session) -> LogHead | None:
    """Returns the newest signed head of the log, or None when nothing is logged yet."""
    row = session.scalars(
        select(CheckpointRow).order_by(CheckpointRow.size.desc()).limit(1)
    ).first()
    return None if row is None else _head(row)


def head_after(session: Session, index: int) -> LogHead | None:
    """Returns the first signed head that covers the entry with this index, or None."""
    query = select(CheckpointRow).where(CheckpointRow.size > index)
    row = session.scalars(query.order_by(CheckpointRow.size).limit(1)).first()
    return None if row is None else _head(row)


def signed_heads(session: Session) -> list[LogHead]:
    """Returns every head, in order of size."""
    rows = session.scalars(select(CheckpointRow).order_by(CheckpointRow.size))
    return [_head(row) for row in rows]


def logged_entries(session: Session, run_id: str | None = None) -> list[LoggedEntry]:
    """Returns the log's entries in order; those of one run when it is named.

    Raises:
        StoreBroken: one holds no bytes.
    """
    query = select(LogEntryRow.idx, LogEntryRow.leaf_hash, LogEntryRow.entry)
    if run_id is not None:
        query = query.where(LogEntryRow.run_id == run_id)
    return [read_entry(*row) for row in session.execute(query.order_by(LogEntryRow.idx))]


def entries_about(
    session: Session, runs: Collection[str], before: int, without: Collection[str] = ()
) -> list[LoggedEntry]:
    """Returns the log's entries of some runs, and of none, with a smaller number, in order.

    Args:
        session: of the coordinator's database.
        runs: the runs.
        before: only entries with a smaller number.
        without: types of entries of no run that are left out, by the database.

    Raises:
        StoreBroken: one holds no bytes.
    """
    of_none = [LogEntryRow.run_id.is_(None), *(_is_not_of(session, kind) for kind in without)]
    query = select(LogEntryRow.idx, LogEntryRow.leaf_hash, LogEntryRow.entry).where(
        LogEntryRow.idx < before,
        or_(and_(*of_none), LogEntryRow.run_id.in_(runs)),
    )
    return [read_entry(*row) for row in session.execute(query.order_by(LogEntryRow.idx))]


def _is_not_of(session: Session, kind: str) -> ColumnElement[bool]:
    """Returns the condition that an entry is not of a type, over its canonical bytes."""
    return place_in_entry(session, f'"type":"{kind}"'.encode()) == 0


def place_in_entry(session: Session, text: bytes) -> ColumnElement[int]:
    """Returns where a text begins in an entry's canonical bytes, for the database: 0 is nowhere."""
    if session.get_bind().dialect.name == "sqlite":
        return func.instr(LogEntryRow.entry, text)
    return func.position(literal(text).op("IN")(LogEntryRow.entry))


def logged_entry(row: LogEntryRow) -> LoggedEntry:
    """Returns the entry that a row holds.

    Raises:
        StoreBroken: it holds no bytes.
    """
    return read_entry(row.idx, row.leaf_hash, row.entry)


def read_entry(index: int, leaf: object, data: object) -> LoggedEntry:
    """Returns the entry that a row's columns hold; see ``logged_entry``."""
    if not isinstance(data, bytes) or not isinstance(leaf, bytes):
        raise StoreBroken(f"audit entry {index} was changed: it no longer holds bytes")
    return LoggedEntry(index=index, leaf_hash=leaf, data=data)
