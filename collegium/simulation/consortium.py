"""The simulated consortium: a Ray, one actor per hospital, and what they have in common.

Hospitals, with their ledgers, keys and records' files, are on this machine; where a Ray cluster is
named, their workers are on its nodes.
"""

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from silos.isolation.remote_error import RemoteRefusal
from silos.network.actor import ActorHandle, actors_of
from silos.training.private_folder import private_folder
from silos.training.ray_runtime import own_ray, ray
from silos.training.worker_pool.cluster_address import resolved
from silos.training.worker_pool.joining import joined, require_cluster
from silos.training.worker_pool.shares import WorkerShares, require_room, room_for


@dataclass(frozen=True, kw_only=True)
class Consortium:
    """The simulated hospitals and what they have in common; small enough to hand to a task.

    ``draw_seed`` is what a study without privacy draws its batches from; None: each run draws one.
    """

    root: Path
    actors: Mapping[str, ActorHandle]
    roster: Roster
    data: Path | None
    test_noise: bool
    shares: WorkerShares = field(default_factory=WorkerShares)
    draw_seed: int | None = None


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
    with simulation_ray(settings, len(study.site_names)):
        actors = actors_of(
            {site: workspace.silos.resolve() / site for site in study.site_names},
            processes=settings.processes,
            shares=settings.shares,
        )
        privacy = study.privacy if isinstance(study.privacy, PatientPrivacy) else None
        delta, unit = (privacy.delta, privacy.unit) if privacy else (DEFAULT_DELTA, "patient")
        members: list[Member] = results_of(
            {
                site: actor.ask("open", settings.budget, enough, delta, unit)
                for site, actor in actors.items()
            }
        )
        if study.has_model:
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
            shares=settings.shares,
            draw_seed=settings.draw_seed,
        )


@contextmanager
def simulation_ray(
    settings: SimulationSettings | None = None, hospitals: int = 1
) -> Iterator[None]:
    """Starts the simulation's Ray, or joins the cluster that is named; ends it with the block.

    Either is closed to the machine's other users.

    Args:
        settings: name the cluster, if there is one.
        hospitals: which all train at once, each with its workers.

    Raises:
        DeviceRefused: the cluster does not let this machine in, or has no room for all workers.
    """
    with _sigterm_kept(), _ray(settings or SimulationSettings(), hospitals):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _stop)  # Ray's own handler would end us without a word
        yield


@contextmanager
def _ray(settings: SimulationSettings, hospitals: int) -> Iterator[None]:
    # A task that waits gives its CPU back, and more would start; these it keeps.
    resources = {"coordinator": float(os.cpu_count() or 1), "exact figures": 1.0}
    cluster, shares = settings.cluster, settings.shares
    if cluster is None:
        with own_ray(gpu=True, resources=resources):
            yield
        return
    address, token = resolved(cluster.address), cluster.token()
    with private_folder() as folder:
        nodes = require_cluster(folder, address, token)
        workers = hospitals * shares.count
        require_room(shares.asked, workers, nodes)
        # Each run at work has its own workers.
        runs = min(resources["coordinator"], room_for(shares.asked, nodes) // workers)
        with joined(folder, address, token, resources=resources | {"coordinator": runs}):
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
