"""Triggers that keep a table append-only, on either kind of database.

UPDATE and DELETE are refused, on PostgreSQL TRUNCATE as well; SQLite has none. A
released migration rests on these statements: they are never edited, only added to.

They stop a slip and a stolen connection, not the database's owner, who can drop
them. What the owner changes is found by the hash chain and the signed log.
"""

from collections.abc import Iterator
from types import ModuleType

# ALWAYS: a session in replication mode passes by an ordinary trigger.
_POSTGRESQL = (
    """
    CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$
    """,
    "CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
    "ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_append_only",
)
_SQLITE = tuple(
    f"CREATE TRIGGER {{table}}_no_{verb.lower()} BEFORE {verb} ON {{table}} "
    "BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    for verb in ("UPDATE", "DELETE")
)


def keep_append_only(op: ModuleType, *tables: str) -> None:
    """Lets rows of these tables only ever be added, from this migration on.

    Args:
        op: ``alembic.op``, inside a migration.
        tables: names of existing tables; they are written into SQL as they stand.
    """
    for statement in _statements(op.get_bind().dialect.name, tables):
        op.execute(statement)


def _statements(dialect: str, tables: tuple[str, ...]) -> Iterator[str]:
    for table in tables:
        for statement in _POSTGRESQL if dialect == "postgresql" else _SQLITE:
            yield statement.replace("{table}", table)
