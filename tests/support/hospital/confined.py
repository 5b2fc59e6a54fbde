"""A hostile trainer's attempts, in a confined process.

Run by tests/unit/silos/isolation/test_confinement.py.

``python -m tests.support.hospital.confined HOME OWN KIND PID PORT`` confines itself, for a KIND of
training (none, sockets, gpu), then tries, and prints as JSON what it got hold of.
"""

import ctypes
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from silos.isolation.confinement import confine


def tried(act: Callable[[], object]) -> str:
    try:
        act()
    except OSError as error:
        return type(error).__name__
    return "DONE"


def attempts(home: Path, keeper: int, port: int) -> dict[str, Callable[[], object]]:
    secret = home / "hospital-keys" / "split.key"
    return {
        "read a key": secret.read_bytes,
        "read the ledger": (home / "hospital.db").read_bytes,
        "list the home": lambda: os.listdir(home),
        "read a key through a link": lambda: _through_a_link(secret),
        "read a key through /proc": Path(f"/proc/{keeper}/root{secret}").read_bytes,
        "read the keeper's memory": lambda: Path(f"/proc/{keeper}/mem").open("rb"),
        "read the keeper's environment": Path(f"/proc/{keeper}/environ").read_bytes,
        "write to the home": lambda: (home / "planted").write_text("x"),
        "write beside its own folder": lambda: Path("/tmp/planted").write_text("x"),  # noqa: S108
        "move the home": lambda: home.rename(home.with_name("moved")),
        "kill the keeper": lambda: os.kill(keeper, signal.SIGKILL),
        "trace the keeper": lambda: _traced(keeper),
        "speak to this machine": lambda: socket.create_connection(("127.0.0.1", port), 5).close(),
        "send a datagram": lambda: _datagram("192.0.2.1"),
        "speak to the host of a virtual machine": lambda: socket.socket(socket.AF_VSOCK).close(),
        "mount over the home": lambda: _mounted(home),
        "change the kernel's settings": lambda: _opened("/proc/sys/kernel/core_pattern"),
        "name the keeper's thread": lambda: _opened(f"/proc/{keeper}/task/{keeper}/comm"),
    }


def allowed(own: Path, kind: str) -> dict[str, Callable[[], object]]:
    more = {
        "name a thread": lambda: _opened(f"/proc/self/task/{threading.get_native_id()}/comm"),
        "speak to a process of this machine": lambda: socket.socket(socket.AF_UNIX).close(),
    }
    return (more if kind == "gpu" else {}) | {
        "write to its own folder": lambda: (own / "notes").write_text("x"),
        "import its libraries": lambda: __import__("numpy"),
        "start a process": lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0),
    }


def _through_a_link(secret: Path) -> bytes:
    link = Path(os.environ["TMPDIR"]) / "link"
    with suppress(FileExistsError):
        link.symlink_to(secret)
    return link.read_bytes()


def _opened(place: str) -> None:
    """Opens a file for writing, and writes nothing."""
    os.close(os.open(place, os.O_WRONLY))


def _traced(keeper: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, keeper, None, None) != 0:  # PTRACE_ATTACH
        raise OSError(ctypes.get_errno(), "not traced")
    libc.ptrace(17, keeper, None, None)


def _datagram(to: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.sendto(b"a patient", (to, 53))


def _mounted(home: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", str(home).encode(), b"tmpfs", 0, None) != 0:
        raise OSError(ctypes.get_errno(), "not mounted")


def main(home: str, own: str, kind: str, keeper: str, port: str) -> None:
    found = confine(Path(home), Path(own), sockets=kind == "sockets", gpu=kind == "gpu")
    made = attempts(Path(home), int(keeper), int(port))
    sys.stdout.write(json.dumps({
        "confined": [found.files, found.network, found.sockets],
        "tried": {name: tried(act) for name, act in made.items()},
        "allowed": {name: tried(act) for name, act in allowed(Path(own), kind).items()},
    }))  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
