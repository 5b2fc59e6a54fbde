"""Every cell of the consortium's database that says something is held to the log."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from shutil import copyfile

import pytest

from coordinator.store import Store
from coordinator.verification import verify_records
from protocol.errors import StoreBroken
from tests.federation import Federation
from tests.studies import small_study

#: Nobody's word: times, sequence numbers of rows, and what only helps a search.
SAYS_NOTHING = {
    "id", "registered_at", "opened_at", "closed_at", "released_at", "created_at", "started_at",
    "ended_at", "environment_json", "manifest_json", "sweep", "failure", "kind", "name",
    "simulation", "test_noise", "seed", "round_number", "run_id", "version_num",
}  # fmt: skip
TABLES = ("study", "run", "round", "release", "snapshot", "audit_entry", "audit_checkpoint")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    federation = Federation(tmp_path_factory.mktemp("run"), small_study())
    federation.run()
    federation.store.close()
    return federation


def cells(path: Path) -> list[tuple[str, str, int, object]]:
    """Returns every cell that says something: table, column, row and value."""
    found = []
    with closing(sqlite3.connect(path)) as connection:
        for table in TABLES:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            for column in columns:
                if column in SAYS_NOTHING:
                    continue
                query = f"SELECT rowid, {column} FROM {table}"  # noqa: S608
                found += [(table, column, row, value) for row, value in connection.execute(query)]
    return found


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
def test_a_changed_cell_is_found_and_gives_no_other_error(
    finished: Federation, tmp_path: Path, seed: int
) -> None:
    generator = random.Random(seed)
    original = finished.workspace.database
    everything = cells(original)
    public = finished.workspace.public_key()
    for number in range(40):
        table, column, row, value = generator.choice(everything)
        changed = spoilt(value, generator)
        path = tmp_path / f"{number}.db"
        copyfile(original, path)
        with closing(sqlite3.connect(path)) as connection:
            triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for (name,) in triggers.fetchall():
                connection.execute(f"DROP TRIGGER {name}")
            connection.execute("PRAGMA ignore_check_constraints = ON")
            try:
                query = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"  # noqa: S608
                connection.execute(query, (changed, row))
            except sqlite3.IntegrityError:
                continue  # the database itself refuses it
            connection.commit()
            query = f"SELECT {column} FROM {table} WHERE rowid = ?"  # noqa: S608
            if connection.execute(query, (row,)).fetchone() == (value,):
                continue
        store = Store(path)
        try:
            with store.read() as session, pytest.raises(StoreBroken):
                verify_records(session, public)
                pytest.fail(f"seed {seed}: {table}.{column} of row {row} may become {changed!r}")
        finally:
            store.close()


def test_the_untouched_database_verifies(finished: Federation) -> None:
    store = Store(finished.workspace.database)
    with store.read() as session:
        assert verify_records(session, finished.workspace.public_key()).runs == 1
    store.close()
