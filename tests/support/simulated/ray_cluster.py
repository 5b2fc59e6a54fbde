"""A Ray cluster of two nodes on this machine, on loopback and with a token.

``python -m tests.support.simulated.ray_cluster FOLDER`` starts it and prints as JSON its address
and the process of its second node; it ends when its standard input does.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from silos.training.private_folder import private_folder
from silos.training.worker_pool.cluster_address import ClusterAddress
from tests import ROOT
from tests.support.machine.patience import PATIENCE

TOKEN = "0123456789abcdef" * 4


@dataclass(frozen=True)
class TwoNodes:
    """A cluster: the head's address, its token's file, and its second node's process."""

    address: str
    token_file: Path
    second: int

    @property
    def named(self) -> ClusterAddress:
        return ClusterAddress(address=self.address, token_file=self.token_file)

    def run(self, what: str) -> dict[str, Any]:
        """Returns what tests/support/simulated/cluster_workers.py found."""
        command = [sys.executable, "-m", "tests.support.simulated.cluster_workers", what]
        done = subprocess.run(
            [*command, self.address, str(self.token_file), str(self.second)],
            cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """Starts the cluster, and waits until all of its processes are gone."""
    with private_folder() as folder:
        started = subprocess.Popen(
            [sys.executable, "-m", "tests.support.simulated.ray_cluster", str(folder)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert started.stdout is not None
        said = json.loads(started.stdout.readline())
        try:
            yield TwoNodes(said["address"], folder / "token", said["second"])
        finally:
            started.communicate("", timeout=PATIENCE)
        assert started.returncode == 0
        left = [path for path in Path("/proc").glob("[0-9]*") if _is_of(path, folder)]
        assert left == []


def _is_of(process: Path, folder: Path) -> bool:
    try:
        return str(folder).encode() in (process / "cmdline").read_bytes()
    except OSError:
        return False


def main(folder: Path) -> None:
    """Runs the cluster until its standard input ends."""
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN)
    os.environ |= {"RAY_AUTH_TOKEN_PATH": str(token), "RAY_TMPDIR": str(folder)}
    from ray.cluster_utils import Cluster

    from silos.training import ray_runtime  # its settings are a cluster's on loopback too

    assert ray_runtime.ray is not None
    with ray_runtime._parameters():
        cluster = Cluster(True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        second = cluster.add_node(num_cpus=2)
    (raylet,) = second.all_processes["raylet"]
    print(json.dumps({"address": cluster.address, "second": raylet.process.pid}), flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
