"""A coordinator's folder whose rows lie in a PostgreSQL database, under a user with a password."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine, func, insert, select

from compliance.storage.engines.postgres import parsed
from compliance.storage.engines.revisions import VERSIONS
from coordinator.database.store import Store
from tests.support.machine.databases import run_sql
from tests.support.machine.postgres import Server

#: Of the database's user; it must never be shown.
DATABASE_PASSWORD = "a secret of the database"  # noqa: S105  (of a test)


@contextmanager
def guarded_database(postgres: Server, folder: Path) -> Iterator[str]:
    """Yields the address of an empty database; its user's password lies in ``PGPASSFILE``."""
    own = postgres.new_database()
    name = str(parsed(own).database)
    run_sql(own, f"CREATE ROLE guarded LOGIN PASSWORD '{DATABASE_PASSWORD}'")
    run_sql(own, f"ALTER DATABASE {name} OWNER TO guarded")
    run_sql(own, "ALTER SCHEMA public OWNER TO guarded")
    passwords = folder / "passwords"
    passwords.touch(mode=0o600)
    passwords.write_text(f"*:*:*:guarded:{DATABASE_PASSWORD}\n")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PGPASSFILE", str(passwords))
        yield postgres.address(name, "guarded")
    run_sql(own, f"REASSIGN OWNED BY guarded TO postgres; ALTER DATABASE {name} OWNER TO postgres")
    run_sql(own, "DROP ROLE guarded")


def move_rows(home: Path, address: str) -> None:
    """Moves a folder's rows from its SQLite file into an empty PostgreSQL database."""
    Store(address).close()
    file, server = (
        create_engine(f"sqlite:///{home / 'collegium.db'}"),
        create_engine(parsed(address)),
    )
    there, here = MetaData(), MetaData()
    with file.connect() as source, server.begin() as target:
        here.reflect(source)
        there.reflect(target)
        for table in here.sorted_tables:
            rows = [dict(row) for row in source.execute(select(table)).mappings()]
            if rows and table.name != VERSIONS:
                target.execute(insert(there.tables[table.name]), rows)
        for table in there.sorted_tables:
            for column in table.primary_key:
                if column.server_default is not None:  # it counts on from the newest row
                    sequence = func.pg_get_serial_sequence(table.name, column.name)
                    newest = func.coalesce(func.max(column), 1)
                    target.execute(select(func.setval(sequence, newest)))
    file.dispose()
    server.dispose()
    for path in home.glob("collegium.db*"):
        path.unlink()
    (home / "database.url").write_text(f"{address}\n")
