"""Faults planted into copies of two more real files: returning patients, and survival."""

import csv
import io
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from protocol.study.study_file import read_study
from silos.config.site_file import read_site_file
from silos.database.database import SiteDatabase, open_hospital
from silos.preflight.records import check_records
from tests import ROOT
from tests.support.hospital.sites import SITE

DATA = ROOT.parent / "shared" / "data"
ARCHIVE = DATA / "diabetes130" / "dataset_diabetes.zip"
SURVIVAL = DATA / "tcga_brca" / "brca.csv"
#: So many of the 101,766 stays are enough.
STAYS = 3000
pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.skipif(not (ARCHIVE.is_file() and SURVIVAL.is_file()), reason="needs ../shared"),
]
Rows = list[list[str]]
Change = Callable[[Rows, list[str]], None]


def stays() -> Rows:
    with zipfile.ZipFile(ARCHIVE) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith("diabetic_data.csv"))
        with archive.open(name) as file:
            lines = [file.readline().decode() for _ in range(STAYS + 1)]
    return list(csv.reader(lines))


def patients() -> Rows:
    return list(csv.reader(SURVIVAL.read_text(encoding="utf-8").splitlines()))


def diabetes_study(key: str = "patient_nbr") -> str:
    text = (ROOT / "examples" / "diabetes130" / "study.yaml").read_text(encoding="utf-8")
    without = text[: text.index("partition:")] + text[text.index("split:") :]
    named = without.replace("patient_key: patient_nbr", f"patient_key: {key}")
    declared = "" if key == "patient_nbr" else f"    - {{name: {key}, kind: other}}\n"
    named = named.replace("  columns:\n", f"  columns:\n{declared}")
    return named.replace("name: ash, patients: 15500", "name: ash, patients: 3000")


def survival_study() -> str:
    path = ROOT / "examples" / "breast-cancer-survival" / "study.yaml"
    text = path.read_text(encoding="utf-8")
    split = text[text.index("\nsplit:") : text.index("\ntask:")]
    cut = text[: text.index("\npartition:")] + text[text.index("\nsplit:") :]
    cut = cut.replace(split, "\nsplit: {method: keyed_hash, test_fraction: 0.3}\n")
    return cut.replace("patients: 275", "patients: 1100").replace("patients: 250", "patients: 1100")


def cell(name: str, written: str, *numbers: int) -> Change:
    def change(rows: Rows, names: list[str]) -> None:
        for number in numbers or (40,):
            rows[number][names.index(name)] = written

    return change


def every(name: str, written: Callable[[int, str], str]) -> Change:
    def change(rows: Rows, names: list[str]) -> None:
        for number, row in enumerate(rows):
            row[names.index(name)] = written(number, row[names.index(name)])

    return change


def _nothing(rows: Rows, names: list[str]) -> None:
    """Leaves a file as it is."""


def _unquoted(rows: Rows, names: list[str]) -> None:
    rows[7].insert(names.index("race"), "African")


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, SiteDatabase]]:
    folder = tmp_path_factory.mktemp("homes")
    found = {name: open_hospital(folder / f"{name}.db", site=name) for name in ("ash", "region-0")}
    yield found
    for each in found.values():
        each.close()


Found = Callable[[Rows, str, str, Change, Path], set[str]]


@pytest.fixture(scope="module")
def names_of(hospitals: dict[str, SiteDatabase]) -> Found:
    return partial(_names_of, hospitals)


def _names_of(
    hospitals: dict[str, SiteDatabase],
    rows: Rows,
    study: str,
    site: str,
    change: Change,
    folder: Path,
) -> set[str]:
    """Returns the names of what is found once a file was changed."""
    head, body = rows[0], [row.copy() for row in rows[1:]]
    change(body, head)
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([head, *body])
    (folder / "records.csv").write_text(file.getvalue(), encoding="utf-8")
    read = read_site_file(
        SITE.replace("east.csv", "records.csv").replace("name: east", f"name: {site}")
    )
    found = check_records(folder, read, read_study(study), folder, hospitals[site])
    return {entry.what for entry in found.findings if entry.see}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("outside-vocabulary", cell("age", "[70-80]")),
        ("unnamed-missing-code", cell("num_medications", "unk")),
        ("text-for-number", cell("num_medications", "many")),
        ("missing-cell", cell("number_diagnoses", "?")),
        ("unknown-label", cell("readmitted", "soon")),
        ("no-patient-key", cell("patient_nbr", "")),
        ("uneven-line", _unquoted),
        ("constant-column", every("diabetesMed", lambda _, __: "Yes")),
        ("many-imputed", every("race", lambda n, old: "?" if n % 5 else old)),
        ("label-in-a-column", every("change", lambda _, __: "No")),
    ],
)
def test_a_fault_among_returning_patients_is_found(
    name: str, change: Change, names_of: Found, tmp_path: Path
) -> None:
    rows, study = stays(), diabetes_study()
    if name == "label-in-a-column":
        label, told = rows[0].index("readmitted"), rows[0].index("change")
        for row in rows[1:]:
            row[told] = "Ch" if row[label] == "<30" else "No"
        change = _nothing
    before = names_of(stays(), study, "ash", _nothing, tmp_path)
    assert name not in before
    assert name in names_of(rows, study, "ash", change, tmp_path)


def test_a_key_per_stay_is_found_where_patients_do_return(names_of: Found, tmp_path: Path) -> None:
    found = names_of(stays(), diabetes_study("encounter_id"), "ash", _nothing, tmp_path)
    assert "row-per-stay" in found


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("two-spellings-of-a-patient", cell("pid", "tcga_e2_a9ru", 9)),
        ("date-for-number", every("age_at_index", lambda _, __: "1951-03-04")),
        ("excel-date-number", cell("age_at_index", "28721")),
        ("outside-range", cell("T", "-3")),
        ("unknown-label", cell("E", "2")),
        ("missing-label", cell("T", "")),
        ("unit-in-cell", cell("T", "1200 days")),
        ("constant-column", every("race_white", lambda _, __: "1")),
        ("thousands-separator", cell("T", "1,200.5")),
    ],
)
def test_a_fault_of_survival_is_found(
    name: str, change: Change, names_of: Found, tmp_path: Path
) -> None:
    rows, study = patients(), survival_study()
    assert name not in names_of(rows, study, "region-0", _nothing, tmp_path)
    assert name in names_of(rows, study, "region-0", change, tmp_path)
