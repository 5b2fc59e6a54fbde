"""A preflight that tries no line and starts no training process, which takes a second."""

import ssl
from datetime import datetime
from pathlib import Path
from typing import Any

from protocol.study.study import Study
from silos.isolation.confinement import Confined
from silos.isolation.remote_trainer import TrainingMachine
from silos.preflight.checks import SiteCheck, check_site
from silos.preflight.connectivity import Contact


class NeverStarted:
    """A training process that is confined, and does nothing."""

    def __init__(self, machine: TrainingMachine) -> None:
        self.confined = Confined(files=True, network=True, sockets=True)

    def ask(self, name: str, *given: Any) -> Any:
        """Raises AssertionError: a test of the process itself starts one."""
        raise AssertionError(f"{name} is asked of a training process that was never started")

    def close(self) -> None:
        """Does nothing."""


def unreachable(_url: str, _context: ssl.SSLContext) -> Contact:
    raise RuntimeError("the line is not to be tried")


def check_quickly(
    home: Path, study: Study, folder: Path, *, now: datetime | None = None
) -> SiteCheck:
    """Returns what ``silo check`` finds of the study, the records and the rules."""
    return check_site(home, study, folder, reach=unreachable, start=NeverStarted, now=now)
