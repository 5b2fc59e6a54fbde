"""A Parquet file holds the same records as the CSV of its table, whatever types it has."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from pipelines.cohort.loading import load_cohort
from pipelines.sources.source import RecordFile
from pipelines.sources.tables import parquet_file
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import TableCohort
from tests.unit.pipelines.sources.tables.excel.test_workbook import COHORT, CSV, HEAD, ROWS

TABLE = pyarrow.table({name: [row[place] for row in ROWS] for place, name in enumerate(HEAD)})


def changed(name: str, change: Callable[[pyarrow.Array], pyarrow.Array]) -> pyarrow.Table:
    place = TABLE.schema.names.index(name)
    return TABLE.set_column(place, name, change(TABLE[name]))


def read(table: pyarrow.Table, folder: Path, **changes: object) -> str:
    file = folder / "export"
    pyarrow.parquet.write_table(table, file, row_group_size=3)
    cohort = COHORT.model_copy(update=changes)
    return load_cohort(cohort, RecordFile(path=file), site="north").digest


def of_csv(text: str, folder: Path) -> str:
    (folder / "export").write_text(text)
    return load_cohort(COHORT, RecordFile(path=folder / "export"), site="north").digest


def with_nan(column: pyarrow.Array) -> pyarrow.Array:
    return pyarrow.array([float("nan") if cell is None else cell for cell in column.to_pylist()])


SAME: dict[str, pyarrow.Table] = {
    "as it is": TABLE,
    "no number, for missing": changed("age", with_nan),
    "single precision": changed("age", lambda c: c.cast("float32")),
    "decimals": changed("age", lambda c: c.cast(pyarrow.decimal128(10, 4))),
    "numbers as text": changed("age", lambda c: c.cast("string")),
    "a dictionary": changed("sex", lambda c: c.dictionary_encode()),
    "long text": changed("sex", lambda c: c.cast("large_string")),
    "keys as numbers with a point": changed("id", lambda c: c.cast("float64")),
    "truth as text": changed("smokes", lambda c: c.cast("string")),
    "columns in another order": TABLE.select(HEAD[::-1]),
    "a nested column that nobody needs": TABLE.append_column("notes", [[[1, 2]]] * 8),
}


@pytest.mark.parametrize("name", SAME)
def test_the_types_in_which_columns_are_stored_change_nothing(tmp_path: Path, name: str) -> None:
    assert read(SAME[name], tmp_path) == of_csv(CSV, tmp_path)


def test_a_number_of_four_bytes_is_the_one_that_was_written(tmp_path: Path) -> None:
    table = changed("age", lambda c: pyarrow.array([0.1] * 8, "float32"))
    tenth = CSV.splitlines()
    text = [",".join([*line.split(",")[:1], "0.1", *line.split(",")[2:]]) for line in tenth[1:]]
    assert read(table, tmp_path) == of_csv("\n".join([tenth[0], *text]), tmp_path)


def test_a_header_is_no_matter_to_a_file_that_has_names(tmp_path: Path) -> None:
    assert read(TABLE, tmp_path, header=False) == read(TABLE, tmp_path)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("2024-03-01", [date(2024, 3, 1), datetime.fromisoformat("2024-03-01")]),
        ("2024-03-01T08:30:00", [datetime.fromisoformat("2024-03-01T08:30")]),
        ("2024-03-01T08:30:00+00:00", [datetime(2024, 3, 1, 8, 30, tzinfo=UTC)]),
    ],
)
@pytest.mark.parametrize("unit", ["ms", "ns"])
def test_days_and_times_have_one_spelling(
    tmp_path: Path, kind: str, values: list[object], unit: str
) -> None:
    seen = {"name": "seen", "kind": "other"}
    cohort = COHORT.model_validate(
        {
            **COHORT.model_dump(),
            "columns": [*(c.model_dump() for c in COHORT.columns), seen],
        }
    )
    for value in values:
        column = pyarrow.array([value] * 8)
        if isinstance(value, datetime):
            column = column.cast(pyarrow.timestamp(unit, value.tzinfo and "UTC"))
        pyarrow.parquet.write_table(changed("seen", lambda _, made=column: made), tmp_path / "e")
        table = RecordFile(path=tmp_path / "e").table(cohort, site="north", keep=["seen"])
        assert set(table.cells["seen"]) == {kind}


def of_days(folder: Path, text: str | None, column: pyarrow.Array | None = None) -> str:
    """The digest of records whose day stands as text in a CSV, or in a column of Parquet."""
    cohort = TableCohort.model_validate(
        {
            "kind": "table",
            "patient_key": "id",
            "columns": [
                {"name": "day", "kind": "date", "since": "2019-12-01", "range": [0, 99]},
                {"name": "id", "kind": "other"},
            ],
            "label": {"column": "ill", "positive": [1], "negative": [0]},
        }
    )
    if column is None:
        (folder / "days.csv").write_text(f"id,day,ill\n1,{text},1\n2,{text},0\n")
        return load_cohort(cohort, folder / "days.csv", site="north").digest
    table = pyarrow.table({"id": ["1", "2"], "day": column, "ill": ["1", "0"]})
    pyarrow.parquet.write_table(table, folder / "days")
    return load_cohort(cohort, folder / "days", site="north").digest


def test_a_moment_with_a_zone_is_the_day_on_its_own_clock(tmp_path: Path) -> None:
    moment = datetime.fromisoformat("2020-01-01T00:30+01:00")
    berlin = pyarrow.array([moment] * 2, pyarrow.timestamp("us", "Europe/Berlin"))
    assert of_days(tmp_path, None, berlin) == of_days(tmp_path, "2020-01-01T00:30+01:00")
    assert of_days(tmp_path, None, berlin) == of_days(tmp_path, "2020-01-01")
    utc = pyarrow.array([moment] * 2, pyarrow.timestamp("us", "UTC"))
    with pytest.raises(CohortRefused, match=r"'day', row 1 \(and 1 more row\): a moment in UTC"):
        of_days(tmp_path, None, utc)


REFUSED: dict[str, tuple[pyarrow.Table, str]] = {
    "a list": (
        changed("age", lambda _: pyarrow.array([[1.0]] * 8)),
        "column 'age': of the type list, which is no number, category or date",
    ),
    "a record": (
        changed("sex", lambda _: pyarrow.array([{"Mueller": 1}] * 8)),
        "column 'sex': of the type struct",
    ),
    "bytes": (changed("sex", lambda c: c.cast("binary")), "column 'sex': of the type binary"),
    "a length of time": (
        changed("age", lambda _: pyarrow.array([1] * 8, pyarrow.duration("s"))),
        "column 'age': of the type duration",
    ),
    "a column that is missing": (
        TABLE.drop_columns(["age"]),
        "column 'age': missing in the file; the study needs it",
    ),
    "another table": (
        pyarrow.table({"Mueller": [1]}),
        "none of the study's columns is among the file's",
    ),
    "infinity": (
        changed("age", lambda _: pyarrow.array([np.inf] + [1.0] * 7)),
        "column 'age', row 1: not a finite number",
    ),
    "a decimal beyond every range": (
        changed("age", lambda _: pyarrow.array([Decimal("1E+30")] * 8)),
        r"column 'age', row 1 \(and 7 more rows\): outside the range",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_cell_is_refused_by_name(tmp_path: Path, name: str) -> None:
    table, said = REFUSED[name]
    with pytest.raises(CohortRefused, match=said) as refused:
        read(table, tmp_path)
    assert "Mueller" not in str(refused.value)


def test_two_columns_of_one_name_are_told(tmp_path: Path) -> None:
    twice = TABLE.append_column("age", TABLE["age"])
    with pytest.raises(CohortRefused, match="column 'age': occurs 2 times in the header"):
        read(twice, tmp_path)


@pytest.mark.parametrize("cut", [slice(0, 300), slice(0, -20)])
def test_a_damaged_file_is_refused(tmp_path: Path, cut: slice) -> None:
    pyarrow.parquet.write_table(TABLE, tmp_path / "whole")
    data = (tmp_path / "whole").read_bytes()
    (tmp_path / "export").write_bytes(data[cut] + b"PAR1")
    with pytest.raises(CohortRefused, match="'export' cannot be read as Parquet .*write it again"):
        load_cohort(COHORT, RecordFile(path=tmp_path / "export"), site="north")


def test_a_row_group_too_large_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_file, "MAX_GROUP_BYTES", 100)
    with pytest.raises(CohortRefused, match="a row group of .* write the file in smaller row gr"):
        read(TABLE, tmp_path)


def test_rows_that_are_equal_in_every_cell_are_found_over_row_groups(tmp_path: Path) -> None:
    twice = pyarrow.concat_tables([TABLE, TABLE.slice(2, 1)])
    pyarrow.parquet.write_table(twice, tmp_path / "export", row_group_size=2)
    records = load_cohort(COHORT, RecordFile(path=tmp_path / "export"), site="north")
    assert records.noted.repeated.tolist() == [2, 8]


def no_text(column: pyarrow.Array) -> pyarrow.Array:
    written = pyarrow.array([b"ZQX\xff"] * len(column), pyarrow.binary())
    return pyarrow.Array.from_buffers(pyarrow.string(), len(written), written.buffers())


def far_days(column: pyarrow.Array) -> pyarrow.Array:
    return pyarrow.array([2**30] * len(column), pyarrow.date32())


@pytest.mark.parametrize("change", [no_text, far_days])
def test_what_is_no_value_of_pythons_is_refused_only_where_it_is_needed(
    change: Callable[[pyarrow.Array], pyarrow.Array], tmp_path: Path
) -> None:
    with pytest.raises(CohortRefused, match=r"column 'sex': rows 1 to .*\[damaged-file\]") as told:
        read(changed("sex", change), tmp_path)
    assert "ZQX" not in str(told.value)
    beside = TABLE.append_column("note", change(TABLE["sex"]))
    assert read(beside, tmp_path) == read(TABLE, tmp_path)


def test_patients_whose_numbers_lost_their_last_digits_are_not_taken_for_one(
    tmp_path: Path,
) -> None:
    long = [110105199001011234.0 + 16 * n for n in range(len(TABLE))]
    with pytest.raises(
        CohortRefused, match=r"'id', row 1 .*\[key-without-its-last-digits\]"
    ) as told:
        read(changed("id", lambda _: pyarrow.array(long)), tmp_path)
    assert "1101" not in str(told.value) and str(told.value).count("last-digits]") == 1
    read(changed("id", lambda _: pyarrow.array(map(int, long))), tmp_path)
