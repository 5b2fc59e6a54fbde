"""The trainer as a Ray actor of the hospital's own Ray: records, no keys, no network.

The supervisor holds a ``RemoteTrainer`` where a simulation holds the trainer
itself. What comes back is noised already, or a count.
"""

import logging
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort import Records
from protocol.errors import UpdateRefused
from protocol.study import Study
from protocol.tensors import Tensors
from silos.entropy import Entropy
from silos.own_ray import ray
from silos.refused import Refused, told_as_value

log = logging.getLogger("collegium.silo")
Value = TypeVar("Value")


@ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0)
class _TrainerActor:
    """Holds one trainer; what a hospital may refuse comes back as a value."""

    def make(
        self,
        workers: int,
        most_bytes: int | None,
        study: Study,
        site: str,
        train: Records,
        test: Records,
    ) -> Any:
        def work() -> tuple[str, str]:
            from silos.crew import RayCrew, limit_memory
            from silos.trainer import Trainer

            limit_memory(most_bytes)
            crew = RayCrew(study, train.features, train.labels, workers, most_bytes)
            self._trainer = Trainer(study, site, train, test, crew)
            return self._trainer.dataset_digest, self._trainer.engine

        return told_as_value(work)

    def call(self, name: str, *given: Any) -> Any:
        return told_as_value(lambda: getattr(self._trainer, name)(*given))


class RemoteTrainer:
    """A ``LocalTrainer`` whose work is done by an actor.

    An actor that dies is made anew with the same records at the next request;
    the round it died in is missed, at no charge unless something was sent. Each of
    its ``workers`` processes may hold ``most_bytes`` of data.

    Raises:
        FederationError: the records or the network are refused.
    """

    def __init__(
        self,
        workers: int,
        most_bytes: int | None,
        study: Study,
        site: str,
        train: Records,
        test: Records,
    ) -> None:
        self._made_of = (workers, most_bytes, study, site, train, test)
        self._actor: Any = None
        self.dataset_digest, self.engine = self._made()

    def initial_model(self) -> Tensors:
        """Returns the parameters that the study's seed gives."""
        if not hasattr(self, "_initial"):
            self._initial: Tensors = self._call("initial_model")
        return self._initial

    def update(
        self,
        model: Tensors,
        number: int,
        attempt: int,
        noise_multiplier: float | None,
        entropy: Entropy,
    ) -> NDArray[np.float64]:
        """See ``Trainer.update``."""
        found: NDArray[np.float64] = self._call(
            "update", model, number, attempt, noise_multiplier, entropy
        )
        return found

    def noised_sum(
        self,
        model: Tensors,
        number: int,
        attempt: int,
        share_multiplier: float,
        entropy: Entropy,
    ) -> NDArray[np.int64]:
        """See ``Trainer.noised_sum``."""
        found: NDArray[np.int64] = self._call(
            "noised_sum", model, number, attempt, share_multiplier, entropy
        )
        return found

    def counts(self, model: Tensors) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """See ``Trainer.counts``."""
        found: tuple[NDArray[np.int64], NDArray[np.int64]] = self._call("counts", model)
        return found

    def close(self) -> None:
        """Ends the actor."""
        if self._actor is not None:
            ray.kill(self._actor)
            self._actor = None

    def _made(self) -> tuple[str, str]:
        self._actor = _TrainerActor.remote()  # type: ignore[attr-defined]
        found: tuple[str, str] = _value(ray.get(self._actor.make.remote(*self._made_of)))
        return found

    def _call(self, name: str, *given: Any) -> Any:
        if self._actor is None:
            self._made()
        try:
            return _value(ray.get(self._actor.call.remote(name, *given)))
        except ray.exceptions.RayTaskError as error:
            raise UpdateRefused(f"training failed: {type(error.cause).__name__}") from error
        except ray.exceptions.RayError as error:
            self._actor = None
            raise UpdateRefused(f"the trainer died: {type(error).__name__}") from error


def _value(found: Any) -> Any:
    if isinstance(found, Refused):
        raise found.as_error()
    return found
