"""Every cell of the consortium's database that says something is held to the log."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from shutil import copyfile

import pytest

from coordinator.references import keep_reference
from coordinator.store import Store
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


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    federation = Federation(tmp_path_factory.mktemp("run"), small_study())
    federation.run()
    key = federation.workspace.signing_key()
    keep_reference(federation.store, key, "sweep-1-001", "sweep-1", other_study(), {"auroc": 0.9})
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
        found = verify_records(session, finished.workspace.public_key())
    assert (found.runs, found.references, found.studies) == (1, 1, 2)
    store.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [("id", "sweep-1-002"), ("sweep", "sweep-2"), ("mode", "local"), ("seed", 2), ("epsilon", 3.0),
     ("epsilon", None), ("figures_json", '{"auroc": 0.99}'), ("study_digest", None),
     ("created_at", "later")],
)  # fmt: skip
def test_no_cell_of_a_reference_can_be_changed(
    finished: Federation, tmp_path: Path, column: str, value: object
) -> None:
    path = tmp_path / "changed.db"
    copyfile(finished.workspace.database, path)
    with closing(sqlite3.connect(path)) as connection:
        own = connection.execute("SELECT study_digest FROM run").fetchone()[0]
        changed_to = own if column == "study_digest" else value
        connection.execute(f"UPDATE reference SET {column} = ?", (changed_to,))  # noqa: S608
        connection.commit()
    assert "reference sweep-1-00" in found_broken(finished, path)


def test_a_removed_or_an_added_reference_is_found(finished: Federation, tmp_path: Path) -> None:
    for number, change in enumerate(
        (
            "DELETE FROM reference",
            "INSERT INTO reference SELECT 'more', sweep, study_digest, mode, seed, epsilon, "
            "figures_json, created_at FROM reference",
        )
    ):
        path = tmp_path / f"{number}.db"
        copyfile(finished.workspace.database, path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(change)
            connection.commit()
        assert "is not the one in the log" in found_broken(finished, path)


def found_broken(finished: Federation, path: Path) -> str:
    """Returns what the verification says of a changed copy."""
    store = Store(path)
    try:
        with store.read() as session, pytest.raises(StoreBroken) as found:
            verify_records(session, finished.workspace.public_key())
    finally:
        store.close()
    return str(found.value)
