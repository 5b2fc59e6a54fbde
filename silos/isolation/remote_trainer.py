"""The trainer as a process of its own: it holds records, no key, and no way out.

The supervisor holds a ``RemoteTrainer`` where a simulation holds the trainer itself. What
comes back is noised already, or a count, in a form that can carry nothing else
(``plain_values.py``); for the hospital's own comparison, which sends nothing, exact figures.
What the process has given up, and which kernels allow that, is in ``confinement.py``;
``collegium silo check`` says what holds on a machine.
"""

import json
import logging
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compliance.privacy.events import SampledGaussian
from pipelines.cohort.loading import Records
from protocol.errors import PolicyRefused, UpdateRefused
from protocol.study.strategies.local_steps import LocalEnd
from protocol.study.study import Study
from protocol.vectors.tensors import Tensors
from silos.config.site_file import Resources
from silos.isolation.confinement import Confined
from silos.isolation.frames import frames, write_frame
from silos.isolation.plain_values import from_bytes
from silos.isolation.remote_error import RemoteRefusal
from silos.training.private_folder import private_folder
from silos.training.randomness import Entropy, RoundInput
from silos.training.worker_pool.cluster_address import CLUSTER_TOKEN, ClusterAddress, resolved
from silos.training.worker_pool.shares import WorkerShares

log = logging.getLogger("collegium.silo")

