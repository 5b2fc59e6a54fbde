"""Holds a database's tables, indexes and triggers to those that the migrations make.

An index may keep a second release out, and a trigger a row from being changed: where
one is missing, what the rows say was guarded by less than this software writes.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, inspect, text

from compliance.storage.engines.revisions import migrate


def schema_faults(connection: Connection, migrations: Path) -> list[str]:
    """Returns what of a database is missing, is another or was added, in sentences.

    In SQLite each part is compared by its statement; in PostgreSQL tables, columns,
    indexes and triggers are compared by name, and triggers must hold always.

    Args:
        connection: to the database, of the newest form by its own word.
        migrations: the Alembic script folder that owns its tables.
    """
    is_file = connection.dialect.name == "sqlite"
    wanted, found = _made(migrations, is_file=is_file), _parts(connection)
    faults = [f"the database has no {part}" for part in sorted(wanted.keys() - found.keys())]
    faults += [
        f"the {part} is not as this software makes it"
        for part in sorted(wanted.keys() & found.keys())
        if wanted[part] != found[part]
    ]
    added = sorted(found.keys() - wanted.keys())
    return faults + [
        f"the database has a {part} that this software never made"
        for part in added
        if not part.startswith("table ")  # told with the views
    ]


@cache
def _made(migrations: Path, *, is_file: bool) -> Mapping[str, str]:
    engine = create_engine("sqlite://")
    try:
        with engine.begin() as connection:
            migrate(connection, migrations)
            return _parts(connection) if is_file else _named(connection, _kept(connection))
    finally:
        engine.dispose()


def _parts(connection: Connection) -> Mapping[str, str]:
    if connection.dialect.name == "sqlite":
        rows = connection.execute(
            text("SELECT type, name, sql FROM sqlite_master WHERE type != 'view' AND sql NOTNULL")
        )
        return {f"{kind} {name}": " ".join(sql.split()) for kind, name, sql in rows}
    guards = connection.execute(
        text(
            "SELECT t.tgname, t.tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE NOT t.tgisinternal AND n.nspname = current_schema()"
        )
    )
    return _named(connection, {str(name): _text(enabled) for name, enabled in guards})


def _kept(connection: Connection) -> Mapping[str, str]:
    """Returns what guards the same tables in PostgreSQL: one trigger, enabled always."""
    named = connection.execute(text("SELECT tbl_name FROM sqlite_master WHERE type = 'trigger'"))
    return {f"{table}_append_only": "A" for (table,) in named}


def _named(connection: Connection, triggers: Mapping[str, str]) -> Mapping[str, str]:
    found: dict[str, str] = {f"trigger {name}": how for name, how in triggers.items()}
    looked = inspect(connection)
    for table in looked.get_table_names():
        found[f"table {table}"] = ""
        found |= {f"column {table}.{column['name']}": "" for column in looked.get_columns(table)}
        own: list[Any] = [
            *(each for each in looked.get_indexes(table) if "duplicates_constraint" not in each),
            *looked.get_unique_constraints(table),
        ]
        found |= {f"index {each['name']}": "" for each in own}
    return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
