"""The hospital's own database: name, budget, ledger, signing record, masked blobs.

Rules:

1. One database for one hospital, readable by its owner alone: a file, or a database
   of a PostgreSQL server. It holds privacy bookkeeping, never a patient's data, and
   names private keys that lie in files of their own (``private_keys.py``).
2. A transaction that returned survives a power cut (``transactions.py``).
3. Budget, ledger and signing record rows are only ever added (triggers refuse the rest).
4. Masked blobs are files, beside the database or in a folder that is named, called
   by their digest, until the round can no longer ask for them again.
5. The heads of ledger, approvals, decisions about runs and the record of patients are
   listed in a folder of their own, which no backup of the database holds (``listed_heads.py``).

The rules of the budget are in ``ledger.py``; this file only keeps rows.
"""

import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Delete,
    Engine,
    Row,
    Select,
    bindparam,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session

from compliance.ledger.entries import Budget, Entry, Payers, Rho, State
from compliance.ledger.ledger import Ledger
from compliance.ledger.listed_heads import ListedHeads
from compliance.storage.atomic_file import write_whole
from compliance.storage.clock import timestamp
from compliance.storage.database import is_address, open_database, open_for_reading
from compliance.storage.engines.schema_check import schema_faults
from compliance.storage.transactions import reading, writing
from protocol.encoding import blob_digest
from protocol.errors import (
    LedgerBroken,
    MessageRefused,
    StoreBroken,
    StoreSilent,
    WorkspaceRefused,
)
from protocol.identity.roster import SigningKey
from silos.database.private_keys import PrivateKeys, key_files, split_key_digest
from silos.database.tables import (
    BlobRow,
    BudgetRow,
    FormerKeyRow,
    HospitalRow,
    JoinedRunRow,
    LedgerRow,
    SigningRecordRow,
)
from silos.database.tables import SiteTable as SiteTable

MIGRATIONS = Path(__file__).parent / "migrations"
_CHAINS = ("ledger", "approvals", "runs", "patients")
_KEY_BYTES = 32


def open_hospital(
    place: Path | str,
    *,
    site: str,
    split_key: bytes | None = None,
    simulated: bool | None = None,
    clock: Callable[[], str] = timestamp,
    blobs: Path | None = None,
) -> "SiteDatabase":
    """Opens a hospital's database, making it when the file does not exist.

    Args:
        place: the database file, or the address of a PostgreSQL database, empty at first.
        site: the hospital's name; an existing database must be this hospital's.
        split_key: 32 bytes that tell training from evaluation patients; for a
            simulation that must be repeatable. Drawn fresh when None.
        simulated: whether the hospital was made for a simulation, which it then
            is for ever; None opens either, and makes a real one.
        clock: for the times that are recorded.
        blobs: the folder of masked blobs; beside a file when None. An address needs it.
            The folders of private keys and of listed heads lie beside it.

    Raises:
        LedgerBroken: the database is damaged, not a hospital's, or newer than
            this software; or it is new, and the heads of an earlier one are
            listed; says what to do.
        WorkspaceRefused: it cannot be written, does not answer, or is another
            hospital's; or its keys are missing, or there without a database.
        ValueError: an address without a folder for the blobs.
    """
    if split_key is not None and len(split_key) != _KEY_BYTES:
        raise ValueError(f"a split key has {_KEY_BYTES} bytes, got {len(split_key)}")
    folder = _blob_folder(place, blobs)
    try:
        _require_content(place)
        hospital = SiteDatabase(open_database(place, MIGRATIONS), folder, _keys(folder), clock)
        try:
            _settle_identity(hospital, site, split_key, simulated)
        except (StoreBroken, WorkspaceRefused):
            hospital.close()
            raise
    except StoreBroken as error:
        raise LedgerBroken(
            f"site {site}: {error}. Without an intact ledger nothing may be released"
        ) from error
    return hospital


def read_hospital(place: Path | str, *, site: str, blobs: Path | None = None) -> "SiteDatabase":
    """Opens an existing hospital's database to be looked at: nothing in it can be changed.

    Raises:
        LedgerBroken: the database is damaged, not a hospital's, or of another version.
        WorkspaceRefused: it cannot be opened, does not answer, or is another hospital's.
        ValueError: an address without a folder for the blobs.
    """
    folder = _blob_folder(place, blobs)
    try:
        _require_content(place)
        hospital = SiteDatabase(
            open_for_reading(place, MIGRATIONS), folder, _keys(folder), timestamp
        )
        if hospital.site != site:
            raise WorkspaceRefused(f"this database belongs to hospital {hospital.site}, not {site}")
    except StoreSilent as error:
        raise WorkspaceRefused(str(error)) from error
    except (NoResultFound, StoreBroken) as error:
        what = "it names no hospital" if isinstance(error, NoResultFound) else error
        raise LedgerBroken(f"site {site}: {what}") from error
    return hospital


