"""Opens a database: durable, migrated to the newest form, or refused with what to do.

A database is named by a path, then it is one SQLite file, or by a
``postgresql://`` address, then it is a database of a PostgreSQL server. Both
behave the same (``transactions.py``); how each is set up is in
``engines/``.
"""

from pathlib import Path

from sqlalchemy import Engine

from compliance.storage.engines import postgres as postgres_server
from compliance.storage.engines import sqlite as sqlite_file

NAMING_CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def open_database(place: Path | str, migrations: Path) -> Engine:
    """Returns an engine on a database, migrated to the newest form.

    Args:
        place: the file, made and readable by its owner alone when it does not
            exist; or the address of an existing PostgreSQL database.
        migrations: the Alembic script folder that owns this database's tables.

    Raises:
        StoreBroken: it is damaged, no database, or newer than this software.
        WorkspaceRefused: it cannot be written, does not answer, or is held by
            another program; or the address is none.
    """
    if is_address(place):
        return postgres_server.open_server(str(place), migrations)
    return sqlite_file.open_file(Path(place), migrations)


def open_for_reading(place: Path | str, migrations: Path, *, checked: bool = True) -> Engine:
    """Returns an engine on an existing database that can read it and change nothing.

    Args:
        place: the file, or the address of a PostgreSQL database.
        migrations: the Alembic script folder that owns this database's tables.
        checked: read a file once through, which takes a second for 600 MB; else damage is found by
            the query that meets it.

    Raises:
        StoreSilent: it does not answer.
        StoreBroken: it is damaged, no database, or of another version.
        WorkspaceRefused: it cannot be opened.
    """
    if is_address(place):
        return postgres_server.open_server_for_reading(str(place), migrations)
    return sqlite_file.open_file_for_reading(Path(place), migrations, checked=checked)


def is_address(place: Path | str) -> bool:
    """Whether a database is named by a PostgreSQL address, not by a path."""
    return isinstance(place, str) and place.startswith(postgres_server.SCHEMES)


def without_password(address: str) -> str:
    """Returns a PostgreSQL address that may be written down.

    Raises:
        WorkspaceRefused: the address is none.
    """
    return postgres_server.public_name(address)
