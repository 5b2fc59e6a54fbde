"""The process that trains: it holds records, and gave up files and network before it got them.

It is started by the supervisor (``remote_trainer.py``), which writes requests to its standard
input and reads replies from its standard output. A request is a pickle, for the supervisor may
tell this process anything; a reply is a plain value, for this process may be told nothing.

With more than one worker it has a Ray of its own, which has given up the same. Where its hospital
names a Ray cluster, it keeps the network, gives up the files, and joins the cluster.
"""

import json
import os
import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from silos.isolation.confinement import confine
from silos.isolation.frames import frames, write_frame
from silos.isolation.plain_values import to_bytes
from silos.isolation.remote_error import RemoteRefusal, refusal_as_value
from silos.training.ray_runtime import limit_memory, ray, ray_in
from silos.training.worker_pool.cluster_address import CLUSTER_TOKEN
from silos.training.worker_pool.shares import WorkerShares


def main() -> None:
    """Confines itself, then answers requests until the supervisor has no more."""
    said = json.loads(sys.argv[1])
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no reply
    own, shares = Path(said["own"]), said["shares"]
    confined = confine(
        Path(said["home"]),
        own,
        sockets=shares["count"] > 1 or shares["cluster"],
        gpu=shares["gpu"] and not shares["cluster"],
        network=shares["cluster"],
    )
    write_frame(replies, to_bytes(asdict(confined)))
    with ExitStack() as ends:
        service = _TrainingService(own, shares, said["cluster"], ends)
        for request in frames(requests):
            write_frame(replies, service.reply(request))


class _TrainingService:
    """Holds the trainer; what a hospital may refuse comes back as a value."""

    def __init__(
        self, own: Path, shares: Mapping[str, Any], cluster: str | None, ends: ExitStack
    ) -> None:
        self._own, self._shares, self._cluster, self._ends = own, shares, cluster, ends
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
            case "leaks":
                from silos.isolation.own_leaks import leaks

                return leaks(*given)
            case "size":
                from pipelines.networks.networks import num_parameters

                return num_parameters(*given)
            case "gpu":
                from pipelines.gradients.device import memory_of
                from silos.training.worker_pool.backend import device_of

                return memory_of(device_of(WorkerShares(**self._shares)))
            case "cluster":
                return self._placed()
            case "try_step":
                from silos.training.worker_pool.trainers import try_step_on

                study, site = given
                return try_step_on(self._worker_shares(), study, site)
            case "update":
                end = self._trainer.update(*given)
                return {"update": end.update, "own": end.own}
        return getattr(self._trainer, name)(*given)

    def _made(self, study: Any, site: str, train: Any, test: Any) -> tuple[str, str]:
        from silos.training.preparation import import_for_training

        import_for_training()
        from silos.training.worker_pool.trainers import trainer_on

        self._trainer = trainer_on(self._worker_shares(), study, site, train, test)
        return self._trainer.dataset_digest, self._trainer.engine

    def _placed(self) -> tuple[int, int]:
        """Returns how many workers find room on the cluster, on how many nodes."""
        from silos.training.worker_pool.placement import Placement

        shares = self._worker_shares()
        return shares.count, Placement(shares).num_nodes

    def _worker_shares(self) -> WorkerShares:
        """Returns the shares; the Ray that they need is there."""
        shares = WorkerShares(**self._shares)
        if not ray.is_initialized():
            if self._cluster is not None:
                self._ends.enter_context(_joined_cluster(self._own, self._cluster))
            elif shares.count > 1:
                self._ends.enter_context(ray_in(self._own))
        return shares


@contextmanager
def _joined_cluster(own: Path, address: str) -> Iterator[None]:
    from silos.training.worker_pool.joining import joined, require_cluster

    token = (own / CLUSTER_TOKEN).read_text(encoding="ascii")
    require_cluster(own, address, token)
    with joined(own, address, token):
        yield


if __name__ == "__main__":
    main()
