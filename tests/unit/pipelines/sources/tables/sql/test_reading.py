"""Rows of a database are read as the CSV of the same table; its faults are told without a value."""

import re
import sqlite3
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.cohort.loading import load_cohort
from pipelines.sources.source import DatabaseQuery, RecordFile
from pipelines.sources.tables.sql import reading
from pipelines.sources.tables.sql.address import DatabaseAddress
from pipelines.sources.tables.typed_cells import spelling_of
from protocol.errors import CohortRefused
from tests.support.hospital.databases import fill, query_of
from tests.unit.pipelines.sources.tables.excel.test_workbook import COHORT, CSV, HEAD, ROWS

QUERY = "SELECT * FROM stays"
#: Stands for a patient's name, and for a password.
SECRET = "Mueller-1951"  # noqa: S105


@pytest.fixture
def database(tmp_path: Path) -> str:
    address = f"sqlite:///{tmp_path / 'ward.db'}"
    rows = [[str(c).lower() if isinstance(c, bool) else c for c in row[:5]] for row in ROWS]
    fill(address, "stays", rows, "id integer, age real, sex text, smokes text, ill text")
    return address


def digest_of(source: DatabaseQuery | RecordFile) -> str:
    return load_cohort(COHORT, source, site="north").digest


def refusal_of(source: DatabaseQuery) -> CohortRefused:
    with pytest.raises(CohortRefused) as refused:
        digest_of(source)
    error: BaseException | None = refused.value
    whole = "".join(traceback.format_exception(refused.value))
    while error is not None:  # nothing of the driver's is even in the chain
        assert SECRET not in str(error) + repr(error.args)
        error = error.__cause__ or error.__context__
    assert SECRET not in whole
    return refused.value


def test_a_query_gives_the_same_records_as_the_csv_of_its_rows(
    tmp_path: Path, database: str
) -> None:
    (tmp_path / "export").write_text(CSV)
    assert digest_of(query_of(tmp_path, database, QUERY)) == digest_of(
        RecordFile(path=tmp_path / "export")
    )


