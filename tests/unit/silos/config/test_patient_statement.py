"""What a hospital states about its patients: who pays for what, and nobody changes sides."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from compliance.ledger.entries import PARTITIONS, Partition
from compliance.privacy.claims import PATIENTS
from protocol.errors import BudgetSpent, PolicyRefused
from protocol.identity.roster import Member, SigningKey
from protocol.study.study import Study
from protocol.study.study_file import read_study
from silos.config.patient_statement import (
    NOTHING_STATED,
    PatientStatement,
    missing_statement,
    patient_is,
    stays_on_one_side,
)
from silos.config.site_file import site_file_of
from silos.config.study_authorization import StudyTerms
from silos.database.database import SiteDatabase, open_hospital, read_hospital
from silos.database.patient_sides import remember_sides, require_same_sides
from silos.database.tables import PatientSideRow
from silos.operations.site import approve, describe_request
from silos.rounds.invitation import Invitation
from silos.rounds.silo import Silo
from tests.support.hospital.hospital_home import OFFICER, make_east
from tests.support.hospital.preflight import check_quickly
from tests.support.hospital.rosters import COORDINATOR_KEY, roster_with
from tests.support.hospital.sites import SITE, changed_site
from tests.support.machine.databases import REFUSED, run_sql
from tests.support.networked.joining import frozen_anew, joined
from tests.support.simulated.federation import LinearTrainer
from tests.support.simulated.studies import TABLE_STUDY, changed, small_study

DATA = "data: {kind: file, path: east.csv}"
NUMBERED = changed_site(DATA, "data: {kind: file, path: east.csv, patient_number: patient}")
ROWS = changed("patient_key: patient", "patient_key: row")
STATED = PatientStatement(patient_number="patient")
TRAIN: Partition = "training"
TEST: Partition = "evaluation"


def committed(home: Path) -> dict[Partition, float]:
    with closing(read_hospital(home / "hospital.db", site="east")) as hospital:
        summary = hospital.ledger.summary()
        return {part: summary.of(part).committed for part in PARTITIONS}


def marks(home: Path) -> set[tuple[str, str]]:
    """Returns the mark and the side of every patient whom the hospital remembers."""
    with (
        closing(read_hospital(home / "hospital.db", site="east")) as hospital,
        hospital.connection() as connection,
    ):
        rows = connection.execute(select(PatientSideRow.mark, PatientSideRow.side))
        return {(row.mark, row.side) for row in rows}


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return make_east(tmp_path)


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    return make_east(tmp_path, site=NUMBERED)


# --- one budget line, or two ----------------------------------------------------------------------


def test_without_a_lifelong_number_everybody_pays_for_training_and_evaluation(plain: Path) -> None:
    word = joined(plain, TABLE_STUDY)
    paid = committed(plain)
    assert (word.sides, word.patient) == ("together", "key")
    assert paid[TRAIN] == paid[TEST] == word.budget_share == word.run_share


def test_with_a_lifelong_number_each_side_pays_its_own(numbered: Path) -> None:
    word = joined(numbered, TABLE_STUDY)
    paid = committed(numbered)
    assert (word.sides, word.patient) == ("apart", "stated number")
    assert paid[TRAIN] != paid[TEST] and max(paid.values()) == word.budget_share


def test_paying_together_costs_the_sum_of_both_sides(tmp_path: Path) -> None:
    for name in ("plain", "numbered"):
        (tmp_path / name).mkdir()
    together = make_east(tmp_path / "plain")
    apart = make_east(tmp_path / "numbered", site=NUMBERED)
    joined(together, TABLE_STUDY)
    joined(apart, TABLE_STUDY)
    assert committed(together)[TRAIN] == pytest.approx(sum(committed(apart).values()), rel=1e-9)


#: Three ways to be tested in the first study and trained on in the second, none of which any
#: rule about the split's name or its labels can see: rows in another order, a split column with
#: other contents, another pseudonym for the same people.
HEAD = "age,ward,patient,ill,fold\n"
FOLD = ("split: {method: keyed_hash, test_fraction: 0.3}",
        "split: {method: column, column: fold, train: [train], test: [test]}")  # fmt: skip
FOLD_COLUMN = ("- {name: patient, kind: other}",
               "- {name: patient, kind: other}\n    - {name: fold, kind: other}")  # fmt: skip


def line(number: int, patient: str, fold: str = "train") -> str:
    return f"{20 + number},{'ABC'[number % 3]},{patient},{number % 2},{fold}"


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        (
            ROWS.replace(*FOLD_COLUMN),
            [line(i, f"p{i}") for i in range(40)],
            [line(38 - i if i % 2 == 0 else 40 - i, f"p{i}") for i in range(40)],
        ),
        (
            TABLE_STUDY.replace(*FOLD).replace(*FOLD_COLUMN),
            [line(i, f"p{i}", "test" if i < 12 else "train") for i in range(40)],
            [line(i, f"p{i}", "test" if i >= 28 else "train") for i in range(40)],
        ),
        (
            TABLE_STUDY.replace(*FOLD_COLUMN),
            [line(i, f"p{i}") for i in range(40)],
            [line(i, f"study2-{(i * 7) % 40}") for i in range(40)],
        ),
    ],
    ids=["rows in another order", "another split column", "another pseudonym"],
)
def test_whoever_changes_sides_unseen_has_paid_for_both(
    tmp_path: Path, text: str, first: list[str], second: list[str]
) -> None:
    site = changed_site("columns: [age,", "columns: [row, fold, age,").replace(
        "splits: [keyed_hash]", "splits: [keyed_hash, column]"
    )
    home = make_east(
        tmp_path, site=site.replace(DATA, f"{DATA[:-1]}, one_row_is_one_person: true}}")
    )
    shares = []
    for number, rows in enumerate((first, second)):
        (home / "east.csv").write_text(HEAD + "\n".join(rows) + "\n")
        frozen_anew(home, text)
        word = joined(home, text, f"run-{number}")
        assert word.sides == "together"
        shares.append(word.run_share or 0.0)
    for paid in committed(home).values():
        assert paid == pytest.approx(sum(shares))


def test_a_budget_that_holds_one_side_only_refuses_the_study(tmp_path: Path) -> None:
    """Training alone fits, and so does the evaluation alone; together they do not."""
    for name in ("plain", "numbered"):
        (tmp_path / name).mkdir()
    joined(make_east(tmp_path / "numbered", site=NUMBERED, budget=8.0), TABLE_STUDY)
    home = make_east(tmp_path / "plain", budget=8.0)
    with pytest.raises(BudgetSpent, match="budget does not suffice"):
        joined(home, TABLE_STUDY)
    assert committed(home) == {TRAIN: 0.0, TEST: 0.0}


# --- nobody changes sides -------------------------------------------------------------------------


def test_a_study_that_would_move_a_patient_is_refused_and_reserves_nothing(numbered: Path) -> None:
    joined(numbered, TABLE_STUDY)
    before = committed(numbered)
    with pytest.raises(PolicyRefused, match=r"site east: \d+ patients would change sides"):
        joined(numbered, changed("test_fraction: 0.3", "test_fraction: 0.5"), "run-2")
    assert committed(numbered) == before
    other = read_study(changed("test_fraction: 0.3", "test_fraction: 0.5"))
    found = {one.what: one for one in check_quickly(numbered, other, numbered.parent).findings}
    assert found["records"].state == "bad" and "change sides" in found["records"].finding


def test_a_patient_who_was_forgotten_for_a_study_is_still_remembered(numbered: Path) -> None:
    """Sides come from the number alone, so a data set that lacks somebody changes nothing."""
    joined(numbered, TABLE_STUDY)
    remembered = marks(numbered)
    rows = (numbered / "east.csv").read_text().splitlines()
    (numbered / "east.csv").write_text("\n".join([rows[0], *rows[21:]]) + "\n")
    frozen_anew(numbered, TABLE_STUDY)
    joined(numbered, TABLE_STUDY, "run-2")
    assert len(remembered) > 20 and marks(numbered) == remembered
    (numbered / "east.csv").write_text("\n".join(rows) + "\n")
    frozen_anew(numbered, TABLE_STUDY)
    joined(numbered, TABLE_STUDY, "run-3")


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[SiteDatabase]:
    with closing(open_hospital(tmp_path / "h.db", site="east")) as opened:
        yield opened


SIDES: Mapping[str, Partition] = {"ada": TRAIN, "bob": TEST}


def test_sides_are_remembered_all_or_none(hospital: SiteDatabase) -> None:
    remember_sides(hospital, SIDES)
    remember_sides(hospital, SIDES)
    with pytest.raises(PolicyRefused, match="1 patients would change sides"):
        remember_sides(hospital, {"bob": TRAIN, "cy": TRAIN})
    remember_sides(hospital, {"cy": TEST})  # the refused study has left nothing behind
    with pytest.raises(PolicyRefused, match="1 patients"):
        require_same_sides(hospital, {"cy": TRAIN, "dan": TRAIN})


def test_more_patients_than_one_query_asks_for_are_all_compared(hospital: SiteDatabase) -> None:
    many: dict[str, Partition] = {f"p{number}": TRAIN for number in range(1203)}
    remember_sides(hospital, many)
    with pytest.raises(PolicyRefused, match="1203 patients"):
        remember_sides(hospital, dict.fromkeys(many, TEST))


def test_a_side_is_never_rewritten_and_no_number_is_in_the_file(tmp_path: Path) -> None:
    place = tmp_path / "h.db"
    # Digits and letters that no digest in the file can hold by chance.
    sides = {f"number {name}": side for name, side in SIDES.items()}
    with closing(open_hospital(place, site="east")) as opened:
        remember_sides(opened, sides)
    with pytest.raises(REFUSED):
        run_sql(place, "update patient_side set side = 'training'")
    with closing(sqlite3.connect(place)) as connection:
        marks = [mark for (mark,) in connection.execute("select mark from patient_side")]
    assert len(marks) == 2 and all(len(mark) == 64 for mark in marks)
    assert not [name for name in sides if name.encode() in place.read_bytes()]


def test_two_hospitals_know_one_person_by_different_marks(tmp_path: Path) -> None:
    marks = set()
    for site in ("east", "west"):
        place = tmp_path / f"{site}.db"
        with closing(open_hospital(place, site=site)) as opened:
            remember_sides(opened, {"ada": TRAIN})
        with closing(sqlite3.connect(place)) as connection:
            marks |= set(connection.execute("select mark from patient_side"))
    assert len(marks) == 2


# --- what a patient is ----------------------------------------------------------------------------


def study(old: str = "", new: str = "", text: str = TABLE_STUDY) -> Study:
    return read_study(text.replace(old, new) if old else text)


BY_ROW = study(text=ROWS)


def test_every_row_a_patient_needs_a_statement_or_record_level_privacy() -> None:
    assert missing_statement(BY_ROW, NOTHING_STATED) is not None
    assert missing_statement(BY_ROW, PatientStatement(one_row_is_one_person=True)) is None
    records = study("clip: 1.0", "clip: 1.0, unit: record", ROWS)
    assert missing_statement(records, NOTHING_STATED) is None
    assert missing_statement(small_study(), NOTHING_STATED) is None


def test_a_hospital_that_states_nothing_refuses_rows_as_patients(tmp_path: Path) -> None:
    home = make_east(tmp_path, site=changed_site("columns: [age,", "columns: [row, age,"))
    (tmp_path / "study.yaml").write_text(ROWS)
    with pytest.raises(PolicyRefused, match="one_row_is_one_person: true under data"):
        approve(home, tmp_path / "study.yaml", by=OFFICER, reason="")
    found = {one.what: one for one in check_quickly(home, BY_ROW, tmp_path).findings}
    assert found["data"].state == "bad" and "has not said that it is" in found["data"].finding


def test_the_trainer_is_refused_rows_even_where_nobody_asked_the_site_file(plain: Path) -> None:
    with closing(open_hospital(plain / "hospital.db", site="east")) as opened:
        silo = Silo(
            "east", plain, LinearTrainer, simulated=False, hospital=opened,
            authorization=lambda _study: StudyTerms(runs=9, source=plain / "east.csv"),
        )  # fmt: skip
        keys = {site: SigningKey.generate().public.hex() for site in BY_ROW.site_names}
        keys["east"] = silo.member.public_key
        members = tuple(Member(site=site, public_key=key) for site, key in sorted(keys.items()))
        invitation = Invitation(
            run_id="run-1", study=BY_ROW, roster=roster_with(members),
            coordinator_public=COORDINATOR_KEY.public, data=None, index_file=None,
        )  # fmt: skip
        with pytest.raises(PolicyRefused, match="takes every row as one patient"):
            silo.join(invitation)


def test_the_approver_reads_what_a_patient_is(plain: Path) -> None:
    assert dict(describe_request(plain, small_study()))["a patient is"] == PATIENTS["key"]


@pytest.mark.parametrize(
    ("of", "stated", "simulated", "word"),
    [
        (small_study(), NOTHING_STATED, False, "key"),
        (small_study(), STATED, False, "stated number"),
        (small_study(), PatientStatement(patient_number="age"), False, "key"),
        (BY_ROW, PatientStatement(one_row_is_one_person=True), False, "stated row"),
        (BY_ROW, NOTHING_STATED, True, "assumed row"),
        (study("clip: 1.0", "clip: 1.0, unit: record"), STATED, False, "record"),
        (study(*FOLD).model_copy(), STATED, False, "key"),
    ],
)
def test_what_a_patient_is_follows_from_study_and_statement(
    of: Study, stated: PatientStatement, simulated: bool, word: str
) -> None:
    assert patient_is(of, stated, simulated=simulated) == word
    assert stays_on_one_side(of, stated) == (word == "stated number")
    assert word in PATIENTS


def test_a_site_file_states_nothing_unless_it_is_written_there(plain: Path) -> None:
    assert site_file_of(plain).stated == NOTHING_STATED
    (plain / "site.yaml").write_text(NUMBERED)
    assert site_file_of(plain).stated == STATED
    (plain / "site.yaml").write_text(SITE.replace(f"{DATA}\n", ""))
    assert site_file_of(plain).stated == NOTHING_STATED
