"""The simulated consortium: a local Ray, one actor per hospital, and what they have in common."""

import math
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from protocol.counted import counted
from protocol.encoding import digest
from protocol.errors import (
    CohortRefused,
    WorkspaceRefused,
    named,
)
from protocol.identity.roster import CoordinatorIdentity, Member, Roster
from protocol.identity.timestamps import NEVER
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import BUNDLED, Study
from silos.actor import Seat, seats_of
from silos.isolation.remote_error import Refused
from silos.training.ray_runtime import own_ray, ray

#: A simulated hospital's life-long epsilon, and its delta where a study declares none.
DEFAULT_BUDGET = 10.0
DEFAULT_DELTA = 1e-5
MAX_WORKERS = 64
#: Of the processes that hold hospitals: one takes 0.4 GB before it holds any record.
MAX_PROCESSES = 12


def usual_processes() -> int:
    """Returns how many processes hold hospitals unless a person says otherwise: one for a core."""
    return min(len(os.sched_getaffinity(0)), MAX_PROCESSES)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a simulation is told beside the study; nothing here changes a result.

    ``workers`` is how many processes compute gradients inside each hospital,
    ``processes`` how many hold hospitals: beyond that, several share one. By
    default there is one for each core, for each takes seconds to import torch and Opacus.

    Raises:
        WorkspaceRefused: the budget is not a number above zero, or too many workers.
    """

    data: Path | None = None
    budget: float | None = None
    test_noise: bool = False
    workers: int = 1
    processes: int = field(default_factory=usual_processes)

    def __post_init__(self) -> None:
        if self.budget is not None and not 0 < self.budget < math.inf:
            raise WorkspaceRefused(f"--budget {self.budget:g}: give a number above zero")
        if not 1 <= self.workers <= MAX_WORKERS:
            raise WorkspaceRefused(f"--workers {self.workers}: give 1 to {MAX_WORKERS}")
        if not 1 <= self.processes <= MAX_WORKERS:
            raise WorkspaceRefused(f"--processes {self.processes}: give 1 to {MAX_WORKERS}")

    def require_sources(self, study: Study) -> None:
        """Refuses at once what would otherwise be found only when the hospitals have started.

        Raises:
            CohortRefused: ``--data`` or a file in it is missing, or a site names no file.
        """
        nameless = [site.name for site in study.sites if site.records is None]
        if study.deal is None and nameless:
            raise CohortRefused(
                f"site {nameless[0]}: the study names no file for its records: write sites: - "
                f"{{name: {nameless[0]}, records: {nameless[0]}.csv, ...}}"
            )
        named = [study.deal.records] if study.deal else [site.records for site in study.sites]
        files = [name for name in named if name is not None and name != BUNDLED]
        if files and self.data is None:
            raise CohortRefused(f"--data is missing: name the folder that holds {files[0]}")
        for name in files:
            if self.data is not None and not (self.data / name).is_file():
                if self.data.is_file():
                    raise CohortRefused(f"--data {self.data} is a file: name the folder it is in")
                raise CohortRefused(f"--data {self.data} holds no file {name}")


@dataclass(frozen=True, kw_only=True)
class Consortium:
    """The simulated hospitals and what they have in common; small enough to hand to a task."""

    root: Path
    seats: Mapping[str, Seat]
    roster: Roster
    data: Path | None
    test_noise: bool


@contextmanager
def consortium(
    workspace: Workspace, study: Study, settings: Settings, enough: float = DEFAULT_BUDGET
) -> Iterator[Consortium]:
    """Starts Ray and one hospital per site, and ends both when the block ends.

    Args:
        workspace: holds the hospitals; those that are there keep keys, budget and ledger.
        study: names them.
        settings: see there.
        enough: the budget of a new hospital, where the settings name none.

    Raises:
        PolicyRefused: the settings name another budget than a hospital has.
    """
    Store(workspace.database).close()  # made and migrated before anybody needs it
    with simulation_ray():
        seats = seats_of(
            {site: workspace.silos.resolve() / site for site in study.site_names},
            processes=settings.processes,
            workers=settings.workers,
        )
        privacy = study.privacy if isinstance(study.privacy, PatientPrivacy) else None
        delta, unit = (privacy.delta, privacy.unit) if privacy else (DEFAULT_DELTA, "patient")
        members: list[Member] = told(
            {
                site: seat.ask("open", settings.budget, enough, delta, unit)
                for site, seat in seats.items()
            }
        )
        for seat in seats.values():
            seat.ask("warm_up")
        yield Consortium(
            root=workspace.root.resolve(),
            seats=seats,
            roster=Roster(
                coordinator=CoordinatorIdentity(public_key=workspace.public_key().hex(), root=None),
                members=tuple(sorted(members, key=lambda member: member.site)),
                valid_until=NEVER,
            ),
            data=settings.data.resolve() if settings.data else None,
            test_noise=settings.test_noise,
        )


def simulated_split_key(study: Study, site: str) -> bytes:
    """Returns what stands for a hospital's own secret key: it follows the public split seed."""
    secret = f"split/{study.seeds.split}/{site}".encode()
    return bytes.fromhex(digest(secret))


@contextmanager
def simulation_ray() -> Iterator[None]:
    """Starts the simulation's Ray, closed to the machine's other users; ends it with the block."""
    # A task that waits gives its CPU back, and more would start; these it keeps.
    resources = {"coordinator": os.cpu_count() or 1, "exact figures": 1}
    with _sigterm_kept(), own_ray(gpu=True, resources=resources):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _stop)  # Ray's own handler would end us without a word
        yield


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Gives the process its own handler back when the block ends: a notebook goes on after it."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _stop(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def told(references: Mapping[str, Any]) -> list[Any]:
    """Returns what every hospital said, or raises the first refusal with its reason.

    A simulation sits inside every hospital, so it may read the reason.
    """
    answers = dict(zip(references, ray.get(list(references.values())), strict=True))
    refusals = [answer for answer in answers.values() if isinstance(answer, Refused)]
    if refusals:
        reasons = list(dict.fromkeys(refusal.reason for refusal in refusals))
        more = f" (and {counted(len(reasons) - 2, 'more site')})" if len(reasons) > 2 else ""
        raise named(refusals[0].kind)("\n".join(reasons[:2]) + more)
    return list(answers.values())
