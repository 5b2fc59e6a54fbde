"""Changes a database behind the software's back: a SQLite file or a PostgreSQL database."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path

import psycopg

#: What each driver says when a trigger refuses a statement.
REFUSED = (sqlite3.IntegrityError, psycopg.errors.RaiseException)


def run_sql(place: Path | str, statement: str | Mapping[str, str]) -> list[tuple[object, ...]]:
    """Runs one statement, as the database's owner, and commits; returns its rows.

    Where the two databases differ, ``statement`` maps their names to their words.
    """
    words = statement if isinstance(statement, str) else statement[kind_of(place)]
    if isinstance(place, Path):
        with closing(sqlite3.connect(place)) as connection, connection:
            connection.execute("PRAGMA recursive_triggers=ON")
            return connection.execute(words).fetchall()
    with psycopg.connect(str(place), autocommit=True) as server:
        cursor = server.execute(words.encode())
        return cursor.fetchall() if cursor.description else []


def without_guards(connection: sqlite3.Connection) -> Callable[[], None]:
    """Removes triggers and indexes, as a database's owner can; returns what puts them back.

    A unique index that what was written meanwhile breaks cannot be put back, and stays away.
    """
    guards = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE sql NOTNULL AND (type = 'trigger' OR "
        "type = 'index' AND sql LIKE 'CREATE UNIQUE%')"
    ).fetchall()
    for kind, name, _ in guards:
        connection.execute(f"DROP {kind} {name}")

    def back() -> None:
        for _, _, statement in guards:
            with suppress(sqlite3.IntegrityError):
                connection.execute(statement)

    return back


def allow_updates(place: Path | str, table: str) -> None:
    """Removes the trigger that keeps a table's rows as they are, as only its owner can."""
    run_sql(
        place,
        {
            "sqlite": f"DROP TRIGGER {table}_no_update",
            "postgresql": f"DROP TRIGGER {table}_append_only ON {table}",
        },
    )


def kind_of(place: Path | str) -> str:
    """Returns ``sqlite`` or ``postgresql``."""
    return "sqlite" if isinstance(place, Path) else "postgresql"
