"""The hospital's own database: identity, budget, ledger, once-book, masked blobs.

Rules:

1. One file for one hospital, readable by its owner alone. It holds keys and
   privacy bookkeeping, never a patient's data.
2. A transaction that returned survives a power cut (WAL, synchronous=FULL).
3. Budget, ledger and once-book rows are only ever added (triggers refuse the rest).
4. Masked blobs lie beside the database, named by their digest, until the round
   can no longer ask for them again.

The rules of the budget are in ``ledger.py``; this file only keeps rows.
"""

import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, bindparam, delete, func, insert, select
from sqlalchemy.exc import DatabaseError, NoResultFound
from sqlalchemy.orm import Session

from compliance.database import open_database, open_for_reading
from compliance.hospital_tables import Base as Base
from compliance.hospital_tables import BlobRow, BudgetRow, EntryRow, HospitalRow, OnceRow
from compliance.ledger import Ledger
from compliance.ledger_records import Budget, Entry, Partition, State
from protocol.encoding import blob_digest
from protocol.errors import LedgerBroken, MessageRefused, StoreBroken, WorkspaceRefused

MIGRATIONS = Path(__file__).parent / "migrations"
_KEY_BYTES = 32
#: Alembic keeps its context in one place of the process, so databases open one after another.
_OPENING = threading.Lock()


