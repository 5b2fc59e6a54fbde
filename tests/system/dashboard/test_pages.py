"""Every page of the dashboard in a browser, over a run that went over the network."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from dashboard.app import PAGES
from dashboard.server.http.start_page import start_page
from tests.support.browser.chromium import started_browser
from tests.support.browser.served import served_dashboard
from tests.support.browser.visit import visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.networked.network import Network


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with started_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(
    browser: "Browser", run_once: "tuple[Network, str]", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    out = tmp_path_factory.mktemp("dashboard") / "coordinator"
    shutil.copytree(run_once[0].home, out)
    with served_dashboard(out, "--demo") as address:
        yield address


def test_the_first_visit_of_a_new_server_may_be_to_any_page(
    browser: "Browser", address: str
) -> None:
    with visiting(browser, address) as visit:
        visit.open("fairness")
        assert visit.problems == []
        assert "Fairness" in visit.words()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_drawn_without_error_other_hosts_or_serious_faults(
    name: str, browser: "Browser", address: str
) -> None:
    with visiting(browser, address) as visit:
        visit.open("" if name == "today" else name)
        faults = {"light": visit.serious_faults()}
        light = visit.background()
        visit.darken()
        assert visit.background() != light
        faults["dark"] = visit.serious_faults()
        assert faults == {"light": [], "dark": []}
        assert visit.problems == []


@pytest.mark.parametrize("name", ["", "utility", "audit"])
def test_the_start_page_names_every_script_that_its_page_loads(
    name: str, browser: "Browser", address: str
) -> None:
    with visiting(browser, address) as visit:
        visit.open(name)
        named = start_page(f"/{name}")
        assert [script for script in visit.scripts() if script not in named] == []