def _blob_folder(place: Path | str, blobs: Path | None) -> Path:
    if blobs is not None:
        return blobs
    if is_address(place):
        raise ValueError("a hospital in PostgreSQL needs a folder for its masked blobs: name blobs")
    path = Path(place)
    return path.with_name(path.stem + "-blobs")


def _keys(blobs: Path) -> PrivateKeys:
    return PrivateKeys(_beside(blobs, "keys"))


def _beside(blobs: Path, what: str) -> Path:
    return blobs.with_name(f"{blobs.name.removesuffix('-blobs')}-{what}")


def _require_content(place: Path | str) -> None:
    """Refuses an emptied file: it would open as a new one, with a new budget."""
    if is_address(place):
        return
    path = Path(place)
    if path.is_file() and path.stat().st_size == 0:
        raise StoreBroken(
            f"{path.name} is empty: restore it from a backup, or remove it if it was never used"
        )


def _settle_identity(
    hospital: "SiteDatabase", site: str, split_key: bytes | None, simulated: bool | None
) -> None:
    with hospital.session() as session:
        row = session.get(HospitalRow, 1)
        if row is None:
            _require_no_keys(hospital.keys)
            split_key = split_key or secrets.token_bytes(_KEY_BYTES)
            for heads in hospital.listed_heads(site, split_key):
                heads.begin()
            identity = SigningKey.generate()
            hospital.keys.keep_identity(identity)
            named = hospital.keys.keep_split_key(split_key)
            session.add(
                HospitalRow(
                    id=1,
                    site=site,
                    split_key_digest=named,
                    identity_key=identity.public.hex(),
                    simulated=bool(simulated),
                    created_at=hospital.now(),
                )
            )
            return
        if row.site != site:
            raise WorkspaceRefused(
                f"this database belongs to hospital {row.site}, not {site}: choose another one"
            )
        if split_key is not None and row.split_key_digest != split_key_digest(split_key):
            raise WorkspaceRefused(
                f"hospital {site} has another split key, for life: choose another database"
            )
        if simulated is not None and row.simulated != simulated:
            made = "a simulation" if row.simulated else "a real hospital"
            raise WorkspaceRefused(
                f"the database of {site} was made for {made} and stays that: choose another one"
            )
        hospital.keys.split_key(row.split_key_digest)
        hospital.keys.identity(row.identity_key)


def _require_no_keys(keys: PrivateKeys) -> None:
    """Refuses keys without their ledger: a new, empty one would lack what patients have paid."""
    if keys.has_split_key:
        raise WorkspaceRefused(
            f"{keys.folder.name} holds the keys of a hospital whose database is gone: restore that "
            "from its backup. Only if no budget was ever opened here, remove the folder"
        )


