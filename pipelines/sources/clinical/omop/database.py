"""Tables of the Common Data Model in a database, read by SQLAlchemy's expressions.

Rules:

1. It only selects: rows are fetched some at a time, of the columns and concepts that a study names.
2. An error is told by its class and SQLSTATE: the words of a driver hold statements and values.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

from pipelines.sources.clinical.omop.cdm import Row
from pipelines.sources.tables.sql.address import DatabaseAddress, engine_of
from protocol.errors import CohortRefused

#: So many rows are fetched at once.
_ROWS = 10_000
#: Of more concepts the rows are chosen here, not in the database: statements have a longest form.
_MOST_CONCEPTS = 1000


@dataclass(frozen=True, kw_only=True)
class DatabaseTables:
    """The tables in a database's schema, see ``CdmTables``.

    Attributes:
        address: where the database's address is kept; it is shown nowhere.
        site: whose it is, for messages.
        schema: that holds the tables, and the vocabulary's; None where it is the default one.
    """

    address: DatabaseAddress
    site: str
    schema: str | None = None

    @property
    def name(self) -> str:
        """That it is a database, and its schema."""
        return "the database" if self.schema is None else f"the database's schema {self.schema!r}"

    def columns(self, table: str) -> frozenset[str] | None:
        """Returns a table's columns, or None where there is no such table or view."""
        if table not in self._tables:
            return None
        return frozenset(self._columns(table))

    def file(self, table: str) -> str:
        """Returns nothing: a table is no file here."""
        return ""

    def rows(
        self, table: str, columns: Sequence[str], *, among: tuple[str, frozenset[int]] | None = None
    ) -> Iterator[Row]:
        """Yields rows of a table, see ``CdmTables``."""
        known = self._columns(table)
        chosen = [known[name] for name in columns]
        if among is not None and not among[1]:
            return
        concept = None if among is None else known[among[0]]
        asked = sqlalchemy.select(*chosen, *([] if concept is None else [concept]))
        few = among is not None and len(among[1]) <= _MOST_CONCEPTS
        if among is not None and concept is not None and few:
            asked = asked.where(concept.in_(sorted(among[1])))
        source = self._table(table)
        width = len(chosen)
        with _told(), self._engine.connect() as connection:
            options = {"stream_results": True, "yield_per": _ROWS}
            for row in connection.execute(asked.select_from(source), execution_options=options):
                if among is None or few or _number(row[width]) in among[1]:
                    yield 0, tuple("" if cell is None else str(cell) for cell in row[:width])

    def unmapped(self, table: str, concept: str) -> tuple[int, int]:
        """Returns how many rows a table has, and how many of them have concept 0 or none."""
        column = self._columns(table)[concept]
        none = sqlalchemy.case((sqlalchemy.func.coalesce(column, 0) == 0, 1), else_=0)
        asked = sqlalchemy.select(sqlalchemy.func.count(), sqlalchemy.func.sum(none))
        with _told(), self._engine.connect() as connection:
            rows, unmapped = connection.execute(asked.select_from(self._table(table))).one()
        return int(rows), int(unmapped or 0)

    @cached_property
    def _engine(self) -> sqlalchemy.Engine:
        return engine_of(self.address.read(site=self.site), site=self.site)

    @cached_property
    def _tables(self) -> dict[str, str]:
        """The tables and views, by their names in lower case."""
        with _told():
            inspector = sqlalchemy.inspect(self._engine)
            found = inspector.get_table_names(self.schema)
            found += inspector.get_view_names(self.schema)
        return {name.lower(): name for name in found}

    def _columns(self, table: str) -> dict[str, sqlalchemy.ColumnClause[object]]:
        """Returns a table's columns, by their names in lower case."""
        with _told():
            found = sqlalchemy.inspect(self._engine).get_columns(self._tables[table], self.schema)
        names = [str(each["name"]) for each in found]
        return {name.lower(): sqlalchemy.column(name) for name in names}

    def _table(self, table: str) -> sqlalchemy.TableClause:
        return sqlalchemy.table(self._tables[table], schema=self.schema)


def _number(cell: object) -> int:
    return int(cell) if isinstance(cell, int | float) else -1


@contextmanager
def _told() -> Iterator[None]:
    """Refuses what a database fails in, without the words of its driver."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None)
        state = getattr(cause, "sqlstate", None)
        kind = type(cause or error).__name__ + (f", SQLSTATE {state}" if state else "")
        raise CohortRefused(
            f"the database cannot be asked ({kind}): is it running, is its address right, may its "
            "user select from the tables?"
        ) from None
