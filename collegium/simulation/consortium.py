"""The simulated consortium: a local Ray, one actor per hospital, and what they have in common."""

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collegium.simulation.settings import DEFAULT_BUDGET, DEFAULT_DELTA, SimulationSettings
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from protocol.counted import counted
from protocol.errors import named
from protocol.identity.roster import CoordinatorIdentity, Member, Roster
from protocol.identity.timestamps import NEVER
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study
from silos.actor import ActorHandle, actors_of
from silos.isolation.remote_error import RemoteRefusal
from silos.training.ray_runtime import own_ray, ray


@dataclass(frozen=True, kw_only=True)
class Consortium:
    """The simulated hospitals and what they have in common; small enough to hand to a task."""

    root: Path
    actors: Mapping[str, ActorHandle]
    roster: Roster
    data: Path | None
    test_noise: bool


@contextmanager
def consortium(
    workspace: Workspace, study: Study, settings: SimulationSettings, enough: float = DEFAULT_BUDGET
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
        actors = actors_of(
            {site: workspace.silos.resolve() / site for site in study.site_names},
            processes=settings.processes,
            workers=settings.workers,
            gpu=settings.gpu,
        )
        privacy = study.privacy if isinstance(study.privacy, PatientPrivacy) else None
        delta, unit = (privacy.delta, privacy.unit) if privacy else (DEFAULT_DELTA, "patient")
        members: list[Member] = results_of(
            {
                site: actor.ask("open", settings.budget, enough, delta, unit)
                for site, actor in actors.items()
            }
        )
        for actor in actors.values():
            actor.ask("warm_up")
        yield Consortium(
            root=workspace.root.resolve(),
            actors=actors,
            roster=Roster(
                coordinator=CoordinatorIdentity(public_key=workspace.public_key().hex(), root=None),
                members=tuple(sorted(members, key=lambda member: member.site)),
                valid_until=NEVER,
            ),
            data=settings.data.resolve() if settings.data else None,
            test_noise=settings.test_noise,
        )


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


def results_of(references: Mapping[str, Any]) -> list[Any]:
    """Returns what every hospital said, or raises the first refusal with its reason.

    A simulation sits inside every hospital, so it may read the reason.
    """
    answers = dict(zip(references, ray.get(list(references.values())), strict=True))
    refusals = [answer for answer in answers.values() if isinstance(answer, RemoteRefusal)]
    if refusals:
        reasons = list(dict.fromkeys(refusal.reason for refusal in refusals))
        more = f" (and {counted(len(reasons) - 2, 'more site')})" if len(reasons) > 2 else ""
        raise named(refusals[0].kind)("\n".join(reasons[:2]) + more)
    return list(answers.values())