class SiteDatabase:
    """An open hospital database. Several processes may open the same one."""

    def __init__(
        self, engine: Engine, blobs: Path, keys: PrivateKeys, clock: Callable[[], str]
    ) -> None:
        self._engine = engine
        self._blobs = blobs
        self.keys = keys
        self._heads = _beside(blobs, "heads")
        self.now = clock
        self.ledger = Ledger(self)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Yields a session in one writing transaction; durable when left normally.

        Raises:
            StoreBroken: the database cannot be read or written, or refuses the change.
        """
        with self.connection() as connection, Session(connection) as session:
            yield session
            session.flush()

    def connection(self) -> AbstractContextManager[Connection]:
        """Returns a connection in one writing transaction; durable when left normally.

        Raises:
            StoreBroken: the database cannot be read or written, or refuses the change.
        """
        return writing(self._engine)

    def reading(self) -> AbstractContextManager[Connection]:
        """Returns a connection for queries that all see the same state; it changes nothing.

        Raises:
            StoreBroken: the database cannot be read.
        """
        return reading(self._engine)

    def named_files(self) -> set[str]:
        """Returns the files of the hospital's folder that its database names, and its own."""
        with self.reading() as connection, Session(connection) as session:
            publics = set(session.scalars(select(FormerKeyRow.public_key)))
            runs = set(session.scalars(select(JoinedRunRow.run_id)))
        publics.add(self._row().identity_key)
        keys, heads = self.keys.folder.name, self._heads.name
        own = f"{self._blobs.name.removesuffix('-blobs')}.db"
        return {
            *(own + suffix for suffix in ("", "-shm", "-wal")),
            *(f"{keys}/{name}" for name in key_files(publics)),
            *(f"{heads}/{self.site}.{chain}" for chain in _CHAINS),
            f"{heads}/CACHEDIR.TAG",
            *(
                f"{self.own_states.name}/{path.name}"
                for path in self.own_states.glob("*.safetensors")
                if path.stem.rpartition("-")[0] in runs
            ),
        }

    def schema_faults(self) -> list[str]:
        """Returns how the tables, indexes and triggers differ from those of this software.

        Raises:
            StoreBroken: the database cannot be read.
        """
        with self.reading() as connection:
            return schema_faults(connection, MIGRATIONS)

    @contextmanager
    def transaction(self) -> Iterator["SqlChain"]:
        """Yields the ledger's rows in one writing transaction.

        Raises:
            LedgerBroken: the rows cannot be read or written, or refuse the change.
        """
        try:
            with self.connection() as connection:
                yield SqlChain(connection)
        except LedgerBroken:
            raise
        except StoreBroken as error:
            raise LedgerBroken(str(error)) from error

    @cached_property
    def ledger_heads(self) -> ListedHeads:
        """The ledger's heads, listed outside the database."""
        return self.listed_heads(self.site, self.split_key)[0]

    @cached_property
    def approval_heads(self) -> ListedHeads:
        """The heads of the chain of approvals, listed outside the database."""
        return self.listed_heads(self.site, self.split_key)[1]

    @cached_property
    def run_heads(self) -> ListedHeads:
        """The heads of the chain of decisions about runs, listed outside the database."""
        return self.listed_heads(self.site, self.split_key)[2]

    @cached_property
    def patient_heads(self) -> ListedHeads:
        """The heads of the record of patients, listed outside the database."""
        return self.listed_heads(self.site, self.split_key)[3]

    def listed_heads(self, site: str, split_key: bytes) -> tuple[ListedHeads, ...]:
        """Returns the lists of ledger, approvals, decisions about runs, and record of patients."""
        return tuple(ListedHeads(self._heads / f"{site}.{name}", split_key) for name in _CHAINS)

    @cached_property
    def site(self) -> str:
        """The hospital's name; no row of a database ever changes it."""
        return self._row().site

    @property
    def split_key(self) -> bytes:
        """The 32 bytes that tell training from evaluation patients, for life."""
        return self.keys.split_key(self._row().split_key_digest)

    @cached_property
    def simulated(self) -> bool:
        """True for a hospital that was made for a simulation; it never becomes a real one."""
        return self._row().simulated

    @property
    def identity_key(self) -> bytes:
        """The 32 private bytes of the hospital's signing key."""
        return self.keys.identity(self._row().identity_key).to_bytes()

    def _row(self) -> HospitalRow:
        with reading(self._engine) as connection, Session(connection) as session:
            row = session.get_one(HospitalRow, 1)
            session.expunge(row)
            return row

    def signing_record(self) -> "SqlEquivocationGuard":
        """Returns the signing record: what this hospital signs and reveals only once."""
        return SqlEquivocationGuard(self)

    def keep_blob(self, context: str, blob: bytes, name: str) -> None:
        """Keeps a masked vector durably under its digest, to be sent again after a crash.

        Raises:
            MessageRefused: another vector was kept for this context.
            StoreBroken: it cannot be written.
        """
        self._write(name, blob)
        with self.connection() as connection:
            kept = connection.execute(_BLOB_NAME, {"context": context}).scalar()
            if kept is None:
                row = {"context": context, "name": name, "size": len(blob)}
                connection.execute(_KEEP_BLOB, row | {"created_at": self.now()})
            elif kept != name:
                raise MessageRefused("another masked vector was made in this context already")

    def blob(self, context: str) -> bytes | None:
        """Returns the masked vector of a context, or None when none is kept.

        Raises:
            StoreBroken: it was kept, but its bytes are lost or changed.
        """
        with reading(self._engine) as connection:
            name = connection.execute(_BLOB_NAME, {"context": context}).scalar()
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
        """Removes the masked vector of a context that can no longer ask for it."""
        with self.connection() as connection:
            name = connection.execute(_BLOB_NAME, {"context": context}).scalar()
            connection.execute(_DROP_BLOB, {"of": context})
            used = connection.execute(_BLOB_USED, {"name": name}).scalar()
        if name is not None and used is None:
            (self._blobs / name).unlink(missing_ok=True)

    def erase(self, session: Session, rows: Delete) -> None:
        """Deletes rows in a transaction so that a file keeps none of their bytes.

        A server frees them in its own time (VACUUM). ``forget_erased`` is called after it.
        """
        if self._engine.dialect.name == "sqlite":
            session.connection().exec_driver_sql("PRAGMA secure_delete=ON")
        session.execute(rows)

    def forget_erased(self) -> None:
        """Empties a file's write-ahead log, where what was erased may still stand."""
        if self._engine.dialect.name == "sqlite":
            with closing(self._engine.raw_connection()) as connection:
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @property
    def own_states(self) -> Path:
        """The folder of what the hospital keeps of its own during a run."""
        return _beside(self._blobs, "own-states")

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()

    def _write(self, name: str, blob: bytes) -> None:
        try:
            self._blobs.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self._blobs / name, blob)
        except OSError as error:
            raise StoreBroken(f"a masked vector cannot be kept: {error.strerror}") from error


