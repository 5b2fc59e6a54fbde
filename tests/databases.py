"""Changes a database behind the software's back: a SQLite file or a PostgreSQL database."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import psycopg

#: What each driver says when a trigger refuses a statement.
REFUSED = (sqlite3.IntegrityError, psycopg.errors.RaiseException)


def run_sql(place: Path | str, statement: str | Mapping[str, str]) -> list[tuple[object, ...]]:
    """Runs one statement, as the database's owner, and commits; returns its rows.

    Where the two databases differ, ``statement`` maps their names to their words.
    """
    is_file = isinstance(place, Path)
    words = statement if isinstance(statement, str) else statement[kind_of(place)]
    if is_file:
        with closing(sqlite3.connect(place)) as connection, connection:
            connection.execute("PRAGMA recursive_triggers=ON")
            return connection.execute(words).fetchall()
    with psycopg.connect(str(place), autocommit=True) as server:
        cursor = server.execute(words.encode())
        return cursor.fetchall() if cursor.description else []


def kind_of(place: Path | str) -> str:
    """Returns ``sqlite`` or ``postgresql``."""
    return "sqlite" if isinstance(place, Path) else "postgresql"
