"""Faults of OMOP tables: each is found, counted and named with its remedy; no value is printed."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.cohort.loading import load_cohort
from pipelines.cohort.quality import column_counts
from pipelines.records import Records
from pipelines.sources.clinical.clinical_source import OmopRecords
from pipelines.sources.clinical.omop.table_folder import TableFolder
from pipelines.sources.faults import faults_of
from protocol.errors import CohortRefused, StudyRefused
from protocol.study.study_file import read_study
from tests.support.hospital.clinical_tables import (
    STUDY,
    Tables,
    database,
    omop_tables,
    patients,
    write_sqlite,
    write_tables,
)

FOUND = patients(60)
Change = Callable[[Tables], object]


def read(folder: Path, text: str = STUDY) -> Records:
    source = OmopRecords(tables=lambda _site: TableFolder(folder))
    return load_cohort(read_study(text).cohort, source, site="east")


def changed(tmp_path: Path, change: Change) -> Path:
    tables = omop_tables(FOUND)
    change(tables)
    return write_tables(tmp_path / "cdm", tables)


def set_all(table: str, column: str, value: str, count: int = 10**6) -> Change:
    def change(tables: Tables) -> None:
        for row in tables[table][:count]:
            row[column] = value

    return change


def add_to(table: str, count: int, **cells: str) -> Change:
    def change(tables: Tables) -> None:
        tables[table] += [tables[table][0] | cells for _ in range(count)]

    return change


def drop_column(table: str, column: str) -> Change:
    return lambda tables: [row.pop(column) for row in tables[table]]


def shows_no_value(said: str) -> bool:
    return not re.search(r"9[0-9]{5}|[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{2,3}\.0", said)


REFUSED: dict[str, tuple[Change, str]] = {
    "no table": (lambda t: t.pop("measurement"), "the table measurement is missing"),
    "no column": (
        drop_column("measurement", "unit_concept_id"),
        "the table measurement has no column unit_concept_id",
    ),
    "no hierarchy": (lambda t: t.pop("concept_ancestor"), "the table concept_ancestor is missing"),
    "another version": (
        set_all("cdm_source", "cdm_version", "CDM v6.0"),
        "another version of the Common Data Model",
    ),
    "no follow-up": (
        lambda t: t.pop("observation_period"),
        "the table observation_period is missing",
    ),
    "another unit": (
        set_all("measurement", "unit_concept_id", "8840", 20),
        "column 'sbp': 20 records of measurement are in another unit, the study's is mm[Hg], the "
        "first in line 2 of measurement.csv; convert them",
    ),
    "no unit": (
        set_all("measurement", "unit_concept_id", "0", 3),
        "column 'sbp': fewer than 10 records of measurement tell no unit",
    ),
    "a person twice": (
        lambda t: t["person"].extend(t["person"][:12]),
        "12 rows of person repeat a person_id, the first in line 62 of person.csv",
    ),
    "records of nobody": (
        set_all("drug_exposure", "person_id", "999999999", 11),
        "11 records of drug_exposure belong to no person of the source, the first in line 2 of "
        "drug_exposure.csv",
    ),
    "no person_id": (
        set_all("person", "person_id", "", 2),
        "rows of person have no person_id, the first in line 2 of person.csv",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_fault_is_refused_by_name_and_count(name: str, tmp_path: Path) -> None:
    change, said = REFUSED[name]
    with pytest.raises(CohortRefused) as refused:
        read(changed(tmp_path, change))
    assert said in str(refused.value) and "site east: cdm: " in str(refused.value)
    assert shows_no_value(str(refused.value))


NOTED: dict[str, tuple[Change, str]] = {
    "unmapped": (
        add_to("condition_occurrence", 15, condition_concept_id="0"),
        "15 rows of condition_occurrence have no concept",
    ),
    "no number": (
        set_all("measurement", "value_as_number", "", 30),
        "30 records of measurement have no number as their value",
    ),
    "no answer": (
        set_all("observation", "value_as_concept_id", "0", 4),
        "fewer than 10 records of observation have no coded answer",
    ),
    "another answer": (
        set_all("observation", "value_as_concept_id", "77", 14),
        "14 records of observation have an answer that the study does not list",
    ),
    "before birth": (
        set_all("drug_exposure", "drug_exposure_start_date", "1900-01-01", 25),
        "25 records lie before the person's birth",
    ),
    "after death": (
        lambda t: t.update(death=[{**t["death"][0], "death_date": "2001-01-01"}]),
        "records lie after the person's death",
    ),
    "no date": (
        set_all("drug_exposure", "drug_exposure_start_date", "June", 25),
        "25 records of drug_exposure have no date that can be read, the first in line 2 of",
    ),
    "no such record": (
        set_all("drug_exposure", "drug_concept_id", "5"),
        "no record of the source is what the study asks for",
    ),
    "not followed": (
        set_all("observation_period", "observation_period_end_date", "2016-01-01"),
        "rows were not observed to day 30",
    ),
}


@pytest.mark.parametrize("name", NOTED)
def test_what_is_left_out_is_counted_with_its_reason(name: str, tmp_path: Path) -> None:
    change, said = NOTED[name]
    noted = read(changed(tmp_path, change)).noted.source
    found = [note for note in noted if said in note.found]
    assert found
    assert all(note.remedy for note in found)
    assert all(shows_no_value(f"{note.what} {note.found} {note.remedy}") for note in noted)


def test_units_that_no_study_names_must_be_one(tmp_path: Path) -> None:
    text = re.sub(r', unit: "mm\[Hg\]",\s+unit_concepts: {"mm\[Hg\]": \[8876\]}', "", STUDY)
    assert "unit" not in text.replace("unit:", "").split("cohort:")[1].split("sites:")[0]
    folder = changed(tmp_path, set_all("measurement", "unit_concept_id", "8840", 20))
    with pytest.raises(
        CohortRefused,
        match="'sbp': 20 records are in other units than the most, of 2 "
        "units in all, the first in line 2 of measurement.csv",
    ):
        read(folder, text)


def test_a_unit_that_the_study_names_beside_its_own_is_taken_for_it(tmp_path: Path) -> None:
    folder = changed(tmp_path, set_all("measurement", "unit_concept_id", "0", 20))
    text = STUDY.replace("[8876]", "[8876, 0]")
    as_it_was = read(write_tables(tmp_path / "same", omop_tables(FOUND)))
    assert read(folder, text).digest == as_it_was.digest


def test_records_of_a_unit_that_the_column_converts_become_its_numbers(tmp_path: Path) -> None:
    def some_in_kilopascals(tables: Tables) -> None:
        for row in tables["measurement"][::3]:
            if row["measurement_concept_id"] == "3004249":
                row["value_as_number"] = str(float(row["value_as_number"]) / 8)
                row["unit_concept_id"] = "44777602"

    found = {"unit_concepts": '{"mm[Hg]": [8876], kPa: [44777602]}', "of": '{"mm[Hg]": [8876]}'}
    text = STUDY.replace(
        f"unit_concepts: {found['of']}", f"unit_concepts: {found['unit_concepts']}"
    )
    with pytest.raises(
        StudyRefused, match="kPa, which the column does not convert: write it under"
    ):
        read_study(text)
    text = text.replace("impute: 130", "impute: 130\n      unit: mmHg\n      units: {kPa: 8}")
    as_it_was = read(write_tables(tmp_path / "same", omop_tables(FOUND)))
    converted = read(changed(tmp_path, some_in_kilopascals), text)
    assert converted.digest == as_it_was.digest
    cohort = read_study(text).cohort
    counts = {c.name: c.converted for c in column_counts(converted, cohort=cohort)}
    assert 0 < counts["sbp"] < len(converted) and counts["age"] == 0
    assert not any(each.converted for each in column_counts(as_it_was, cohort=cohort))


def test_a_person_of_the_cohort_without_any_record_is_counted(tmp_path: Path) -> None:
    def change(tables: Tables) -> None:
        stay = {"visit_concept_id": "9201", "person_id": "999999"}
        tables["person"].append(tables["person"][0] | {"person_id": "999999"})
        tables["visit_occurrence"].append(tables["visit_occurrence"][0] | stay)

    noted = read(changed(tmp_path, change)).noted.source
    said = next(note.found for note in noted if note.what == "persons")
    assert "fewer than 10 of the cohort have no record for any feature" in said


def test_how_many_persons_lack_an_index_event_does_not_follow_where_they_are_few(
    tmp_path: Path,
) -> None:
    def change(tables: Tables) -> None:
        for person in range(3):
            tables["person"].append(tables["person"][0] | {"person_id": f"99999{person}"})

    noted = read(changed(tmp_path, change)).noted.source
    said = next(note.found for note in noted if note.what == "persons")
    assert said.startswith("not shown in the source, "), said
    assert "; fewer than 10 have no event that the study begins with" in said


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "cdm", omop_tables(FOUND))
    header, first, *rest = (folder / "person.csv").read_text().splitlines()
    key = first.split(",", 1)[0]
    assert header.split(",")[0] == "person_id" and first.count(f"{key},") == 1
    over_lines = f'"\n{key}"' + first.removeprefix(key)
    (folder / "person.csv").write_text("\n".join([header, "", over_lines, *rest, first, ""]))
    with pytest.raises(CohortRefused, match=r"fewer than 10 rows .* in line 64 of person\.csv"):
        read(folder)


def test_of_rows_that_stand_in_no_lines_the_table_is_told(tmp_path: Path) -> None:
    tables = omop_tables(FOUND)
    set_all("drug_exposure", "person_id", "999999999", 11)(tables)
    path = write_sqlite(tmp_path / "cdm.db", tables)
    source = OmopRecords(tables=lambda _site: database(f"sqlite:///{path}"))
    with pytest.raises(CohortRefused) as refused:
        load_cohort(read_study(STUDY).cohort, source, site="east")
    assert "11 records of drug_exposure belong to no person of the source; export" in str(
        refused.value
    )


def test_a_line_of_another_length_is_refused_with_its_number(tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "cdm", omop_tables(FOUND))
    with (folder / "person.csv").open("a") as file:
        file.write("1,2\n")
    with pytest.raises(CohortRefused, match=r"site east: person.csv: line 62: 2 cells where 5"):
        read(folder)


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolon"), ("|", "other-delimiter")])
def test_another_mark_between_cells_is_told_of_every_table(
    mark: str, name: str, tmp_path: Path
) -> None:
    folder = write_tables(tmp_path / "cdm", omop_tables(FOUND))
    for path in folder.iterdir():
        path.write_text(path.read_text().replace(",", mark))
    with pytest.raises(CohortRefused) as refused:
        read(folder)
    told = str(refused.value).splitlines()
    assert len(told) == len(list(folder.iterdir())) == 10
    assert (
        f"site east: person.csv: line 1: the columns seem to be separated by {mark!r}, expected "
        "',' or a tab; export the table with commas or tabs between its cells"
    ) in "\n".join(told)
    assert all(line.endswith(f"[{name}]") for line in told)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("uneven-line", lambda path: path.write_text(path.read_text() + "1,2\n")),
        ("other-encoding", lambda path: path.write_bytes(path.read_bytes() + b"\xe4,,,,\n")),
        ("open-quote", lambda path: path.write_text(path.read_text() + '"' + 140_000 * "x")),
        ("damaged-file", lambda path: path.rename(f"{path}.gz")),
        ("missing-table", lambda path: path.unlink()),
    ],
)
def test_a_file_that_cannot_be_read_has_its_name(
    name: str, spoil: Callable[[Path], object], tmp_path: Path
) -> None:
    folder = write_tables(tmp_path / "cdm", omop_tables(FOUND))
    spoil(folder / "drug_exposure.csv")
    with pytest.raises(CohortRefused, match=rf"drug_exposure.*\[{name}\]$") as refused:
        read(folder)
    assert [fault.name for fault in faults_of(refused.value)] == [name]
    assert shows_no_value(str(refused.value))


def test_a_folder_that_is_not_there_is_refused_by_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(CohortRefused, match=r"^site east: the folder of tables 'away' cannot be"):
        read(tmp_path / "away")


def test_a_study_without_concepts_says_what_to_ask_for(tmp_path: Path) -> None:
    text = STUDY.replace("concepts: [1503297],\n", "")
    folder = write_tables(tmp_path / "cdm", omop_tables(FOUND))
    with pytest.raises(CohortRefused, match="'drugs': the study names no concept of OMOP for it"):
        read(folder, text)


def test_a_database_that_fails_is_told_without_its_drivers_words(tmp_path: Path) -> None:
    path = write_sqlite(tmp_path / "cdm.db", omop_tables(FOUND))
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 8192)
    source = OmopRecords(tables=lambda _site: database(f"sqlite:///{path}"))
    with pytest.raises(CohortRefused, match=r"^site east: the database cannot be asked") as told:
        load_cohort(read_study(STUDY).cohort, source, site="east")
    assert "select" not in str(told.value).replace("may its user select", "").lower()


def test_a_database_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    source = OmopRecords(tables=lambda _site: database(f"sqlite:///{tmp_path}/cdm.db"))
    with pytest.raises(CohortRefused, match="there is no SQLite database 'cdm.db'"):
        load_cohort(read_study(STUDY).cohort, source, site="east")
    assert not (tmp_path / "cdm.db").exists()
