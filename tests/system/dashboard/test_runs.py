"""Runs of every state in a browser without login, side by side, and in three languages."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from compliance.facts.formatting import Format, show
from coordinator.database.workspace import Workspace
from coordinator.runs.monitoring.progress import RunProgress, write_progress
from dashboard.app import PAGES
from dashboard.texts import LANGUAGES, say, speak
from protocol.errors import QuorumLost
from protocol.study.study_file import read_study
from tests.support.browser.served import served_dashboard
from tests.support.browser.visit import Visit, visiting
from tests.support.simulated.begun_run import begin_beside
from tests.support.simulated.studies import changed

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.networked.network import Network

RUNNING, FAILED = "20261126-101500-0a1b", "20261126-101501-0c2d"
#: Why the failed run failed.
LOST = "2 of 4 hospitals took part, and 3 must"
AT_WORK = RunProgress(
    state="running", round=2, rounds=2, seconds_left=90.0,
    silent={"north": "2026-11-26T10:14:00Z"}, asked={"south": "2026-11-26T10:15:30Z"},
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(run_once: "tuple[Network, str]") -> str:
    return run_once[1]


@pytest.fixture(scope="module")
def address(
    chromium: "Browser",
    run_once: "tuple[Network, str]",
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """A folder with a run that has finished, one at work and one that failed, of other studies."""
    home = tmp_path_factory.mktemp("states") / "coordinator"
    shutil.copytree(run_once[0].home, home)
    begin_beside(home, read_study(changed("learning_rate: 0.5", "learning_rate: 0.25")), RUNNING)
    begin_beside(home, read_study(changed("epsilon: 4", "epsilon: 2")), FAILED, QuorumLost(LOST))
    workspace = Workspace.open(home)
    write_progress(workspace.states, RUNNING, AT_WORK)
    with workspace.at_work(), served_dashboard(home, "--demo") as address:
        yield address


@pytest.fixture
def visit(chromium: "Browser", address: str) -> Iterator[Visit]:
    with visiting(chromium, address) as visit:
        yield visit
        assert visit.problems == []


def test_a_run_at_work_says_how_far_it_is_and_what_its_hospitals_do(visit: Visit) -> None:
    visit.open("runs")
    visit.told("round 2 of 2 (running)")
    visit.open(f"runs?run={RUNNING}")
    visit.told("round 2 of 2 (running)")
    visit.told(say("runs.left_newest", time=show(90.0, Format.SECONDS)))
    state = {row[0]: row[1] for row in visit.rows("north")}
    silent, asked, ready = (say(f"runs.doing_{one}") for one in ("silent", "asked", "ready"))
    assert state == {"north": silent, "south": asked, "east": ready, "west": ready}


def test_a_failed_run_says_what_happened_and_what_to_do(visit: Visit) -> None:
    visit.open(f"runs?run={FAILED}")
    visit.told(LOST)
    visit.told(say("runs.remedy_hospitals"))


def test_runs_are_selected_and_stand_beside_each_other_with_what_differs(
    visit: Visit, finished: str
) -> None:
    visit.open("runs")
    visit.select_row(finished)
    visit.select_row(FAILED)
    visit.press(say("runs.compare", number=2))
    visit.told(say("runs.differences"))
    order = visit.page.url.split("compare=")[1].split("%2C")
    said = {finished: ("4.0", "finished"), FAILED: ("2.0", "failed")}
    assert {*order} == {*said}
    assert visit.rows("privacy.epsilon") == [["privacy.epsilon", *(said[one][0] for one in order)]]
    state = say("runs.column_state")
    assert visit.rows(state)[0] == [state, *(said[one][1] for one in order)]
    visit.press(say("runs.all"))
    assert len(visit.rows(finished)) == 3


@pytest.mark.parametrize("language", ["de", pytest.param("fr", marks=pytest.mark.long)])
def test_a_language_is_chosen_for_headings_and_navigation_and_stays(
    language: str, visit: Visit
) -> None:
    visit.open("runs")
    visit.choose(say("navigation.language"), LANGUAGES[language])
    speak(language)
    try:
        visit.told(say("runs.search"))
        names = [say(f"navigation.{page}") for page in PAGES]
        links = visit.page.get_by_test_id("stSidebarNav").get_by_role("link")
        assert [one.split("\n")[-1] for one in links.all_inner_texts()] == names
        for page in ("sites", "today", "runs"):
            visit.turn_to(say(f"navigation.{page}"))
        visit.told(say("runs.search"))
    finally:
        speak("en")
