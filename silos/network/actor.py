"""The silo as a Ray actor: in a simulation each process holds one hospital, or several.

Torch, MONAI and Opacus are imported here, inside the actor's own process, and
nowhere else: a process that only holds a handle never loads them.
"""

import gc
import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from protocol.transport.steps import Reply, Request
from silos.isolation.remote_error import refusal_as_value
from silos.training.ray_runtime import here, ray
from silos.training.worker_pool.shares import WorkerShares

Value = TypeVar("Value")
#: The hospital for which an actor works now.
_SPEAKING: ContextVar[str] = ContextVar("site", default="")


@ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0)  # a repeated call could spend twice
class SiloActor:
    """Holds one simulated hospital, or several, which then take turns."""

    def __init__(self, homes: Mapping[str, Path], shares: WorkerShares) -> None:
        make = partial(_make_trainer, shares)
        self._silos = {site: SimulatedSilo(site, home, make) for site, home in homes.items()}

    def call(self, site: str, name: str, *given: Any) -> Any:
        """Returns what one hospital's method of that name returns."""
        return self._silos[site].call(name, *given)


@dataclass(frozen=True)
class ActorHandle:
    """One simulated hospital's place in an actor; small enough to hand to a task."""

    actor: Any
    site: str

    def ask(self, name: str, *given: Any) -> Any:
        """Returns Ray's promise of what the hospital's method will return."""
        return self.actor.call.remote(self.site, name, *given)


def actors_of(
    homes: Mapping[str, Path], *, processes: int, shares: WorkerShares
) -> dict[str, ActorHandle]:
    """Starts actors for all hospitals on this machine; returns their handles.

    Args:
        homes: each hospital's folder.
        processes: how many actors at most.
        shares: what each hospital's workers may use, here or on a cluster.
    """
    sites = sorted(homes)
    actors: dict[str, ActorHandle] = {}
    for place in range(min(processes, len(sites))):
        own = sites[place::processes]
        actor = SiloActor.options(scheduling_strategy=here()).remote(  # type: ignore[attr-defined]
            {site: homes[site] for site in own}, shares
        )
        actors |= {site: ActorHandle(actor, site) for site in own}
    return {site: actors[site] for site in sites}


class SimulatedSilo:
    """One hospital inside an actor."""

    def __init__(self, site: str, home: Path, make: Callable[..., Any]) -> None:
        self._site = site
        self._home = home
        self._make = make
        self._silo: Any = None

    def call(self, name: str, *given: Any) -> Any:
        """Returns what this hospital's method of that name returns; its lines go to its own log."""
        _SPEAKING.set(self._site)
        return getattr(self, name)(*given)

    def open(self, budget: float | None, enough: float, delta: float, unit: str) -> Any:
        """Opens the hospital, made if it is new; returns its member record.

        A new hospital's patients are granted ``budget``, or ``enough`` where it is None. One
        that is there keeps what it granted, and settles the plans of runs that were killed.
        """

        def work() -> Any:
            from silos.rounds.silo import Silo  # imports nothing heavy yet

            self._home.mkdir(parents=True, exist_ok=True)
            _log_at_home(self._home / "silo.log", self._site)
            self._silo = Silo(
                self._site,
                self._home,
                self._make,
                simulated=True,
            )
            if budget is not None or not self._silo.has_budget:
                self._silo.grant(budget or enough, delta, unit)
            self._silo.settle_killed()
            return self._silo.member

        return refusal_as_value(work)

    def warm_up(self) -> None:
        """Imports what training will need, while others still get ready."""
        from silos.training.preparation import import_for_training

        import_for_training()

    def join(self, invitation: Any) -> Any:
        """See ``Silo.join``."""
        return refusal_as_value(lambda: self._silo.join(invitation))

    def initial_model(self, run_id: str) -> Any:
        """See ``Silo.initial_model``."""
        return refusal_as_value(lambda: self._silo.initial_model(run_id))

    def answer(self, request: Request) -> Reply:
        """See ``Silo.answer``: the only method that the coordinator reaches."""
        reply: Reply = self._silo.answer(request)
        return reply

    def reason(self, run_id: str) -> str | None:
        """See ``Silo.reason``."""
        reason: str | None = self._silo.reason(run_id)
        return reason

    def leave(self, run_id: str) -> Any:
        """See ``Silo.leave``; the run's workers give their room back."""
        found = refusal_as_value(lambda: self._silo.leave(run_id))
        gc.collect()  # a trainer refers to itself
        return found

    def dataset_digest(self, run_id: str) -> Any:
        """Returns the digest of the records as they were split: in a simulation only."""
        return refusal_as_value(lambda: self._silo.simulated_part(run_id).dataset_digest)

    def exact_scores(self, run_id: str, model: Any) -> Any:
        """Returns test scores, labels, groups and patient counts: in a simulation only.

        Behind them stand the scores by the global model where the hospital uses its own, else None.
        """

        def work() -> Any:
            trainer = self._silo.simulated_part(run_id)
            scores, labels = trainer.patient_scores(model)
            counts = trainer.num_train_patients, trainer.num_test_patients
            own, by_global = self._silo.personal_model(run_id, model), None
            if own is not None:
                by_global, (scores, _) = scores, trainer.patient_scores(own)
            return scores, labels, trainer.groups(), *counts, by_global

        return refusal_as_value(work)


def _make_trainer(shares: WorkerShares, study: Any, site: str, train: Any, test: Any) -> Any:
    from silos.training.worker_pool.trainers import trainer_on

    return trainer_on(shares, study, site, train, test)


def _log_at_home(path: Path, site: str) -> None:
    """Lets a hospital's log hold what was done for it, and nothing of a neighbour's."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.addFilter(lambda _record: _SPEAKING.get() == site)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("collegium.silo")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logger.propagate = False
