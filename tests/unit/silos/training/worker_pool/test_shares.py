"""Room on a cluster's nodes, and the file that holds its token."""

import os
from pathlib import Path

import pytest

from protocol.errors import DeviceRefused
from silos.training.worker_pool.shares import (
    ClusterAddress,
    WorkerShares,
    require_room,
    room_for,
)

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


@pytest.fixture
def named(tmp_path: Path) -> ClusterAddress:
    file = tmp_path / "ray-token"
    file.write_text("abc123\n")
    file.chmod(0o600)
    return ClusterAddress(address="10.0.0.5:6379", token_file=file)


def test_a_token_is_read_from_a_file_of_its_owner_alone(named: ClusterAddress) -> None:
    assert named.token() == "abc123"
    for mode in (0o640, 0o604, 0o660):
        named.token_file.chmod(mode)
        with pytest.raises(DeviceRefused, match="is not for its owner alone.*chmod 600") as told:
            named.token()
        assert "abc123" not in str(told.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_token_of_another_users_is_refused(named: ClusterAddress) -> None:
    os.chown(named.token_file, 12345, 12345)
    with pytest.raises(DeviceRefused, match="is not for its owner alone"):
        named.token()


@pytest.mark.parametrize("held", ["", " \n", "two words", "a" * 5000, "caf\u00e9"])
def test_what_is_no_token_is_refused_and_not_shown(named: ClusterAddress, held: str) -> None:
    named.token_file.write_text(held, encoding="utf-8")
    with pytest.raises(DeviceRefused, match="holds no token") as told:
        named.token()
    assert "two words" not in str(told.value)


def test_a_missing_file_and_a_folder_are_refused(named: ClusterAddress) -> None:
    named.token_file.unlink()
    with pytest.raises(DeviceRefused, match="cannot be read: No such file"):
        named.token()
    named.token_file.mkdir(mode=0o700)
    with pytest.raises(DeviceRefused, match="cannot be read: Is a directory"):
        named.token()
