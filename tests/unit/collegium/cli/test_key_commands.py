"""Silo commands as people use them: ``key``, ``roster leave``, ``restored``, ``ledger``."""

import io
import json
import re
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from collegium.cli import main as cli
from protocol.identity.fingerprints import spoken
from silos.config.directory import alone, opened
from silos.database.database import open_hospital
from silos.database.identity_keys import IdentityKeys
from tests.support.hospital.hospital_home import OFFICER, make_east
from tests.support.hospital.sites import SITE
from tests.support.simulated.bookings import reserve, send


class Person:
    """Runs commands in this process; what was written is kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        self.out = self.err = ""

    def runs(self, *words: object, types: str = "") -> int:
        self._monkeypatch.setattr(sys, "argv", ["collegium", "silo", *map(str, words)])
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(types))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        self.out, self.err = self._capsys.readouterr()
        return ended.value.code if isinstance(ended.value.code, int) else 0


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Person:
    return Person(monkeypatch, capsys)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_east(tmp_path)


def own_key(home: Path) -> str:
    hospital = open_hospital(home / "hospital.db", site="east")
    key = IdentityKeys(hospital).own.public.hex()
    hospital.close()
    return key


def leave(home: Path, *more: str) -> list[object]:
    return ["roster", "leave", "--home", home, "--reason", "the coordinator was lost", *more]


def test_keys_are_shown_in_groups_that_can_be_read_out(home: Path, person: Person) -> None:
    assert person.runs("key", "show", "--home", home) == 0
    assert f"own key    {spoken(own_key(home))}  east" in person.out
    assert person.runs("key", "show", "--home", home, "--json") == 0
    assert json.loads(person.out) == {
        "site": "east",
        "own": own_key(home),
        "next": None,
        "former": [],
    }


def test_whoever_leaves_types_the_hospitals_name_and_has_another_key(
    home: Path, person: Person
) -> None:
    before = own_key(home)
    assert person.runs(*leave(home), types="east\n") == 0
    assert own_key(home) != before
    for line in (
        f"own key    {spoken(own_key(home))}",
        f"had key    {spoken(before)}",
        "silo enrol",
    ):
        assert line in person.err


@pytest.mark.parametrize("typed", ["", "west\n", "yes\n"])
def test_another_name_leaves_nothing(home: Path, person: Person, typed: str) -> None:
    before = own_key(home)
    assert person.runs(*leave(home), types=typed) == 2
    assert "is not this hospital's name: nothing was done" in person.err
    assert own_key(home) == before


def signed(home: Path, *act: str) -> list[object]:
    return [*act, "--home", home, "--signed-by", OFFICER]


@pytest.mark.parametrize("act", ["leave", "write-off", "restored"])
def test_nothing_is_left_written_off_or_accepted_beside_a_supervisor(
    home: Path, person: Person, act: str
) -> None:
    before = own_key(home)
    words = {
        "leave": leave(home, "--yes"),
        "write-off": [*signed(home, "ledger", "write-off"), "--yes"],
        "restored": [*signed(home, "restored"), "--yes"],
    }
    with alone(home):
        assert person.runs(*words[act]) == 2
    assert "a supervisor is at work over" in person.err
    assert "silo stop ends it" in person.err
    assert own_key(home) == before


def test_only_an_approver_writes_the_budget_off(home: Path, person: Person) -> None:
    words = ["ledger", "write-off", "--home", home, "--signed-by", "A. Stranger"]
    assert person.runs(*words, types="east\n") == 2
    assert "'A. Stranger' may not sign this: policy.approvers" in person.err


def test_a_budget_is_not_written_off_without_the_coordinators_word(
    home: Path, person: Person
) -> None:
    words = ["ledger", "write-off", "--home", home, "--signed-by", OFFICER]
    assert person.runs(*words, types="east\n") == 2
    assert "this hospital has not enrolled: collegium silo enrol" in person.err
    assert person.runs(*words, types="west\n") == 2
    assert "is not this hospital's name: nothing was done" in person.err


def test_a_hospital_that_lost_its_lists_goes_on_when_an_approver_says_so(
    home: Path, person: Person
) -> None:
    person.runs(*signed(home, "restored"), "--without-coordinator", types="east\n")
    assert "the lists agree with the database: nothing was changed" in person.err
    (home / "hospital-heads" / "east.ledger").unlink()
    assert person.runs("status", "--home", home) == 2
    assert "east.ledger, which shows that the database is no old copy, is missing" in person.err
    assert person.runs(*signed(home, "restored"), types="east\n") == 2
    assert "this hospital has not enrolled" in person.err
    assert person.runs("restored", "--home", home, "--signed-by", "A. Stranger", "--yes") == 2
    assert "may not sign this" in person.err
    assert person.runs(*signed(home, "restored"), "--without-coordinator", types="east\n") == 0
    assert "patients pay twice from one budget" in person.err
    assert "its heads are listed anew, signed by Dr. A. Officer" in person.err
    assert person.runs("status", "--home", home) == 0


def test_a_budget_is_written_off_by_the_hospitals_own_list_alone(
    tmp_path: Path, person: Person
) -> None:
    home = make_east(tmp_path, budget=8.0, delta=2e-5)
    with opened(home) as (_, hospital):
        plan = reserve(hospital)
        backup = sqlite3.connect(home.parent / "backup.db")
        sqlite3.connect(home / "hospital.db").backup(backup)
        backup.close()
        send(hospital, plan)
    for file in home.glob("hospital.db*"):
        file.unlink()
    shutil.copy(home.parent / "backup.db", home / "hospital.db")
    assert person.runs("budget", "--home", home) == 2
    assert "went back in time" in person.err and "silo ledger write-off" in person.err
    off = [*signed(home, "ledger", "write-off"), "--without-coordinator", "--yes"]
    assert person.runs(*off) == 0
    assert "patients have paid at most 100 % of their budget (epsilon 8)\n" in person.err
    assert person.runs("budget", "--home", home) == 0
    assert re.search(r"east +all +epsilon 8 +100 %", person.out)
    assert person.runs(*off) == 2
    assert "nothing is written off" in person.err


def test_a_key_is_not_rotated_without_a_coordinator(tmp_path: Path, person: Person) -> None:
    lines = [line for line in SITE.splitlines() if not line.startswith("coordinator:")]
    home = make_east(tmp_path, site="\n".join(lines))
    assert person.runs("key", "rotate", "--home", home) == 2
    assert "coordinator is missing: it is in the invitation" in person.err