def utc_now() -> str:
    """Returns the time in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def open_hospital(
    path: Path,
    *,
    site: str,
    split_key: bytes | None = None,
    clock: Callable[[], str] = utc_now,
) -> "Hospital":
    """Opens a hospital's database, making it when the file does not exist.

    Args:
        path: the database file.
        site: the hospital's name; an existing file must be this hospital's.
        split_key: 32 bytes that tell training from evaluation patients; for a
            simulation that must be repeatable. Drawn fresh when None.
        clock: for the times that are recorded.

    Raises:
        LedgerBroken: the file is damaged, not a hospital's database, or newer
            than this software; says what to do.
        WorkspaceRefused: the file cannot be written, or is another hospital's.
    """
    if split_key is not None and len(split_key) != _KEY_BYTES:
        raise ValueError(f"a split key has {_KEY_BYTES} bytes, got {len(split_key)}")
    try:
        _require_content(path)
        with _OPENING:
            engine = open_database(path, MIGRATIONS)
        hospital = Hospital(engine, path, clock)
        try:
            _settle_identity(hospital, site, split_key)
        except (StoreBroken, WorkspaceRefused):
            hospital.close()
            raise
    except StoreBroken as error:
        raise LedgerBroken(
            f"site {site}: {error}. Without an intact ledger nothing may be released"
        ) from error
    return hospital


def read_hospital(path: Path, *, site: str) -> "Hospital":
    """Opens an existing hospital's database to be looked at: nothing in it can be changed.

    Raises:
        LedgerBroken: the file is damaged, not a hospital's database, or of another version.
        WorkspaceRefused: the file cannot be opened, or is another hospital's.
    """
    try:
        _require_content(path)
        hospital = Hospital(open_for_reading(path, MIGRATIONS), path, utc_now)
        if hospital.site != site:
            raise WorkspaceRefused(f"this database belongs to hospital {hospital.site}, not {site}")
    except (NoResultFound, StoreBroken) as error:
        what = "it names no hospital" if isinstance(error, NoResultFound) else error
        raise LedgerBroken(f"site {site}: {what}") from error
    return hospital


def _require_content(path: Path) -> None:
    """An emptied file would open as a new one, with a new budget: refuse it."""
    if path.is_file() and path.stat().st_size == 0:
        raise StoreBroken(
            f"{path.name} is empty: restore it from a backup, or remove it if it was never used"
        )


def _settle_identity(hospital: "Hospital", site: str, split_key: bytes | None) -> None:
    with hospital.session() as session:
        row = session.get(HospitalRow, 1)
        if row is None:
            session.add(
                HospitalRow(
                    id=1,
                    site=site,
                    split_key=split_key or secrets.token_bytes(_KEY_BYTES),
                    identity_key=secrets.token_bytes(_KEY_BYTES),
                    created_at=hospital.now(),
                )
            )
        elif row.site != site:
            raise WorkspaceRefused(
                f"this database belongs to hospital {row.site}, not {site}: choose another file"
            )
        elif split_key is not None and row.split_key != split_key:
            raise WorkspaceRefused(
                f"hospital {site} has another split key, for life: choose another file"
            )


class Hospital:
    """An open hospital database. Several processes may open the same file."""

    def __init__(self, engine: Engine, path: Path, clock: Callable[[], str]) -> None:
        self._engine = engine
        self._blobs = path.with_name(path.stem + "-blobs")
        self.now = clock
        self.ledger = Ledger(self)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Yields a session in one immediate transaction; durable when left normally.

        Raises:
            StoreBroken: the database cannot be read or written, or refuses the change.
        """
        with self.connection() as connection, Session(connection) as session:
            yield session
            session.flush()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Yields a connection in one immediate transaction; durable when left normally.

        Raises:
            StoreBroken: the database cannot be read or written, or refuses the change.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except DatabaseError as error:
            raise StoreBroken(
                f"the hospital's database refused ({error.orig}): nothing was changed. Check disk "
                "space and permissions, then try again, or restore a backup"
            ) from error

    @contextmanager
    def transaction(self) -> Iterator["SqlBook"]:
        """Yields the ledger's rows in one immediate transaction.

        Raises:
            LedgerBroken: the rows cannot be read or written, or refuse the change.
        """
        try:
            with self.session() as session:
                yield SqlBook(session)
        except LedgerBroken:
            raise
        except StoreBroken as error:
            raise LedgerBroken(str(error)) from error

    @property
    def site(self) -> str:
        """The hospital's name."""
        return self._row().site

    @property
    def split_key(self) -> bytes:
        """The 32 bytes that tell training from evaluation patients, for life (ruling 17)."""
        return self._row().split_key

    @property
    def identity_key(self) -> bytes:
        """The 32 private bytes of the hospital's signing key."""
        return self._row().identity_key

    def _row(self) -> HospitalRow:
        with self.session() as session:
            row = session.get_one(HospitalRow, 1)
            session.expunge(row)
            return row

    def once_book(self) -> "SqlOnceBook":
        """Returns the book of what this hospital signs and reveals only once."""
        return SqlOnceBook(self)

    def keep_blob(self, context: str, blob: bytes, name: str) -> None:
        """Keeps a masked vector durably under its digest, to be sent again after a crash.

        Raises:
            MessageRefused: another vector was kept for this context.
            StoreBroken: it cannot be written.
        """
        self._write(name, blob)
        with self.session() as session:
            row = session.get(BlobRow, context)
            if row is None:
                session.add(
                    BlobRow(context=context, name=name, size=len(blob), created_at=self.now())
                )
            elif row.name != name:
                raise MessageRefused("another masked vector was made in this context already")

    def blob(self, context: str) -> bytes | None:
        """Returns the masked vector of a context, or None when none is kept.

        Raises:
            StoreBroken: it was kept, but its bytes are lost or changed.
        """
        with self.session() as session:
            name = session.scalar(select(BlobRow.name).where(BlobRow.context == context))
        if name is None:
            return None
        try:
            kept = (self._blobs / name).read_bytes()
        except OSError as error:
            raise StoreBroken(f"masked vector {name[:16]} is lost: {error.strerror}") from error
        if blob_digest(kept) != name:
            raise StoreBroken(f"masked vector {name[:16]} was changed: do not send it")
        return kept

    def drop_blob(self, context: str) -> None:
        """Forgets the masked vector of a context that can no longer ask for it."""
        with self.session() as session:
            name = session.scalar(select(BlobRow.name).where(BlobRow.context == context))
            session.execute(delete(BlobRow).where(BlobRow.context == context))
            used = session.scalar(select(BlobRow.context).where(BlobRow.name == name).limit(1))
        if name is not None and used is None:
            (self._blobs / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()

    def _write(self, name: str, blob: bytes) -> None:
        """Writes, syncs, then renames, so that a name never stands for half a file."""
        partial = self._blobs / f"{name}.{secrets.token_hex(4)}.partial"
        try:
            self._blobs.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(blob)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(self._blobs / name)
            _sync_folder(self._blobs)
        except OSError as error:
            with suppress(OSError):  # left behind, it would fill a full disk further at every try
                partial.unlink()
            raise StoreBroken(f"a masked vector cannot be kept: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class SqlBook:
    """The ledger's rows inside one transaction (``ledger.Book``)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def budget(self) -> Budget | None:
        """Returns the budget, or None before it was opened."""
        row = self._session.get(BudgetRow, 1)
        return None if row is None else Budget(**_values(row, Budget))

    def save_budget(self, budget: Budget) -> None:
        """Writes the budget."""
        self._session.add(BudgetRow(id=1, adjacency="zero-out", **_values(budget, Budget)))
        self._session.flush()

    def last(self) -> Entry | None:
        """Returns the newest entry."""
        query = select(EntryRow).order_by(EntryRow.number.desc()).limit(1)
        row = self._session.scalars(query).one_or_none()
        return None if row is None else _entry(row)

    def entries(self) -> Sequence[Entry]:
        """Returns all entries in order."""
        query = select(EntryRow).order_by(EntryRow.number)
        return [_entry(row) for row in self._session.scalars(query)]

    def entry(self, number: int) -> Entry | None:
        """Returns one entry."""
        row = self._session.get(EntryRow, number)
        return None if row is None else _entry(row)

    def booked(self, reservation: int, state: State) -> int:
        """Returns the sum of rho over a reservation's own entries in a state."""
        return self._total(EntryRow.parent == reservation, EntryRow.state == state.value)

    def sent(self, context: str) -> Entry | None:
        """Returns the SENT entry of a context."""
        query = select(EntryRow).where(EntryRow.context == context, EntryRow.state == State.SENT)
        row = self._session.scalars(query).one_or_none()
        return None if row is None else _entry(row)

    def released(self, reservation: int, content: str) -> bool:
        """Whether a reservation holds a SENT entry of this noised vector."""
        query = select(EntryRow.number).where(
            EntryRow.parent == reservation,
            EntryRow.state == State.SENT,
            EntryRow.content == content,
        )
        return self._session.scalars(query.limit(1)).first() is not None

    def total(self, partition: Partition, state: State) -> int:
        """Returns the sum of rho over a partition's entries in a state."""
        return self._total(EntryRow.partition == partition, EntryRow.state == state.value)

    def _total(self, *where: ColumnElement[bool]) -> int:
        query = select(func.coalesce(func.sum(EntryRow.rho), 0)).where(*where)
        return int(self._session.scalar(query) or 0)

    def append(self, entry: Entry) -> None:
        """Writes an entry."""
        values = _values(entry, Entry) | {"state": entry.state.value}
        self._session.add(EntryRow(budget_id=1, **values))
        self._session.flush()


def _values(record: object, kind: type[Budget] | type[Entry]) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(kind)}


def _entry(row: EntryRow) -> Entry:
    values = _values(row, Entry)
    try:
        return Entry(**values | {"state": State(row.state)})
    except ValueError as error:
        raise LedgerBroken(f"ledger entry {row.number} has an unknown state") from error


_BOUND = select(OnceRow.digest).where(
    OnceRow.context == bindparam("context"), OnceRow.slot == bindparam("slot")
)
_BIND = insert(OnceRow.__table__)  # type: ignore[arg-type]  # a class's own table is one


class SqlOnceBook:
    """Durable "once": one digest for each context and slot (``protocol.silo_round.OnceBook``)."""

    def __init__(self, hospital: Hospital) -> None:
        self._hospital = hospital

    def record(self, context: str, slot: str, digest: str) -> None:
        """Binds (context, slot) to a digest, durably, before anything is signed or revealed.

        Raises:
            MessageRefused: it is bound to another digest.
            StoreBroken: it cannot be written.
        """
        where = {"context": context, "slot": slot}
        with self._hospital.connection() as connection:  # nine times a round: no objects for it
            bound = connection.execute(_BOUND, where).scalar()
            if bound is None:
                connection.execute(_BIND, where | {"digest": digest})
            elif bound != digest:
                raise MessageRefused(
                    f"this hospital has bound itself to another {slot} in this context: it signs "
                    "and reveals once"
                )
