"""Faults that no single cell shows are counted, told and, where most is wrong, refused."""

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from collegium.studies.preflight import check_records
from pipelines.cohort.loading import load_cohort
from pipelines.cohort.plausibility import remarks, repeated_rows, require_plausible
from pipelines.cohort.quality import column_counts
from pipelines.records import Records
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import TableCohort
from protocol.study.study import Study
from protocol.study.study_file import read_study
from silos.preflight.findings import Finding
from tests.support.hospital.hospital_home import make_east
from tests.support.hospital.preflight import check_quickly
from tests.support.hospital.sites import changed_site
from tests.support.simulated.studies import changed

CELSIUS = "{name: age, kind: number, range: [30, 42], centre: 37, outside: clip, impute: 37}"
STUDY = changed("{name: age, kind: number, range: [0, 120], centre: 50, scale: 20}", CELSIUS)
HEAD = "age,ward,patient,ill,stay"


def study_of(text: str = STUDY) -> Study:
    return read_study(text)


def lines_of(temperatures: Sequence[float | str], records: int = 2) -> list[str]:
    """A file's lines: each patient has several records, which differ in the stay's number."""
    return [
        f"{value},{'ABC'[n % 3]},p{n // records},{n // records % 2},{n}"
        for n, value in enumerate(temperatures)
    ]


def celsius(count: int = 40) -> list[float | str]:
    return [36 + n % 40 / 20 for n in range(count)]


def fahrenheit(count: int = 40) -> list[float | str]:
    return [f"{96.8 + n % 40 / 11:.1f}" for n in range(count)]


def write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("\n".join([HEAD, *lines]) + "\n")


def load(folder: Path, lines: Sequence[str], study: Study | None = None) -> Records:
    write(folder / "east.csv", lines)
    cohort = (study or study_of()).cohort
    return load_cohort(cohort, folder / "east.csv", site="east")


def check(records: Records, study: Study | None = None) -> None:
    none = records.take(records.rows < 0)
    require_plausible(records, none, cohort=(study or study_of()).cohort, site="east")


def test_a_column_in_another_unit_is_refused_by_name_and_range(tmp_path: Path) -> None:
    with pytest.raises(CohortRefused, match="study's unit") as refused:
        check(load(tmp_path, lines_of(fahrenheit())))
    said = str(refused.value)
    assert "site east: column 'age': 40 of 40 numbers lie outside the range [30, 42]" in said
    assert not any(str(value) in said for value in fahrenheit())


def test_imputed_numbers_do_not_hide_another_unit(tmp_path: Path) -> None:
    cells = ["?"] * 30 + fahrenheit(12) + celsius(3)
    with pytest.raises(
        CohortRefused, match="all but fewer than 10 of 15|12 of 15|fewer than 10 of 15"
    ):
        check(load(tmp_path, lines_of(cells)))


def test_up_to_half_of_the_numbers_may_be_clipped(tmp_path: Path) -> None:
    check(load(tmp_path, lines_of(fahrenheit(20) + celsius(20))))
    with pytest.raises(CohortRefused, match="21 of 40"):
        check(load(tmp_path, lines_of(fahrenheit(21) + celsius(19))))


def test_a_handful_of_measured_numbers_refuses_nobody(tmp_path: Path) -> None:
    check(load(tmp_path, lines_of(fahrenheit(9) + ["?"] * 31)))


def test_what_was_clipped_stays_with_the_records_that_are_taken(tmp_path: Path) -> None:
    records = load(tmp_path, lines_of(fahrenheit(10) + celsius(30)))
    cohort = study_of().cohort
    first, rest = records.take(records.rows < 10), records.take(records.rows >= 10)
    assert [c.clipped for c in column_counts(first, cohort=cohort)] == [10, 0]
    assert [c.clipped for c in column_counts(rest, cohort=cohort)] == [0, 0]
    assert [c.measured for c in column_counts(first, rest, cohort=cohort)] == [40, 40]


def test_a_file_in_which_every_row_stands_twice_is_refused(tmp_path: Path) -> None:
    lines = lines_of(celsius())
    with pytest.raises(CohortRefused, match="80 of 80 rows are equal to another") as refused:
        check(load(tmp_path, lines + lines))
    assert "write each record once" in str(refused.value)
    with pytest.raises(CohortRefused, match="28 of 54 rows"):
        check(load(tmp_path, lines + lines[:14]))
    check(load(tmp_path, lines + lines[:13]))


def test_records_that_differ_in_a_column_outside_the_study_are_not_equal(tmp_path: Path) -> None:
    records = load(tmp_path, lines_of([37] * 40, records=40))
    assert repeated_rows(records) == 0


