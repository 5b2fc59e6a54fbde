"""A hospital sees what its records are before a run, and nobody else does."""

import ast
import io
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from collegium.studies.preflight import check_records
from pipelines.cohort.loading import load_cohort
from pipelines.cohort.quality import ClassCounts, DataQuality, FileCounts, quality_of
from protocol.study.study import Study
from protocol.study.study_file import read_study
from silos.preflight.quality_table import MAX_COLUMNS, print_quality
from tests import ROOT
from tests.support.hospital.hospital_home import make_east
from tests.support.networked.joining import joined
from tests.support.simulated.studies import changed

TEXT = (
    changed("scale: 20}", "scale: 20, outside: clip, impute: 50, replace: {'> 89': 90}}")
    .replace("kind: table", "kind: table\n  on_missing: drop_row\n  max_records_per_patient: 2")
    .replace("min_patients: 4", "min_patients: 1\n  allow_one_class: true")
)
HEAD = "age,ward,patient,ill\n"
ROWS = [
    "50,A,p1,0", "51,B,p1,1", "> 89,C,p1,0", "?,A,p1,0",  # one patient, four records, ill once
    "500,A,p2,0", "60,B,p3,1", "-7,B,p4,0",  # two are clipped
    "?,?,p5,0", "61,A,p6,", "?,,p7,?",  # three are dropped: for ward, for the label, for both
]  # fmt: skip


def study_of(text: str = TEXT) -> Study:
    return read_study(text)


def quality(folder: Path, rows: list[str]) -> DataQuality:
    (folder / "east.csv").write_text(HEAD + "\n".join(rows))
    cohort = study_of().cohort
    records = load_cohort(cohort, folder / "east.csv", site="east")
    tested = np.isin(records.rows, [4])
    return quality_of(records, records.take(~tested), records.take(tested), cohort)


def report(folder: Path, rows: list[str] = ROWS) -> dict[str, Any]:
    return asdict(quality(folder, rows))


def test_rows_patients_classes_and_cells_are_counted(tmp_path: Path) -> None:
    found = report(tmp_path)
    assert found["file"] == {
        "rows": 10,
        "dropped": 3,
        "missing": {"age": 3, "ward": 2, "ill": 2},
        "dropped_for": {"ward": 2, "ill": 2},
    }
    assert found["whole"] == {
        "records": 7,
        "records_ill": 2,
        "patients": 4,
        "patients_ill": 2,
        "classes": {},
    }
    assert found["train"] == {
        "records": 6,
        "records_ill": 2,
        "patients": 3,
        "patients_ill": 2,
        "classes": {},
    }
    assert found["test"] == {
        "records": 1,
        "records_ill": 0,
        "patients": 1,
        "patients_ill": 0,
        "classes": {},
    }
    assert (found["max_records"], found["patients_beyond"], found["records_beyond"]) == (2, 1, 2)
    age, ward = found["columns"]
    assert (age["imputed"], age["replaced"], age["clipped"]) == (1, 1, 2)
    assert (ward["imputed"], ward["replaced"], ward["clipped"]) == (0, 0, 0)
    assert (age["records"], ward["records"]) == (7, 7)


def test_a_report_holds_counts_and_names_of_the_contract_only(tmp_path: Path) -> None:
    rows = [row.replace("p1", "SECRETKEY").replace("51", "77") for row in ROWS]
    text = json.dumps(report(tmp_path, rows), default=str)
    assert "SECRETKEY" not in text and "77" not in text

    def leaves(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [leaf for inner in value.values() for leaf in leaves(inner)]
        if isinstance(value, list | tuple):
            return [leaf for inner in value for leaf in leaves(inner)]
        return [value]

    words = {leaf for leaf in leaves(report(tmp_path)) if not isinstance(leaf, int)}
    assert words == {"age", "ward", 0.0, 120.0, None}


def test_only_the_preflights_of_a_hospital_and_of_a_simulation_know_the_report() -> None:
    """Nothing that joins a run, answers a round or speaks to the coordinator can hold one."""
    users = set()
    for room in ("protocol", "pipelines", "compliance", "silos", "coordinator", "collegium"):
        for path in (ROOT / room).rglob("*.py"):
            tree = ast.parse(path.read_text())
            names = {n.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom | ast.Import)
                     for n in n.names}  # fmt: skip
            if names & {"DataQuality", "quality_of", "print_quality", "pipelines.cohort.quality"}:
                users.add(path.relative_to(ROOT).as_posix())
    assert users == {
        "pipelines/cohort/quality/__init__.py",  # its own page
        "collegium/studies/preflight/records_check.py",
        "collegium/cli/silo/hospital.py",
        "silos/preflight/quality_table.py",
        "silos/preflight/quality_page.py",
        "silos/preflight/records.py",
    }


