"""The silo as a Ray actor: one process per hospital.

Torch, MONAI and Opacus are imported here, inside the actor's own process, and
nowhere else: whoever only holds a handle never loads them.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import ray

from protocol import errors
from protocol.errors import FederationError
from protocol.exchange import Reply, Request

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A refusal told to the hospital's own people: the kind and the whole reason."""

    kind: str
    reason: str

    def as_error(self) -> FederationError:
        """Returns the refusal as an error of its class."""
        found = getattr(errors, self.kind, FederationError)
        known = isinstance(found, type) and issubclass(found, FederationError)
        return found(self.reason) if known else FederationError(self.reason)


@ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0)  # a repeated call could spend twice
class SiloActor:
    """Holds one simulated hospital."""

    def __init__(self, site: str, home: Path, workers: int = 1) -> None:
        self._site = site
        self._home = home
        self._workers = workers
        self._silo: Any = None

    def open(self, epsilon_max: float, delta: float, split_key: bytes, unit: str) -> Any:
        """Opens the hospital and grants its patients' budget; returns its member record."""

        def work() -> Any:
            from silos.silo import Silo  # imports nothing heavy yet

            self._home.mkdir(parents=True, exist_ok=True)
            _log_at_home(self._home / "silo.log")
            self._silo = Silo(
                self._site,
                self._home,
                partial(_make_trainer, self._workers),
                simulated=True,
                split_key=split_key,
            )
            self._silo.grant(epsilon_max, delta, unit)
            return self._silo.member

        return _told(work)

    def warm_up(self) -> None:
        """Imports what training will need, while others still get ready."""
        import silos.trainer  # noqa: F401

    def join(self, invitation: Any) -> Any:
        """See ``Silo.join``."""
        return _told(lambda: self._silo.join(invitation))

    def initial_model(self, run_id: str) -> Any:
        """See ``Silo.initial_model``."""
        return _told(lambda: self._silo.initial_model(run_id))

    def answer(self, request: Request) -> Reply:
        """See ``Silo.answer``: the only door that the coordinator reaches."""
        reply: Reply = self._silo.answer(request)
        return reply

    def reason(self, run_id: str) -> str | None:
        """See ``Silo.reason``."""
        reason: str | None = self._silo.reason(run_id)
        return reason

    def leave(self, run_id: str) -> Any:
        """See ``Silo.leave``."""
        return _told(lambda: self._silo.leave(run_id))

    def exact_scores(self, run_id: str, model: Any) -> Any:
        """Returns test scores, labels and patient counts: in a simulation only."""

        def work() -> Any:
            trainer = self._silo.simulated_part(run_id)
            logits, labels = trainer.patient_scores(model)
            return logits, labels, trainer.num_train_patients, trainer.num_test_patients

        return _told(work)


def _make_trainer(workers: int, study: Any, site: str, train: Any, test: Any) -> Any:
    from silos.crew import RayCrew
    from silos.trainer import Trainer

    crew = RayCrew(study, train.features, train.labels, workers)
    return Trainer(study, site, train, test, crew)


def _told(work: Callable[[], Value]) -> Value | Refused:
    """Returns what the work returns, or its refusal as a value that crosses processes whole."""
    try:
        return work()
    except FederationError as error:
        return Refused(kind=type(error).__name__, reason=str(error))


def _log_at_home(path: Path) -> None:
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("collegium.silo")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logger.propagate = False
