"""What is typed: completed, refused alike where it is wrong, and shown as it is."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.main import get_command
from typer.testing import CliRunner

from collegium.cli import main as cli
from collegium.cli.runs.reports import ReportForm
from collegium.output.progress import Progress
from collegium.output.summary import _released
from collegium.studies.preflight import describe_study
from compliance.reports.renderers import FORMS
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from protocol.study.study_file import read_study
from tests.support.simulated.begun_run import RUN, begin_run
from tests.support.simulated.studies import TABLE_STUDY
from tests.unit.collegium.cli.test_cli import refused, run

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with one run that has begun."""
    return begin_run(tmp_path / "out")


def completed(*words: object) -> str:
    line = " ".join(map(str, ("collegium", *words)))
    environment = {
        "_COLLEGIUM_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": line, "SHELL": "zsh",
    }  # fmt: skip
    return CliRunner().invoke(cli.app, [], prog_name="collegium", env=environment).output


def test_run_names_and_formats_are_completed(out: Path) -> None:
    assert RUN in completed("runs", "show", "--out", out, RUN[:1])
    assert RUN in completed("report", "export", "--out", out, RUN[:1])
    assert RUN in completed("audit", "recompute", "2", "--out", out, "--run", RUN[:1])
    assert RUN not in completed("runs", "show", "--out", out / "nowhere", "2")
    formats = completed("report", "export", "x", "--out", out, "--format", "")
    assert all(form in formats for form in ("html", "json", "csv"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("runs", "lst"), "No such command 'lst'"),
        (("runs", "list"), "Missing option '--out'"),
        (
            ("report", "export", "r", "--to", "x", "--out", "y", "--format", "doc"),
            "Invalid value for '--format': 'doc' is not",
        ),
        (
            ("silo", "approve", "s", "--home", "h", "--by", "A", "--runs", "0"),
            "greater than or equal to 1",
        ),
        (("simulate", "--nonsense"), "No such option"),
        (("simulate", "s", "--out", "o", "--seed", str(2**53)), "equal to 9007199254740991"),
        (
            ("simulate", "s", "--out", "o", "--split-seed", str(2**53)),
            "than or equal to 9007199254740991",
        ),
    ],
)
def test_wrong_usage_is_told_like_every_refusal(
    monkeypatch: Patch, capsys: Capture, words: tuple[str, ...], said: str
) -> None:
    message = refused(monkeypatch, capsys, *words)
    assert message.startswith("collegium: ") and said in message
    assert message.strip().endswith("-h says what it takes")


def test_help_names_the_formats() -> None:
    assert [form.value for form in ReportForm] == list(FORMS)
    shown = CliRunner().invoke(cli.app, ["report", "export", "-h"]).output
    assert "pdf|html|json|csv|oscal" in shown


@pytest.mark.parametrize("words", [("runs",), ("silo", "roster")])
def test_a_group_alone_shows_its_help(
    monkeypatch: Patch, capsys: Capture, words: tuple[str, ...]
) -> None:
    assert run(monkeypatch, *words) == 2
    shown = capsys.readouterr()
    assert "Commands:" in shown.out + shown.err and "collegium:" not in shown.err


def test_status_of_a_folder_that_is_not_there_is_no_advice_to_start(
    tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    where = ("--home", tmp_path / "nohome")
    message = refused(monkeypatch, capsys, "coordinator", "status", *where)
    assert "holds no coordinator: collegium coordinator init makes one" in message
    assert "start" not in message


def test_dashboard_on_a_taken_port_is_refused_before_it_is_announced(
    tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    workspace = Workspace.create(tmp_path / "out")
    Store(workspace.database).close()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        words = ("dashboard", "--out", workspace.root, "--port", port)
        message = refused(monkeypatch, capsys, *words)
    assert f"--port {port} is taken" in message and "http" not in message


def test_runs_say_that_nobody_has_verified_them(
    out: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    for words in (("list",), ("list", "--json")):
        assert run(monkeypatch, "runs", *words, "--out", out) == 0
        shown = capsys.readouterr()
        assert f"not verified: collegium audit verify --out {out} checks" in shown.err
        assert "not verified" not in shown.out


def test_an_interrupted_run_says_what_goes_on_with_it(
    out: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    assert run(monkeypatch, "runs", "show", RUN, "--out", out) == 0
    assert f"next: collegium coordinator start --home {out} goes on" in capsys.readouterr().out


def test_a_withheld_figure_is_not_called_released() -> None:
    figure = {"value": 0.9, "low": 0.8, "high": 1.0, "note": ""}
    assert _released(figure) == "released 0.900 [0.800, 1.000]"
    assert _released(figure | {"note": "too few patients"}) == "not released: too few patients"
    assert _released(None) == "not released: not available"


def test_markup_in_a_title_is_shown_as_it_stands(capsys: Capture) -> None:
    study = read_study(TABLE_STUDY.replace("title: ", "title: '[bold red]x[/] ' # "))
    describe_study(study, Console(width=200))
    assert "[bold red]x[/]" in capsys.readouterr().out
    with Progress(Console(width=200, file=sys.stdout), study) as progress:
        progress.say("[dim]y")
        progress._console.print(progress._bar.get_renderable())
    assert "[bold red]x[/]" in capsys.readouterr().out


def test_bar_and_time_left_stand_in_eighty_columns(capsys: Capture) -> None:
    study = read_study(TABLE_STUDY.replace("title: ", f"title: '{'long ' * 12}' # "))
    progress = Progress(Console(width=80, file=sys.stdout, force_terminal=True), study)
    progress._bar.update(progress._task, detail="round 3 of 40, 4 of 4 sites, 80% of epsilon spent")
    progress._console.print(progress._bar.get_renderable())
    (line,) = capsys.readouterr().out.splitlines()
    assert "━" in line and "0/" in line and "-:--:--" in line and "round 3 of" in line


def _helps(command: Any, name: str, parent: Any = None) -> Iterator[tuple[str, str]]:
    """Yields the help of a command and of all below it, as a terminal of 80 columns shows it."""
    context = command.context_class(
        command, info_name=name, parent=parent, terminal_width=80, max_content_width=80
    )
    yield context.command_path, command.get_help(context)
    for below, found in getattr(command, "commands", {}).items():
        yield from _helps(found, below, context)


def test_no_line_of_any_help_is_cut_off_or_too_wide() -> None:
    helps = dict(_helps(get_command(cli.app), "collegium"))
    assert {"collegium silo roster sign", "collegium coordinator run"} < set(helps)
    for path, text in helps.items():
        for line in text.splitlines():
            assert len(line) <= 80, path
            assert line.startswith("Usage: ") or not line.endswith("..."), f"{path}: {line}"
