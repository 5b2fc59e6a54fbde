"""``runs list``: an answer on stdout that 80 characters hold, made without what draws."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from collegium.output import run_list
from compliance.charts.descriptions import describe_utility
from compliance.estimates.interval import Interval
from compliance.facts.figures import AUROC
from compliance.facts.privacy_utility import EXACT, PER_SITE, UtilityPoint
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.views.one_run.run_summary import RunSummary
from coordinator.views.several_runs.privacy_utility import points_of, utility_points
from dashboard.rows.runs import run_label

RUN = RunSummary(
    run_id="20261126-101500-0a1b",
    study_name="breast-cancer-demo",
    question="q",
    state="finished",
    started_at="2026-11-26T10:15:00Z",
    seed=1,
    simulation=True,
    test_noise=False,
    mode="distributed",
    epsilon=1.5,
    figure=AUROC,
    exact=0.98765,
    released=None,
    sweep=None,
)
RELEASED = Interval(value=0.7123, low=0.6049, high=0.8197)
REAL = replace(RUN, simulation=False, exact=None, released=RELEASED)
WITHHELD = replace(REAL, released=replace(RELEASED, note="too few patients"))


def drawn(*runs: RunSummary, width: int = 80) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as caught:
        console.print(run_list._table(runs))
    return caught.get()


def test_eighty_characters_show_state_privacy_and_auroc_of_every_run() -> None:
    text = drawn(RUN, REAL)
    assert max(map(len, text.splitlines())) <= 80
    for word in (
        "20261126-101500-0a1b",
        "finished",
        "distributed",
        "0.988*",
        "0.71",
        "(0.60-0.82)",
    ):
        assert word in text
    assert "…" not in text


def test_a_pipe_gets_one_line_for_each_run() -> None:
    lines = [line for line in drawn(RUN, REAL, width=300).splitlines() if RUN.run_id in line]
    assert len(lines) == 2 and all("breast-cancer-demo" in line for line in lines)


def test_fixed_test_noise_is_no_epsilon_in_list_and_chart() -> None:
    marked = replace(RUN, test_noise=True, epsilon=None)
    assert "test noise" in drawn(marked) and "ε 1.5" not in drawn(marked)
    assert points_of(marked) == []


def test_an_epsilon_never_reads_smaller_than_it_is() -> None:
    promised = replace(RUN, epsilon=2.0000004)
    assert "ε 2.01" in drawn(promised) and "ε = 2.01" in run_label(promised)
    point = UtilityPoint(epsilon=2.0000004, seed=1, value=0.8, kind=EXACT, mode=PER_SITE)
    assert "ε = 2.01" in describe_utility([point])


def test_withheld_figure_is_neither_written_nor_drawn() -> None:
    text = drawn(WITHHELD, width=300)
    assert "too few patients" in text and "0.71" not in text
    assert points_of(WITHHELD) == []
    assert [point.value for point in points_of(REAL)] == [0.7123]


def test_the_command_imports_nothing_that_draws_or_computes(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "out")
    Store(workspace.database).close()
    program = (
        "import atexit, sys; from collegium.cli import main as cli; "
        "atexit.register(lambda: print(*sys.modules)); "
        f"sys.argv = ['collegium', 'runs', 'list', '--out', {str(workspace.root)!r}]; cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    listed, *loaded = done.stdout.splitlines()
    modules = set(" ".join(loaded).split())
    assert listed == "no run yet" and "coordinator.views.views" in modules
    heavy = {"altair", "pandas", "scipy.stats", "torch", "ray", "streamlit", "monai"}
    heavy |= {f"compliance.reports.{name}" for name in ("privacy_report", "run_page")}
    assert not modules & (heavy | {"compliance.charts.run"})


@pytest.mark.parametrize("command", [["--version"], ["-h"], ["runs", "list", "-h"]])
def test_version_and_short_help_answer_on_stdout(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "collegium", *command], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(("collegium ", "Usage:")) and done.stderr == ""


def test_studies_of_one_name_and_other_settings_are_told_by_their_digests() -> None:
    first = replace(REAL, settings="a", study_digest="0a1b2c3d" * 8)
    other = replace(first, settings="b", study_digest="99999999" * 8, epsilon=4.0)
    assert {one.study for one in utility_points([first, replace(first, seed=2)], [])} == {""}
    assert [one.study for one in utility_points([other, first], [])] == [
        "breast-cancer-demo (99999999)", "breast-cancer-demo (0a1b2c3d)",
    ]  # fmt: skip
    named = replace(other, study_name="longer")
    assert [one.study for one in utility_points([named, first], [])] == [
        "longer", "breast-cancer-demo",
    ]  # fmt: skip
    assert {one.study for one in utility_points([replace(other, test_noise=True), first], [])} == {
        ""
    }
