"""The process that trains: it holds records, and gave up files and network before it got them.

It is started by the supervisor (``remote_trainer.py``), which writes requests to its standard
input and reads replies from its standard output. A request is a pickle, for the supervisor may
tell this process anything; a reply is a plain value, for this process may be told nothing.

With more than one worker it has a Ray of its own, which has given up the same.
"""

import json
import os
import pickle
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from silos.isolation.confinement import confine
from silos.isolation.frames import frames, write_frame
from silos.isolation.plain_values import to_bytes
from silos.isolation.remote_error import RemoteRefusal, refusal_as_value
from silos.training.ray_runtime import limit_memory, ray


def main() -> None:
    """Confines itself, then answers requests until the supervisor has no more."""
    said = json.loads(sys.argv[1])
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no reply
    own, shares = Path(said["own"]), said["shares"]
    confined = confine(Path(said["home"]), own, sockets=shares["count"] > 1, gpu=shares["gpu"])
    write_frame(replies, to_bytes(asdict(confined)))
    with ExitStack() as ends:
        service = _TrainingService(own, shares, ends)
        for request in frames(requests):
            write_frame(replies, service.reply(request))


class _TrainingService:
    """Holds the trainer; what a hospital may refuse comes back as a value."""

    def __init__(self, own: Path, shares: Mapping[str, Any], ends: ExitStack) -> None:
        self._own, self._shares, self._ends = own, shares, ends
        self._trainer: Any = None

    def reply(self, request: bytes) -> bytes:
        """Returns the reply to a request: the name of a method and what it is given."""
        try:
            name, given = pickle.loads(request)  # noqa: S301  (the supervisor's own words)
            found = refusal_as_value(lambda: self._done(name, given))
            if isinstance(found, RemoteRefusal):
                return to_bytes(("refused", found.kind, found.reason))
            return to_bytes(("value", found))
        except Exception as error:  # noqa: BLE001  (its words may hold a record)
            return to_bytes(("failed", type(error).__name__))

    def _done(self, name: str, given: tuple[Any, ...]) -> Any:
        from pipelines.gradients.device import enough_memory

        limit_memory(self._shares["max_bytes"])
        with enough_memory("training"):
            return self._answer(name, given)

    def _answer(self, name: str, given: tuple[Any, ...]) -> Any:
        match name:
            case "make":
                return self._made(*given)
            case "compare":
                from silos.isolation.own_comparison import compare

                return compare(*given)
            case "gpu":
                from pipelines.gradients.device import memory_of

                return memory_of(self._worker_shares().device())
            case "try_step":
                from silos.training.trainer import try_step

                study, site = given
                return try_step(study, site, self._worker_shares().device())
        return getattr(self._trainer, name)(*given)

    def _made(self, study: Any, site: str, train: Any, test: Any) -> tuple[str, str]:
        from silos.training.step_form import StepForm
        from silos.training.trainer import Trainer
        from silos.training.worker_pool import RayBackend

        shares, form = self._worker_shares(), StepForm.of(study, site)
        if shares.count > 1 and not ray.is_initialized():
            self._ends.enter_context(_ray(self._own))
        backend = RayBackend(study, form, train.features, train.labels, shares)
        self._trainer = Trainer(study, site, train, test, backend, shares.device())
        return self._trainer.dataset_digest, self._trainer.engine

    def _worker_shares(self) -> Any:
        from silos.training.worker_pool import WorkerShares

        return WorkerShares(**self._shares)


def _ray(own: Path) -> Any:
    from silos.training.ray_runtime import ray_in

    return ray_in(own)


if __name__ == "__main__":
    main()