#: How long a process that is at work for nobody may take to leave its cluster.
_LEAVING_SECONDS = 10
_ROOT = Path(__file__).resolve().parents[2]
#: What the process is told of the supervisor's environment, which may hold passwords.
_ENVIRONMENT = (
    "PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainingMachine:
    """The shares of a hospital's machine, or of its cluster's, that its trainers may use.

    ``must_be_confined``: where the kernel does not let a trainer give up files and network, it is
    handed no record.
    """

    home: Path
    shares: WorkerShares = WorkerShares()
    cluster: ClusterAddress | None = None
    must_be_confined: bool = False


def machine_of(home: Path, resources: Resources) -> TrainingMachine:
    """Returns what a hospital's site file lets its trainers use."""
    cluster = None
    if resources.ray_address is not None and resources.ray_token_file is not None:
        cluster = ClusterAddress(
            address=resources.ray_address, token_file=home / resources.ray_token_file
        )
    return TrainingMachine(
        home=home,
        shares=WorkerShares(
            count=resources.workers,
            max_bytes=None if resources.gpu else resources.bytes_each,
            gpu=resources.gpu,
            gpu_bytes=resources.gpu_bytes,
            cluster=cluster is not None,
            node_bytes=resources.bytes_each if cluster else None,
        ),
        cluster=cluster,
        must_be_confined=resources.must_be_confined,
    )


Ints = NDArray[np.int64]


class RemoteTrainer:
    """A ``LocalTrainer`` whose work is done by a process of its own.

    A process that dies is made anew with the same records at the next request;
    the round it died in is missed, at no charge unless something was sent.

    Raises:
        FederationError: the records or the network are refused, or the process is
            not confined as it must be.
    """

    def __init__(
        self, machine: TrainingMachine, study: Study, site: str, train: Records, test: Records
    ) -> None:
        self._machine, self._made_of = machine, (study, site, train, test)
        self._process: TrainingProcess | None = None
        self._initial: Tensors | None = None
        self._left_out: tuple[Ints, Ints] | None = None
        self.dataset_digest, self.engine = self._made()

    def initial_model(self) -> Tensors:
        """Returns the parameters that the study's seed gives."""
        if self._initial is None:
            self._initial = self._call("initial_model")
        return self._initial

    def second_opinion(
        self, event: SampledGaussian | None, delta: float
    ) -> dict[str, str | float | None]:
        """See ``Trainer.second_opinion``."""
        found: dict[str, str | float | None] = self._call("second_opinion", event, delta)
        return found

    def update(self, given: RoundInput, entropy: Entropy) -> LocalEnd:
        """See ``Trainer.update``."""
        found: dict[str, Any] = self._call("update", given, entropy)
        return LocalEnd(**found)

    def noised_sum(self, given: RoundInput, entropy: Entropy) -> NDArray[np.int64]:
        """See ``Trainer.noised_sum``."""
        found: NDArray[np.int64] = self._call("noised_sum", given, entropy)
        return found

    def leave_out(self, train: Ints, test: Ints) -> None:
        """See ``Trainer.leave_out``; a process that is made anew leaves them out too."""
        self._left_out = train, test
        self._call("leave_out", train, test)

    def counts(self, model: Tensors, own: Tensors | None = None) -> tuple[Ints, Ints, Ints]:
        """See ``Trainer.counts``."""
        found: tuple[Ints, Ints, Ints] = self._call("counts", model, own)
        return found

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _made(self) -> tuple[str, str]:
        self.close()
        _, _, train, test = self._made_of
        inherited = {*train.descriptors, *test.descriptors}
        self._process = TrainingProcess(self._machine, sorted(inherited))
        digest, engine = self._asked("make", *self._made_of)
        if self._left_out is not None:
            self._asked("leave_out", *self._left_out)
        return str(digest), str(engine)

    def _call(self, name: str, *given: Any) -> Any:
        if self._process is None:
            self._made()
        return self._asked(name, *given)

    def _asked(self, name: str, *given: Any) -> Any:
        if self._process is None:
            raise UpdateRefused("the trainer has ended")
        try:
            return self._process.ask(name, *given)
        except ProcessLost:
            self.close()
            raise


class ProcessLost(UpdateRefused):
    """The training process ended before it answered: at the next request it is made anew."""


class TrainingProcess:
    """A running training process (``training_process.py``), confined before it is handed a record.

    Args:
        machine: what it may use.
        inherited: numbers of open files that it keeps, to read records of a cohort too large for
            memory; it can open no other.

    Raises:
        PolicyRefused: it must be confined, and this kernel does not confine it.
        DeviceRefused: the cluster's head has no address here, or its token file is not right.
        UpdateRefused: it did not start.
    """

    def __init__(self, machine: TrainingMachine, inherited: Sequence[int] = ()) -> None:
        cluster, self._on_cluster = machine.cluster, machine.cluster is not None
        found = (resolved(cluster.address), cluster.token()) if cluster else None
        self._ends = ExitStack()
        own = self._ends.enter_context(private_folder())
        if found is not None:
            own.joinpath(CLUSTER_TOKEN).touch(mode=0o600)
            own.joinpath(CLUSTER_TOKEN).write_text(found[1], encoding="ascii")
        said = {
            "home": str(machine.home.resolve()),
            "own": str(own),
            "shares": asdict(machine.shares),
            "cluster": found[0] if found else None,
        }
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "silos.isolation.training_process", json.dumps(said)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            env=_environment(own),
            start_new_session=True,
            pass_fds=tuple(inherited),
        )
        self._ends.callback(self._end)
        self._replies = frames(self._process.stdout) if self._process.stdout else iter(())
        try:
            self.confined = Confined(**from_bytes(self._next_reply()))
        except ProcessLost as error:
            self.close()
            raise UpdateRefused(f"the trainer did not start: {error}") from error
        if machine.must_be_confined and not (self.confined.files and self.confined.network):
            self.close()
            raise PolicyRefused(
                "the site file says that training must be confined, and this machine does not do "
                "so: see collegium silo check, or leave resources.must_be_confined out"
            )

    def ask(self, name: str, *given: Any) -> Any:
        """Returns what the trainer's method of that name returns.

        Raises:
            FederationError: the trainer refused.
            UpdateRefused: its method failed.
            ProcessLost: the process ended before it answered.
        """
        try:
            if self._process.stdin is not None:
                write_frame(self._process.stdin, pickle.dumps((name, given)))
        except OSError as error:
            raise ProcessLost(f"the trainer died: {self._how_it_ended()}") from error
        kind, *found = from_bytes(self._next_reply())
        if kind == "refused":
            raise RemoteRefusal(kind=str(found[0]), reason=str(found[1])).as_error()
        if kind != "value":
            raise UpdateRefused(f"training failed: {found[0]}")
        return found[0]

    def close(self) -> None:
        """Ends it, and removes what it wrote."""
        self._ends.close()

    def _next_reply(self) -> bytes:
        reply = next(self._replies, None)
        if reply is None:
            raise ProcessLost(f"the trainer died: {self._how_it_ended()}")
        return reply

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def _end(self) -> None:
        if self._on_cluster and self._process.stdin is not None:
            with suppress(OSError, subprocess.TimeoutExpired):  # it leaves, and gives its room back
                self._process.stdin.close()
                self._process.wait(_LEAVING_SECONDS)
        with suppress(ProcessLookupError):  # with all that it started
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def _environment(own: Path) -> dict[str, str]:
    """Returns the process's environment: only the software's places, and its own folder."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    quiet = {"JOBLIB_MULTIPROCESSING": "0"}  # it would warn that it may start no process
    return kept | quiet | {"PYTHONPATH": str(_ROOT), "TMPDIR": str(own), "HOME": str(own)}
