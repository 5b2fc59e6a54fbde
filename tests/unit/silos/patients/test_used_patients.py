"""Was this patient's data used? The hospital's own people are told, and nobody else is."""

import json
from pathlib import Path
from shutil import copytree

import pytest

from silos.patients.used_patients import use_of
from tests.support.hospital.hospital_home import OFFICER
from tests.support.networked.network import Network
from tests.unit.collegium.cli.test_silo_commands import Person, person

__all__ = ["person"]

KEYS = [f"east-{number}" for number in range(40)]


@pytest.fixture
def home(run_once: tuple[Network, str], tmp_path: Path) -> Path:
    """A copy of a hospital's folder after a finished run."""
    return Path(copytree(run_once[0].sites["east"].home, tmp_path / "copy"))


def test_a_finished_run_says_who_could_be_drawn_and_what_came_out(
    home: Path, run_once: tuple[Network, str], person: Person
) -> None:
    assert person.runs("silo", "patients", "used", KEYS[0], "--home", home, "--json") == 0
    (run,) = json.loads(person.out)["runs"]
    assert (run["run_id"], run["cohort_version"], run["left_at"]) == (run_once[1], 1, None)
    assert run["part"] in ("training", "evaluation")
    assert run["sent"] > 0 and run["joined_at"] <= run["first_sent"] <= run["last_sent"]
    assert (
        person.runs("silo", "results", run_once[1], "--home", home, "--no-compare", "--json") == 0
    )
    results = json.loads(person.out)
    assert run["model"] == results["model_evaluated"]
    assert results["cohort"]["version"] == 1 and results["patients_left_since"] is False
    parts = {key: use_of(home, key).runs[0].part for key in KEYS}
    assert results["cohort"]["training"] == list(parts.values()).count("training")


def test_of_a_patient_nobody_knows_nothing_is_said(home: Path, person: Person) -> None:
    assert person.runs("silo", "patients", "used", "nobody-7", "--home", home) == 0
    assert "in no run that is known here" in person.out
    assert "nobody-7" not in person.out + person.err


def test_an_opt_out_says_what_it_cannot_undo_and_names_no_key(
    home: Path, run_once: tuple[Network, str], person: Person, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text(f"{KEYS[3]}\n\n{KEYS[4]}\nnobody-7\n")
    asked = ("silo", "patients", "opt-out", "--home", home, "--by", OFFICER)
    assert person.runs(*asked, "--file", keys, "--json") == 0
    done = json.loads(person.out)
    assert (done["patients"], done["new"], done["unknown"]) == (3, 3, 1)
    assert (done["open_runs"], done["past_runs"]) == ([], [run_once[1]])
    assert "What cannot be undone" in person.err
    assert person.runs(*asked, "--file", "-", types=f"{KEYS[3]}\n") == 0
    assert "1 patient, 0 of them now" in person.out
    for key in (*KEYS[3:5], "nobody-7"):
        assert key not in person.out + person.err
    assert use_of(home, KEYS[3]).opted_out_at is not None
    assert use_of(home, KEYS[5]).opted_out_at is None
    assert use_of(home, KEYS[3]).runs[0].left_at is not None
    assert person.runs("silo", "results", run_once[1], "--home", home, "--no-compare") == 0
    assert "Patients left since" in person.out
    assert person.runs("audit", "verify", "--home", home, "--json") == 0
    assert "entries, each signed by this hospital" in json.loads(person.out)["holds"]["patients"]
    assert person.runs("report", "export", run_once[1], "--home", home, "--to", tmp_path / "r.json",
                       "--format", "json") == 0  # fmt: skip
    report = (tmp_path / "r.json").read_text()
    assert "The frozen cohort" in report and '"some"' in report
    marked = [path for path in home.rglob("*") if path.is_file() and path.suffix != ".csv"]
    for path in marked:
        assert not any(key.encode() in path.read_bytes() for key in KEYS), path


def test_who_left_before_a_run_is_in_none_of_it(home: Path, person: Person) -> None:
    assert use_of(home, KEYS[3]).frozen_for
    assert "one patient at a time" in person.reads_refusal(
        "silo", "patients", "used", "--home", home, "--file", "-", types="a\nb\n"
    )
    assert "no patient's key was given" in person.reads_refusal(
        "silo", "patients", "opt-out", "--home", home, "--by", OFFICER
    )
    assert "name who decides" in person.reads_refusal(
        "silo", "patients", "opt-out", KEYS[3], "--home", home, "--by", " "
    )
