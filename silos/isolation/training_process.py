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
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from silos.isolation.confinement import confine
from silos.isolation.frames import frames, write_frame
from silos.isolation.plain_values import to_bytes
from silos.isolation.remote_error import RemoteRefusal, refusal_as_value
from silos.training.ray_runtime import limit_memory


def main() -> None:
    """Confines itself, then answers requests until the supervisor has no more."""
    said = json.loads(sys.argv[1])
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no reply
    own, workers = Path(said["own"]), int(said["workers"])
    confined = confine(Path(said["home"]), own, sockets=workers > 1, gpu=said["gpu"])
    write_frame(replies, to_bytes(asdict(confined)))
    with ExitStack() as stack:
        service = _TrainingService(workers, said["max_bytes"])
        for request in frames(requests):
            if workers > 1 and not service.has_ray:
                stack.enter_context(_ray(own, gpu=said["gpu"]))
                service.has_ray = True
            write_frame(replies, service.reply(request))


class _TrainingService:
    """Holds the trainer; what a hospital may refuse comes back as a value."""

    def __init__(self, workers: int, max_bytes: int | None) -> None:
        self._workers, self._max_bytes = workers, max_bytes
        self._trainer: Any = None
        self.has_ray = False

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
        if name == "compare":
            from silos.isolation.own_comparison import compare

            limit_memory(self._max_bytes)
            return compare(*given)
        if name != "make":
            return getattr(self._trainer, name)(*given)
        from silos.training.step_form import StepForm
        from silos.training.trainer import Trainer
        from silos.training.worker_pool import RayBackend

        limit_memory(self._max_bytes)
        study, site, train, test = given
        form = StepForm.of(study, site)
        backend = RayBackend(
            study, form, train.features, train.labels, self._workers, self._max_bytes
        )
        self._trainer = Trainer(study, site, train, test, backend)
        return self._trainer.dataset_digest, self._trainer.engine


def _ray(own: Path, *, gpu: bool) -> Any:
    from silos.training.ray_runtime import ray_in

    return ray_in(own, gpu=gpu)


if __name__ == "__main__":
    main()
