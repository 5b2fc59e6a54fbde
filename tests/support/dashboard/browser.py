"""A browser's part of the conversation: forms, cookies, and Streamlit's websocket."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx2
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

from compliance.governance.access.one_time_codes import STEP_SECONDS, code_at
from compliance.storage.clock import utc_now
from tests.support.hospital.accounts import PASSWORD, Accounts
from tests.support.machine.plain_http import NO_TLS

ROOT = Path(__file__).parents[3]
_SECONDS = 60.0


@dataclass
class Served:
    """A server over people's accounts, with the clocks that it goes by."""

    accounts: Accounts
    port: int
    day: float = 0.0
    steady: float = 0.0

    @property
    def url(self) -> str:
        """The address of its pages."""
        return f"http://127.0.0.1:{self.port}"

    def move(self, *, day: float = 0.0, steady: float = 0.0) -> None:
        """Moves its clocks."""
        self.day, self.steady = self.day + day, self.steady + steady
        for name in ("day", "steady"):
            (self.accounts.root.parent / name).write_text(str(getattr(self, name)))
        self.accounts.clock.now = utc_now() + timedelta(seconds=self.day)

    def code(self, name: str) -> str:
        """Returns a code of a person that was not used before."""
        self.move(day=STEP_SECONDS)
        return code_at(self.accounts.one_time[name], self.accounts.clock.now)


@dataclass
class Browser:
    """A browser with one cookie."""

    served: Served
    http: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx2.Client(base_url=self.served.url, timeout=_SECONDS, verify=NO_TLS)

    @property
    def own(self) -> dict[str, str]:
        """The headers of a request that one of the server's pages makes."""
        return {"origin": self.served.url, "accept": "text/html"}

    def log_in(self, name: str, password: str = PASSWORD, code: str | None = None) -> int:
        """Sends the form of the login; returns the status."""
        said = {"name": name, "password": password, "then": "/"}
        said["code"] = self.served.code(name) if code is None else code
        return self.http.post("/login", data=said, headers=self.own).status_code

    @property
    def token(self) -> str:
        """The session's token."""
        return str(self.http.cookies.get(f"collegium-{self.served.port}") or "")

    def open(
        self, token: str | None = None, origin: str | None = None
    ) -> AbstractContextManager[ClientConnection]:
        """Opens the page's websocket, until the block ends."""
        cookie = f"collegium-{self.served.port}={self.token if token is None else token}"
        address = f"ws://127.0.0.1:{self.served.port}/_stcore/stream"
        return connect(
            address,
            origin=self.served.url if origin is None else origin,  # type: ignore[arg-type]
            additional_headers={"Cookie": cookie},
            subprotocols=["streamlit"],  # type: ignore[list-item]
            max_size=None,
            open_timeout=_SECONDS,
        )


def rerun(page: ClientConnection, *, auto: bool = False) -> None:
    """Asks for a run of the page, as a person or as a live refresh."""
    message = BackMsg()
    message.rerun_script.query_string = ""
    message.rerun_script.is_auto_rerun = auto
    page.send(message.SerializeToString())


def shown(page: ClientConnection, pattern: str) -> re.Match[str]:
    """Returns the first words that the page shows and that a pattern is in."""
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        data = page.recv(timeout=_SECONDS)
        assert isinstance(data, bytes)
        found = re.search(pattern, str(ForwardMsg.FromString(data)))
        if found:
            return found
    raise AssertionError(f"{pattern} was not shown")


def left(page: ClientConnection, seconds: float = 10.0) -> tuple[str, int]:
    """Returns where the browser was sent, and with which code the page's websocket was closed."""
    from websockets.exceptions import ConnectionClosed

    url, until = "", time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            data = page.recv(timeout=max(0.01, until - time.monotonic()))
            said = ForwardMsg.FromString(data if isinstance(data, bytes) else b"")
            url = said.auth_redirect.url or url
    except ConnectionClosed as closed:
        return url, closed.rcvd.code if closed.rcvd else 0
    raise AssertionError(f"the page is open after {seconds} s")


@contextmanager
def serving(accounts: Accounts, script: Path) -> Iterator[Served]:
    """Serves a folder in a process of its own until the block ends."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    log = accounts.root.parent / "served.log"
    with log.open("wb") as told:
        command = [sys.executable, "-m", "tests.support.dashboard.served"]
        process = subprocess.Popen(
            [*command, str(accounts.root), str(port), str(script)],
            cwd=ROOT,
            stdout=told,
            stderr=told,
        )
    served = Served(accounts, port)
    served.move()
    try:
        until = time.monotonic() + _SECONDS
        while True:
            try:
                httpx2.get(f"{served.url}/healthz", timeout=5, verify=NO_TLS).raise_for_status()
                break
            except httpx2.TransportError:
                assert process.poll() is None and time.monotonic() < until, log.read_text()
                time.sleep(0.1)
        yield served
    finally:
        process.terminate()
        process.wait(20)
