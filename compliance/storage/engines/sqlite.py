"""A database in one SQLite file: the default, for one machine.

Every connection runs in WAL mode with ``synchronous=FULL``, so that a commit that
returned survives a power cut, and with ``recursive_triggers``, without which
``INSERT OR REPLACE`` would slip past the append-only triggers. Writing
transactions begin IMMEDIATE: two writers queue instead of failing half-way.
"""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from compliance.storage import transactions
from compliance.storage.atomic_file import write_new
from compliance.storage.engines.revisions import OTHER_VERSION, is_newest, migrate
from protocol.errors import FederationError, StoreBroken, WorkspaceRefused


def open_file(path: Path, migrations: Path) -> Engine:
    """Returns an engine on the file ``path``; see ``database.open_database``."""
    if not path.exists():
        _make(path, migrations)
    return _opened(path, migrations)


def open_file_for_reading(path: Path, migrations: Path, *, checked: bool = True) -> Engine:
    """Returns an engine that can change nothing; see ``database.open_for_reading``."""
    engine = create_engine(
        "sqlite://",
        creator=partial(_connect_for_reading, path),
        poolclass=NullPool,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _prepare_reading)
    event.listen(engine, "begin", _begin_reading)
    try:
        with engine.connect() as connection:
            verdict = _verdict(connection) if checked else "ok"
            newest = is_newest(connection, migrations)
    except DatabaseError as error:
        raise _refusal(path, error) from error
    if verdict != "ok":
        raise StoreBroken(f"{path.name} is damaged: restore it from a backup")
    if not newest:
        raise StoreBroken(f"{path.name} {OTHER_VERSION}")
    return engine


def _verdict(connection: Connection) -> str:
    return str(connection.execute(text("PRAGMA quick_check(1)")).scalar_one())


def _connect_for_reading(path: Path) -> sqlite3.Connection:
    """Returns a connection that leaves file and folder as they are, on a read-only medium too.

    Without a write-ahead log beside it the file is whole, and is read as one that
    nobody changes. With one, somebody is at work or was killed: then the log is
    read with it, from a private copy where the folder cannot hold the locks.
    """
    address = path.resolve().as_uri()
    if not path.with_name(f"{path.name}-wal").exists():
        return _connect(f"{address}?mode=ro&immutable=1")
    if path.with_name(f"{path.name}-shm").exists():
        try:
            connection = _connect(f"{address}?mode=ro")
            connection.execute("SELECT count(*) FROM sqlite_master")
            return connection
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise
    return _connect_to_copy(path)


def _connect_to_copy(path: Path) -> sqlite3.Connection:
    """Returns a connection to a copy of file and write-ahead log, which nobody else can see."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        for suffix in ("", "-wal"):
            shutil.copyfile(path.with_name(path.name + suffix), copy.with_name(copy.name + suffix))
        with closing(_connect(copy.as_uri())) as whole:
            whole.execute("PRAGMA journal_mode=DELETE")  # takes what the log holds into the file
        connection = _connect(f"{copy.as_uri()}?mode=ro&immutable=1")
        connection.execute("SELECT count(*) FROM sqlite_master")  # opens it before it is unlinked
        return connection


def _connect(address: str) -> sqlite3.Connection:
    return sqlite3.connect(address, uri=True, timeout=transactions.WAIT_SECONDS)


def _make(path: Path, migrations: Path) -> None:
    """Writes a migrated database beside its place, then links it there: whole or not at all.

    A process that is killed half-way leaves no database, and of two that make
    one at once the first wins.
    """
    _require_free(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_new(path, _without_rows(migrations))
    except FileExistsError:
        return  # another process made it meanwhile
    except OSError as error:
        raise WorkspaceRefused(f"{path.name} cannot be made: {error.strerror}") from error


def _require_free(path: Path) -> None:
    """Refuses a place where the new database would not be the file itself, or not be empty.

    Raises:
        StoreBroken: a log of an earlier database lies there; SQLite would read it into the new.
        WorkspaceRefused: the place is a link to nothing.
    """
    if path.is_symlink():
        raise WorkspaceRefused(f"{path.name} is a link to a file that is missing: remove the link")
    for ending in ("-wal", "-journal"):
        if path.with_name(path.name + ending).exists():
            raise StoreBroken(
                f"{path.name} is missing and {path.name}{ending}, which belongs to it, is there: "
                "restore both from a backup; remove the second only if nothing in it is needed"
            )


@cache  # migrating takes twenty times as long as writing the file that comes of it
def _without_rows(migrations: Path) -> bytes:
    """Returns the file of a database that has every table and no row."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        try:
            _opened(path, migrations).dispose()  # the last connection takes the log into the file
        except StoreBroken as error:
            raise WorkspaceRefused(
                f"no new database can be made in {tempfile.gettempdir()}: is the disk full?"
            ) from error
        return path.read_bytes()


def _opened(path: Path, migrations: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": transactions.WAIT_SECONDS},
        hide_parameters=True,
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "connect", partial(_remember_file, path))
    event.listen(engine, "begin", _begin)
    event.listen(engine, "begin", partial(_require_file, path))
    try:
        _check(engine)
        with engine.begin() as connection:
            migrate(connection, migrations)
    except DatabaseError as error:
        engine.dispose()
        raise _refusal(path, error) from error
    except StoreBroken:
        engine.dispose()
        raise
    return engine


def _refusal(path: Path, error: DatabaseError) -> FederationError:
    reason = str(error.orig)
    if "readonly" in reason:
        return WorkspaceRefused(f"{path.name} cannot be written: check its permissions")
    if "unable to open" in reason:
        return WorkspaceRefused(f"{path.name} cannot be opened: check its permissions")
    if transactions.is_held(error):
        return WorkspaceRefused(f"{path.name} {transactions.explained(error)}")
    return StoreBroken(
        f"{path.name} is not a readable database ({reason}): restore it from a backup"
    )


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's begin event opens transactions, not the driver
    for pragma in (
        f"busy_timeout={transactions.WAIT_SECONDS * 1000}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "recursive_triggers=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    reads = connection.get_execution_options().get(transactions.READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


_FILE = "collegium_file"


def _remember_file(path: Path, _connection: Any, record: Any) -> None:
    record.info[_FILE] = _file_at(path)


def _require_file(path: Path, connection: Connection) -> None:
    """Requires the file, which a connection outlives: later writes would be durable nowhere.

    Raises:
        StoreBroken: the file was removed, or another one lies in its place.
    """
    if connection.info[_FILE] != _file_at(path):
        raise StoreBroken(
            f"{path.name} was removed or replaced while it was open: nothing was changed. Bring "
            "it back, then start again"
        )


def _file_at(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _prepare_reading(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA query_only=ON")


def _begin_reading(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _check(engine: Engine) -> None:
    with engine.connect() as connection:
        verdict = _verdict(connection)
    if verdict != "ok":
        raise StoreBroken(f"{engine.url.database} is damaged: restore it from a backup")
