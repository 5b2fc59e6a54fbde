"""Sessions in a browser: what is left of one after the log-out, and of a role that was taken away.

The tests stand in their order: the second one takes a role away for good.
"""

import json
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx2
from websockets import Origin, Subprotocol
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from coordinator.views.governance import RecordedAct
from coordinator.views.views import open_views
from dashboard.texts import say
from tests.support.browser.visit import Visit
from tests.support.dashboard.governed_folder import DRILL, NEW, GovernedFolder
from tests.support.hospital.accounts import DAN
from tests.support.hospital.people import ADA, BEA, CLEO, write_key_file
from tests.support.machine.commands import COMMAND, start
from tests.support.machine.patience import PATIENCE
from tests.support.machine.plain_http import NO_TLS
from tests.support.networked.network import until

SeenBy = Callable[..., Visit]
#: Within so many seconds an open page shows nothing any more that its person may not see.
SECONDS = 10.0
REASON = "a court has asked for it"


def acts_of(governed: GovernedFolder, person: str) -> tuple[RecordedAct, ...]:
    with closing(open_views(governed.home)) as views:
        return views.acts(person=person)


def statuses(base: str, cookie: str, file: str) -> list[int]:
    """Returns what a page, a file that the page offered, and a download answer to a cookie."""
    own = {"cookie": cookie, "origin": base}
    paths = ("/", file, "/download/report.pdf")
    return [
        httpx2.get(base + path, headers=own, timeout=PATIENCE, verify=NO_TLS).status_code
        for path in paths
    ]


def opens(base: str, cookie: str) -> bool:
    """Whether the websocket of the pages opens to a cookie."""
    try:
        with connect(
            f"{base.replace('http', 'ws')}/_stcore/stream",
            origin=Origin(base), subprotocols=[Subprotocol("streamlit")],
            additional_headers={"Cookie": cookie}, open_timeout=PATIENCE,
        ):  # fmt: skip
            return True
    except InvalidStatus:
        return False


def test_after_the_log_out_the_cookie_opens_no_page_no_websocket_and_no_download(
    seen_by: SeenBy, governed: GovernedFolder, logged_in_at: str
) -> None:
    visit = seen_by(DAN)
    visit.turn_to("Reports")
    visit.press(say("reports.export", form="PDF"))
    visit.told(say("reports.download", name=""))
    with visit.page.expect_download() as kept:
        visit.page.get_by_test_id("stDownloadButton").get_by_role("button").click()
    file = kept.value.url.removeprefix(logged_in_at)
    (held,) = (one for one in visit.page.context.cookies() if one["name"].startswith("collegium"))
    cookie = f"{held['name']}={held['value']}"
    assert statuses(logged_in_at, cookie, file) == [200, 200, 404] and opens(logged_in_at, cookie)
    other = visit.page.context.new_page()
    other.goto(f"{logged_in_at}/runs")
    other.get_by_text(say("runs.search")).wait_for(timeout=1000.0 * PATIENCE)

    visit.press(say("navigation.log_out"))
    for page in (visit.page, other):
        page.wait_for_url("**/login?told=logged-out", timeout=1000.0 * PATIENCE)
        assert page.locator("#password").count() and DAN not in page.inner_text("body")
    assert statuses(logged_in_at, cookie, file) == [401, 401, 401]
    assert not opens(logged_in_at, cookie)
    visit.page.goto(f"{logged_in_at}/runs")
    assert "/login?" in visit.page.url
    until(lambda: acts_of(governed, DAN)[-1].action == "logout")


def test_a_role_taken_away_by_a_command_empties_the_open_page_and_its_form_is_refused(
    seen_by: SeenBy, governed: GovernedFolder, tmp_path: Path
) -> None:
    def roles() -> set[str]:
        with closing(open_views(governed.home)) as views:
            people = views.governance().people
        return {*next(one.roles for one in people if one.name == CLEO)}

    files = {
        name: write_key_file(governed.people.key(name), tmp_path / f"{number}.key")
        for number, name in enumerate((ADA, BEA))
    }
    home, place = ("--home", governed.home), say("approvals.place_button")
    visit = seen_by(CLEO)
    visit.turn_to("Approvals")
    visit.told(NEW)
    visit.page.get_by_role("tab", name=say("approvals.holds")).click()
    visit.unfold(say("approvals.place_hold"))
    visit.form(place).get_by_role("textbox", name=say("approvals.reason")).fill(REASON)
    assert DRILL in visit.content()
    other = visit.page.context.new_page()  # nobody touches it
    other.goto(f"{visit.base}/approvals")
    other.get_by_text(NEW).first.wait_for(timeout=1000.0 * PATIENCE)

    asked = ("people", "roles", CLEO, "--role", "data-scientist", *home, "--as", files[ADA])
    change = json.loads(start(*asked, "--json").stdout)["change"]
    confirm = ("people", "confirm", change, *home, "--as", files[BEA])
    process = subprocess.Popen([*COMMAND, *map(str, confirm)], stdout=subprocess.DEVNULL)
    try:
        until(lambda: roles() == {"data-scientist"})
        visit.form(place).get_by_role("button", name=place).click(force=True, no_wait_after=True)
        for page in (other, visit.page):
            refused = page.get_by_text(say("navigation.refused", name=CLEO))
            refused.wait_for(timeout=1000.0 * SECONDS)
    finally:
        assert process.wait(PATIENCE) == 0
    visit.settle()
    text = visit.content() + (other.text_content("body") or "")
    assert [one for one in (NEW, DRILL, BEA, REASON, place) if one in text] == []
    visit.open("approvals")
    assert say("navigation.refused", name=CLEO) in visit.words()
    with closing(open_views(governed.home)) as views:
        assert not views.governance().holds
    assert "hold.place" not in {act.action for act in acts_of(governed, CLEO)}
