"""Silo check says in which unit a column seems to be, and which class is too small."""

from pathlib import Path

from protocol.study.study_file import read_study
from silos.preflight.checks import SiteCheck
from tests.support.hospital.hospital_home import make_east
from tests.support.hospital.preflight import check_quickly
from tests.support.hospital.sites import changed_site
from tests.support.networked.joining import joined
from tests.support.simulated.studies import changed

STUDY = changed(
    "range: [0, 120]", "range: [1, 120], unit: years, units: {months: 0.08333333333333333}"
)


def check(home: Path, study: str = STUDY) -> tuple[SiteCheck, list[str]]:
    found = check_quickly(home, read_study(study), home.parent)
    of_records = (
        entry
        for entry in found.findings
        if entry.what == "records" or (entry.see and entry.state == "bad")
    )
    return found, [f"{entry.finding}; {entry.remedy}" for entry in of_records]


def test_a_column_in_another_unit_is_named_and_once_it_is_stated_check_and_run_read_it(
    tmp_path: Path,
) -> None:
    home = make_east(tmp_path)
    _, (before,) = check(home)
    path = home / "east.csv"
    head, *lines = path.read_text().splitlines()
    old = [line.partition(",") for line in lines]
    path.write_text("\n".join([head, *(f"{float(age) * 12:.1f},{rest}" for age, _, rest in old)]))
    _, (told,) = check(home)
    assert "column 'age': 100% of the cells are outside [1, 120]" in told
    assert "100% are inside as months; write units: {age: months} under data" in told
    (home / "site.yaml").write_text(changed_site("east.csv}", "east.csv, units: {age: months}}"))
    found, (after,) = check(home)
    assert after.startswith("40 fit the contract") and before.startswith("40 fit")
    quality = found.records.quality
    assert quality is not None and quality.columns[0].converted == 40
    assert joined(home, STUDY).site == "east"


def test_too_few_patients_of_a_class_are_told(tmp_path: Path) -> None:
    home = make_east(tmp_path)
    study = changed("min_patients: 4", "min_patients: 4\n  min_per_class: 20")
    _, told = check(home, study)
    assert any(
        "with a positive label in the test part, the study's minimum is 20" in s for s in told
    )
    assert all("cohort.min_per_class" in line for line in told)
