"""Room for a hospital's workers on the nodes of the Ray cluster that it joined.

Rules:

1. Room is reserved for all workers at once or for none, on as many nodes as there are before a
   node takes a second one, and no node is given more than its processors, GPUs and memory.
2. What is not there is refused at once, what others use within ``PLACEMENT_TIMEOUT`` seconds.
3. Every place reports its software before a record is sent to it (``software``).
"""

import gc
import weakref
from collections.abc import Sequence
from typing import Any

from protocol.counted import counted
from protocol.errors import DeviceRefused, FederationError
from silos.training.ray_runtime import ray
from silos.training.worker_pool import software
from silos.training.worker_pool.shares import WorkerShares, require_room

#: Seconds that room which others use is waited for.
PLACEMENT_TIMEOUT = 60.0
#: Seconds that a busy node may take until a worker's process answers.
WORKER_TIMEOUT = 600.0

# So a node can report that it has no Collegium, or another one.
ray.cloudpickle.register_pickle_by_value(software)  # type: ignore[no-untyped-call]
_installed = ray.remote(software.installed)


class Placement:
    """Reserved room for workers, given back when nothing refers to it any more.

    Raises:
        DeviceRefused: the cluster has no such room, or its nodes' software is not this machine's.
    """

    def __init__(self, shares: WorkerShares) -> None:
        require_room(shares.asked, shares.count, offered())
        gc.collect()  # gives back the room of trainers that nothing refers to any more
        self._asked = shares.asked
        self._group = ray.util.placement_group([shares.asked] * shares.count, strategy="SPREAD")
        # Not at this process's end: its room goes with it, and Ray may be gone already.
        weakref.finalize(self, _give_back, self._group).atexit = False
        if not self._group.wait(PLACEMENT_TIMEOUT):
            raise DeviceRefused(
                f"others use the Ray cluster's room: {counted(shares.count, 'worker')} found none "
                f"in {PLACEMENT_TIMEOUT:g} seconds; try later, add a node, or lower workers "
                "(docs/hospital.md)"
            )
        reports = self._reports(shares.count)
        software.require_alike(reports, software.installed())
        self.machines: tuple[str, ...] = tuple(report[software.NODE] for report in reports)
        self.num_nodes = len(set(self._nodes()))

    def options(self, place: int) -> dict[str, Any]:
        """Returns Ray's options for a worker in one of the places, which is all of it."""
        asked = self._asked
        return {
            "num_cpus": asked["CPU"],
            "num_gpus": asked.get("GPU", 0),
            "memory": asked.get("memory"),
            "scheduling_strategy": self._strategy(place),
        }

    def _strategy(self, place: int) -> Any:
        return ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(
            self._group, placement_group_bundle_index=place
        )

    def _reports(self, count: int) -> Sequence[dict[str, str]]:
        asked = [
            _installed.options(num_cpus=0, scheduling_strategy=self._strategy(place)).remote()
            for place in range(count)
        ]
        found: list[dict[str, str]] = results_of(asked)
        return found

    def _nodes(self) -> Sequence[str]:
        table = ray.util.placement_group_table(self._group)
        return list(table["bundles_to_node_id"].values())


def _give_back(group: Any) -> None:
    if ray.is_initialized():  # else it went with the cluster's connection
        ray.util.remove_placement_group(group)


def offered() -> list[dict[str, float]]:
    """Returns what each living node of the joined cluster has, by Ray's names."""
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["Resources"] for node in nodes if node["Alive"]]


def results_of(references: Any) -> Any:
    """Returns what Ray's references stand for, of workers that are about to begin.

    Raises:
        FederationError: a worker's own refusal, of its class.
        DeviceRefused: a worker was lost, or did not answer within ``WORKER_TIMEOUT`` seconds.
    """
    try:
        return ray.get(references, timeout=WORKER_TIMEOUT)
    except ray.exceptions.GetTimeoutError as error:
        raise DeviceRefused(
            f"a worker on the Ray cluster did not answer within {WORKER_TIMEOUT:g} seconds: see "
            "that its nodes are not overloaded, and reach this machine (docs/hospital.md)"
        ) from error
    except ray.exceptions.RayError as error:
        if isinstance(error, ray.exceptions.RayTaskError):
            cause = error.cause
            if isinstance(cause, FederationError):
                raise type(cause)(str(cause)) from error
        raise DeviceRefused(
            f"a worker on the Ray cluster was lost before it began ({type(error).__name__}): see "
            "that its nodes are up, and have memory (docs/hospital.md)"
        ) from error
