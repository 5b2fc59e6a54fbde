"""Every cell of the consortium's database that says something is held to the log."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from sqlalchemy import column, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from coordinator.references import keep_reference
from coordinator.store import Base
from coordinator.verification import verify_records
from protocol.errors import StoreBroken
from protocol.study import Study
from protocol.study_file import read_study
from tests.federation import Federation
from tests.studies import changed, small_study

#: Nobody's word: times, sequence numbers of rows, and what only helps a search.
SAYS_NOTHING = {
    "id", "registered_at", "opened_at", "closed_at", "released_at", "created_at", "started_at",
    "ended_at", "environment_json", "manifest_json", "sweep", "failure", "kind", "name",
    "simulation", "test_noise", "seed", "round_number", "run_id", "version_num",
}  # fmt: skip
TABLES = (
    "study",
    "run",
    "round",
    "release",
    "snapshot",
    "reference",
    "audit_entry",
    "audit_checkpoint",
)


def other_study() -> Study:
    """Returns a study that only the reference asks."""
    return read_study(changed("hidden: [4]", "hidden: [5]"))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def finished(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Federation]:
    places = {}
    if request.param == "postgresql":
        places["consortium"] = request.getfixturevalue("postgres").new_schema()
    federation = Federation(tmp_path_factory.mktemp("run"), small_study(), addresses=places.get)
    federation.run()
    key = federation.workspace.signing_key()
    keep_reference(federation.store, key, "sweep-1-001", "sweep-1", other_study(), {"auroc": 0.9})
    yield federation
    federation.close()


@contextmanager
def unguarded(finished: Federation) -> Iterator[Session]:
    """A session of the database's owner, who removes the triggers; nothing of it is kept."""
    with Session(finished.store._engine) as session:
        if session.connection().dialect.name == "sqlite":
            session.execute(text("PRAGMA defer_foreign_keys = ON"))
            named = "SELECT name, NULL FROM sqlite_master WHERE type = 'trigger'"
        else:
            named = (
                "SELECT tgname, relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
                "WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace"
            )
        for trigger, table in session.execute(text(named)).all():
            session.execute(text(f"DROP TRIGGER {trigger}" + (f" ON {table}" if table else "")))
        yield session


def cells(session: Session) -> list[tuple[str, str, Mapping[str, object], object]]:
    """Returns every cell that says something: table, column, key of its row, and value."""
    found = []
    for name in TABLES:
        table = Base.metadata.tables[name]
        keys = [key.name for key in table.primary_key]
        telling = [each.name for each in table.columns if each.name not in SAYS_NOTHING]
        for row in session.execute(select(*map(column, table.columns.keys())).select_from(table)):
            values = row._mapping
            where = {key: values[key] for key in keys}
            found += [(name, each, where, values[each]) for each in telling]
    return found


def change(
    session: Session, table: str, name: str, where: Mapping[str, object], value: object
) -> object:
    """Writes a value of any type into a cell; returns what the database made of it."""
    named = " AND ".join(f"{key} = :{key}" for key in where)
    statement = f"UPDATE {table} SET {name} = :new_value WHERE {named} RETURNING {name}"  # noqa: S608
    return session.execute(text(statement), {"new_value": value, **where}).scalar()


def spoilt(value: object, generator: random.Random) -> object:
    """Returns another value of the same or of another type."""
    if isinstance(value, int):
        return generator.choice([value + 1, "text", None if value else 7])
    if isinstance(value, str):
        at = generator.randrange(len(value) + 1)
        return generator.choice([value[:at] + "x" + value[at + 1 :], b"bytes", 7, "[1", "{}"])
    if isinstance(value, bytes) and value:
        at = generator.randrange(len(value))
        flipped = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
        return generator.choice([flipped, "text", value[:-1], b""])
    return "something"


@pytest.mark.parametrize("seed", range(4))
def test_a_changed_cell_is_found_and_gives_no_other_error(finished: Federation, seed: int) -> None:
    generator = random.Random(seed)
    public, found = finished.workspace.public_key(), 0
    with unguarded(finished) as session:
        everything = cells(session)
        for _ in range(40):
            table, name, where, value = generator.choice(everything)
            changed = spoilt(value, generator)
            before = session.begin_nested()
            try:
                same = change(session, table, name, where, changed) == value
            except DBAPIError:
                same = True  # the database itself refuses it
            if not same:
                with pytest.raises(StoreBroken):
                    verify_records(session, public)
                    pytest.fail(f"seed {seed}: {table}.{name} of {where} may become {changed!r}")
                found += 1
            before.rollback()
            session.expunge_all()
    assert found > 5


def test_the_untouched_database_verifies(finished: Federation) -> None:
    with finished.store.read() as session:
        found = verify_records(session, finished.workspace.public_key())
    assert (found.runs, found.references, found.studies) == (1, 1, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [("id", "sweep-1-002"), ("sweep", "sweep-2"), ("mode", "local"), ("seed", 2), ("epsilon", 3.0),
     ("epsilon", None), ("figures_json", '{"auroc": 0.99}'), ("study_digest", None),
     ("created_at", "later")],
)  # fmt: skip
def test_no_cell_of_a_reference_can_be_changed(
    finished: Federation, name: str, value: object
) -> None:
    with unguarded(finished) as session:
        own = session.execute(text("SELECT study_digest FROM run")).scalar()
        changed_to = own if name == "study_digest" else value
        session.execute(text(f"UPDATE reference SET {name} = :to"), {"to": changed_to})  # noqa: S608
        with pytest.raises(StoreBroken, match="reference sweep-1-00"):
            verify_records(session, finished.workspace.public_key())


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM reference",
        "INSERT INTO reference SELECT 'more', sweep, study_digest, mode, seed, epsilon, "
        "figures_json, created_at FROM reference",
    ],
)
def test_a_removed_or_an_added_reference_is_found(finished: Federation, statement: str) -> None:
    with unguarded(finished) as session:
        session.execute(text(statement))
        with pytest.raises(StoreBroken, match="is not the one in the log"):
            verify_records(session, finished.workspace.public_key())
