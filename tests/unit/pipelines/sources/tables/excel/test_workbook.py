"""A workbook is read as the CSV file of its sheet is; what Excel spoils is named."""

import io
import re
import struct
import zipfile
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from pipelines.cohort.loading import load_cohort
from pipelines.sources.source import RecordFile
from pipelines.sources.tables.dialect import AS_DECLARED, FileDialect
from pipelines.sources.tables.excel import contents
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import TableCohort

COHORT = TableCohort.model_validate(
    {
        "kind": "table",
        "patient_key": "id",
        "label": {"column": "ill", "positive": ["yes"], "negative": ["no"]},
        "columns": [
            {"name": "age", "kind": "number", "range": [0, 120], "impute": 60},
            {"name": "sex", "kind": "category", "values": ["f", "m"]},
            {"name": "smokes", "kind": "category", "values": [False, True]},
            {"name": "id", "kind": "other"},
            {"name": "ill", "kind": "other"},
        ],
    }
)
HEAD = ["id", "age", "sex", "smokes", "ill", "seen"]
ROWS = [
    [10 + n // 2, None if n == 3 else 40.5 + n, "fm"[n % 2], n % 3 == 0, ("no", "yes")[n % 2],
     date(2024, 3, 1 + n)]
    for n in range(8)
]  # fmt: skip
CSV = "\n".join(
    [",".join(HEAD), *(",".join("" if c is None else str(c) for c in row) for row in ROWS)]
)


def sheet() -> Worksheet:
    book = openpyxl.Workbook()
    made = book.active
    assert isinstance(made, Worksheet)
    for row in [HEAD, *ROWS]:
        made.append(row)
    return made


def saved(made: Worksheet) -> bytes:
    file = io.BytesIO()
    made.parent.save(file)
    return file.getvalue()


def read(data: bytes, folder: Path, dialect: FileDialect = AS_DECLARED, **changed: object) -> str:
    """Returns the digest of what a file becomes."""
    file = folder / "export"  # no name says what it is
    file.write_bytes(data)
    cohort = COHORT.model_copy(update=changed)
    return load_cohort(cohort, RecordFile(path=file, dialect=dialect), site="north").digest


def test_a_workbook_holds_the_same_records_as_the_csv_of_its_sheet(tmp_path: Path) -> None:
    assert read(saved(sheet()), tmp_path) == read(CSV.encode(), tmp_path)


@pytest.mark.parametrize("name", ["a.csv", "a.xls", "a.xlsm", "a.ods", "a.parquet"])
def test_no_name_changes_what_a_workbook_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(saved(sheet()))
    found = load_cohort(COHORT, RecordFile(path=tmp_path / name), site="north").digest
    assert found == read(CSV.encode(), tmp_path)


def moved(made: Worksheet) -> None:
    made.move_range("A1:F9", rows=3, cols=2)


def as_text(made: Worksheet) -> None:
    for row in range(2, 10):
        if row != 5:
            made.cell(row, 2, f"'{made.cell(row, 2).value}".lstrip("'") + " ")
        made.cell(row, 1, f"{made.cell(row, 1).value}.0")


def blank_lines(made: Worksheet) -> None:
    made.insert_rows(4)
    made.cell(40, 1).number_format = "0.00"


def rows_hidden(made: Worksheet) -> None:
    made.row_dimensions[3].hidden = True
    made.merge_cells("H2:I3")


@pytest.mark.parametrize("change", [moved, as_text, blank_lines, rows_hidden])
def test_where_and_how_the_table_stands_changes_nothing(
    tmp_path: Path, change: Callable[[Worksheet], None]
) -> None:
    made = sheet()
    change(made)
    assert read(saved(made), tmp_path) == read(CSV.encode(), tmp_path)


def test_text_numbers_are_read_as_the_hospital_writes_them(tmp_path: Path) -> None:
    made = sheet()
    for row in (2, 3, 4):
        made.cell(row, 2, str(made.cell(row, 2).value).replace(".", ","))
    with pytest.raises(CohortRefused, match=r"line 2 \(and 2 more .*: a number with a decimal"):
        read(saved(made), tmp_path)
    comma = FileDialect(decimal=",")
    assert read(saved(made), tmp_path, comma) == read(CSV.encode(), tmp_path)


def test_an_empty_cell_is_missing_whatever_the_contract_calls_so(tmp_path: Path) -> None:
    asked = CSV.replace(",,", ",?,").encode()
    assert read(saved(sheet()), tmp_path, missing=("?",)) == read(asked, tmp_path, missing=("?",))


def title(made: Worksheet) -> None:
    made.insert_rows(1, 3)
    made["A1"] = "Ward 7, export of 2024-03-01"


def error(made: Worksheet) -> None:
    made["B3"] = "#DIV/0!"
    made["C4"] = "#N/A"
    made["F3"] = "#N/A"  # of a column that nobody needs


def formula(made: Worksheet) -> None:
    made["B4"] = "=40+2"


def merged(made: Worksheet) -> None:
    made.merge_cells("C3:C5")


def date_among_numbers(made: Worksheet) -> None:
    made["B6"] = datetime.fromisoformat("2024-04-03")


def number_among_dates(made: Worksheet) -> None:
    for row in range(2, 10):
        made.cell(row, 2, datetime.fromisoformat(f"1960-01-{row:02}"))
    made["B6"] = 45352
    made["B6"].number_format = "General"


def twice(made: Worksheet) -> None:
    made["F1"] = "age"


def wide(made: Worksheet) -> None:
    made["XFD1048576"] = "x"


def second_sheet(made: Worksheet) -> None:
    made.parent.create_sheet("notes")