def test_what_a_hospital_signs_does_not_depend_on_the_quality_of_its_records(
    tmp_path: Path,
) -> None:
    """Equal records signed for, once from a clean file, once with dropped and clipped rows."""
    signed = []
    for name, more in (("clean", []), ("spoilt", ["?,?,p5,0", "500,A,east-1,0", "?,,p7,?"])):
        (tmp_path / name).mkdir()
        home = make_east(tmp_path / name)
        file = home / "east.csv"
        file.write_text(file.read_text() + "\n".join(more))
        signed.append(asdict(joined(home, TEXT)))
    clean, spoilt = signed
    differing = {key for key in clean if clean[key] != spoilt[key]}
    assert differing <= {"ledger_head", "cohort"}  # drawn, when the cohort is frozen


def shown(
    folder: Path, text: str = TEXT, rows: list[str] = ROWS, width: int = 80, head: str = HEAD
) -> str:
    study = study_of(text)
    for site in study.site_names:
        (folder / f"{site}.csv").write_text(head + "\n".join(rows))
    screen = Console(record=True, width=width, file=io.StringIO())
    check_records(study, folder, folder, screen)
    return screen.export_text()


def test_the_table_shows_odd_columns_and_puts_the_rest_in_one_line(tmp_path: Path) -> None:
    fine = [f"{40 + n},{'ABC'[n % 3]},p{n},{n % 2}" for n in range(30)]
    said = shown(tmp_path, rows=fine)
    assert "east, north, south, west: nothing missing, imputed or clipped" in said
    (tmp_path / "odd").mkdir()
    lines = [
        " ".join(line.split()) for line in shown(tmp_path / "odd", rows=fine + ROWS).split("\n")
    ]
    assert "east * <10 * (*) 21 (*) <10 (<10)" in " | ".join(lines)
    assert "age <10 <10 <10 <10 -" in lines
    assert "ward <10 - - - <10" in lines
    assert "ill <10 - - - <10" in lines
    assert "<10: fewer than 10" in lines


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_the_screen_whatever_a_column_is_called(tmp_path: Path, width: int) -> None:
    name = "apache-iv-worst-" * 4 + "temperature"
    text = TEXT.replace("name: age", f"name: {name}").replace("name: east", f"name: {'e' * 40}")
    head = HEAD.replace("age", name)
    fine = [f"{40 + n},{'ABC'[n % 3]},q{n},{n % 2}" for n in range(30)]
    study = study_of(text)
    for site in study.sites:
        (tmp_path / str(site.records)).write_text(head + "\n".join(fine + ROWS))
    screen = Console(record=True, width=width, file=io.StringIO())
    check_records(study, tmp_path, tmp_path, screen)
    sentence = re.compile(
        r": (many|nothing|\d+ patient|<10 patient|\d+ test|column '|\d+ of |fewer|not)"
        "|too few test patients"
    )
    lines = screen.export_text().splitlines()
    tables = [line for line in lines if not sentence.search(line)]
    assert len(tables) > 20
    assert max(map(len, tables)) <= width


def test_columns_beyond_a_screen_are_counted(tmp_path: Path) -> None:
    names = [f"lab{n}" for n in range(MAX_COLUMNS + 5)]
    columns = "\n".join(
        f"    - {{name: {n}, kind: number, range: [0, 9], impute: 1}}" for n in names
    )
    study = read_study(TEXT.replace("  columns:", f"  columns:\n{columns}"))
    text = f"{HEAD.strip()},{','.join(names)}\n" + "".join(
        f"50,A,p{n},{n % 2}{',' * len(names)}\n" for n in range(20)
    )
    (tmp_path / "east.csv").write_text(text)
    records = load_cohort(study.cohort, tmp_path / "east.csv", site="east")
    screen = Console(record=True, width=80, file=io.StringIO())
    print_quality({"east": quality_of(records, records, records, study.cohort)}, screen)
    said = screen.export_text()
    assert sum(f" {name} " in said for name in names) == MAX_COLUMNS
    assert "and 5 more such columns" in said


