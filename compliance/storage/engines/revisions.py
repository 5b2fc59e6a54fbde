"""Brings a database's tables to the newest form, or refuses one that newer software wrote."""

import threading
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from protocol.errors import StoreBroken

VERSIONS = "alembic_version"
#: What is said of a database that is only to be read, and has another form.
OTHER_VERSION = (
    "was written by another version of collegium: only its owner brings it up to date; to look at "
    "it as it is, use the version that wrote it"
)
#: Alembic keeps its context in one place of the process: one migration after another.
_MIGRATING = threading.Lock()


def migrate(connection: Connection, migrations: Path) -> None:
    """Runs the migrations that are missing, within the connection's transaction.

    Args:
        connection: in a transaction that excludes other writers.
        migrations: the Alembic script folder that owns this database's tables.

    Raises:
        StoreBroken: newer software, or software of another kind, made the tables.
    """
    with _MIGRATING:
        scripts = _scripts(migrations)
        current = _revision(connection)
        if current == scripts.get_current_head():
            return
        if current is not None and current not in {s.revision for s in scripts.walk_revisions()}:
            raise StoreBroken(
                "the database was written by other or newer software: upgrade collegium to open "
                "it, or name another database"
            )
        config = _config(migrations)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def is_newest(connection: Connection, migrations: Path) -> bool:
    """Whether the tables have the form that this software writes."""
    return _revision(connection) == _scripts(migrations).get_current_head()


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSIONS):
        return None
    revision = connection.execute(text(f"SELECT version_num FROM {VERSIONS}")).scalar()  # noqa: S608
    return str(revision) if revision else None


def _config(migrations: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations))
    return config


@cache  # a process reads its own software's files once
def _scripts(migrations: Path) -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(migrations))
