"""The dashboard as a process of its own, on loopback, until a test has ended."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx

from tests.support.machine.patience import PATIENCE


@contextmanager
def served_dashboard(out: Path, *options: str) -> Iterator[str]:
    """Yields the address of a dashboard over a folder."""
    port = _free_port()
    command = [sys.executable, "-m", "collegium", "dashboard", "--out", str(out), "--port",
               str(port), *options]  # fmt: skip
    with (out.parent / f"dashboard-{port}.log").open("wb") as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=said, env=os.environ | {"PYTHONWARNINGS": "default"}
        )
        try:
            _wait(process, port, Path(said.name))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _wait(process: "subprocess.Popen[bytes]", port: int, said: Path) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the dashboard ended: {said.read_text()}")
        try:
            if httpx.get(f"http://127.0.0.1:{port}/healthz").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError("the dashboard did not start")


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])