_BLOB_NAME = select(BlobRow.name).where(BlobRow.context == bindparam("context"))
_BLOB_USED = select(BlobRow.context).where(BlobRow.name == bindparam("name")).limit(1)
_DROP_BLOB = delete(BlobRow).where(BlobRow.context == bindparam("of"))
_KEEP_BLOB = insert(BlobRow.__table__)  # type: ignore[arg-type]  # a class's own table is one

# The ledger is asked ten times for every release: statements without objects.
_ENTRY_NAMES = tuple(field.name for field in fields(Entry))
_BUDGET_NAMES = tuple(field.name for field in fields(Budget))
_ENTRIES = select(*(getattr(LedgerRow, name) for name in _ENTRY_NAMES))
#: What the one budget of a hospital says beside its fields, and every entry of it.
_ONLY_BUDGET, _ADJACENCY = 1, "add-or-remove"
_BUDGET = select(
    *(getattr(BudgetRow, name) for name in _BUDGET_NAMES), BudgetRow.id, BudgetRow.adjacency
)
_OF_ANOTHER = select(LedgerRow.number).where(LedgerRow.budget_id != _ONLY_BUDGET).limit(1)
_ALL = _ENTRIES.order_by(LedgerRow.number)
_LAST = _ENTRIES.order_by(LedgerRow.number.desc()).limit(1)
_ONE = _ENTRIES.where(LedgerRow.number == bindparam("number"))
_FOLLOWED = select(LedgerRow.number).where(LedgerRow.prev_hash == bindparam("head"))
_SENT = _ENTRIES.where(
    LedgerRow.context == bindparam("context"), LedgerRow.state == State.SENT.value
)
_RELEASED = (
    select(LedgerRow.number)
    .where(
        LedgerRow.parent == bindparam("parent"),
        LedgerRow.state == State.SENT.value,
        LedgerRow.content == bindparam("content"),
    )
    .limit(1)
)
_RHO = select(
    func.coalesce(func.sum(LedgerRow.rho_upper), 0), func.coalesce(func.sum(LedgerRow.rho_lower), 0)
)
_BOOKED = _RHO.where(LedgerRow.parent == bindparam("parent"), LedgerRow.state == bindparam("state"))
_TOTAL = _RHO.where(
    LedgerRow.partition == bindparam("partition"), LedgerRow.state == bindparam("state")
)
_APPEND = insert(LedgerRow.__table__)  # type: ignore[arg-type]
_OPEN_BUDGET = insert(BudgetRow.__table__)  # type: ignore[arg-type]


