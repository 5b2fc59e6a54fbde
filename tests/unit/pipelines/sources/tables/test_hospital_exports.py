"""Files as hospitals really export them: each spoilt in one way, and what is said of it.

``west`` is spoilt, the other sites are as they should be; all go through ``study check --data``.
"""

import gzip
import io
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from rich.console import Console

from collegium.studies.preflight import check_records
from pipelines.cohort.loading import load_cohort
from pipelines.records import Records
from pipelines.sources.source import RecordFile
from pipelines.sources.tables.dialect import AS_DECLARED, FileDialect
from protocol.errors import CohortRefused, SiteFileRefused
from protocol.study.study_file import read_study
from silos.config.site_file import read_site_file
from tests.support.hospital.sites import changed_site
from tests.support.simulated.studies import changed

COLUMNS = """\
    - {name: age, kind: number, range: [0, 120], centre: 60, scale: 15, replace: {"> 89": 90}}
    - {name: temperature, kind: number, range: [20, 45], centre: 37, outside: clip, impute: 37}
    - {name: creatinine, kind: number, range: [0, 8], centre: 1, outside: clip}
    - {name: HeartRate, kind: number, range: [0, 300], centre: 90, scale: 20}
"""
STUDY = (
    changed("    - {name: age, kind: number, range: [0, 120], centre: 50, scale: 20}\n", COLUMNS)
    .replace("    - {name: ward, kind: category, values: [A, B, C]}\n", "")
    .replace("{name: ill, kind", "{name: status, kind")
    .replace("column: ill, positive: [1], negative: [0]", "column: status, positive: [Expired], "
             "negative: [Alive]")
    .replace("min_patients: 4", "min_patients: 20\n  missing: ['', '-1', 'NULL']")
    .replace("  - {name: east, records: east.csv, patients: 40}\n", "")
)  # fmt: skip
NO_CLIP = STUDY.replace(", outside: clip", "")
DEALT = re.sub(r", records: \w+.csv, patients", ", patients", STUDY).replace(
    "sites:", "partition: {records: west.csv, how: {rule: column, column: region}}\nsites:"
).replace("{name: west,", "{name: west, value: '',")  # fmt: skip
HEAD = [
    "stay",
    "patient",
    "age",
    "temperature",
    "creatinine",
    "HeartRate",
    "status",
    "region",
    "note",
]
Rows = list[list[str]]


def clean() -> Rows:
    """Forty patients with two stays each; some cells mean missing, some ages are words."""
    return [
        [
            f"s{n}", f"p{n // 2}", "> 89" if n % 20 == 7 else str(30 + n % 50),
            "-1" if n % 25 == 3 else f"{36 + n % 30 / 10:.1f}", f"{0.6 + n % 20 / 20:.2f}",
            str(60 + n % 60), "Expired" if n // 2 % 4 == 1 else "Alive", "abc"[n % 3], "fine",
        ]
        for n in range(80)
    ]  # fmt: skip


def csv_text(rows: Rows, head: Sequence[str] = HEAD, mark: str = ",") -> str:
    return "".join(mark.join(line) + "\n" for line in [head, *rows])


def column(name: str, change: Callable[[str], str], rows: Rows | None = None) -> str:
    """The file with every cell of one column changed."""
    place, rows = HEAD.index(name), rows or clean()
    return csv_text([[*r[:place], change(r[place]), *r[place + 1 :]] for r in rows])


def line(name: str, cell: str, number: int = 9) -> str:
    """The file with one cell changed: in the given line, 2 being the first record's."""
    rows = clean()
    rows[number - 2][HEAD.index(name)] = cell
    return csv_text(rows)


def fahrenheit(cell: str) -> str:
    return cell if cell == "-1" else f"{float(cell) * 1.8 + 32:.1f}"


def parquet() -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"age": [1, 2]}), file)
    return file.getvalue()


def workbook() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/workbook.xml", "")
    return file.getvalue()


@dataclass(frozen=True, kw_only=True)
class Wart:
    """A spoilt file: ``refused`` or ``warned`` is what is said of it; with neither it is right."""

    file: str | bytes | None
    refused: str = ""
    warned: str = ""
    study: str = STUDY
    dialect: FileDialect = AS_DECLARED


