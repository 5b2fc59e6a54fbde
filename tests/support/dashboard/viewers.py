"""Viewers without a browser: each speaks to the dashboard over Streamlit's own websocket.

A viewer does what the browser's page does as far as the server feels it: it asks for a page, takes
all that is sent, and asks for a fragment again when its interval is over.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets import Origin, Subprotocol
from websockets.sync.client import ClientConnection, connect

from tests.support.hospital.accounts import PASSWORD
from tests.support.machine.patience import PATIENCE
from tests.support.machine.plain_http import NO_TLS


@dataclass
class DashboardProcess:
    """A running server of pages over a folder, in a process of its own."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """Returns the processor's seconds that the process has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100  # in USER_HZ, which is 100 on Linux

    def peak_mib(self) -> float:
        """Returns the most memory that it has held."""
        return self._held("VmHWM")

    def held_mib(self) -> float:
        """Returns the memory that it holds."""
        return self._held("VmRSS")

    def _held(self, name: str) -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
        raise RuntimeError("the system does not say how much memory a process held")


@contextmanager
def served(folder: Path) -> Iterator[DashboardProcess]:
    """Yields a server over a folder, as the command starts it, once it answers; ends it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--out", str(folder), "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "collegium", "dashboard", *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for(port)
        yield DashboardProcess(port, process.pid)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _wait_for(port: int) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            httpx2.get(f"http://127.0.0.1:{port}/healthz", verify=NO_TLS).raise_for_status()
            return
        except httpx2.HTTPError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def logged_in(port: int, name: str, code: str) -> str:
    """Returns the cookie of somebody who has logged in with the password of tests."""
    own = f"http://127.0.0.1:{port}"
    said = {"name": name, "password": PASSWORD, "code": code, "then": "/"}
    answer = httpx2.post(
        f"{own}/login", data=said, headers={"origin": own}, timeout=PATIENCE, verify=NO_TLS
    )
    if answer.status_code != 303:
        raise RuntimeError(f"{name} cannot log in: {answer.status_code}")
    return answer.headers["set-cookie"].split(";")[0]


@dataclass
class DashboardViewer:
    """One browser's page.

    ``paints`` are the seconds until each page that was asked for stood,
    ``elements`` the kinds of what was shown, ``cookie`` of a session where people log in.
    """

    port: int
    cookie: str = ""
    paints: list[float] = field(default_factory=list)
    refreshes: int = 0
    errors: list[str] = field(default_factory=list)
    elements: set[str] = field(default_factory=set)

    def look(self, pages: Sequence[str], seconds: float, refreshes: int = 0) -> None:
        """Looks at pages one after the other, at the last one for so many seconds.

        With ``refreshes`` it first looks again at each fragment so often, without a break.
        """
        address = f"ws://127.0.0.1:{self.port}/_stcore/stream"
        headers = {"Cookie": self.cookie} if self.cookie else {}
        with connect(
            address,
            max_size=None,
            origin=Origin(f"http://127.0.0.1:{self.port}"),
            additional_headers=headers,
            subprotocols=[Subprotocol("streamlit")],
        ) as line:
            every: dict[str, float] = {}
            for page in pages:
                began = time.monotonic()
                self._ask(line, page)
                every = self._take(line, until=None)
                self.paints.append(time.monotonic() - began)
            until = time.monotonic() + seconds
            due = {name: time.monotonic() + interval for name, interval in every.items()}
            for fragment in list(every) * refreshes:
                self.refreshes += 1
                self._ask(line, pages[-1], fragment)
                self._take(line, until=None)
            while time.monotonic() < until:
                self._take(line, until=min([until, *due.values()]))
                for fragment in [name for name, when in due.items() if when <= time.monotonic()]:
                    due[fragment] += every[fragment]
                    self.refreshes += 1
                    self._ask(line, pages[-1], fragment)

    def _ask(self, line: ClientConnection, page: str, fragment: str = "") -> None:
        asked = BackMsg()
        asked.rerun_script.page_name = page
        asked.rerun_script.fragment_id = fragment
        asked.rerun_script.is_auto_rerun = bool(fragment)
        line.send(asked.SerializeToString())

    def _take(self, line: ClientConnection, until: float | None) -> dict[str, float]:
        """Takes what is sent until a time, or until the page stands.

        Returns the seconds between two looks at each fragment that wants to be looked at again.
        """
        every: dict[str, float] = {}
        while True:
            left = PATIENCE if until is None else until - time.monotonic()
            if left <= 0:
                return every
            try:
                data = line.recv(timeout=left)
            except TimeoutError:
                if until is None:
                    raise
                return every
            told = ForwardMsg()
            told.ParseFromString(data if isinstance(data, bytes) else data.encode())
            kind = told.WhichOneof("type")
            if kind == "auto_rerun":
                every[told.auto_rerun.fragment_id] = told.auto_rerun.interval
            elif kind == "delta":
                element = told.delta.new_element
                self.elements.add(element.WhichOneof("type") or "")
                if element.HasField("exception"):
                    self.errors.append(element.exception.message)
            elif kind == "script_finished" and until is None:
                return every
