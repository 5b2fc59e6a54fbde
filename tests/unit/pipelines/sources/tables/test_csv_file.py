"""A CSV file is read in pieces, and is told line by line whatever the pieces are."""

import os
from pathlib import Path

import pytest

from pipelines.cohort.loading import load_cohort
from pipelines.records import Records
from pipelines.sources import progress
from pipelines.sources.source import RecordFile
from pipelines.sources.tables import growing_table
from pipelines.sources.tables.delimited import csv_file
from pipelines.sources.tables.dialect import AS_DECLARED, FileDialect
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import TableCohort
from tests.unit.pipelines.sources.tables.excel.test_workbook import COHORT

HEAD = "id,age,sex,smokes,ill\n"
LINES = [f"{n // 2},{40 + n},{'fm'[n % 2]},true,{('no', 'yes')[n % 2]}\n" for n in range(50)]


@pytest.fixture(params=[7, 1 << 14])
def _pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "ROWS_AT_ONCE", request.param)


def read(data: str | bytes, folder: Path, dialect: FileDialect = AS_DECLARED) -> Records:
    file = folder / "stays.csv"
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return load_cohort(COHORT, RecordFile(path=file, dialect=dialect), site="north")


@pytest.mark.usefixtures("_pieces")
def test_lines_and_equal_rows_are_counted_over_pieces(tmp_path: Path) -> None:
    lines = [HEAD, "\n", *LINES, LINES[3]]
    assert read("".join(lines), tmp_path).noted.repeated.tolist() == [3, 50]
    lines[33] = lines[33].replace("true", "maybe")
    lines[12] = '"a\nb",x,f,true,no\n'
    lines[20] = "1,2\n"
    with pytest.raises(CohortRefused) as refused:
        read("".join(lines), tmp_path)
    first, second, third = str(refused.value).splitlines()
    assert "stays.csv: line 22: 2 cells where 5 were expected" in first
    assert "column 'age', line 14: text where a number was expected" in second
    assert "column 'smokes', line 35: a value outside the vocabulary" in third


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_the_line_of_the_first_bytes_that_are_no_text_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setattr(csv_file, "_PIECE", 64)
    data = "".join([HEAD, *LINES]).encode(encoding)
    if encoding == "utf-8":
        place = data.index(b"70,f")
        broken = data[:place] + b"\xfc" + data[place:]
    else:
        place = data.index("70,f".encode("utf-16-le"))
        broken = data[:place] + b"\x00\xd8" + data[place:]
    dialect = FileDialect(encoding=encoding)  # type: ignore[arg-type]
    with pytest.raises(CohortRefused, match=f"stays.csv: line 32: not {encoding} text"):
        read(broken, tmp_path, dialect)


def test_thousands_are_read_where_the_hospital_writes_them(tmp_path: Path) -> None:
    plain = read(HEAD + "1,101.5,f,true,no\n2,7,m,true,yes\n", tmp_path).digest
    swiss = FileDialect(thousands="'")
    assert read(HEAD + "1,101.5,f,true,no\n2,7,m,true,yes\n", tmp_path, swiss).digest == plain
    german = FileDialect(delimiter=";", decimal=",", thousands=".")
    text = HEAD.replace(",", ";") + "1;{};f;true;no\n2;7;m;true;yes\n"
    assert read(text.format("101,5"), tmp_path, german).digest == plain
    with pytest.raises(CohortRefused, match="'age', line 2: outside the range"):
        read(text.format("1.101,5"), tmp_path, german)
    with pytest.raises(CohortRefused, match="'age', line 2: a number with a decimal point"):
        read(text.format("1.01"), tmp_path, german)


def test_categories_labels_and_keys_that_are_whole_numbers_may_have_a_decimal_comma(
    tmp_path: Path,
) -> None:
    cohort = TableCohort.model_validate(
        {
            "kind": "table",
            "patient_key": "p",
            "columns": [
                {"name": "grade", "kind": "category", "values": [1, 2, 0.5, "1,5 mg"]},
                {"name": "p", "kind": "other"},
            ],
            "label": {"column": "ill", "positive": [1], "negative": [0]},
        }
    )

    def digest(text: str, dialect: FileDialect = AS_DECLARED) -> str:
        file = tmp_path / "stays.csv"
        file.write_text(text)
        return load_cohort(cohort, RecordFile(path=file, dialect=dialect), site="east").digest

    german = FileDialect(delimiter=";", decimal=",")
    plain = digest('p,grade,ill\n7,1,0\n8,2,1\n9,0.5,0\n10,"1,5 mg",1\n')
    commas = "p;grade;ill\n7,0;1,0;0,0\n8,0;2,0;1,0\n9,0;0,5;0,0\n10,0;1,5 mg;1,0\n"
    assert digest(commas, german) == plain
    with pytest.raises(CohortRefused, match="'grade', line 2: a value outside the vocabulary"):
        digest(commas.replace(";1,0;", ";1,7;", 1), german)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "stays.csv")
    with pytest.raises(CohortRefused, match="stays.csv.*it is no ordinary file"):
        load_cohort(COHORT, RecordFile(path=tmp_path / "stays.csv"), site="north")


def test_a_table_that_takes_too_much_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing_table, "MAX_BYTES", 1000)
    with pytest.raises(CohortRefused, match="stays.csv: line 51: the cells up to here take more"):
        read(HEAD + "".join(LINES), tmp_path)


def test_a_cell_as_long_as_a_document_is_refused_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing_table, "MAX_CELL", 100)
    with pytest.raises(CohortRefused, match="'age', line 3: a text of more than 100 letters"):
        read(HEAD + LINES[0] + "1," + "x" * 101 + ",f,true,no\n", tmp_path)


@pytest.mark.usefixtures("_pieces")
def test_who_asks_hears_how_many_rows_were_read(tmp_path: Path) -> None:
    heard: list[int] = []
    with progress.told_of_rows(heard.append):
        read("".join([HEAD, *LINES]), tmp_path)
    assert heard == sorted(heard) and heard[-1] == 50
    read("".join([HEAD, *LINES]), tmp_path)
    assert heard[-1] == 50