def test_a_dealt_file_is_counted_as_a_whole(tmp_path: Path) -> None:
    text = TEXT.replace(
        "sites:",
        "partition: {records: all.csv, how: {rule: label_skew, shares: [1, 1, 1, 1], seed: 1}}\n"
        "sites:",
    )
    for site in ("east", "north", "south", "west"):
        text = text.replace(f", records: {site}.csv", "")
    fine = [f"{40 + n},{'ABC'[n % 3]},q{n},{n % 2}" for n in range(80)]
    (tmp_path / "all.csv").write_text(HEAD + "\n".join(fine + ROWS))
    study = study_of(text)
    screen = Console(record=True, width=80, file=io.StringIO())
    found = check_records(study, tmp_path, tmp_path, screen)["sites"]
    assert sum(site["whole"]["records"] for site in found.values()) == 87
    said = screen.export_text()
    assert "all.csv: 90 rows read, <10 dropped for what is missing in ward <10, ill <10" in said
    assert "dropped for" not in said.split("ill <10", 1)[1]


@pytest.mark.parametrize("name", ["hb [g/dl]", "hb [/dl]", "[bold]hb[/bold]"])
def test_a_columns_name_is_shown_as_it_stands(tmp_path: Path, name: str) -> None:
    text = TEXT.replace("name: age", f'name: "{name}"')
    assert name in shown(tmp_path, text, head=HEAD.replace("age", name))


def test_no_missing_cell_below_ten_follows_from_bins_or_from_dropped_rows(tmp_path: Path) -> None:
    wards = [f"{25 if n % 2 else 65},{'ABC'[n % 3]},p{n},{n % 2}" for n in range(100)]
    few = [f"?,A,q{n},1" for n in range(5)]
    (tmp_path / "few").mkdir()
    found = quality(tmp_path / "few", wards + few).to_json()
    (bins,) = found["histograms"]
    assert not all(isinstance(count, int) for count in bins["counts"])
    many = [f"?,A,q{n},1" for n in range(20)] + [f"?,?,r{n},1" for n in range(13)]
    found = quality(tmp_path, wards + many[:23] + ["30,?,s,1"] * 17).to_json()
    assert found["file"]["missing"] == {"age": "not shown", "ward": 20}
    assert found["columns"][0]["imputed"] == 20


@given(st.lists(st.integers(0, 25), min_size=6, max_size=6), st.integers(0, 12), st.integers(0, 12))
def test_no_count_below_ten_follows_from_rows_parts_and_classes(
    numbers: list[int], dropped: int, opted_out: int
) -> None:
    """Of the report's numbers no difference of two, or of a part and its ill, is from 1 to 9."""

    def part(ill: int, well: int, extra: int) -> ClassCounts:
        return ClassCounts(
            records=ill + well + extra,
            records_ill=ill,
            patients=ill + well,
            patients_ill=ill,
        )

    train, test = part(*numbers[:3]), part(*numbers[3:])
    whole = part(*(a + b for a, b in zip(numbers[:3], numbers[3:], strict=True)))
    counted = DataQuality(
        file=FileCounts(rows=whole.records + dropped + opted_out, dropped=dropped, missing={},
                        dropped_for={}),
        whole=whole, train=train, test=test, max_records=8, patients_with_several_records=0,
        patients_beyond=0, records_beyond=0, repeated_rows=0, columns=(),
    )  # fmt: skip
    told = counted.to_json()
    rows, of_dropped = told["file"]["rows"], told["file"]["dropped"]
    pairs = [(rows, told["whole"]["records"])]
    if isinstance(rows, int) and isinstance(of_dropped, int):
        pairs += [(rows - of_dropped, told["whole"]["records"])]
    for name in ("records", "records_ill", "patients", "patients_ill"):
        pairs += [(told["whole"][name], told[one][name]) for one in ("train", "test")]
    for one in ("whole", "train", "test"):
        pairs += [(told[one]["patients"], told[one]["patients_ill"])]
        pairs += [(told[one]["records"], told[one]["records_ill"])]
        pairs += [(told[one]["records"], told[one]["patients"])]
        pairs += [(told[one]["records_ill"], told[one]["patients_ill"])]
    for larger, smaller in pairs:
        if isinstance(larger, int) and isinstance(smaller, int):
            assert not 0 < larger - smaller < 10, (larger, smaller, told)
            assert not (0 < larger < 10 or 0 < smaller < 10)
