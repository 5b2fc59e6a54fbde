"""A study runs on what was frozen, and a changed row is found, counted and not named."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.encoding import digest
from protocol.errors import CohortRefused, PolicyRefused, StoreBroken
from protocol.study.study import Study
from protocol.study.study_file import read_study
from silos.database.database import SiteDatabase, open_hospital
from silos.patients import own_records
from silos.patients.entries import EntryKind, PatientEntries
from silos.patients.frozen_cohorts import FrozenCohort, FrozenCohorts
from silos.patients.opt_outs import opt_out
from silos.patients.own_records import freeze_cohort
from tests.support.hospital.hospital_home import OFFICER, make_east
from tests.support.hospital.sites import changed_site
from tests.support.machine.databases import allow_updates, run_sql
from tests.support.networked.joining import frozen_anew, joined
from tests.support.simulated.studies import TABLE_STUDY, changed, small_study

Rows = list[str]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_east(tmp_path)


def freeze(home: Path, study: Study | None = None) -> FrozenCohort:
    return freeze_cohort(home, study or small_study(), home.parent, by=OFFICER)[0]


def rewrite(home: Path, change: Callable[[Rows], Rows]) -> None:
    head, *rows = (home / "east.csv").read_text().splitlines()
    (home / "east.csv").write_text("\n".join([head, *change(rows)]) + "\n")


def cohorts_of(home: Path) -> tuple[FrozenCohort, ...]:
    with closing(open_hospital(home / "hospital.db", site="east")) as hospital:
        return FrozenCohorts(hospital).all()


def test_a_frozen_cohort_names_study_counts_source_and_contract(home: Path) -> None:
    frozen = freeze(home)
    assert (frozen.version, frozen.patients, frozen.records, frozen.left_out) == (1, 40, 40, 0)
    assert frozen.training + frozen.evaluation == 40
    assert (frozen.study, frozen.by) == (small_study().digest, OFFICER)
    assert frozen.source.kind == "file" and frozen.source.name == "east.csv"
    assert frozen.source.sha256 == digest((home / "east.csv").read_bytes())
    other = freeze(home, read_study(changed("range: [0, 120]", "range: [0, 130]")))
    assert other.contract != frozen.contract and other.version == 1


def test_the_same_records_in_another_order_are_the_same_cohort(home: Path) -> None:
    first = freeze(home)
    rewrite(home, lambda rows: rows[::-1])
    assert freeze(home) == first
    joined(home, TABLE_STUDY)


def test_two_hospitals_with_the_same_records_have_other_digests(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        found.append(freeze(make_east(tmp_path / name)))
    assert found[0].source == found[1].source
    assert found[0].digest != found[1].digest and found[0].public_id != found[1].public_id


def replaced(row: int, text: str) -> Callable[[Rows], Rows]:
    return lambda rows: [text if place == row else each for place, each in enumerate(rows)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (replaced(7, "51.5,A,east-7,1"), "fewer than 10 patients differ (fewer than 10 changed)"),
        (lambda rows: rows[:-3], "fewer than 10 patients differ (fewer than 10 missing)"),
        (
            lambda rows: [*rows, "51.5,A,east-x,1"],
            "fewer than 10 patients differ (fewer than 10 added)",
        ),
        (lambda rows: [*rows, rows[0]], "fewer than 10 patients differ (fewer than 10 changed)"),
        (
            lambda rows: [row.replace("east-", "e-") for row in rows],
            "80 patients differ (40 added, 40 missing)",
        ),
    ],
    ids=["a changed cell", "rows gone", "a row more", "a record twice", "other keys"],
)
def test_a_changed_row_is_found_and_refused_at_home(
    home: Path, change: Callable[[Rows], Rows], said: str
) -> None:
    freeze(home)
    rewrite(home, change)
    with pytest.raises(CohortRefused) as refused:
        joined(home, TABLE_STUDY)
    assert said in str(refused.value) and "collegium silo freeze" in str(refused.value)
    for named in ("east-", "51.5", "line"):
        assert named not in str(refused.value)
    frozen_anew(home, TABLE_STUDY)
    joined(home, TABLE_STUDY)
    assert [one.version for one in cohorts_of(home)] == [1, 2]


def test_a_run_without_a_freeze_freezes_what_it_reads(home: Path) -> None:
    joined(home, TABLE_STUDY)
    (frozen,) = cohorts_of(home)
    assert (frozen.version, frozen.by) == (1, "the first run")
    rewrite(home, lambda rows: rows[1:])
    with pytest.raises(CohortRefused, match="fewer than 10 patients differ"):
        joined(home, TABLE_STUDY, "run-2")
    assert len(cohorts_of(home)) == 1


def test_a_run_that_is_joined_again_keeps_its_version(home: Path) -> None:
    joined(home, TABLE_STUDY)
    before = (home / "east.csv").read_text()
    rewrite(home, lambda rows: rows[1:])
    frozen_anew(home, TABLE_STUDY)
    joined(home, TABLE_STUDY, "run-2")
    with pytest.raises(CohortRefused, match="version 1"):
        joined(home, TABLE_STUDY)
    (home / "east.csv").write_text(before)
    joined(home, TABLE_STUDY)
    with closing(open_hospital(home / "hospital.db", site="east")) as hospital:
        runs = FrozenCohorts(hospital).runs()
    numbers = [one.number for one in cohorts_of(home)]
    assert runs == {"run-1": numbers[0], "run-2": numbers[1]}


def test_what_crosses_is_a_random_number_that_two_runs_on_one_cohort_share(home: Path) -> None:
    first = joined(home, TABLE_STUDY).cohort
    assert first == cohorts_of(home)[0].public_id and len(first) == 32
    opt_out(home, ["east-3"], by=OFFICER)
    assert joined(home, TABLE_STUDY, "run-2").cohort == first
    other = frozen_anew(home, TABLE_STUDY).public_id
    assert joined(home, TABLE_STUDY, "run-3").cohort == other != first


def test_a_file_that_changes_while_it_is_read_is_not_frozen(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = own_records.read_own_records

    def reads_and_others_write(*given: Any) -> own_records.OwnRecords:
        found = read(*given)
        with (home / "east.csv").open("a") as file:
            file.write("61,A,east-99,1\n")
        return found

    monkeypatch.setattr(own_records, "read_own_records", reads_and_others_write)
    with pytest.raises(CohortRefused, match="was changed while it was read; nothing was frozen"):
        freeze_cohort(home, small_study(), home, by="Anna")


def test_nobody_freezes_without_a_name(home: Path) -> None:
    with pytest.raises(PolicyRefused, match="name who freezes"):
        freeze_cohort(home, small_study(), home.parent, by="  ")


def test_nothing_of_a_patient_is_written_by_a_freeze(home: Path) -> None:
    freeze(home)
    kept = b"".join(path.read_bytes() for path in home.rglob("hospital*") if path.is_file())
    rows = (home / "east.csv").read_text().splitlines()[1:]
    for row in rows:
        age, _, key, _ = row.split(",")
        assert key.encode() not in kept
        assert np.float32(age).tobytes() not in kept


def test_an_entry_that_was_changed_or_removed_is_found(home: Path) -> None:
    freeze(home)
    freeze(home, read_study(changed("epsilon: 4", "epsilon: 3")))

    def all_of(hospital: SiteDatabase) -> int:
        return len(PatientEntries(hospital).all())

    with closing(open_hospital(home / "hospital.db", site="east")) as hospital:
        assert all_of(hospital) == 2
        assert [entry.kind for entry in PatientEntries(hospital).since(1)] == [EntryKind.FROZEN]
    database = home / "hospital.db"
    allow_updates(database, "patient_entry")
    text = "CAST(replace(CAST(document AS TEXT), '\"records\":40', '\"records\":41') AS BLOB)"
    run_sql(database, f"UPDATE patient_entry SET document = {text} WHERE number = 1")  # noqa: S608
    with closing(open_hospital(database, site="east")) as hospital:
        with pytest.raises(StoreBroken, match="entry 1 about patients was changed"):
            all_of(hospital)
    run_sql(database, "DROP TRIGGER patient_entry_no_delete")
    run_sql(database, "DELETE FROM patient_entry")
    with closing(open_hospital(database, site="east")) as hospital:
        with pytest.raises(StoreBroken, match="the newest, is not in the database"):
            all_of(hospital)


def test_a_list_that_was_changed_is_found(home: Path) -> None:
    frozen = freeze(home)
    shorter = "UPDATE cohort_list SET marks = substr(marks, 1, length(marks) - 65)"
    run_sql(home / "hospital.db", shorter)
    with closing(open_hospital(home / "hospital.db", site="east")) as hospital:
        with pytest.raises(StoreBroken, match="the list of the cohort that entry 1 froze was"):
            FrozenCohorts(hospital).kept(frozen)


def test_a_study_of_rows_is_frozen_by_rows(home: Path) -> None:
    text = changed("patient_key: patient", "patient_key: row")
    site = changed_site("columns: [age,", "columns: [row, age,").replace(
        "path: east.csv}", "path: east.csv, one_row_is_one_person: true}"
    )
    (home / "site.yaml").write_text(site)
    frozen_anew(home, text)
    rewrite(home, lambda rows: rows[::-1])
    with pytest.raises(CohortRefused, match="from the frozen cohort"):
        joined(home, text)
