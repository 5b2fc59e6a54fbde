"""Both ends of one line as processes of their own, so that the memory of each can be measured.

``python -m tests.support.networked.cut_line coordinator FOLDER SIZE`` offers a model of SIZE
bytes and takes an update of as many; ``... hospital FOLDER SIZE PORT`` fetches
and sends, through the port of a ``Proxy``. Each prints one line of JSON.
"""

import hashlib
import json
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from coordinator.delivery.http_link import HttpLink
from coordinator.membership.directory import make_home, open_members
from coordinator.runs.service import Service
from protocol.encoding import blob_digest
from protocol.errors import LinkLost
from protocol.identity.consortium_root import coordinator_of
from protocol.identity.roster import SigningKey
from protocol.transport.enrolment import to_bytes
from protocol.transport.requests import Answer, Delivery
from protocol.transport.steps import Request
from silos.config.credentials import read_invitation
from silos.database.database import open_hospital
from silos.network.client import CoordinatorClient
from silos.network.enrolment import enrol
from tests.support.machine.patience import PATIENCE

T = TypeVar("T")


def blob_of(seed: int, size: int) -> bytes:
    """Returns bytes that cannot be compressed, the same for the same seed."""
    return hashlib.shake_128(str(seed).encode()).digest(size)


@contextmanager
def measured(figures: dict[str, object], name: str) -> Iterator[None]:
    """Notes the peaks of Python's memory and of the process's, in bytes, above what was before."""
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark begins anew
    before, traced = _kept("VmRSS"), tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    yield
    figures[f"{name} python"] = tracemalloc.get_traced_memory()[1] - traced
    figures[f"{name} process"] = _kept("VmHWM") - before


def _kept(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(field + ":")]
    return int(line.split()[1]) << 10


def coordinator(folder: Path, size: int) -> dict[str, object]:
    """Asks one hospital for two things: to take a model, and to send an update."""
    figures: dict[str, object] = {}
    home = folder / "coordinator"
    make_home(home, ["127.0.0.1"])
    service = Service(home)
    with service.serving("127.0.0.1", 0) as port:
        with open_members(home) as members:
            invitation = members.invite("east", f"https://127.0.0.1:{port}")
        _write(folder / "port", str(port))
        _write(folder / "invitation", to_bytes(invitation).decode())
        link = HttpLink(
            service._resources.mailbox,
            service._resources.blobs,
            joined=lambda: frozenset(["east"]),
            max_vector=size,
            stop=threading.Event(),
        )
        with measured(figures, "download"):
            model = blob_of(1, size)
            asked = Request(run_id="run-1", step="advertise", message=b"", blob=model)
            [(_, reply)] = link.exchange({"east": asked}, PATIENCE)
        del model, asked
        with measured(figures, "upload"):
            wanted = Request(run_id="run-1", step="masked", message=b"")
            [(_, reply)] = link.exchange({"east": wanted}, PATIENCE)
        figures["update"] = blob_digest(reply.blob or b"")
        link.close()
        figures["left"] = sum(path.is_file() for path in (home / "blobs").rglob("*"))
    return figures


def hospital(folder: Path, size: int, port: int) -> dict[str, object]:
    """Does both, whatever happens to the line."""
    figures: dict[str, object] = {}
    home = folder / "east"
    home.mkdir()
    store = open_hospital(home / "hospital.db", site="east", split_key=bytes(32), simulated=True)
    invitation = read_invitation(folder / "invitation")
    root = str(coordinator_of(invitation.root).root)
    credentials = enrol(home, store, invitation, root=root)
    key = SigningKey.from_bytes(store.identity_key)
    wire = CoordinatorClient(
        "east",
        f"https://127.0.0.1:{port}",
        key,
        credentials.context(),
        coordinator=credentials.coordinator.key,
    )
    first = _until(lambda: wire.next(0, 25))
    if first.blob is None:
        raise RuntimeError("no model was offered")
    with measured(figures, "download"):
        figures["model"] = blob_digest(wire.fetch(first.blob))
    _again(lambda: wire.answer(Answer(number=first.number)))
    second = _until(lambda: wire.next(first.number, 25))
    with measured(figures, "upload"):
        sent = wire.send(blob_of(2, size))
    _again(lambda: wire.answer(Answer(number=second.number, blob=sent)))
    wire.close()
    store.close()
    return figures


def _again(act: Callable[[], T]) -> T:
    """Does something until the line holds, as a supervisor does."""
    while True:
        try:
            return act()
        except LinkLost:
            time.sleep(0.1)


def _until(ask: Callable[[], Delivery | None]) -> Delivery:
    while True:
        found = _again(ask)
        if found is not None:
            return found


def _write(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)


if __name__ == "__main__":
    tracemalloc.start()
    role, place, *numbers = sys.argv[1:]
    ends = {"coordinator": coordinator, "hospital": hospital}
    print(json.dumps(ends[role](Path(place), *map(int, numbers))))
