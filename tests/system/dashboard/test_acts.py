"""What people do in a browser: a change confirmed by a person's own key, and a link to a run.

The tests stand in their order: each goes on with what the one before did.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from coordinator.views.governance import RecordedAct
from coordinator.views.views import open_views
from tests.support.browser.visit import Visit, visiting
from tests.support.dashboard.governed_folder import NEW, GovernedFolder
from tests.support.hospital.accounts import PASSWORD
from tests.support.hospital.people import BEA, CLEO
from tests.support.machine.patience import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

SeenBy = Callable[..., Visit]


@pytest.fixture(scope="module")
def seen_by(governed: GovernedFolder, chromium: "Browser", logged_in_at: str) -> Iterator[SeenBy]:
    """Returns the browser of a person, who logs in when they are first asked for."""
    with ExitStack() as open_visits:
        known: dict[str, Visit] = {}

        def visit(name: str, address: str = "") -> Visit:
            if name not in known:
                made = open_visits.enter_context(visiting(chromium, logged_in_at))
                made.log_in(name, PASSWORD, governed.code(name), address)
                known[name] = made
            return known[name]

        yield visit


def newest(governed: GovernedFolder, person: str) -> RecordedAct:
    with closing(open_views(governed.home)) as views:
        return views.acts(person=person)[-1]


def told(visit: Visit, text: str) -> None:
    """Waits until the page says something."""
    visit.page.get_by_text(text).first.wait_for(timeout=1000 * PATIENCE)
    visit.settle()


def form(visit: Visit, button: str) -> "Locator":
    """Returns the form that a button sends."""
    return visit.page.get_by_test_id("stForm").filter(has=visit.page.get_by_text(button))


def sends(visit: Visit, code: str, button: str) -> None:
    own = form(visit, button)
    own.get_by_role("textbox", name="One-time code").fill(code)
    own.get_by_role("button", name=button).click()


def test_a_change_is_confirmed_with_a_fresh_code_alone(
    seen_by: SeenBy, governed: GovernedFolder
) -> None:
    visit = seen_by(BEA)
    used = governed.code_of(BEA, governed.newest_step(BEA))  # it logged her in
    visit.turn_to("Approvals")
    for code, why in (("000000", "the code is wrong"), (used, "this code was used already")):
        sends(visit, code, "Confirm this change")
        told(visit, why)
        with closing(open_views(governed.home)) as views:
            assert [one.number for one in views.governance().changes] == [governed.change]
    sends(visit, governed.code(BEA), "Confirm this change")
    told(visit, "Done: confirm a change of another.")
    with closing(open_views(governed.home)) as views:
        seen = views.governance()
        assert not seen.changes and NEW in {person.name for person in seen.people}
    act = newest(governed, BEA)
    assert (act.action, act.outcome, act.subject) == (
        "change.confirm", "done", str(governed.change)
    )  # fmt: skip


def test_a_link_to_a_run_leads_there_after_the_login(
    seen_by: SeenBy, governed: GovernedFolder
) -> None:
    with closing(open_views(governed.home)) as views:
        (run,) = views.runs()
        title = views.dossier(run.run_id).study_title
    visit = seen_by(CLEO, f"runs?run={run.run_id}")
    told(visit, title)
    assert visit.page.url.endswith(f"/runs?run={run.run_id}")
