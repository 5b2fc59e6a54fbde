"""Progress in a notebook is one bar below the cell; in a program and a test there is none."""

import sys
from types import ModuleType

import pytest

from collegium.output.notebook_progress import NotebookProgress, in_notebook, watch_for
from collegium.output.progress import Progress, Silent
from protocol.study.study_file import read_study
from tests.support.simulated.studies import changed, small_study


class Cell:
    """A cell's output, as IPython lets a program change it."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def display(self, shown: object, *, display_id: bool) -> "Cell":
        assert display_id
        self.update(shown)
        return self

    def update(self, shown: object) -> None:
        self.shown.append(shown._repr_html_())  # type: ignore[attr-defined]


class Shell:
    kernel = object()


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    """A process that looks like a notebook's kernel."""
    output, ipython, shown = Cell(), ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = Shell  # type: ignore[attr-defined]
    shown.display = output.display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    return output


def test_a_program_and_a_test_see_none_unless_they_ask() -> None:
    study = small_study()
    assert not in_notebook()
    assert isinstance(watch_for(None)(study, 0, True), Silent)
    assert isinstance(watch_for(False)(study, 0, True), Silent)
    assert isinstance(watch_for(True)(study, 0, True), Progress)


def test_a_notebook_sees_one_bar_that_moves_and_ends(cell: Cell) -> None:
    with watch_for(None)(small_study(), 0, True) as progress:
        assert isinstance(progress, NotebookProgress)
        progress.say("starting the hospitals")
        progress.round_finished("training", 0, ("east", "north", "south"))
        assert 'max="3" value="1"' in cell.shown[-1]
        assert "round 1 of 2, 3 of 4 sites" in cell.shown[-1]
        progress.round_finished("training", 1, ("east", "north", "south"))
        progress.round_finished("evaluation", 1, ("east", "north", "south"))
    assert "done: 3 of 3" in cell.shown[-1]


def test_a_sweep_counts_its_runs(cell: Cell) -> None:
    with watch_for(None)(small_study(), 2, False) as progress:
        progress.run_finished("per-site noise, epsilon 1, seed 1")
        assert "1 of 2 done; per-site noise" in cell.shown[-1]
    assert "done: 1 of 2, 2 runs" in cell.shown[-1]


def test_what_ends_early_says_so(cell: Cell) -> None:
    with pytest.raises(KeyboardInterrupt), watch_for(None)(small_study(), 0, True):
        raise KeyboardInterrupt
    assert "ended early: 0 of 3" in cell.shown[-1]


def test_a_notebook_may_be_quiet(cell: Cell) -> None:
    with watch_for(False)(small_study(), 0, True):
        pass
    assert not cell.shown


def test_a_title_is_shown_as_it_stands(cell: Cell) -> None:
    study = read_study(changed("A small study", "'<b>x'"))
    with watch_for(None)(study, 0, True):
        assert "&lt;b&gt;x" in cell.shown[-1]
