"""Trains with workers on a Ray cluster of two nodes and prints what they came to, as JSON.

Run by tests/system/test_ray_cluster.py in a process of its own:
python -m tests.support.simulated.cluster_workers WHAT ADDRESS TOKEN_FILE PROCESS
"""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread

import numpy as np

from collegium.simulation.consortium import simulation_ray
from collegium.simulation.settings import SimulationSettings
from protocol.vectors.tensors import flatten
from silos.training.ray_runtime import ray
from silos.training.steps.step_form import Drawn
from silos.training.trainer import Trainer
from tests.support.simulated.worker_pools import (
    STUDY,
    pool_of,
    returning_patients,
    step_of,
    updates,
)


def same_bits() -> dict[str, object]:
    """Returns the digests of one process and of four workers on two nodes."""
    spread = pool_of(4, cluster=True)
    return {
        "alone": updates(None),
        "four": updates(spread),
        "without privacy, alone": updates(None, None),
        "without privacy, four": updates(spread, None),
        "label": spread.label,
    }


def kill_node(raylet: int) -> None:
    """Kills all of a node's processes at once, as a machine that fails does."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    for process, parent in parents.items():
        if raylet in (process, parent):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def node_lost(raylet: int) -> dict[str, object]:
    """Kills the second node while its two workers compute their parts of a step."""
    spread = pool_of(4, cluster=True)
    records = returning_patients()
    model = Trainer(STUDY, "east", records, records).initial_model()
    parameters = flatten(model).astype(np.float64)
    drawn, found = step_of(2_000), {}

    def work(name: str, given: Drawn) -> None:
        found[name] = spread.clipped(parameters, given, 1.0)

    asked: list[object] = []
    for worker in spread._others:  # they answer only when the step before is done
        asked.append(worker.clipped.remote(parameters, step_of(1), 1.0))
    ray.get(asked)
    thread = Thread(target=work, args=("killed", drawn))
    thread.start()
    thread.join(0.3)
    was_at_work = thread.is_alive()
    kill_node(raylet)
    thread.join()
    left = len(spread._others)
    work("after", drawn)
    return {
        "in mid-step": was_at_work,
        "left": left,
        "same sum": bool(np.array_equal(found["killed"], found["after"]) and found["after"].any()),
        "alone": updates(None),
        "two left": updates(spread),
        "nodes": sum(node["Alive"] for node in ray.nodes()),
    }


if __name__ == "__main__":
    what, address, token_file, raylet = sys.argv[1:]
    named = SimulationSettings(workers=4, ray_address=address, ray_token_file=Path(token_file))
    with simulation_ray(named):
        result = same_bits() if what == "same bits" else node_lost(int(raylet))
        print(json.dumps(result))
