"""Several workers in one hospital: the same model, whoever computed which part of a step."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from tests import ROOT
from tests.support.machine.patience import PATIENCE

pytestmark = pytest.mark.long  # each pool is a Ray of its own


@pytest.fixture(scope="module")
def pools() -> Any:
    """What tests/support/simulated/worker_pools.py found; Ray lives and ends in its process."""
    return _found()


@pytest.fixture(scope="module")
def cluster() -> Any:
    """The same of workers that are placed on a cluster."""
    return _found("cluster")


def _found(*given: str) -> Any:
    command = [sys.executable, "-m", "tests.support.simulated.worker_pools", *given]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("workers", ["1", "3"])
def test_any_number_of_workers_gives_the_same_bits(pools: Any, workers: str) -> None:
    assert pools["pools"][workers] == pools["alone"]
    assert pools["another seed"] != pools["alone"]


def test_a_table_is_trained_without_importing_torchs_compiler(pools: Any) -> None:
    """It takes 1.5 seconds in each hospital's and each worker's process."""
    assert pools["with torch's compiler"] is False


@pytest.mark.parametrize("workers", ["1", "2"])
def test_stored_images_give_the_bits_of_those_in_memory(pools: Any, workers: str) -> None:
    assert pools["stored images"][workers] == pools["images"]


def test_lost_worker_costs_time_and_nothing_else(pools: Any) -> None:
    assert pools["one lost"] == pools["alone"]
    assert pools["left of the lost one's workers"] == 1


def test_without_privacy_workers_change_nothing_either(pools: Any) -> None:
    assert pools["without privacy, three"] == pools["without privacy, alone"]


def test_micro_batches_are_spread_and_each_is_computed_once(pools: Any) -> None:
    assert pools["each once"] is True


def test_patients_within_an_adaptive_clip_are_counted_once_by_several_workers(pools: Any) -> None:
    assert pools["each counted once"] is True and pools["a count that can be"] is True


def test_workers_in_a_clusters_places_give_the_same_bits_and_are_placed_again(
    pools: Any, cluster: Any
) -> None:
    """The quick form of tests/system/test_ray_cluster.py: a cluster of one node."""
    assert cluster["two"] == cluster["one lost"] == pools["alone"]
    assert cluster["without privacy"] == cluster["all lost"] == pools["without privacy, alone"]
    assert (cluster["left"], cluster["placed again"]) == (1, 2)
    assert cluster["still there"] == pools["alone"]
    assert cluster["stored images, one"] == pools["images"]
    assert cluster["label"] == f"{pools['label']} by 2 workers on 1 node"


def test_room_that_is_not_there_or_that_others_use_is_refused(cluster: Any) -> None:
    assert re.match(
        r"DeviceRefused: the Ray cluster has room for \d+ workers of 1 CPU each, \d+ are asked for",
        cluster["too many"],
    )
    assert cluster["taken by others"].startswith("DeviceRefused: others use the Ray cluster's room")
