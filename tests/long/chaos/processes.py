"""A hospital and a coordinator as processes of their own, to be killed at a point.

They are forked from a server that has imported everything already; what they
run is what the tests run in threads.
"""

import multiprocessing
import socket
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from random import Random

from coordinator.runs.resources import RunTimeouts
from coordinator.runs.service import Service
from silos.network.client import LineLimits
from tests.long.chaos import witness
from tests.long.chaos.points import Act, Point, arm, die
from tests.support.machine.patience import PATIENCE
from tests.support.networked.network import Site

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.long.chaos.processes"])
#: Seconds between two looks at certificate, roster and runs that have ended.
MAINTENANCE_SECONDS = 2.0


class PointNotReached(AssertionError):
    """The run went past the place where the fault was to happen."""


def silo_process(site: Site, point: Point, act: Act = die, chunk: int | None = None) -> "Child":
    """Starts a hospital's supervisor as a process, in which something happens at a point.

    ``chunk`` is how many bytes it sends at once, where not everything.
    """
    return Child(_FORKS.Process(target=_serve_silo, args=(site, point, act, chunk), daemon=True))


def coordinator_process(
    home: Path, port: int, pace: RunTimeouts, study_digest: str, point: Point, act: Act = die
) -> "Child":
    """Starts a coordinator's service and a run as a process, in which something happens."""
    arguments = (home, port, pace, study_digest, point, act)
    return Child(_FORKS.Process(target=_serve_coordinator, args=arguments, daemon=True))


class Child:
    """A process of ours."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        process.start()

    def wait_for_death(self, alive: Callable[[], None] = lambda: None) -> None:
        """Waits until the process was killed at its point.

        Raises:
            PointNotReached: it ended otherwise, or not in time.
        """
        self._process.join(PATIENCE)
        if self._process.exitcode != -9:
            code = self._process.exitcode
            self.end()
            raise PointNotReached(f"the process was not killed at its point: exit {code}")

    def end(self) -> None:
        """Kills the process where it still lives."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join(PATIENCE)


def _serve_silo(site: Site, point: Point, act: Act, chunk: int | None) -> None:
    if chunk is not None:
        site.line = LineLimits(part=chunk)
    arm(point, act)
    site.start()
    if site.thread is not None:
        site.thread.join()


def _serve_coordinator(
    home: Path, port: int, pace: RunTimeouts, study_digest: str, point: Point, act: Act
) -> None:
    witness.install()
    arm(point, act)
    service = Service(home, pace)
    with service.serving("127.0.0.1", port):
        for run_id in service.resume_runs() or [service.start_run(study_digest, test_noise=True)]:
            service.wait(run_id, PATIENCE)


def free_port() -> int:
    """Returns a port that is free, and the next one too, below those that lines go out from.

    A port that the system chooses may be taken by anybody's line before it is listened on.
    """
    random = Random()
    while True:
        port = random.randrange(20_000, 32_000, 2)
        with socket.socket() as one, socket.socket() as next_one:
            try:
                one.bind(("127.0.0.1", port))
                next_one.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
