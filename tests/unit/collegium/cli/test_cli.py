"""The command as a person uses it: good input, bad input, exit codes."""

import json
import sqlite3
import sys
from pathlib import Path

import pytest

from collegium.cli import main as cli
from collegium.simulation.sweeps.grid import parse_epsilons, parse_seeds
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.membership.directory import make_home
from protocol.errors import StudyRefused
from tests.support.simulated.federation import write_hospitals
from tests.support.simulated.studies import TABLE_STUDY, changed, small_study


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Runs the command in this process; returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["collegium", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    code = ended.value.code
    return code if isinstance(code, int) else 0


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(TABLE_STUDY)
    (tmp_path / "records").mkdir()
    write_hospitals(tmp_path / "records", small_study())
    return path


def test_a_valid_study_is_described(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "study", "check", study, "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["sites"] == ["east", "north", "south", "west"]
    assert "4 sites, 3 must answer" in captured.err


def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> str:
    """Runs a command that must be refused; returns what the person reads."""
    assert run(monkeypatch, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert 1 <= len(captured.err.strip().splitlines()) <= 2
    return captured.err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("epsilon: 4", "epsilonn: 4", "did you mean 'epsilon'"),
        ("epsilon: 4", "epsilon: .nan", "finite"),
        ("threshold: 3", "threshold: 2", "2t > n + C"),
    ],
)
def test_a_bad_study_is_refused_before_ray_starts(
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
    said: str,
) -> None:
    study.write_text(changed(old, new))
    out = tmp_path / "out"
    message = refused(monkeypatch, capsys, "simulate", study, "--out", out)
    assert said in message
    assert f"{study}:" in message
    assert not out.exists()


@pytest.mark.parametrize("budget", ["nan", "-1", "0", "inf"])
def test_a_budget_that_makes_no_sense_is_refused(
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    budget: str,
) -> None:
    where = ("--out", tmp_path / "out", f"--budget={budget}")
    message = refused(monkeypatch, capsys, "simulate", study, *where)
    assert "give a number above zero" in message


def test_records_that_are_not_there_are_refused_before_ray_starts(
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = ("--out", tmp_path / "out")
    assert "--data is missing" in refused(monkeypatch, capsys, "simulate", study, *out)
    message = refused(monkeypatch, capsys, "simulate", study, *out, "--data", tmp_path)
    assert "holds no file east.csv" in message
    (tmp_path / "esat.csv").touch()
    message = refused(monkeypatch, capsys, "simulate", study, *out, "--data", tmp_path)
    assert "holds no file east.csv; did you mean 'esat.csv'?" in message
    message = refused(monkeypatch, capsys, "simulate", study, *out, "--data", study)
    assert "is a file: name the folder it is in" in message
    assert not (tmp_path / "out").exists()


def test_a_missing_study_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    message = refused(monkeypatch, capsys, "simulate", tmp_path / "no.yaml", "--out", out)
    assert "No such file" in message


def test_the_folder_of_a_networks_coordinator_is_refused_and_untouched(
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    make_home(out, ["127.0.0.1"])
    before = sorted(path.name for path in out.iterdir())
    data = ("--data", tmp_path / "records")
    message = refused(monkeypatch, capsys, "simulate", study, "--out", out, *data)
    assert "is a network coordinator's folder: choose another for simulations" in message
    assert sorted(path.name for path in out.iterdir()) == before


def test_a_folder_that_cannot_be_written_is_refused(
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("x")
    where = ("simulate", study, "--data", tmp_path / "records", "--out")
    message = refused(monkeypatch, capsys, *where, tmp_path / "file" / "out")
    assert "cannot be written" in message
    message = refused(monkeypatch, capsys, *where, tmp_path / "file")
    assert "is a file: name a folder" in message


@pytest.mark.parametrize("command", [("runs", "list"), ("runs", "show", "x")], ids=str)
def test_a_folder_without_a_run_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
) -> None:
    message = refused(monkeypatch, capsys, *command, "--out", tmp_path)
    assert "holds no run" in message


def test_a_damaged_database_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace.create(tmp_path / "out")
    workspace.database.write_bytes(b"this is no database" * 500)
    message = refused(monkeypatch, capsys, "runs", "list", "--out", workspace.root)
    assert "is not a readable database" in message
    assert "restore it from a backup" in message


def test_an_unknown_run_and_format_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace.create(tmp_path / "out")
    Store(workspace.database).close()
    message = refused(monkeypatch, capsys, "runs", "show", "nothing", "--out", workspace.root)
    assert "there is no run 'nothing' here" in message
    arguments = ("report", "export", "x", "--to", tmp_path / "r", "--out", workspace.root)
    message = refused(monkeypatch, capsys, *arguments, "--format", "doc")
    assert "'doc' is not one of 'pdf', 'html', 'json', 'csv', 'oscal'" in message


def test_an_empty_folder_of_runs_is_listed_as_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace.create(tmp_path / "out")
    Store(workspace.database).close()
    assert run(monkeypatch, "runs", "list", "--out", workspace.root, "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_the_coordinators_tables_are_append_only_where_it_matters(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "out")
    Store(workspace.database).close()
    with sqlite3.connect(workspace.database) as connection:
        connection.execute("INSERT INTO audit_entry VALUES (0, 'r', x'00', x'00')")
        for statement in ("UPDATE audit_entry SET entry = x'01'", "DELETE FROM audit_entry"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "one", "1,,2"])
def test_epsilons_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(StudyRefused, match="--epsilon"):
        parse_epsilons(text)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "x", "1,,2", str(2**60)])
def test_seeds_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(StudyRefused, match="--seeds"):
        parse_seeds(text)
