"""The database goes away while people look, and comes back: pages, login, health, metrics, log."""

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets import Origin, Subprotocol
from websockets.sync.client import ClientConnection, connect

from dashboard.app import PAGES
from dashboard.texts import say
from tests.support.browser.chromium import started_browser
from tests.support.browser.served import served_dashboard
from tests.support.browser.visit import visiting
from tests.support.dashboard.governed_folder import EVE, GovernedFolder
from tests.support.dashboard.postgresql_folder import (
    DATABASE_PASSWORD,
    guarded_database,
    move_rows,
)
from tests.support.dashboard.viewers import logged_in
from tests.support.hospital.accounts import PASSWORD
from tests.support.hospital.people import BEA, CLEO
from tests.support.machine.patience import PATIENCE
from tests.support.machine.plain_http import NO_TLS
from tests.support.machine.postgres import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: What the pages of a person who may see all show of two runs, where they show a run.
SHOWN = {"runs": "run-2", "models": "run-2", "sites": "north", "reports": "run-2"}


@dataclass
class Away:
    """A dashboard over a database that a test takes away; ``cookie`` is of somebody logged in."""

    postgres: Server
    folder: GovernedFolder
    url: str
    metrics_port: int
    outages: int = 0
    cookie: str = field(init=False)
    http: httpx2.Client = field(
        default_factory=lambda: httpx2.Client(timeout=PATIENCE, verify=NO_TLS)
    )

    def __post_init__(self) -> None:
        self.cookie = logged_in(self.port, BEA, self.folder.code(BEA))

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def log(self) -> str:
        return (self.folder.home.parent / f"dashboard-{self.port}.log").read_text()

    @contextmanager
    def without_database(self) -> Iterator[None]:
        """Stops the server of the database until the block ends; the dashboard notices both."""
        self.postgres.stop()
        self.outages += 1
        try:
            self.wait_for("does not answer")
            yield
        finally:
            self.postgres.start()
        self.wait_for("answers")

    def wait_for(self, database: str) -> None:
        until = time.monotonic() + PATIENCE
        while (said := self.health()) != {"status": "ok", "database": database}:
            assert time.monotonic() < until, said
            time.sleep(0.1)

    def health(self) -> object:
        answer = self.http.get(f"{self.url}/healthz")
        assert answer.status_code == 200
        return answer.json()

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        text = self.http.get(f"http://127.0.0.1:{self.metrics_port}/metrics").text
        lines = [one for one in text.splitlines() if one.startswith(f"collegium_dashboard_{name}")]
        return sum(float(one.rsplit(" ", 1)[1]) for one in lines)

    @contextmanager
    def open(self) -> Iterator[ClientConnection]:
        """Opens a page's websocket."""
        with connect(
            f"ws://127.0.0.1:{self.port}/_stcore/stream",
            max_size=None,
            origin=Origin(self.url),
            additional_headers={"Cookie": self.cookie},
            subprotocols=[Subprotocol("streamlit")],
            open_timeout=PATIENCE,
        ) as line:
            yield line


def look(line: ClientConnection, page: str) -> str:
    """Returns all that a page shows; an error of a script fails the test."""
    asked, shown = BackMsg(), []
    asked.rerun_script.page_name = page
    line.send(asked.SerializeToString())
    while True:
        data = line.recv(timeout=PATIENCE)
        told = ForwardMsg.FromString(data if isinstance(data, bytes) else data.encode())
        assert not told.delta.new_element.HasField("exception"), told
        if told.WhichOneof("type") == "delta":
            shown.append(str(told.delta))
        if told.WhichOneof("type") == "script_finished":
            return "\n".join(shown)


@pytest.fixture(scope="module")
def away(
    postgres: Server, genuine: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Away]:
    outside = tmp_path_factory.mktemp("away")
    home = Path(shutil.copytree(genuine, outside / "coordinator"))
    folder = GovernedFolder(home)
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        metrics_port = int(trial.getsockname()[1])
    with guarded_database(postgres, outside) as address:
        move_rows(home, address)
        with served_dashboard(home, "--metrics-port", str(metrics_port)) as url:
            found = Away(postgres, folder, url, metrics_port)
            with found.http:
                yield found


def test_every_page_says_so_in_one_sentence_and_shows_itself_again_to_the_same_login(
    away: Away,
) -> None:
    silent = say("navigation.silent")
    with away.open() as line:
        assert SHOWN["runs"] in look(line, "runs")
        failed = away.metric("script_errors_total")
        with away.without_database():
            for name in PAGES:
                text = look(line, name)
                assert text.count(silent) == 1 and say(f"navigation.{name}") in text, name
                assert not any(one in text for one in ("run-1", "run-2", "north", "guarded")), name
            with away.open() as reloaded:
                assert silent in look(reloaded, "runs")
            assert away.metric("script_errors_total") == failed + len(PAGES) + 1
            assert away.metric("database_up") == 0
        for name in PAGES:
            text = look(line, name)
            assert silent not in text and SHOWN.get(name, "") in text, name
        assert away.metric("database_up") == 1
    alive = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'guarded'"
    with away.postgres.connect() as connection:
        assert connection.execute(alive).fetchone() in ((1,), (2,), (3,), (4,))


def test_nobody_can_log_in_meanwhile_which_is_no_failure_of_theirs(away: Away) -> None:
    said = {"name": EVE, "password": PASSWORD, "code": "123456", "then": "/"}
    own = {"origin": away.url, "accept": "text/html", "accept-language": "en"}
    refused = away.metric('logins_total{outcome="refused"}')
    with away.without_database():
        for _ in range(6):  # after five failures an address waits
            answer = away.http.post(f"{away.url}/login", data=said, headers=own)
            assert answer.status_code == 503 and "Nobody can log in now" in answer.text
            assert "postgresql" not in answer.text and "guarded" not in answer.text
    assert away.metric('logins_total{outcome="refused"}') == refused
    assert away.metric('logins_total{outcome="unavailable"}') == 6
    assert logged_in(away.port, EVE, away.folder.code(EVE))


@pytest.fixture
def chromium() -> "Iterator[Browser]":
    with started_browser() as browser:
        yield browser


def test_an_open_page_comes_back_by_itself(chromium: "Browser", away: Away) -> None:
    silent, shown = say("navigation.silent"), say("sites.budgets")
    with visiting(chromium, away.url) as visit:
        visit.log_in(CLEO, PASSWORD, away.folder.code(CLEO), "sites")
        assert "north" in visit.content()
        with away.without_database():
            visit.turn_to(say("navigation.runs"))
            assert silent in visit.words() and "north" not in visit.content()
            visit.open("sites")
            assert silent in visit.words()
        visit.page.wait_for_selector(f"text={shown}", timeout=1000.0 * PATIENCE)
        visit.settle()
        assert silent not in visit.words() and "north" in visit.content()
        assert visit.page.url == f"{away.url}/sites"
        assert visit.problems == []


def test_the_log_tells_once_that_it_is_gone_and_once_that_it_is_back_and_no_secret(
    away: Away,
) -> None:
    if not away.outages:
        with away.without_database():
            pass
    assert away.log.count("pages show nothing until the database answers") == away.outages
    assert away.log.count("the database answers again") == away.outages
    assert "who looks cannot be checked" not in away.log
    assert "Traceback" not in away.log and "postgresql://" not in away.log
    assert DATABASE_PASSWORD not in away.log