class SqlChain:
    """The ledger's rows inside one transaction (``ledger.Chain``)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def budget(self) -> Budget | None:
        """Returns the budget, or None before it was opened.

        Raises:
            LedgerBroken: it says that it is another, or of another adjacency.
        """
        row = self._connection.execute(_BUDGET).one_or_none()
        if row is None:
            return None
        *values, number, adjacency = row
        if (number, adjacency) != (_ONLY_BUDGET, _ADJACENCY):
            raise LedgerBroken("the budget was changed after it was opened: restore a backup")
        return Budget(**dict(zip(_BUDGET_NAMES, values, strict=True)))

    def save_budget(self, budget: Budget) -> None:
        """Writes the budget."""
        values = {name: getattr(budget, name) for name in _BUDGET_NAMES}
        self._connection.execute(
            _OPEN_BUDGET, values | {"id": _ONLY_BUDGET, "adjacency": _ADJACENCY}
        )

    def last(self) -> Entry | None:
        """Returns the newest entry."""
        return _entry(self._connection.execute(_LAST).one_or_none())

    def entries(self) -> Sequence[Entry]:
        """Returns all entries in order.

        Raises:
            LedgerBroken: one is of another budget.
        """
        number = self._connection.execute(_OF_ANOTHER).scalar()
        if number is not None:
            raise LedgerBroken(f"ledger entry {number} was changed: it is of another budget")
        found = (_entry(row) for row in self._connection.execute(_ALL))
        return [entry for entry in found if entry is not None]

    def entry(self, number: int) -> Entry | None:
        """Returns one entry."""
        return _entry(self._connection.execute(_ONE, {"number": number}).one_or_none())

    def is_followed(self, head: str) -> bool:
        """Whether an entry follows the entry, or the budget, with this hash."""
        return self._connection.execute(_FOLLOWED, {"head": head}).scalar() is not None

    def booked(self, reservation: int, state: State) -> Rho:
        """Returns the sum of rho over a reservation's own entries in a state."""
        return self._sum(_BOOKED, {"parent": reservation, "state": state.value})

    def sent(self, context: str) -> Entry | None:
        """Returns the SENT entry of a context."""
        return _entry(self._connection.execute(_SENT, {"context": context}).one_or_none())

    def released(self, reservation: int, content: str) -> bool:
        """Whether a reservation holds a SENT entry of this noised vector."""
        where = {"parent": reservation, "content": content}
        return self._connection.execute(_RELEASED, where).scalar() is not None

    def total(self, partition: Payers, state: State) -> Rho:
        """Returns the sum of rho over a partition's entries in a state."""
        return self._sum(_TOTAL, {"partition": partition, "state": state.value})

    def _sum(self, query: Select[int, int], where: dict[str, Any]) -> Rho:
        upper, lower = self._connection.execute(query, where).one()
        return Rho(int(upper), int(lower))

    def append(self, entry: Entry) -> None:
        """Writes an entry."""
        values = {name: getattr(entry, name) for name in _ENTRY_NAMES}
        self._connection.execute(
            _APPEND, values | {"budget_id": _ONLY_BUDGET, "state": entry.state.value}
        )


def _entry(row: Row[Any] | None) -> Entry | None:
    if row is None:
        return None
    values = dict(zip(_ENTRY_NAMES, row, strict=True))
    try:
        return Entry(**values | {"state": State(values["state"])})
    except ValueError as error:
        raise LedgerBroken(f"ledger entry {values['number']} has an unknown state") from error


_BOUND = select(SigningRecordRow.digest).where(
    SigningRecordRow.context == bindparam("context"), SigningRecordRow.slot == bindparam("slot")
)
_BINDINGS = select(SigningRecordRow.slot, SigningRecordRow.digest).where(
    SigningRecordRow.context == bindparam("context")
)
_ALL_BINDINGS = select(SigningRecordRow.context, SigningRecordRow.slot, SigningRecordRow.digest)
_BIND = insert(SigningRecordRow.__table__)  # type: ignore[arg-type]  # a class's own table is one


class SqlEquivocationGuard:
    """Durable "once": one digest for each context and slot (``client.EquivocationGuard``)."""

    def __init__(self, hospital: SiteDatabase) -> None:
        self._hospital = hospital

    def bound(self, context: str, slot: str) -> str | None:
        """Returns the digest that (context, slot) is bound to, or None."""
        where = {"context": context, "slot": slot}
        with self._hospital.connection() as connection:
            return connection.execute(_BOUND, where).scalar()

    def of(self, context: str) -> dict[str, str]:
        """Returns everything that a context, or a run, is bound to: the digest by slot."""
        with self._hospital.connection() as connection:
            found = connection.execute(_BINDINGS, {"context": context})
            return {slot: digest for slot, digest in found}

    def all(self) -> dict[str, dict[str, str]]:
        """Returns everything that was ever bound: the digest by context, or run, and slot."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        with self._hospital.reading() as connection:
            for context, slot, digest in connection.execute(_ALL_BINDINGS):
                found[context][slot] = digest
        return dict(found)

    def record(
        self,
        *bindings: tuple[str, str, str],
        beside: Callable[[Connection], None] = lambda _connection: None,
    ) -> None:
        """Binds each (context, slot) to a digest, durably, before what is named may leave.

        All of them or none, and with them what ``beside`` writes.

        Raises:
            MessageRefused: one is bound to another digest.
            StoreBroken: it cannot be written.
        """
        with self._hospital.connection() as connection:  # seven times a round: no objects for it
            for context, slot, digest in bindings:
                where = {"context": context, "slot": slot}
                bound = connection.execute(_BOUND, where).scalar()
                if bound is None:
                    connection.execute(_BIND, where | {"digest": digest})
                elif bound != digest:
                    raise MessageRefused(
                        f"this hospital has bound itself to another {slot} in this context: it "
                        "signs and reveals once"
                    )
            beside(connection)
