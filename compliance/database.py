"""Opens a database: durable, migrated to the newest form, or refused with what to do.

SQLite is the embedded default. Every connection runs in WAL mode with
``synchronous=FULL``, so that a commit that returned survives a power cut, and
with ``recursive_triggers``, without which ``INSERT OR REPLACE`` would slip
past the append-only triggers. Transactions begin IMMEDIATE: two writers queue
instead of failing half-way.
"""

import os
import secrets
import sqlite3
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import NullPool

from protocol.errors import StoreBroken, WorkspaceRefused

NAMING_CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
_BUSY_SECONDS = 30


def open_database(path: Path, migrations: Path) -> Engine:
    """Returns an engine on the SQLite file ``path``, migrated to the newest form.

    Args:
        path: the file; made, readable by its owner alone, when it does not exist.
        migrations: the Alembic script folder that owns this database's tables.

    Raises:
        StoreBroken: the file is damaged, not a database, or newer than this software.
        WorkspaceRefused: the file cannot be written.
    """
    if not path.exists():
        _make(path, migrations)
    return _opened(path, migrations)


def open_for_reading(path: Path, migrations: Path) -> Engine:
    """Returns an engine on an existing SQLite file that can read it and change nothing.

    Raises:
        StoreBroken: the file is damaged, not a database, or of another version.
        WorkspaceRefused: the file cannot be opened.
    """
    # A connection that may write would, when it closes, move a killed writer's log into the file.
    killed = path.with_name(f"{path.name}-wal").exists()
    place = f"{path.resolve().as_uri()}?mode={'ro' if killed else 'rw'}"
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(place, uri=True, timeout=_BUSY_SECONDS),
        poolclass=NullPool,
    )
    event.listen(engine, "connect", _prepare_reading)
    event.listen(engine, "begin", _begin_reading)
    try:
        with engine.connect() as connection:
            verdict = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
            current = _current_revision(connection)
    except DatabaseError as error:
        if "unable to open" in str(error.orig):
            raise WorkspaceRefused(
                f"{path.name} cannot be opened: check its permissions"
            ) from error
        raise StoreBroken(
            f"{path.name} is not a readable database ({error.orig}): restore it from a backup"
        ) from error
    if verdict != "ok":
        raise StoreBroken(f"{path.name} is damaged: restore it from a backup")
    if current != _scripts(migrations).get_current_head():
        raise StoreBroken(
            f"{path.name} was written by another version of collegium: only the hospital itself "
            "brings it up to date"
        )
    return engine


def _make(path: Path, migrations: Path) -> None:
    """Makes and migrates the database beside its place, then links it there: whole or not at all.

    A process that is killed half-way leaves no database, and of two that make
    one at once the first wins.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600)
        _opened(partial, migrations).dispose()
        os.link(partial, path)
    except FileExistsError:
        return  # another process made it meanwhile
    except OSError as error:
        raise WorkspaceRefused(f"{path.name} cannot be made: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def _opened(path: Path, migrations: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    try:
        _check(engine)
        _migrate(engine, migrations)
    except DatabaseError as error:
        engine.dispose()
        if isinstance(error, OperationalError) and "readonly" in str(error.orig):
            raise WorkspaceRefused(
                f"{path.name} cannot be written: check its permissions"
            ) from error
        raise StoreBroken(
            f"{path.name} is not a readable database ({error.orig}): restore it from a backup"
        ) from error
    except StoreBroken:
        engine.dispose()
        raise
    return engine


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's begin event opens transactions, not the driver
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "recursive_triggers=ON",
        f"busy_timeout={_BUSY_SECONDS * 1000}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _prepare_reading(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA query_only=ON")


def _begin_reading(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _check(engine: Engine) -> None:
    with engine.connect() as connection:
        verdict = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
    if verdict != "ok":
        raise StoreBroken(f"{engine.url.database} is damaged: restore it from a backup")


def _migrate(engine: Engine, migrations: Path) -> None:
    config = _config(migrations)
    scripts = _scripts(migrations)
    with engine.begin() as connection:
        current = _current_revision(connection)
        if current == scripts.get_current_head():
            return
        if current is not None and current not in {s.revision for s in scripts.walk_revisions()}:
            raise StoreBroken(
                "the database was written by newer software: upgrade collegium to open it"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config(migrations: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations))
    return config


def _scripts(migrations: Path) -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(migrations))


def _current_revision(connection: Connection) -> str | None:
    found = connection.execute(
        text("SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'")
    ).scalar()
    if not found:
        return None
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return str(revision) if revision else None
