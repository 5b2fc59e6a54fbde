"""A hospital's records in PostgreSQL: read in one snapshot, without a word of the server's."""

import re
import threading
from pathlib import Path

import pytest

from pipelines.cohort.loading import load_cohort
from pipelines.sources.source import DatabaseQuery, RecordFile
from pipelines.sources.tables.sql import reading
from protocol.errors import CohortRefused
from tests.support.hospital import one_cohort
from tests.support.hospital.databases import fill, query_of
from tests.support.machine.databases import run_sql
from tests.support.machine.postgres import Server
from tests.unit.pipelines.sources.tables.excel.test_workbook import COHORT, CSV, ROWS
from tests.unit.pipelines.sources.tables.sql.test_reading import refusal_of

COLUMNS = "id numeric(9, 2), age real, sex char(3), smokes boolean, ill text, seen date"
QUERY = "SELECT * FROM stays"


@pytest.fixture
def address(postgres: Server) -> str:
    found = postgres.new_database()
    fill(found.replace("postgresql:", "postgresql+psycopg:"), "stays", ROWS, COLUMNS)
    return found


def digest_of(source: DatabaseQuery | RecordFile) -> str:
    return load_cohort(COHORT, source, site="north").digest


def test_a_query_gives_the_same_records_as_the_csv_of_its_rows(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "export").write_text(CSV)
    expected = digest_of(RecordFile(path=tmp_path / "export"))
    assert digest_of(query_of(tmp_path, address, QUERY + ";")) == expected
    monkeypatch.setattr(reading, "_ROWS_AT_ONCE", 3)
    percent = "SELECT * FROM stays WHERE ill LIKE '%o%' OR ill LIKE 'y%s' ORDER BY seen DESC"
    assert digest_of(query_of(tmp_path, address, percent)) == expected


FAULTS = {
    "no such column": (
        "SELECT born FROM stays",
        "UndefinedColumn, 42703, .* names a column that",
    ),
    "no such table": ('SELECT * FROM "Mueller-1951"', "UndefinedTable, 42P01"),
    "no SQL": ("SELECT 'Mueller-1951' FROM stays WHERE", "SyntaxError, 42601"),
    "a cast": ("SELECT 'Mueller-1951'::int AS age FROM stays", "InvalidTextRep.*22P02.*casts"),
    "a day that Python does not know": (
        "SELECT id, age, sex, smokes, ill, 'infinity'::date AS born FROM stays",
        r"the query failed \(DataError",
    ),
    "half-way": (
        "SELECT id, CASE WHEN id < 13 THEN age ELSE ('Mueller-1951' || id)::real END AS age, sex, "
        "smokes, ill FROM stays",
        "the query failed after 6 rows .InvalidTextRepresentation, 22P02.*; nothing of it was",
    ),
    "too slow": ("SELECT pg_sleep(9)", "QueryCanceled, 57014.*longer than data.seconds"),
    "a function that writes": (
        "SELECT nextval('counted') AS id",
        "ReadOnlySqlTransaction, 25006, .*only reading is allowed",
    ),
    "a list": (
        "SELECT id, ARRAY[age] AS age, sex, smokes, ill FROM stays",
        r"column 'age', row 1 \(and 7 more rows\): of the type list",
    ),
    "two columns of one name": (
        "SELECT *, 1 AS age FROM stays",
        "'age': occurs 2 times in the res",
    ),
    "no rows": ("SELECT * FROM stays WHERE false", "the query gives no rows"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_by_its_state_with_a_remedy_and_without_a_value(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(reading, "_ROWS_AT_ONCE", 2)
    run_sql(address, "CREATE SEQUENCE counted")
    query, said = FAULTS[name]
    refused = refusal_of(query_of(tmp_path, address, query, seconds=1 if "slow" in name else 60))
    assert re.search(said, str(refused)), str(refused)


def test_a_server_that_goes_away_in_the_middle_leaves_nothing(
    postgres: Server, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_ROWS_AT_ONCE", 2)
    arrived, gone = threading.Event(), threading.Event()

    def rows_read(count: int) -> None:
        if count == 2:
            arrived.set()
            gone.wait()

    def end() -> None:
        arrived.wait()
        postgres.crash()
        gone.set()

    monkeypatch.setattr("pipelines.sources.tables.growing_table.rows_read", rows_read)
    ending = threading.Thread(target=end)
    ending.start()
    try:
        said = str(refusal_of(query_of(tmp_path, address, QUERY)))
    finally:
        ending.join()
        postgres.start()
    assert "the query failed after 2 rows" in said and "nothing of it was taken" in said


def test_who_may_not_enter_is_told_without_name_or_password(
    postgres: Server, tmp_path: Path, address: str
) -> None:
    run_sql(address, "CREATE ROLE guarded LOGIN PASSWORD 'right'")
    guarded = address.replace("postgres@", "guarded:Mueller-1951@")
    said = str(refusal_of(query_of(tmp_path, guarded, QUERY)))
    run_sql(address, "DROP ROLE guarded")
    assert "could not be connected to" in said and "guarded" not in said


def test_an_account_that_may_not_read_is_told_to_be_granted_it(
    postgres: Server, tmp_path: Path, address: str
) -> None:
    run_sql(address, "CREATE ROLE reader LOGIN")
    with pytest.raises(CohortRefused, match="InsufficientPrivilege, 42501.*grant it SELECT"):
        digest_of(query_of(tmp_path, address.replace("postgres@", "reader@"), QUERY))
    run_sql(address, "DROP ROLE reader")


def test_one_cohort_is_the_same_from_postgresql_as_from_a_file(
    postgres: Server, tmp_path: Path
) -> None:
    found = postgres.new_database()
    source = one_cohort.database_source(tmp_path, found.replace(":", "+psycopg:", 1), found)
    assert one_cohort.digests_of(source) == one_cohort.digests_of(one_cohort.csv_source(tmp_path))