def test_alike_patients_are_not_refused_where_a_row_is_a_patient(tmp_path: Path) -> None:
    study = study_of(STUDY.replace("patient_key: patient", "patient_key: row"))
    lines = lines_of(celsius())
    records = load(tmp_path, lines + lines, study)
    check(records, study)
    assert repeated_rows(records) == 80
    (said,) = remarks(records, study.cohort)
    assert said.found == "80 of 80 rows are equal to another row in every cell"
    assert "every row counts as a patient" in said.remedy


def preflight(folder: Path, files: dict[str, Sequence[str]]) -> tuple[dict[str, list[str]], str]:
    """Returns the remarks by site, and what ``study check --data`` prints.

    These sites have half of the patients that the study declares, which is not the point here.
    """
    for site in study_of().site_names:
        write(folder / f"{site}.csv", files.get(site, lines_of(celsius())))
    console = Console(record=True, width=80, file=io.StringIO())
    found = check_records(study_of(), folder, folder, console)["sites"]
    said = {
        site: [remark for remark in entry["remarks"] if not remark.startswith("fewer-patients")]
        for site, entry in found.items()
    }
    return said, console.export_text()


def test_study_check_says_how_many_cells_of_which_column_were_clipped(tmp_path: Path) -> None:
    few, many = fahrenheit(2) + celsius(38), fahrenheit(12) + celsius(28)
    said, shown = preflight(tmp_path, {"east": lines_of(few), "north": lines_of(many)})
    assert ["12 of 40 numbers lie outside the range" in remark for remark in said["north"]] == [
        True
    ]
    assert said["east"] == said["south"] == said["west"] == []
    assert "<10" in shown and "12 (30.0%)" in shown
    assert shown.count("compare the column's unit") == 1


def test_many_imputed_cells_are_remarked_in_one_line(tmp_path: Path) -> None:
    few, many = ["?"] * 2 + celsius(38), ["?"] * 12 + celsius(28)
    said, shown = preflight(tmp_path, {"east": lines_of(few), "north": lines_of(many)})
    assert said["north"] == ["many-imputed: many cells are missing and imputed: age 30%"]
    assert said["east"] == []
    assert "<10" in shown and "12 (30.0%)" in shown


def test_study_check_refuses_a_site_in_another_unit_and_a_doubled_one(tmp_path: Path) -> None:
    doubled = lines_of(celsius(20)) * 2
    with pytest.raises(CohortRefused) as refused:
        preflight(tmp_path, {"east": lines_of(fahrenheit()), "west": doubled})
    assert "site east: column 'age'" in str(refused.value)
    assert "site west: 40 of 40 rows" in str(refused.value)


def test_a_site_whose_patients_never_return_is_told_where_others_do(tmp_path: Path) -> None:
    per_stay = lines_of(celsius(), records=1)
    said, _ = preflight(tmp_path, {"east": per_stay})
    assert ["no patient has a second record" in remark for remark in said["east"]] == [True]
    assert said["north"] == []
    nobody, _ = preflight(tmp_path, dict.fromkeys(study_of().site_names, per_stay))
    assert not any(nobody.values())


def silo_check(folder: Path, lines: Sequence[str], text: str = STUDY) -> dict[str, Finding]:
    folder.mkdir()
    home = make_east(folder, site=changed_site("patients: 20", "patients: 5"))
    write(home / "east.csv", lines)
    found = check_quickly(home, study_of(text), folder)
    return {entry.what: entry for entry in found.findings}


def test_silo_check_says_the_same_of_the_hospitals_own_file(tmp_path: Path) -> None:
    fine = silo_check(tmp_path / "fine", lines_of(celsius()))
    assert fine["records"].state == "ok"
    assert not {"many-clipped", "repeated-rows", "row-per-stay"} & fine.keys()
    few = silo_check(tmp_path / "few", lines_of(fahrenheit(2) + celsius(38)))
    assert "many-clipped" not in few
    lines = lines_of(fahrenheit(4) + celsius(36))
    many = silo_check(tmp_path / "many", [*lines, lines[-1]])
    assert many["many-clipped"].state == many["repeated-rows"].state == "warn"
    assert "fewer than 10 of 41 numbers" in many["many-clipped"].finding
    assert "fewer than 10 of 41 rows" in many["repeated-rows"].finding
    wrong = silo_check(tmp_path / "wrong", lines_of(fahrenheit()))
    assert wrong["wrong-unit"].state == "bad" and "records" not in wrong
    assert "column 'age'" in wrong["wrong-unit"].finding
    assert "do not approve" in wrong["wrong-unit"].remedy


def test_silo_check_warns_of_a_key_per_stay(tmp_path: Path) -> None:
    per_stay = lines_of(celsius(), records=1)
    found = silo_check(tmp_path / "stay", per_stay)["row-per-stay"]
    assert (found.state, "column 'patient'" in found.remedy) == ("warn", True)
    one = STUDY.replace("min_patients: 4", "min_patients: 4\n  max_records_per_patient: 1")
    assert isinstance(study_of(one).cohort, TableCohort)
    assert "row-per-stay" not in silo_check(tmp_path / "one", per_stay, one)
