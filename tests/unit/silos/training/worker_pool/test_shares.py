"""Room for workers on a cluster's nodes."""

import pytest

from protocol.errors import DeviceRefused
from silos.training.worker_pool.shares import WorkerShares, require_room, room_for

GIB = float(2**30)
NODES = [
    {"CPU": 8.0, "GPU": 2.0, "memory": 64 * GIB},
    {"CPU": 2.0, "memory": 64 * GIB},
    {"memory": 64 * GIB},  # this machine's own node offers nothing
]


def test_a_node_holds_what_its_scarcest_resource_allows() -> None:
    assert room_for(WorkerShares(cluster=True).asked, NODES) == 10
    assert room_for(WorkerShares(cluster=True, gpu=True).asked, NODES) == 2
    large = WorkerShares(cluster=True, node_bytes=int(40 * GIB))
    assert room_for(large.asked, NODES) == 2


def test_workers_without_room_are_refused_with_what_each_asks_for() -> None:
    shares = WorkerShares(count=3, cluster=True, gpu=True, node_bytes=int(4 * GIB))
    with pytest.raises(
        DeviceRefused, match=r"room for 2 workers of 1 CPU, 1 GPU, 4\.0 GiB each, 3 are asked for"
    ):
        require_room(shares.asked, shares.count, NODES)
    require_room(shares.asked, 2, NODES)
