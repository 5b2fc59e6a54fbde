"""Every fault that is planted into a copy of real records is found, counted, named, never shown."""

import io
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from pipelines.sources.faults.catalogue import CATALOGUE
from protocol.study.study_file import read_study
from silos.config.site_file import read_site_file
from silos.database.database import SiteDatabase, open_hospital
from silos.preflight.findings import print_findings
from silos.preflight.quality_table import print_quality
from silos.preflight.records import RecordsCheck, check_records
from tests.support.hospital.planted_faults import (
    MARK,
    NAMES,
    PLANTED,
    STUDY,
    Planted,
    clean,
    text,
    write,
)
from tests.support.hospital.sites import SITE

#: Faults whose remedy is not in a cell: what is said of them holds no number.
UNCOUNTED = {
    "no-file", "another-kind-of-file", "empty-file", "no-rows", "utf-16", "no-header",
    "missing-column", "one-class", "two-date-orders", "split-finds-nobody", "semicolon",
    "other-delimiter",
}  # fmt: skip
#: Findings of records in which nothing is wrong.
SAID_OF_ALL = {"records", "cohort", "opt-outs", "consent"}
CLEVELAND = read_site_file(
    SITE.replace("east.csv", "cleveland.csv").replace("name: east", "name: cleveland")
)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteDatabase]:
    found = open_hospital(tmp_path_factory.mktemp("home") / "hospital.db", site="cleveland")
    yield found
    found.close()


Check = Callable[[Planted, Path], RecordsCheck]


@pytest.fixture(scope="module")
def check(hospital: SiteDatabase) -> Check:
    def checked(planted: Planted, folder: Path) -> RecordsCheck:
        write(planted, folder)
        return check_records(folder, CLEVELAND, read_study(planted.study), folder, hospital)

    return checked


def shown(found: RecordsCheck) -> str:
    """Returns what a screen and a JSON file hold of a check."""
    screen = Console(record=True, width=200, file=io.StringIO())
    print_findings(found.findings, screen)
    quality = None
    if found.quality is not None:
        print_quality({"cleveland": found.quality}, screen)
        quality = found.quality.to_json()
    return screen.export_text() + json.dumps([[asdict(f) for f in found.findings], quality])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_records_that_are_spoilt_are_right(check: Check, tmp_path: Path) -> None:
    found = check(Planted(file=text(clean()), names=frozenset()), tmp_path)
    assert {entry.what for entry in found.findings} == SAID_OF_ALL
    assert {entry.state for entry in found.findings} == {"ok"}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found_counted_and_named_with_its_remedy_and_never_shown(
    name: str, check: Check, tmp_path: Path
) -> None:
    planted = PLANTED[name]
    write(planted, tmp_path)
    before = contents(tmp_path)
    found = check(planted, tmp_path)
    faults = [entry for entry in found.findings if entry.see]
    assert {entry.what for entry in faults} == planted.names
    for entry in faults:
        assert entry.state == CATALOGUE[entry.what].state
        assert entry.remedy
        counted = re.search(r"\d|fewer (than|patients)|both parts", entry.finding)
        assert counted or entry.what in UNCOUNTED, entry.finding
    is_bad = any(CATALOGUE[each].state == "bad" for each in planted.names)
    assert any(entry.state == "bad" for entry in found.findings) == is_bad
    assert MARK not in shown(found)
    assert contents(tmp_path) == before


def test_at_least_forty_kinds_are_planted() -> None:
    assert len(PLANTED) >= 60
    assert len({name for planted in PLANTED.values() for name in planted.names}) >= 50


def test_the_delimiter_that_fits_is_given_as_a_line_of_the_site_file(
    check: Check, hospital: SiteDatabase, tmp_path: Path
) -> None:
    (found,) = check(PLANTED["semicolons and decimal commas"], tmp_path).findings
    assert 'write delimiter: ";", decimal: "," in' in found.remedy
    assert "of 12 columns that the study needs ',' shows 0, ';' shows 12" in found.remedy
    mended = read_site_file(
        SITE.replace("{kind: file, path: east.csv}",
                     "{kind: file, path: cleveland.csv, delimiter: ';', decimal: ','}")
        .replace("name: east", "name: cleveland")
    )  # fmt: skip
    study = read_study(STUDY)
    fits = check_records(tmp_path, mended, study, tmp_path, hospital).findings
    assert {entry.what for entry in fits if entry.state == "ok"} == SAID_OF_ALL
    assert len(fits) == len(SAID_OF_ALL)


def test_pairs_of_spellings_are_counted_and_not_named(check: Check, tmp_path: Path) -> None:
    found = check(PLANTED["a patient in two spellings"], tmp_path)
    (said,) = [entry for entry in found.findings if entry.see]
    assert said.finding.startswith("column 'patient': fewer than 10 keys may be another key")
    assert not re.search("A-07|a7|MÜ", shown(found))


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("SELECT * FROM cohort", ""),
        (
            "SELECT cohort.*, CASE WHEN rowid = 200 THEN abs(-9223372036854775808) END AS late "
            "FROM cohort",
            "query-failed",
        ),
        ("SELECT * FROM cohorts", "query-failed"),
        ("SELECT * FROM cohort WHERE 1 = 0", "no-rows"),
    ],
)
def test_a_query_that_fails_half_way_is_named_and_nothing_of_it_is_taken(
    query: str, name: str, hospital: SiteDatabase, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "cohort.db")) as database:
        columns = ", ".join(f'"{each}" TEXT' for each in NAMES)
        database.execute(f"CREATE TABLE cohort ({columns})")
        marks = ", ".join("?" * len(NAMES))
        database.executemany(f"INSERT INTO cohort VALUES ({marks})", clean())  # noqa: S608
        database.commit()
    assert faults_of_query(query, tmp_path, hospital) == ({name} if name else set())


def test_a_database_that_went_away_is_named(hospital: SiteDatabase, tmp_path: Path) -> None:
    found = faults_of_query("SELECT * FROM cohort", tmp_path, hospital)
    assert found == {"database-not-reached"}


def faults_of_query(query: str, folder: Path, hospital: SiteDatabase) -> set[str]:
    """Returns the names of what is found of a query's rows; its words are in nothing said."""
    (folder / "cohort.sql").write_text(query)
    site = read_site_file(
        SITE.replace(
            "{kind: file, path: east.csv}",
            f"{{kind: sql, url: 'sqlite:///{folder}/cohort.db', query: cohort.sql}}",
        ).replace("name: east", "name: cleveland")
    )
    found = check_records(folder, site, read_study(STUDY), folder, hospital)
    assert "9223372036854775808" not in shown(found) and "cohorts" not in shown(found)
    return {entry.what for entry in found.findings if entry.see}
