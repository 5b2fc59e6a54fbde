"""What silent connections do to a hospital that asks: with the connection limits, and without.

Two addresses hold so many connections on which nothing is said, and open each
anew that is ended; meanwhile a hospital connects again and again and asks
whether the coordinator answers. Every server demands a certificate:

* ``limits``: the coordinator's own, with 1,024 files, which most systems allow;
* ``uvicorn``: uvicorn alone with ``limit_concurrency``, as many files;
* ``in 10 s``: the same, and TLS must be agreed within ten seconds;
* ``files``: the same with 8,192 files, as the shipped unit allows.

    python -m tests.bench.silent_connections
    python -m tests.bench.silent_connections --connections 5000 --requests 30
"""

import argparse
import asyncio
import contextlib
import http.client
import resource
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from coordinator.http.protocol_limits import server_config
from coordinator.membership.authority import Authority
from coordinator.membership.directory import make_home
from silos.config.credentials import Credentials

_FILES, _MANY_FILES, _SECONDS = 1024, 8192, 10.0
_KINDS = ("limits", "uvicorn", "in 10 s", "files")
_SOURCES = ("127.0.0.4", "127.0.0.5")


class TenSeconds(asyncio.SelectorEventLoop):
    """An event loop whose TLS servers wait ten seconds for a handshake."""

    async def create_server(self, *args: Any, **more: Any) -> asyncio.Server:
        """See ``asyncio``."""
        return await super().create_server(*args, **more, ssl_handshake_timeout=10.0)


def serve(kind: str, home: Path, port: int) -> None:
    """Serves ``ok``, with the coordinator's limits or with uvicorn's alone."""
    most = _MANY_FILES if kind == "files" else _FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    async def ok(_request: Request) -> Response:
        return Response("ok")

    app = Starlette(routes=[Route("/healthz", ok)])
    context = Authority.open(home).server_context()
    if kind == "limits":
        config = server_config(app, context, host="127.0.0.1", port=port)
    else:
        config = uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            http="httptools",
            loop="asyncio" if kind == "uvicorn" else "tests.bench.silent_connections:TenSeconds",
            lifespan="off",
            log_config=None,
            access_log=False,
            limit_concurrency=600,
            ssl_context_factory=lambda _config, _default: context,
        )
    uvicorn.Server(config).run()


def hold(port: int, number: int, source: str, ended: threading.Event) -> None:
    """Keeps so many connections open, and opens each anew that is ended."""
    held: list[socket.socket | None] = [None] * number
    while not ended.is_set():
        for place, line in enumerate(held):
            if ended.is_set():
                break
            if line is None or _is_over(line):
                held[place] = _silent(port, source)
        ended.wait(0.05)
    for line in held:
        if line is not None:
            line.close()


def _silent(port: int, source: str) -> socket.socket | None:
    line = socket.socket()
    line.setblocking(False)
    line.bind((source, 0))
    with contextlib.suppress(BlockingIOError):
        try:
            line.connect(("127.0.0.1", port))
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                line.close()
                return None
    return line


def _is_over(line: socket.socket) -> bool:
    try:
        over = line.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        over = True
    if over:
        line.close()
    return over


def ask(port: int, context: ssl.SSLContext) -> float | None:
    """Returns how long one request in a connection of its own took; None where it failed."""
    began = time.monotonic()
    line = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=_SECONDS)
    with contextlib.closing(line):
        try:
            line.request("GET", "/healthz")
            return time.monotonic() - began if line.getresponse().status == 200 else None
        except (OSError, http.client.HTTPException):
            return None


def hospital(home: Path, folder: Path) -> ssl.SSLContext:
    """Returns the TLS of a hospital with a certificate of this consortium."""
    credentials = Credentials(folder / "tls", "east")
    authority = Authority.open(home)
    chain = authority.certify(credentials.request(), "east")
    text = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)
    credentials.accept(authority.root_pem, text.decode())
    return credentials.context()


def measure(kind: str, folder: Path, connections: int, requests: int) -> str:
    """Returns one row of the table."""
    home = folder / kind.replace(" ", "-")
    make_home(home, ["127.0.0.1"])
    context = hospital(home, home.with_name(f"{home.name}-hospital"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    words = [sys.executable, "-m", "tests.bench.silent_connections"]
    words += ["--serve", kind, str(home), str(port)]
    server = subprocess.Popen(words, stderr=subprocess.DEVNULL)  # asyncio tells of every refusal
    try:
        while ask(port, context) is None:
            time.sleep(0.1)
        quiet = [ask(port, context) for _ in range(requests)]
        ended = threading.Event()
        with ThreadPoolExecutor(len(_SOURCES)) as pool:
            for source in _SOURCES:
                pool.submit(hold, port, connections // len(_SOURCES), source, ended)
            time.sleep(3)
            beside = [ask(port, context) for _ in range(requests)]
            ended.set()
    finally:
        server.terminate()
        server.wait(30)
    return f"{kind:8} {_row(quiet)}   {_row(beside)}"


def _row(took: list[float | None]) -> str:
    good = [seconds for seconds in took if seconds is not None]
    median = f"{statistics.median(good) * 1000:6.0f} ms" if good else "        -"
    return f"{len(good):3} of {len(took)} answered, median {median}"


def main() -> None:
    """Measures both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--only", nargs="*", choices=_KINDS)
    parser.add_argument("--serve", nargs=3)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve[0], Path(asked.serve[1]), int(asked.serve[2]))
        return
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(f"{'':8} {'alone':38}   beside {asked.connections} silent connections")
    with tempfile.TemporaryDirectory() as folder:
        for kind in asked.only or _KINDS:
            print(measure(kind, Path(folder), asked.connections, asked.requests), flush=True)


if __name__ == "__main__":
    main()
