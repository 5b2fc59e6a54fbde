"""Workers on a Ray cluster of two nodes on this machine; a quick form is in test_backend.py."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import DeviceRefused
from silos.isolation.confinement import Confined, landlock_version
from silos.isolation.remote_trainer import RemoteTrainer, TrainingMachine
from silos.training.private_folder import private_folder
from silos.training.randomness import FixedEntropy, RoundInput
from silos.training.trainer import Trainer
from silos.training.worker_pool import joining
from silos.training.worker_pool.joining import require_cluster
from silos.training.worker_pool.shares import WorkerShares
from tests.support.machine.commands import start
from tests.support.simulated.federation import write_hospitals
from tests.support.simulated.ray_cluster import TOKEN, TwoNodes, two_nodes
from tests.support.simulated.studies import TABLE_STUDY, small_study
from tests.support.simulated.worker_pools import STUDY, returning_patients

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def cluster() -> Iterator[TwoNodes]:
    with two_nodes() as found:
        yield found


def test_four_workers_on_two_nodes_give_the_bits_of_one_process(cluster: TwoNodes) -> None:
    found = cluster.run("same bits")
    assert found["four"] == found["alone"]
    assert found["without privacy, four"] == found["without privacy, alone"]
    assert found["label"] == "chain by 4 workers on 2 nodes"


def test_a_hospitals_training_process_joins_it_and_opens_no_file_of_the_hospital(
    cluster: TwoNodes,
) -> None:
    records = returning_patients()
    with private_folder() as home:  # not in /dev/shm, which Ray's workers share
        (home / "site.yaml").write_text("collegium_site: 1\n")
        here = Trainer(STUDY, "east", records, records)
        there = RemoteTrainer(
            TrainingMachine(
                home=home,
                shares=WorkerShares(count=2, cluster=True, node_bytes=1 << 30),
                cluster=cluster.named,
            ),
            STUDY, "east", records, records,
        )  # fmt: skip
        try:
            given = RoundInput(model=here.initial_model(), number=0, noise_multiplier=1.0)
            entropy = FixedEntropy(3, simulated=True)
            assert np.array_equal(
                there.update(given, entropy).update, here.update(given, entropy).update
            )
            assert there.engine == f"{here.engine} by 2 workers on 2 nodes"
            assert there._process is not None
            assert there._process.confined == Confined(
                files=landlock_version() > 0, network=False, sockets=False
            )
        finally:
            there.close()


def test_simulation_on_it_gives_the_model_of_a_local_one_and_says_where_it_was_computed(
    cluster: TwoNodes, tmp_path: Path
) -> None:
    (tmp_path / "study.yaml").write_text(TABLE_STUDY)
    (tmp_path / "data").mkdir()
    write_hospitals(tmp_path / "data", small_study())
    named = ("--ray-address", cluster.address, "--ray-token-file", cluster.token_file)
    runs = []
    for out, where in (("local", ()), ("cluster", named)):
        told = ("--data", tmp_path / "data", "--out", tmp_path / out, "--processes", 2)
        done = start("simulate", tmp_path / "study.yaml", *told, "--test-noise", "--json", *where)
        assert done.returncode == 0, done.stderr
        runs.append(json.loads(done.stdout))
    assert runs[0]["model_digest"] == runs[1]["model_digest"]
    assert runs[0]["environment"]["gradient engine"] == "chain"
    assert runs[1]["environment"]["gradient engine"] == "chain by 1 worker on 1 node"


def test_another_token_and_whoever_is_no_ray_are_refused_in_seconds(
    cluster: TwoNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(private_folder())
        nodes = require_cluster(folder, cluster.address, TOKEN)
        assert sum(node.get("CPU", 0) for node in nodes) == 4
        with pytest.raises(DeviceRefused, match="knows another token") as told:
            require_cluster(folder, cluster.address, "f" * 64)
        assert "f" * 64 not in str(told.value)
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        impatient = dict.fromkeys(joining._SHORT_TIMEOUTS, "1")
        monkeypatch.setattr(joining, "_SHORT_TIMEOUTS", impatient)
        with pytest.raises(DeviceRefused, match="does not answer as the head of a Ray cluster"):
            require_cluster(folder, f"127.0.0.1:{silent.getsockname()[1]}", TOKEN)


def test_node_killed_in_mid_step_costs_time_and_no_bit(cluster: TwoNodes) -> None:
    """The last one: the cluster has one node less afterwards."""
    found = cluster.run("node lost")
    assert found["in mid-step"]
    assert found["left"] == 2
    assert found["same sum"]
    assert found["two left"] == found["alone"]
