"""A file of keys with anything but keys in it opts nobody out: what is recorded is for good."""

from contextlib import closing
from pathlib import Path

import pytest

from protocol.errors import WorkspaceRefused
from silos.database.database import open_hospital
from silos.patients.entries import EntryKind, PatientEntries
from silos.patients.opt_outs import opt_out, read_key_lines
from tests.support.hospital.hospital_home import OFFICER, make_east
from tests.support.hospital.sites import changed_site
from tests.support.networked.joining import frozen_anew
from tests.support.simulated.studies import TABLE_STUDY
from tests.unit.collegium.cli.test_silo_commands import Person, person

__all__ = ["person"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_east(tmp_path)


def recorded(home: Path) -> int:
    """Returns how many times somebody opted out."""
    with closing(open_hospital(home / "hospital.db", site="east")) as hospital:
        entries = PatientEntries(hospital).all()
        return sum(entry.kind is EntryKind.OPTED_OUT for entry in entries)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Patient\n110091;x\n", "line 1: this is a column's name and no key: take the line out"),
        ("\n\ufeffPatient number\n110091\n", "line 2: this is a column's name"),
        ("Ward\n110091\n", "line 1: this is a column's name"),
        ('"MRN"\n110091\n', "line 1: this is a column's name"),
        ("110090\n110091;x\n", "line 2: a semicolon, comma or tab stands there"),
        ("110090\n110091;\n\n110092,x\n110093\tx\n", "line 2 (and 2 more lines): a semicolon"),
        ("Patient;Name\n110091;x\n", "line 1 (and 1 more line): a semicolon, comma or tab"),
    ],
)
def test_a_file_with_a_header_or_cells_is_refused_whole_with_its_line(
    home: Path, tmp_path: Path, text: str, said: str
) -> None:
    (home / "site.yaml").write_text(changed_site("east.csv}", "east.csv, patient_number: mrn}"))
    file = tmp_path / "keys.txt"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(WorkspaceRefused) as refused:
        opt_out(home, ["7"], by=OFFICER, lines=read_key_lines(file))
    assert f"the file of keys, {said}" in str(refused.value)
    assert str(refused.value).endswith("nothing was recorded") and "1100" not in str(refused.value)
    assert recorded(home) == 0


def test_the_command_refuses_such_a_file(home: Path, person: Person) -> None:
    asked = ("silo", "patients", "opt-out", "--home", home, "--by", OFFICER, "--file", "-")
    assert "line 2: a semicolon" in person.reads_refusal(*asked, types="110090\n110091;x\n")
    assert recorded(home) == 0


def test_a_key_that_holds_such_a_mark_is_taken_as_an_argument_and_where_it_is_known(
    home: Path,
) -> None:
    rows = (home / "east.csv").read_text().replace(",east-3,", ',"east,3",')
    (home / "east.csv").write_text(rows.replace(",east-4,", ",key,"))
    lines = {1: "key", 2: "east,3"}
    with pytest.raises(WorkspaceRefused, match="line 1"):
        opt_out(home, [], by=OFFICER, lines=lines)
    assert opt_out(home, ["east,3"], by=OFFICER).new == 1
    frozen_anew(home, TABLE_STUDY)
    done = opt_out(home, [], by=OFFICER, lines=lines)
    assert (done.patients, done.new) == (2, 1)
