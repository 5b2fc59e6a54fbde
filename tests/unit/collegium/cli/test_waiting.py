"""``coordinator run --wait`` ends when the run or the service does, and tells which."""

import json
from pathlib import Path

import pytest

from collegium.cli.coordinator.waiting import waited_for, waiting_text
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from protocol.errors import WorkspaceRefused
from tests.support.machine.commands import ask
from tests.support.simulated.begun_run import RUN, begin_run
from tests.support.simulated.studies import small_study
from tests.unit.collegium.output.test_run_list import REAL, WITHHELD


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A coordinator's folder with one run that is at work."""
    return begin_run(tmp_path / "out")


def set_state(home: Path, state: str) -> None:
    store = Store(Workspace.open(home).database)
    with store.transaction() as transaction:
        transaction.run(RUN).state = state
    store.close()


def test_wait_lasts_as_long_as_the_service_is_at_work_on_the_run(home: Path) -> None:
    answers = iter([[{"run_id": RUN}], [{"run_id": "other"}, {"run_id": RUN}], []])

    def status() -> dict[str, object]:
        runs = next(answers)
        if not runs:
            set_state(home, "finished")
        return {"runs": runs}

    assert waited_for(home, RUN, status, pause=0).state == "finished"
    assert next(answers, "asked three times") == "asked three times"


@pytest.mark.parametrize("state", ["running", "failed", "stopped", "finished"])
def test_service_that_stops_ends_the_wait_with_what_was_written_down(
    home: Path, state: str
) -> None:
    set_state(home, state)

    def gone() -> dict[str, object]:
        raise WorkspaceRefused("no service runs")

    found = waited_for(home, RUN, gone, pause=0)
    assert (found.state == "finished") == (state == "finished")
    assert waited_for(home, RUN).state == found.state  # really asked: there is no socket


def test_words_say_the_result_or_what_to_do(home: Path) -> None:
    assert waiting_text(REAL, home) == "finished   AUROC 0.712, 95 %: 0.605 to 0.820"
    assert "too few patients" in waiting_text(WITHHELD, home) and "0.71" not in waiting_text(
        WITHHELD, home
    )
    nothing = waited_for(home, RUN)
    assert "the service stopped before the run's end" in waiting_text(nothing, home)
    set_state(home, "failed")
    assert f"collegium runs show {RUN}" in waiting_text(waited_for(home, RUN), home)


@pytest.mark.parametrize(
    ("state", "told", "code"),
    [("finished", "finished", 0), ("running", "interrupted", 1), ("failed", "failed", 1)],
)
def test_command_that_waits_ends_with_1_unless_the_run_finished(
    home: Path, monkeypatch: pytest.MonkeyPatch, state: str, told: str, code: int
) -> None:
    """A service that begins the run and is gone when it is asked how far it is."""

    def service(*_asked: object) -> dict[str, object]:
        set_state(home, state)
        return {"run_id": RUN, "waits": False}

    def gone(*_asked: object) -> None:
        raise WorkspaceRefused("no service runs")

    monkeypatch.setattr("collegium.cli.coordinator.waiting.ask", gone)
    monkeypatch.setattr("coordinator.runs.admin_socket.asking.require_service", lambda _home: None)
    monkeypatch.setattr("coordinator.runs.person_acts.perform", service)
    done = ask("coordinator", "run", small_study().digest, "--home", home, "--wait", "--json")
    assert done.returncode == code
    assert json.loads(done.stdout)["state"] == told