TEXT = csv_text(clean())
MANY_TEXTS = r"\(and \d+ more lines\): "
WARTS = {
    "as it should be": Wart(file=TEXT),
    "semicolons": Wart(
        file=csv_text(clean(), mark=";"), refused=r"separated by ';', expected ','; write delimiter"
    ),
    "semicolons, as the site file says": Wart(
        file=csv_text(clean(), mark=";"), dialect=FileDialect(delimiter=";")
    ),
    "tabs": Wart(file=csv_text(clean(), mark="\t"), refused=r"separated by '\\t', expected ','"),
    "UTF-16": Wart(file=TEXT.encode("utf-16"), refused="is UTF-16 .* save the file as CSV"),
    "UTF-16, as the site file says": Wart(
        file=line("note", "Übelkeit").encode("utf-16"), dialect=FileDialect(encoding="utf-16")
    ),
    "UTF-16 of other machines": Wart(
        file=b"\xfe\xff" + TEXT.encode("utf-16-be"), dialect=FileDialect(encoding="utf-16")
    ),
    "byte order mark": Wart(file=TEXT.encode("utf-8-sig")),
    "line breaks in quoted cells": Wart(file=column("note", lambda _: '"not\nfine, at all"')),
    "blanks behind labels": Wart(file=column("status", lambda cell: cell + "  ")),
    "capitals of another header": Wart(
        file=csv_text(clean(), [name.lower() for name in HEAD]),
        refused="column 'HeartRate': missing in the file; .* did you mean 'heartrate'",
    ),
    "latin-1": Wart(
        file=line("note", "Übelkeit", 2).encode("latin-1"),
        refused="west.csv: line 2: not utf-8 text; .* encoding: latin-1",
    ),
    "latin-1, as the site file says": Wart(
        file=line("note", "Übelkeit").encode("latin-1"), dialect=FileDialect(encoding="latin-1")
    ),
    "Excel": Wart(file=workbook(), refused="'west.csv' cannot be read as an Excel workbook: it is"),
    "Parquet": Wart(file=parquet(), refused="column 'patient': missing in the file"),
    "gzip": Wart(file=gzip.compress(TEXT.encode()), refused="is a gzip archive, .*; unpack it"),
    "Fahrenheit, clipped": Wart(
        file=column("temperature", fahrenheit),
        refused=r"column 'temperature': all its numbers lie outside .* study's unit",
    ),
    "some Fahrenheit, clipped": Wart(
        file=csv_text([[*r[:3], fahrenheit(r[3]), *r[4:]] if n < 6 else r
                       for n, r in enumerate(clean())]),
        warned=r"column 'temperature': fewer than 10 of 80 .*compare the column's unit",
    ),
    "Fahrenheit": Wart(
        file=column("temperature", fahrenheit),
        study=NO_CLIP,
        refused=r"'temperature', line 2 \(and 75 more lines\): outside the range \[20, 45\]",
    ),
    "micromoles, clipped": Wart(
        file=column("creatinine", lambda cell: f"{float(cell) * 88.4:.0f}"),
        refused=r"column 'creatinine': 80 of 80 numbers lie outside the range \[0, 8\]",
    ),
    "a code for missing as pandas writes it": Wart(
        file=column("temperature", lambda cell: f"{float(cell)}")
    ),
    "another code for missing, clipped": Wart(
        file=column("temperature", lambda cell: "-9" if cell == "-1" else cell),
        warned="'temperature': fewer than 10 of 80 numbers .* one and the same number; if it is",
    ),
    "many missing": Wart(
        file=column("temperature", lambda cell: "-1" if cell < "37" else cell),
        warned="many cells are missing and imputed: temperature 41%",
    ),
    "decimal comma": Wart(
        file=column("creatinine", lambda cell: f'"{cell.replace(".", ",")}"'),
        refused=r"column 'creatinine', line 2 \(and 79 more lines\): a number with a decimal "
        "comma; .* write decimal: ','",
    ),
    "decimal comma, as the site file says": Wart(
        file=csv_text(clean(), mark=";").replace(".", ","),
        dialect=FileDialect(delimiter=";", decimal=","),
    ),
    "NULL where the study says so": Wart(
        file=column("temperature", lambda cell: "NULL" if cell == "-1" else cell)
    ),
    "NULL where it does not": Wart(
        file=line("temperature", "NULL"),
        study=STUDY.replace(", 'NULL'", ""),
        refused=r"column 'temperature', line 9: a word that means missing.*missing: \[TEXT\]",
    ),
    "years written out": Wart(
        file=column("age", lambda cell: cell + " y"),
        refused=f"column 'age', line 2 {MANY_TEXTS}a number with its unit",
    ),
    "dates": Wart(
        file=column("age", lambda _: "1951-03-04"),
        refused=f"column 'age', line 2 {MANY_TEXTS}a date where a number was expected",
    ),
    "words that the study does not replace": Wart(
        file=column("age", lambda cell: cell.replace("> ", ">")),
        refused=r"column 'age', line 9 \(and 3 more lines\): the word for ages above 89",
    ),
    "labels in capitals": Wart(
        file=column("status", str.upper),
        refused=r"'status', line 2 \(and 79 more lines\): a label outside .* one of Alive, Expired",
    ),
    "column missing": Wart(
        file=csv_text([row[:4] + row[5:] for row in clean()], HEAD[:4] + HEAD[5:]),
        refused="column 'creatinine': missing in the file; the study needs it: export it",
    ),
    "several faults": Wart(
        file=line("age", "old").replace("37.0", "inf", 1),
        refused=r"(?s)'age', line 9: text .*\nsite west: west.csv: column 'temperature', line 12: "
        "not a finite number",
    ),
    "empty file": Wart(file="", refused="the file of records 'west.csv' is empty"),
    "header only": Wart(file=csv_text([]), refused="site west: no records"),
    "no file": Wart(file=None, refused="holds no file west.csv"),
    "ragged line": Wart(
        file=TEXT.replace(",fine", ",fine,", 1),
        refused="line 2: 10 cells where 9 were expected; mend the line, or put a cell .* in quotes",
    ),
    "infinity": Wart(
        file=line("creatinine", "inf"), refused="'creatinine', line 9: not a finite number"
    ),
    "blank patient key": Wart(
        file=line("patient", ""), refused="column 'patient', line 9: no patient key; every record"
    ),
    "ten patients": Wart(
        file=csv_text(clean()[:20]), refused="10 patients, the study's minimum is 20; leave this"
    ),
    "one class": Wart(
        file=column("status", lambda _: "Alive"), refused="the training part holds one class only"
    ),
    "every row twice": Wart(
        file=csv_text(clean() * 2), refused="160 of 160 rows are equal .*write each record"
    ),
    "some rows twice": Wart(
        file=csv_text(clean() + clean()[:10]), warned="20 of 90 rows are equal to another row"
    ),
    "every row twice, where a row is a patient": Wart(
        file=csv_text(clean() * 2),
        study=STUDY.replace("key: patient", "key: row").replace("patients: 40", "patients: 400"),
        warned="160 of 160 rows are equal .* every row counts as a patient",
    ),
    "a key per stay": Wart(
        file=csv_text([[r[0], r[0], *r[2:]] for r in clean()]),
        study=STUDY.replace("patients: 40", "patients: 100"),
        warned="no patient has a second record; .* column 'patient' is a key per stay",
    ),
    "more patients than the study declares": Wart(
        file=TEXT,
        study=STUDY.replace("west.csv, patients: 40", "west.csv, patients: 20"),
        refused=r"site west: \d+ training patients, the study declares 20 for it; declare a round",
    ),
    "far fewer than the study declares": Wart(
        file=TEXT,
        study=STUDY.replace("west.csv, patients: 40", "west.csv, patients: 90"),
        warned="fewer training patients than half of what the study declares, 90; .* nearer to",
    ),
    "partitioned by a column that is blank": Wart(
        file=column("region", lambda cell: {"a": "", "b": "north", "c": "south"}[cell]),
        study=DEALT,
        refused=r"'region', line 2 \(and 26 more lines\): the cell is missing",
    ),
    "partitioned by a column that is blank, dropped": Wart(
        file=column("region", lambda cell: {"a": "", "b": "north", "c": "south"}[cell]),
        study=DEALT.replace("kind: table", "kind: table\n  on_missing: drop_row").replace(
            "min_patients: 20", "min_patients: 2"
        ),
        refused="site west: the study's partition gives it no records; a blank cell is missing",
    ),
}  # fmt: skip


