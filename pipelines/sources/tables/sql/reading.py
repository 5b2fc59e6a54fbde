"""Rows of the hospital's query, read in pieces: a table of the columns that a study needs."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, CursorResult, Engine, event
from sqlalchemy.exc import SQLAlchemyError

from pipelines.sources.faults import refused
from pipelines.sources.tables.growing_table import GrowingTable
from pipelines.sources.tables.sql.address import DatabaseAddress, engine_of
from pipelines.sources.tables.sql.faults import CONNECTING, DatabaseFault, fault_of
from pipelines.sources.tables.sql.query import read_query
from pipelines.sources.tables.table import SourceTable
from protocol.study.cohort.cohort import TableCohort

#: What drivers raise, beside their own errors, where a value cannot be made one of Python's.
_ERRORS = (
    SQLAlchemyError,
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
#: So many rows are asked for together.
_ROWS_AT_ONCE = 4096
#: SQLite asks so often whether it shall go on: after so many steps of its machine.
_SQLITE_STEPS = 10_000


@dataclass(frozen=True, kw_only=True)
class QueryLimits:
    """The time that a query may take, and the rows that it may give."""

    seconds: int
    rows: int


def read_sql(
    address: DatabaseAddress,
    query_file: Path,
    limits: QueryLimits,
    cohort: TableCohort,
    *,
    site: str,
    keep: Sequence[str],
) -> SourceTable:
    """Returns the needed columns of a query's rows, and the faults that were found in them.

    Raises:
        CohortRefused: no such database or driver, no reading query, a fault of the database at any
            step, no rows, or more than the limits allow. Never a driver's words.
    """
    query = read_query(query_file, site=site)
    engine = engine_of(address.read(site=site), site=site)
    reading = _Reading(query, query_file.name, limits)
    fault: DatabaseFault
    try:
        return reading.table(engine, cohort, site=site, keep=keep)
    except (*_ERRORS, engine.dialect.loaded_dbapi.Error) as error:
        fault = fault_of(error, step=reading.step, query=query)
    finally:
        engine.dispose()
    # Raised here, where no driver's error is being handled, so that none is in the chain.
    raise refused(
        site,
        "database-not-reached" if fault.step == CONNECTING else "query-failed",
        str(fault),
        "nothing of it was taken",
        file=query_file.name,
    )


class _Reading:
    """One reading of a query, and how far it has come."""

    def __init__(self, query: str, name: str, limits: QueryLimits) -> None:
        self._query, self._name, self._limits = query, name, limits
        self._until = time.monotonic() + limits.seconds
        self.step = CONNECTING

    def table(
        self, engine: Engine, cohort: TableCohort, *, site: str, keep: Sequence[str]
    ) -> SourceTable:
        """Returns the whole table."""
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", self._limit_sqlite)
        with engine.connect() as connection:
            connection = self._reading_only(connection)
            self.step = "the query failed"
            result = connection.execution_options(
                stream_results=True, max_row_buffer=_ROWS_AT_ONCE, no_parameters=True
            ).exec_driver_sql(self._query)
            try:
                names = [str(column[0]) for column in _cursor(result).description]
                growing = GrowingTable(
                    names,
                    cohort,
                    site=site,
                    keep=keep,
                    file=self._name,
                    row_word="row",
                    has_order=False,
                    typed=True,
                )
                read = 0
                for rows in self._pieces(result):
                    numbers = np.arange(read + 1, read + 1 + len(rows), dtype=np.int64)
                    growing.add(list(zip(*rows, strict=True)), numbers)
                    read += len(rows)
                    self.step = f"the query failed after {read} rows"
                    self._check(read, site)
            finally:
                result.close()
        if not read:
            raise refused(
                site,
                "no-rows",
                "the query gives no rows",
                "look at its conditions, and at what the account may read",
                file=self._name,
            )
        return growing.table()

    def _reading_only(self, connection: Connection) -> Connection:
        if connection.dialect.name != "postgresql":
            return connection
        connection = connection.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {self._limits.seconds * 1000}")
        connection.exec_driver_sql("SET LOCAL timezone = 'UTC'")
        return connection

    def _limit_sqlite(self, connection: Any, _: object) -> None:
        connection.execute("PRAGMA query_only = ON")
        connection.set_progress_handler(lambda: time.monotonic() > self._until, _SQLITE_STEPS)

    def _pieces(self, result: "CursorResult[Any]") -> Iterator[Sequence[Sequence[object]]]:
        while rows := result.fetchmany(_ROWS_AT_ONCE):
            yield rows

    def _check(self, read: int, site: str) -> None:
        if read > self._limits.rows:
            raise refused(
                site,
                "query-too-large",
                f"the query gives more than {self._limits.rows} rows",
                "select fewer, or allow more by data.rows",
                file=self._name,
            )
        if time.monotonic() > self._until:
            raise refused(
                site,
                "query-too-large",
                f"the query took longer than {self._limits.seconds} seconds ({read} rows came)",
                "make it faster, or allow more by data.seconds",
                file=self._name,
            )


def _cursor(result: "CursorResult[Any]") -> Any:
    return result.cursor
