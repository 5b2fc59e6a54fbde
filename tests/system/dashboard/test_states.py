"""A folder in which nothing has run yet, in a browser without login."""

from pathlib import Path
from typing import TYPE_CHECKING

from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from dashboard.app import PAGES
from dashboard.texts import say
from tests.support.browser.served import served_dashboard
from tests.support.browser.visit import visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_pages_of_a_folder_without_a_run_say_what_to_do(
    chromium: "Browser", tmp_path: Path
) -> None:
    workspace = Workspace.create(tmp_path / "empty")
    Store(workspace.database).close()
    with served_dashboard(workspace.root, "--demo") as address, visiting(chromium, address) as own:
        own.open("")
        for name in PAGES:
            own.turn_to(say(f"navigation.{name}"))
            text = own.words()
            wanted = f"{name}.none" if name in ("models", "drift", "sites", "approvals") else ""
            if name != "audit":
                assert say(wanted or "runs.none") in text, name
            else:
                assert say("audit.verify") in text
        assert own.problems == []
