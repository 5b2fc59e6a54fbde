"""A hospital's database, with the address and the query that its site file names."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlalchemy import create_engine, text

from pipelines.sources.source import DatabaseQuery
from pipelines.sources.tables.sql.address import DatabaseAddress
from pipelines.sources.tables.sql.reading import QueryLimits


def fill(address: str, table: str, rows: Iterable[Sequence[object]], columns: str) -> None:
    """Makes a table of a database and fills it."""
    engine = create_engine(address)
    rows = list(rows)
    marks = ", ".join(f":{n}" for n in range(len(rows[0])))
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {table} ({columns})"))
        connection.execute(
            text(f"INSERT INTO {table} VALUES ({marks})"),  # noqa: S608
            [{str(n): value for n, value in enumerate(row)} for row in rows],
        )
    engine.dispose()


def query_of(
    folder: Path, address: str, query: str, *, seconds: int = 60, rows: int = 10**6
) -> DatabaseQuery:
    """Returns the source that a query of a database is; writes its two files."""
    (folder / "cohort.sql").write_text(query)
    secret = folder / "db-url"
    secret.write_text(address)
    os.chmod(secret, 0o600)
    return DatabaseQuery(
        address=DatabaseAddress(folder=folder, url_file=secret),
        query=folder / "cohort.sql",
        limits=QueryLimits(seconds=seconds, rows=rows),
    )
