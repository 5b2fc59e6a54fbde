"""Folder: the runs of a folder as a table, and each of them by its name."""

import json
from pathlib import Path

import pandas as pd
import pytest

import collegium as cg
from coordinator.database.workspace import Workspace
from protocol.errors import WorkspaceRefused
from tests.support.hospital.hospital_home import make_east
from tests.support.machine.commands import ask
from tests.support.simulated.output_folder import RUNS
from tests.support.simulated.studies import TABLE_STUDY


def test_the_runs_are_those_that_the_command_lists(genuine: Path) -> None:
    listed = json.loads(ask("runs", "list", "--out", genuine, "--json").stdout)
    runs = cg.open(str(genuine)).runs()
    assert list(runs.index) == [line["run_id"] for line in listed] == [*reversed(RUNS)]
    assert list(runs["auroc"]) == [line["auroc"] for line in listed]
    notes = [line["auroc_released"]["note"] for line in listed]
    assert list(runs["auroc_released_note"]) == notes


def test_a_run_is_found_by_the_beginning_of_its_name_and_the_newest_by_none(genuine: Path) -> None:
    folder = cg.open(genuine)
    assert folder.run().id == RUNS[-1]
    assert folder.run("run-1").id == "run-1"
    with pytest.raises(WorkspaceRefused, match="2 runs begin with 'run'"):
        folder.run("run")
    with pytest.raises(WorkspaceRefused, match="there is no run 'x' here"):
        folder.run("x")


def test_utility_chart_budget_and_page_are_the_folders(genuine: Path) -> None:
    folder = cg.open(genuine)
    pd.testing.assert_frame_equal(folder.utility(), folder.run().utility())
    assert folder.chart().svg == folder.run().chart().svg
    budget = folder.budget()
    assert set(budget.index) == {
        (site, part)
        for site in ("east", "north", "south", "west")
        for part in ("training", "evaluation")
    }
    shares = budget[["share_spent", "share_reserved", "share_remaining"]].sum(axis=1)
    assert shares.between(0.99, 1.01).all()
    assert folder.page.is_file()


def test_what_one_more_run_would_cost_is_foretold(genuine: Path, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(TABLE_STUDY)
    budget = cg.open(genuine).budget(tmp_path / "study.yaml")
    assert budget["fits"].isin([True, False]).all()


@pytest.mark.parametrize("what", ["missing", "empty", "a file"])
def test_what_holds_no_run_is_refused_when_it_is_opened(tmp_path: Path, what: str) -> None:
    out = tmp_path / "out"
    if what == "empty":
        out.mkdir()
    elif what == "a file":
        out.write_text("x")
    with pytest.raises(WorkspaceRefused, match="holds no run: collegium simulate makes"):
        cg.open(out)
    assert "holds no run" in repr(cg.Folder(out)) and cg.Folder(out)._repr_html_() is None


def test_a_folder_in_which_nothing_was_run_yet_is_an_empty_table(tmp_path: Path) -> None:
    Workspace.create(tmp_path / "out")
    from coordinator.database.store import Store

    Store(Workspace(tmp_path / "out").database).close()
    folder = cg.open(tmp_path / "out")
    assert folder.runs().empty and "auroc_released" in folder.runs()
    assert repr(folder).endswith("0 runs")
    with pytest.raises(WorkspaceRefused, match="holds no run yet"):
        folder.run()
    with pytest.raises(WorkspaceRefused, match="holds no finished run"):
        folder.chart()


def test_a_hospitals_own_folder_lists_what_it_joined(tmp_path: Path) -> None:
    home = make_east(tmp_path)
    runs = cg.open(home).runs()
    assert runs.empty and list(runs.columns[:2]) == ["study", "state"]
    with pytest.raises(WorkspaceRefused, match="hospital's own folder"):
        cg.open(home).run()


def test_a_notebook_shows_the_runs_as_a_table(genuine: Path) -> None:
    shown = cg.open(genuine)._repr_html_() or ""
    assert "<caption>2 runs</caption>" in shown and RUNS[0] in shown
    assert ">nan<" not in shown.lower()
    assert repr(cg.open(genuine)) == f"Folder {genuine}: 2 runs (2 finished)"


@pytest.mark.parametrize("name", ["x" * 300, "~nosuchuser/runs"])
def test_a_name_that_no_folder_can_have_is_refused(name: str) -> None:
    with pytest.raises(WorkspaceRefused, match="no file or folder can be called"):
        cg.open(name)
