"""Fixtures of the browser: one for each file, and folders that it looks at."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.browser.chromium import started_browser
from tests.support.browser.served import served_dashboard
from tests.support.browser.visit import Visit, visiting
from tests.support.dashboard.governed_folder import GovernedFolder
from tests.support.hospital.accounts import PASSWORD

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.networked.network import Network


@pytest.fixture(scope="module")
def chromium() -> "Iterator[Browser]":
    with started_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def governed(
    chromium: "Browser", run_once: "tuple[Network, str]", tmp_path_factory: pytest.TempPathFactory
) -> GovernedFolder:
    """A copy of a folder after a run over the network, with people, for the tests of one file."""
    home = tmp_path_factory.mktemp("governed") / "coordinator"
    shutil.copytree(run_once[0].home, home)
    return GovernedFolder(home)


@pytest.fixture(scope="module")
def logged_in_at(governed: GovernedFolder) -> Iterator[str]:
    """The address of ``collegium dashboard`` over that folder."""
    with served_dashboard(governed.home) as address:
        yield address


@pytest.fixture(scope="module")
def seen_by(
    governed: GovernedFolder, chromium: "Browser", logged_in_at: str
) -> Iterator[Callable[..., Visit]]:
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