def lengths_of_time(made: Worksheet) -> None:
    for row in range(2, 10):
        made.cell(row, 2, timedelta(days=200))


FAULTS: dict[str, tuple[Callable[[Worksheet], None], str]] = {
    "a title above the header": (
        title,
        "line 1 names none of the study's columns, and line 4 does; delete the lines above line 4",
    ),
    "errors": (
        error,
        "(?s)column 'age', line 3: an error of Excel's, .*column 'sex', line 4: an error",
    ),
    "a formula without value": (formula, "column 'age', line 4: a formula that was never computed"),
    "merged cells": (merged, r"column 'sex', line 3 \(and 2 more lines\): cells that are merged"),
    "a date among numbers": (date_among_numbers, "column 'age', line 6: a date among numbers"),
    "a number among dates": (number_among_dates, "column 'age', line 6: a number among dates"),
    "a column twice": (twice, "column 'age': occurs 2 times in the header"),
    "a cell far out": (wide, "spans 1048576 rows and 16384 columns, .*: delete what stands far"),
    "several sheets": (
        second_sheet,
        r"has 2 sheets \(Sheet, notes\); name .* sheet: NAME.*which-sheet",
    ),
    "lengths of time beyond the range": (lengths_of_time, "column 'age', .*: outside the range"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_excel_spoils_is_named_with_its_remedy(tmp_path: Path, name: str) -> None:
    change, said = FAULTS[name]
    made = sheet()
    change(made)
    with pytest.raises(CohortRefused, match=said) as refused:
        read(saved(made), tmp_path)
    assert "2024" not in str(refused.value) and "45352" not in str(refused.value)
    assert "'seen'" not in str(refused.value)


def test_the_sheet_that_is_named_is_read(tmp_path: Path) -> None:
    made = sheet()
    second_sheet(made)
    assert read(saved(made), tmp_path, FileDialect(sheet="Sheet")) == read(CSV.encode(), tmp_path)
    with pytest.raises(
        CohortRefused, match="no sheet 'records', but: Sheet, notes; mend .*which-sheet"
    ):
        read(saved(made), tmp_path, FileDialect(sheet="records"))
    with pytest.raises(CohortRefused, match="the sheet is empty"):
        read(saved(made), tmp_path, FileDialect(sheet="notes"))


def test_a_hospital_says_whether_its_sheet_has_a_header(tmp_path: Path) -> None:
    made = sheet()
    made.delete_cols(6)
    made.delete_rows(1)
    names = [c for name in HEAD[:5] for c in COHORT.columns if c.name == name]
    with pytest.raises(CohortRefused, match="line 1 names none .* write header: false"):
        read(saved(made), tmp_path)
    found = read(saved(made), tmp_path, FileDialect(header=False), columns=tuple(names))
    assert found == read(CSV.encode(), tmp_path, columns=tuple(names))
    whole = saved(sheet())
    with pytest.raises(CohortRefused, match="has 6 columns, the contract declares 5.*header: true"):
        read(whole, tmp_path, header=False)
    assert read(whole, tmp_path, FileDialect(header=True), header=False) == read(whole, tmp_path)


def repacked(data: bytes, change: Callable[[str, bytes], bytes | None]) -> bytes:
    """The workbook with parts changed, or left out."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in before.namelist():
                part = change(name, before.read(name))
                if part is not None:
                    archive.writestr(name, part)
    return file.getvalue()


def understated(data: bytes) -> bytes:
    """The workbook with every size in its list of contents set to ten bytes."""
    found = bytearray(data)
    for entry in re.finditer(b"PK\x01\x02", data):
        struct.pack_into("<I", found, entry.start() + 24, 10)
    return bytes(found)


def with_entity(name: str, part: bytes) -> bytes:
    declared = b'<!DOCTYPE worksheet [<!ENTITY a "aaaa">]>'
    return declared + part if "sheet1" in name else part


NINES = b"9" * 5000
BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut off": (lambda data: data[:-200], "is cut off or damaged"),
    "bytes overwritten": (
        lambda data: data[:40] + bytes(400) + data[440:],
        "is cut off or damaged|not as Excel writes one",
    ),
    "no sheet": (
        lambda data: repacked(data, lambda name, part: None if "sheet1" in name else part),
        "is cut off or damaged",
    ),
    "no list of sheets": (
        lambda data: repacked(data, lambda name, part: None if "rels/workbook" in name else part),
        "is cut off or damaged",
    ),
    "XML that ends early": (
        lambda data: repacked(data, lambda name, part: part[:-30] if "sheet1" in name else part),
        "is cut off or damaged",
    ),
    "a row beyond all counting": (
        lambda data: repacked(data, lambda _, part: part.replace(b'r="3"', b'r="' + NINES + b'"')),
        "is cut off or damaged",
    ),
    "a cell beyond all counting": (
        lambda data: repacked(
            data, lambda _, part: part.replace(b'r="A3"', b'r="A' + NINES + b'"')
        ),
        "is cut off or damaged",
    ),
    "entities": (lambda data: repacked(data, with_entity), "declares entities of XML"),
    "more than it may unpack to": (lambda data: data, "unpacks to more than 2000 bytes"),
    "more than it says": (understated, "unpacks to more than 2000 bytes"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_workbook_is_refused_and_crashes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    spoil, said = BROKEN[name]
    if "unpacks" in said:
        monkeypatch.setattr(contents, "MAX_UNPACKED", 2000)
    with pytest.raises(CohortRefused, match=f"'export' cannot be read as an Excel .*({said})"):
        read(spoil(saved(sheet())), tmp_path)