def test_rows_come_in_pieces(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = digest_of(query_of(tmp_path, database, QUERY))
    monkeypatch.setattr(reading, "_ROWS_AT_ONCE", 3)
    assert digest_of(query_of(tmp_path, database, QUERY)) == whole


def test_an_address_may_lie_in_the_environment_or_beside_the_site_file(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = query_of(tmp_path, database, QUERY)
    expected = digest_of(source)
    for address in (
        DatabaseAddress(folder=tmp_path, url_env="WARD_DB"),
        DatabaseAddress(folder=tmp_path, url="sqlite:///ward.db"),
    ):
        monkeypatch.setenv("WARD_DB", database)
        found = DatabaseQuery(address=address, query=source.query, limits=source.limits)
        assert digest_of(found) == expected


SLOW = """WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)
SELECT max(id) AS id, 1 AS age, 'f' AS sex, 'true' AS smokes, 'no' AS ill FROM n"""
HALF_WAY = """SELECT id, CASE WHEN id < 13 THEN age ELSE json('Mueller-1951') END AS age, sex,
smokes, ill FROM stays"""
FAULTS: dict[str, tuple[str, str]] = {
    "no such column": (
        "SELECT born FROM stays",
        "SQLITE_ERROR.*a table or column that",
    ),
    "no such table": ('SELECT * FROM "Mueller-1951"', "the query failed .*SQLITE_ERROR"),
    "no SQL": (
        "SELECT 'Mueller-1951' FROM stays WHERE",
        "OperationalError, SQLITE_ERROR, fingerprint",
    ),
    "a value that the query cannot convert": (HALF_WAY, "OperationalError, SQLITE_ERROR"),
    "a column that is missing": (
        "SELECT id, sex, smokes, ill FROM stays",
        "cohort.sql: column 'age': missing in the result",
    ),
    "two columns of one name": (
        "SELECT *, age + 1 AS age FROM stays",
        "column 'age': occurs 2 times in the result; keep one, or give the others names",
    ),
    "no rows": (QUERY + " WHERE id > 99", "the query gives no rows; look at its conditions"),
    "bytes": (
        "SELECT id, x'00ff' AS age, sex, smokes, ill FROM stays",
        r"column 'age', row 1 \(and 7 more rows\): of the type bytes",
    ),
    "a cell that does not fit": (
        "SELECT id, CASE id WHEN 12 THEN 'Mueller-1951' ELSE age END AS age, sex, smokes, ill "
        "FROM stays",
        r"column 'age', row 5 \(and 1 more row\): text where a number was expected",
    ),
    "too slow": (SLOW, "SQLITE_INTERRUPT.*longer than data.seconds"),
    "too many rows": ("SELECT a.* FROM stays a, stays b", "more than 20 rows; select fewer"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_its_remedy_and_without_a_value(
    tmp_path: Path, database: str, name: str
) -> None:
    query, said = FAULTS[name]
    seconds = 1 if name == "too slow" else 60
    refused = refusal_of(query_of(tmp_path, database, query, seconds=seconds, rows=20))
    assert re.search(said, str(refused)), str(refused)
    assert "SELECT" not in str(refused)


def test_text_that_the_driver_cannot_decode_is_not_shown(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ward.db") as connection:
        connection.execute("CREATE TABLE stays (id, age, sex, smokes, ill)")
        connection.execute(
            "INSERT INTO stays VALUES (1, CAST(? AS TEXT), 'f', 'true', 'no')",
            (SECRET.encode() + b"\xff",),
        )
    connection.close()
    source = query_of(tmp_path, f"sqlite:///{tmp_path / 'ward.db'}", QUERY)
    assert "OperationalError" in str(refusal_of(source))


def test_a_query_that_fails_half_way_gives_nothing(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_ROWS_AT_ONCE", 2)
    said = str(refusal_of(query_of(tmp_path, database, HALF_WAY)))
    assert "the query failed after 4 rows" in said and "nothing of it was taken" in said


def test_the_same_fault_has_the_same_fingerprint(tmp_path: Path, database: str) -> None:
    def fingerprint(query: str) -> str:
        said = str(refusal_of(query_of(tmp_path, database, query)))
        return said.partition("fingerprint ")[2][:12]

    first = fingerprint("SELECT born FROM stays")
    assert fingerprint("SELECT born FROM stays") == first
    assert fingerprint("SELECT died FROM stays") != first


def test_nothing_is_written_whatever_the_query_calls(tmp_path: Path, database: str) -> None:
    before = (tmp_path / "ward.db").read_bytes()
    refusal_of(query_of(tmp_path, database, "WITH a AS (SELECT 1) INSERT INTO stays VALUES (1)"))
    digest_of(query_of(tmp_path, database, QUERY))
    assert (tmp_path / "ward.db").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cohort.sql", "db-url", "ward.db"]


ADDRESSES: dict[str, tuple[str, str]] = {
    "no address": (f"{SECRET}", "the database's address cannot be read: it has the form"),
    "two lines": (f"postgresql://a:{SECRET}@h/d\nx", "must hold one line"),
    "an @ in the password": (f"postgresql://a:{SECRET}@x@h/d", "%40 for an @ in a password"),
    "a port that is none": (f"postgresql://a:{SECRET}@h:port/d", "cannot be read: it has the form"),
    "a dialect that is not installed": (
        f"teradata://a:{SECRET}@h/d", "needs a dialect of SQLAlchemy for 'teradata'",
    ),
    "a driver that is not installed": (
        f"mysql://a:{SECRET}@h/d", r"the driver 'MySQLdb' \(pip install mysqlclient\)",
    ),
    "a driver for programs of another kind": (
        "sqlite+aiosqlite:///none.db", "there is no SQLite database",
    ),
    "SQLite beside the site file": (
        "sqlite:///data/none.db", "no SQLite database 'none.db' beside the site file, from whose",
    ),
    "SQLite elsewhere": (
        "sqlite:////srv/Mueller/none.db", "no SQLite database 'none.db' where the address says",
    ),
    "SQLite in memory": ("sqlite://", "of SQLite it has the form sqlite:///folder/file.db"),
    "a file that is no database": ("sqlite:///cohort.sql", "SQLITE_NOTADB"),
    "a server that is not there": (
        f"postgresql://anna:{SECRET}@127.0.0.1:9/ward",
        "the database could not be connected to .OperationalError, .*cannot be reached",
    ),
    "a parameter that nobody knows": (
        f"postgresql://anna:{SECRET}@127.0.0.1:9/ward?speed=9",
        "the database could not be connected to .ProgrammingError",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ADDRESSES)
def test_an_address_that_does_not_work_is_told_and_never_shown(tmp_path: Path, name: str) -> None:
    address, said = ADDRESSES[name]
    refused = refusal_of(query_of(tmp_path, address, QUERY))
    assert re.search(said, str(refused)), str(refused)


def opened(path: Path) -> None:
    path.chmod(0o640)


def emptied(path: Path) -> None:
    path.write_text("")


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (opened, "is not for its owner alone: .* chmod 600"),
        (emptied, "must hold one line"),
        (removed, "cannot be read: no such file"),
    ],
)
def test_the_file_of_the_address_is_for_its_owner_alone(
    tmp_path: Path, database: str, change: Callable[[Path], None], said: str
) -> None:
    source = query_of(tmp_path, database, QUERY)
    change(tmp_path / "db-url")
    with pytest.raises(CohortRefused, match=f"the file 'db-url' of data.url_file {said}"):
        digest_of(source)


def test_an_address_in_the_place_of_its_file_is_not_repeated(tmp_path: Path, database: str) -> None:
    source = query_of(tmp_path, database, QUERY)
    address = replace(source.address, url_file=tmp_path / f"postgresql://anna:{SECRET}@host")
    refusal_of(replace(source, address=address))


def test_a_variable_that_is_not_set_is_named(tmp_path: Path, database: str) -> None:
    source = query_of(tmp_path, database, QUERY)
    address = DatabaseAddress(folder=tmp_path, url_env="WARD_DB")
    with pytest.raises(CohortRefused, match="variable WARD_DB of data.url_env is not set"):
        digest_of(DatabaseQuery(address=address, query=source.query, limits=source.limits))


@pytest.mark.parametrize(
    ("values", "cell"),
    [
        ([63, 63.0, Decimal("63.00"), " 63 "], "63"),
        ([0.1, Decimal("0.10"), "0.1"], "0.1"),
        ([1e22], "1e+22"),
        ([True], "true"),
        ([date(2024, 3, 1), datetime.fromisoformat("2024-03-01")], "2024-03-01"),
        ([datetime(2024, 3, 1, 8, tzinfo=UTC)], "2024-03-01T08:00:00+00:00"),
        ([datetime.fromisoformat("2024-03-01T09:00+01:00")], "2024-03-01T08:00:00+00:00"),
        ([None, float("nan"), Decimal("NaN")], None),
    ],
)
def test_every_value_has_one_spelling(values: list[object], cell: str | None) -> None:
    for value in values:
        spell = spelling_of(type(value))
        assert spell is not None and spell(value) == cell
    assert HEAD[0] == "id"
