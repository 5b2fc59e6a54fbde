"""Settings of a simulation, and the keys that its hospitals take from a study's seed.

Read before any hospital starts, where Ray may not be installed.
"""

import math
import os
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from pipelines.recipes.installed import is_installed
from protocol.encoding import digest
from protocol.errors import CohortRefused, WorkspaceRefused
from protocol.study.study import BUNDLED, Study, nearest
from protocol.study.task.networks.classifiers import FullyConnectedNet
from silos.training.worker_pool.cluster_address import ClusterAddress, host_and_port
from silos.training.worker_pool.shares import WorkerShares

#: A simulated hospital's life-long epsilon, and its delta where a study declares none.
DEFAULT_BUDGET = 10.0
DEFAULT_DELTA = 1e-5
MAX_WORKERS = 64
#: Of the processes that hold hospitals: one takes 0.4 GB before it holds any record.
MAX_PROCESSES = 12


def usual_processes() -> int:
    """Returns how many processes hold hospitals unless a person says otherwise: one for a core."""
    return min(len(os.sched_getaffinity(0)), MAX_PROCESSES)


@dataclass(frozen=True, kw_only=True)
class SimulationSettings:
    """The settings of a simulation beside the study; ``gpu`` and ``draw_seed`` change a result.

    ``workers`` is how many processes compute gradients inside each hospital; with ``gpu`` one in
    each computes on this machine's GPU, whose results differ from the processor's by rounding;
    ``processes`` how many hold hospitals: beyond that, several share one. By
    default there is one for each core, for each takes seconds to import torch and Opacus.
    ``ray_address`` (``host:port``) is the head of a Ray cluster, and ``ray_token_file`` holds its
    token: the workers are then on its nodes, with ``gpu`` each with a GPU of its own; the hospitals
    themselves, with their ledgers and keys, stay on this machine.
    ``draw_seed`` draws the batches of a study without privacy again as a run drew them before.

    Raises:
        WorkspaceRefused: the budget is not a number above zero, or too many workers; no address
            of a cluster, or no file for its token.
    """

    data: Path | None = None
    budget: float | None = None
    test_noise: bool = False
    workers: int = 1
    gpu: bool = False
    processes: int = field(default_factory=usual_processes)
    ray_address: str | None = None
    ray_token_file: Path | None = None
    draw_seed: int | None = None

    def __post_init__(self) -> None:
        if self.budget is not None and not 0 < self.budget < math.inf:
            raise WorkspaceRefused(f"--budget {self.budget:g}: give a number above zero")
        if not 1 <= self.workers <= MAX_WORKERS:
            raise WorkspaceRefused(f"--workers {self.workers}: give 1 to {MAX_WORKERS}")
        if self.ray_address is not None:
            try:
                host_and_port(self.ray_address)
            except ValueError as error:
                raise WorkspaceRefused(
                    f"--ray-address {self.ray_address}: give the head's name or IPv4 address and "
                    "its port, such as 10.0.0.5:6379"
                ) from error
            if self.ray_token_file is None:
                raise WorkspaceRefused(
                    "--ray-address: name the file that holds the cluster's token by "
                    "--ray-token-file, or in RAY_AUTH_TOKEN_PATH"
                )
        if self.gpu and self.workers > 1 and self.ray_address is None:
            raise WorkspaceRefused(f"--gpu with --workers {self.workers}: one worker uses the GPU")
        if not 1 <= self.processes <= MAX_WORKERS:
            raise WorkspaceRefused(f"--processes {self.processes}: give 1 to {MAX_WORKERS}")

    @property
    def shares(self) -> WorkerShares:
        """The shares that each hospital's workers may use."""
        return WorkerShares(count=self.workers, gpu=self.gpu, cluster=self.ray_address is not None)

    @property
    def cluster(self) -> ClusterAddress | None:
        """The Ray cluster that the workers are on; None where they are on this machine."""
        if self.ray_address is None or self.ray_token_file is None:
            return None
        return ClusterAddress(address=self.ray_address, token_file=self.ray_token_file)

    def require_sources(self, study: Study) -> None:
        """Refuses at once what would otherwise be found only when the hospitals have started.

        Raises:
            CohortRefused: ``--data`` or a file in it is missing, or a site names no file.
        """
        nameless = [site.name for site in study.sites if site.records is None]
        if study.partition is None and nameless:
            raise CohortRefused(
                f"site {nameless[0]}: the study names no file for its records: write sites: - "
                f"{{name: {nameless[0]}, records: {nameless[0]}.csv, ...}}"
            )
        files = record_files(study)
        if files and self.data is None:
            raise CohortRefused(f"--data is missing: name the folder that holds {files[0]}")
        for name in files:
            if self.data is not None and not (self.data / name).is_file():
                raise CohortRefused(f"--data {self.data} {_lacks(self.data, name)}")


def record_files(study: Study) -> tuple[str, ...]:
    """Returns the names of the files that hold a simulation's records, below the data folder."""
    named = [study.partition.records] if study.partition else [one.records for one in study.sites]
    return tuple(name for name in named if name is not None and name != BUNDLED)


def require_network(study: Study, *, any_network: bool = False) -> None:
    """Builds the network of a study that names layers or parameters, and drops it.

    Nothing is built of a study that counts columns, and where the silo extra, which brings the
    networks, is missing, or a recipe is not installed: only a run finds out then.
    torch and MONAI take seconds to import.

    Args:
        study: the study, with its recipes and parameters attached.
        any_network: builds others too, but for linear layers in a row, which take any table.

    Raises:
        StudyRefused: the network does not fit the records, or layers or parameters that the study
            names are not its own.
        PolicyRefused: a recipe's installed files are not as in its wheel.
    """
    if not study.has_model:
        return
    if not study.trains:
        if can_build(study):
            from pipelines.networks.given_network import given_network

            given_network(study.task, study.cohort)
        return
    may_misfit = any_network and not isinstance(study.task.network, FullyConnectedNet)
    kept = study.training.kept_layers
    named = study.task.names_layers or bool(kept)
    if (named or may_misfit) and can_build(study):
        from pipelines.networks.networks import build, require_own_layers

        require_own_layers(build(study.task, study.cohort, seed=0), kept)


def can_build(study: Study) -> bool:
    """Whether a study's network can be built here: its recipes and the silo extra are at hand."""
    at_hand = all(package.is_at_hand and is_installed(package) for package in study.recipes)
    return at_hand and find_spec("monai") is not None


def _lacks(data: Path, name: str) -> str:
    if data.is_file():
        return "is a file: name the folder it is in"
    if not data.is_dir():
        return "is no folder: name the one of the records"
    hint = nearest(name, sorted(one.name for one in data.iterdir()))
    return f"holds no file {name}{hint}"


def simulated_split_key(study: Study, site: str) -> bytes:
    """Returns what stands for a hospital's own secret key: it follows the public split seed."""
    secret = f"split/{study.seeds.split}/{site}".encode()
    return bytes.fromhex(digest(secret))