def remarks_on(wart: Wart, folder: Path) -> list[str]:
    """Returns what ``study check --data`` remarks on a spoilt file."""
    study = read_study(wart.study)
    for site in ("north", "south"):
        (folder / f"{site}.csv").write_text(TEXT)
    screen = Console(record=True, width=500, file=io.StringIO())
    said = check_records(study, folder, folder, screen)["sites"]["west"]["remarks"]
    printed = screen.export_text()
    assert all(remark.split(": ", 1)[1] in printed for remark in said)
    return [line for line in printed.splitlines() if any(r.split(": ", 1)[1] in line for r in said)]


def records_of(wart: Wart, folder: Path) -> Records:
    cohort = read_study(wart.study).cohort
    return load_cohort(
        cohort, RecordFile(path=folder / "west.csv", dialect=wart.dialect), site="west"
    )


@pytest.mark.parametrize("name", WARTS)
def test_a_spoilt_file_is_refused_warned_of_or_read_rightly(name: str, tmp_path: Path) -> None:
    wart = WARTS[name]
    if wart.file is not None:
        data = wart.file if isinstance(wart.file, bytes) else wart.file.encode()
        (tmp_path / "west.csv").write_bytes(data)
    if wart.refused:
        with pytest.raises(CohortRefused, match=wart.refused):
            remarks_on(wart, tmp_path)
    elif wart.warned:
        said = remarks_on(wart, tmp_path)
        assert re.search(wart.warned, "\n".join(said)), said
    else:
        (tmp_path / "clean").mkdir()
        (tmp_path / "clean" / "west.csv").write_text(TEXT)
        clean_records = records_of(WARTS["as it should be"], tmp_path / "clean")
        assert records_of(wart, tmp_path).digest == clean_records.digest
        if wart.dialect == AS_DECLARED:  # what a site file says, a simulation does not read
            assert remarks_on(wart, tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: file", "kind: odbc", "data: 'kind' is 'odbc', not one of 'file'"),
        ("east.csv", "'postgresql:///eicu'", "data.path: is an address: name a file, or a data"),
    ],
)
def test_a_path_names_a_file_and_a_kind_one_that_there_is(old: str, new: str, said: str) -> None:
    with pytest.raises(SiteFileRefused, match=said):
        read_site_file(changed_site(old, new))
