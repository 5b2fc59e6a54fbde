"""Pictures of every page for docs and README, from a run over the network: make screenshots."""

import argparse
import shutil
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from compliance.governance.access.one_time_codes import code_at
from compliance.governance.acts import ActRequest
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.runs.person_acts import perform
from coordinator.runs.sign_in import new_account
from dashboard.app import PAGES
from protocol.identity.timestamps import write_time
from tests import ROOT
from tests.support.browser.chromium import started_browser
from tests.support.browser.served import served_dashboard
from tests.support.browser.visit import Visit, visiting
from tests.support.hospital.accounts import PASSWORD
from tests.support.hospital.people import BEA, CLEO, People

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TO = ROOT / "docs" / "images" / "dashboard"
#: The only page that is shown in the dark, and the only one that is shown on a phone.
_DARK, _PHONE = "fairness", "today"


def main() -> None:
    """Takes the pictures over a coordinator's folder, or over a network demo made for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="the folder that collegium network-demo wrote")
    said = parser.parse_args()
    with TemporaryDirectory() as made:
        place = Path(made)
        if said.out is None:
            command = [sys.executable, "-m", "collegium", "network-demo", "--out"]
            subprocess.run([*command, str(place / "network")], check=True)
        home = place / "coordinator"
        shutil.copytree((said.out or place / "network") / "coordinator", home)
        secret = _people(home)
        with started_browser() as browser, served_dashboard(home) as address:
            _take(browser, address, secret)


def _people(home: Path) -> bytes:
    """Registers people, of whom the lead has an account; returns the secret of the lead's codes."""
    workspace = Workspace(home)
    with closing(Store(workspace.database)) as store:
        people = People.over(store, workspace.signing_key())
        people.found()
        newest = people.key("Dr. Dan Scientist").public.hex()
        said = {"key": newest, "roles": ("data-scientist",)}
        people.act(BEA, "person.add", ("person", "Dr. Dan Scientist"), said)  # waits for a second
    now = write_time(datetime.now(UTC))
    drill = {"kind": "lost-backup", "severity": "high", "drill": True, "known": now}
    request = ActRequest(
        action="incident.open", subject_kind="incident", subject="A drill", details=drill
    )
    perform(home, request, people.key(BEA))
    _, secret = new_account(home, people.key(CLEO), PASSWORD)
    return secret


def _take(browser: "Browser", address: str, secret: bytes) -> None:
    TO.mkdir(parents=True, exist_ok=True)
    with visiting(browser, address) as visit:
        _log_in(visit, secret)
        for name in PAGES:
            visit.open("" if name == "today" else name)
            visit.picture(TO / f"{name}.png")
        state = visit.page.context.storage_state()
    for name, width, scheme in ((_DARK, 1440, "dark"), (_PHONE, 390, "light")):
        context = browser.new_context(
            viewport={"width": width, "height": 844}, color_scheme=scheme, storage_state=state
        )
        again = Visit(context.new_page(), address)
        again.open("" if name == "today" else name)
        again.picture(TO / f"{name}-{scheme if scheme == 'dark' else 'phone'}.png")
        context.close()
    for picture in TO.glob("*.png"):
        _small(picture)


def _log_in(visit: Visit, secret: bytes) -> None:
    visit.page.goto(f"{visit.base}/login")
    visit.page.fill("[name=name]", CLEO)
    visit.page.fill("[name=password]", PASSWORD)
    visit.page.fill("[name=code]", code_at(secret, datetime.now(UTC)))
    visit.page.click("button")
    visit.settle()


def _small(picture: Path) -> None:
    """Writes a picture anew with 128 colours, which a page of text needs no more than."""
    from PIL import Image

    with Image.open(picture) as whole:
        whole.convert("RGB").quantize(128).save(picture, optimize=True)


if __name__ == "__main__":
    main()
