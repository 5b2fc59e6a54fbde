"""The page about tables: its site files are read, and the check prints what it shows."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest

from collegium.cli import main as cli
from silos.config.site_file import read_site_file
from silos.config.site_file.data import FileData, SqlData
from silos.operations.site import make_home
from tests import ROOT
from tests.support.hospital.databases import fill
from tests.support.simulated.studies import TABLE_STUDY

PAGE = (ROOT / "docs" / "tables.md").read_text()
SPLIT = "split: {method: column, column: year, train: [2023], test: [2024]}\n"
HEAD = ["patient", "age", "temperature", "ward", "year", "back"]
ROWS: list[list[object]] = [
    [f"p{n // 2:02}", 40.5 + n % 30, None if n % 9 == 1 else 36 + n % 4 / 2, "AB"[n % 2],
     2023 + n // 40, "no" if n % 4 else "yes"]
    for n in range(60)
]  # fmt: skip


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def study() -> str:
    begin, end = TABLE_STUDY.index("cohort:"), TABLE_STUDY.index("sites:")
    text = TABLE_STUDY[:begin] + blocks("yaml")[0] + TABLE_STUDY[end:]
    return text.replace("split: {method: keyed_hash, test_fraction: 0.3}\n", SPLIT)


def csv_export(folder: Path) -> None:
    lines = [HEAD, *([("" if c is None else str(c)) for c in row] for row in ROWS)]
    text = "\r\n".join(";".join(line).replace(".", ",") for line in lines)
    (folder / "stays.csv").write_bytes(text.encode("utf-16"))


def excel_export(folder: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.create_sheet("Stays")
    for row in [HEAD, *ROWS]:
        sheet.append(row)
    book.save(folder / "stays.xlsx")


def parquet_export(folder: Path) -> None:
    columns = {name: [row[place] for row in ROWS] for place, name in enumerate(HEAD)}
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "stays.parquet")


def database_export(folder: Path) -> None:
    address = f"sqlite:///{folder / 'ward.db'}"
    rows = [[*row[:5], row[5] == "yes"] for row in ROWS]
    fill(address, "stays", rows, "patient_id, age, temperature, ward, year, returned")
    (folder / "db-url").write_text(address)
    (folder / "db-url").chmod(0o600)
    (folder / "stays.sql").write_text(blocks("sql")[0])


EXPORTS: dict[str, Callable[[Path], None]] = {
    "CSV": csv_export,
    "Excel": excel_export,
    "Parquet": parquet_export,
    "A database": database_export,
}
SECTIONS = dict(re.findall(r"^## (.+)\n(?s:(.*?))(?=^## |\Z)", PAGE, re.MULTILINE))


@pytest.mark.parametrize("name", EXPORTS)
def test_what_a_section_shows_is_what_the_check_prints(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    section = SECTIONS[name]
    data = re.findall(r"^data: .*$", section, re.MULTILINE)[0]
    shown = re.findall(r"^  ok     records .*$", section, re.MULTILINE)[0]
    monkeypatch.chdir(tmp_path)
    make_home(Path("west"), "west", None, simulated=True)
    EXPORTS[name](tmp_path / "west")
    (tmp_path / "west" / "site.yaml").write_text(f"collegium_site: 1\nname: west\n{data}\n")
    (tmp_path / "study.yaml").write_text(study())
    monkeypatch.setattr(sys, "argv", ["collegium", "silo", "check", "study.yaml", "--home", "west"])
    with pytest.raises(SystemExit):
        cli.main()
    printed = {" ".join(line.split()) for line in capsys.readouterr().out.splitlines()}
    assert " ".join(shown.split()) in printed, printed
    shutil.rmtree(tmp_path / "west")


def test_every_key_of_data_stands_on_the_page_or_on_the_hospital_s() -> None:
    pages = PAGE + (ROOT / "docs" / "hospital.md").read_text()
    for key in {*FileData.model_fields, *SqlData.model_fields} - {"kind", "path"}:
        assert f"`{key}`" in pages, key


def test_a_commented_kind_of_the_template_is_one_that_can_be_read(tmp_path: Path) -> None:
    make_home(tmp_path / "west", "west", None, simulated=True)
    text = (tmp_path / "west" / "site.yaml").read_text()
    kinds = re.findall(r"^# (data: .*)$", text, re.MULTILINE)
    assert len(kinds) >= 2
    for line in kinds:
        assert read_site_file(text + line + "\n").data is not None
