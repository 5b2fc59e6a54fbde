"""Spreads a step's micro-batches over several Ray workers of one hospital.

On the hospital's own machine the calling process is the first worker, and the others are actors
of the hospital's own Ray. On a Ray cluster that the hospital names, all of them are actors on its
nodes. They hold records, and no key and no noise. A worker that is lost, alone or with its node,
costs nothing but time: the others compute its micro-batches again, with the same result. Where
none is left, a cluster is asked for room once more.
"""

import logging
import math
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.gradients.device import gpu, processor
from pipelines.records import Rows
from pipelines.sources.images.stored_rows import RowWriter, named
from pipelines.tasks.registry import task_of
from protocol.counted import counted
from protocol.errors import DeviceRefused
from protocol.study.study import Study
from silos.training.ray_runtime import limit_memory, ray
from silos.training.steps.step_form import Drawn, StepForm
from silos.training.worker import Floats, Worker
from silos.training.worker_pool.placement import Placement, results_of
from silos.training.worker_pool.shares import WorkerShares
from silos.training.worker_pool.software import require_same_bits

log = logging.getLogger("collegium.silo")

#: So many numbers of records are sent at once.
_NUMBERS = 1 << 21


def device_of(shares: WorkerShares) -> torch.device:
    """Returns the calling process's device; that of workers on a cluster is theirs.

    Raises:
        DeviceRefused: there is no GPU, or none with so much memory.
    """
    return gpu(shares.gpu_bytes) if shares.gpu and not shares.cluster else processor()


@ray.remote(num_cpus=0, max_restarts=0)
class _RemoteWorker:
    """A worker in a process of its own, handed its records or sent them in pieces."""

    def __init__(self, study: Study, form: StepForm, shares: WorkerShares, *rows: Rows) -> None:
        limit_memory(shares.max_bytes)
        self._study, self._form, self._shares, self._rows = study, form, shares, rows
        self._writers: list[RowWriter] = []
        self._worker: Worker | None = None

    def is_ready(self) -> bool:
        """Whether it has open what it reads."""
        return True

    def receive(self, piece: NDArray[np.float32], announced: int | None) -> None:
        """Takes the next rows of the features, then of the labels."""
        if announced is not None:
            site = f"node {socket.gethostname()}"
            form, numbers = piece.shape[1:], np.dtype(np.float32)
            self._writers.append(RowWriter(announced, form, numbers, site=site))
        self._writers[-1].write(piece)

    def begin(self) -> tuple[str, str, str]:
        """Returns the engine, its name with the device's, and the digest of a sample step."""
        device = gpu(self._shares.gpu_bytes) if self._shares.gpu else processor()
        for writer in self._writers:
            with closing(writer):
                self._rows = (*self._rows, writer.rows())
        self._worker = self._made(device)
        engine = self._worker.engine
        return engine, self._worker.label, self._worker.sample()

    def clipped(
        self, parameters: Floats, drawn: Drawn, clip: float, count_units: int = 0
    ) -> NDArray[np.int64]:
        """See ``Worker.clipped``."""
        return self._begun().clipped(parameters, drawn, clip, count_units)

    def plain(self, parameters: Floats, drawn: Drawn) -> Floats:
        """Returns the (size,) sum of what ``Worker.plain`` yields, in its order."""
        total = np.zeros(parameters.size)
        for summed in self._begun().plain(parameters, drawn):
            total += summed
        return total

    def _begun(self) -> Worker:
        if self._worker is None:
            self._worker = self._made(processor())
        return self._worker

    def _made(self, device: torch.device) -> Worker:
        features, labels = self._rows
        return Worker(self._study, self._form, features, labels, device=device)


def _wait_for(workers: Sequence[Any]) -> None:
    """Waits until workers have opened what they read; one that is lost then is lost later too."""
    for worker in workers:
        try:
            ray.get(worker.is_ready.remote())
        except ray.exceptions.RayError as error:
            log.warning("a worker did not start (%s)", type(error).__name__)


def _send(rows: Rows, workers: Sequence[Any]) -> None:
    """Sends rows to all workers, some at a time: another node opens no file of this machine."""
    at_once = max(1, _NUMBERS // max(1, math.prod(rows.shape[1:])))
    for begin in range(0, max(1, len(rows)), at_once):
        piece = ray.put(rows[begin : begin + at_once])
        announced = None if begin else len(rows)
        results_of([worker.receive.remote(piece, announced) for worker in workers])


class _Pool:
    """Workers on a cluster's nodes, alike in what they compute."""

    def __init__(
        self, study: Study, form: StepForm, rows: Sequence[Rows], shares: WorkerShares
    ) -> None:
        self._placement = Placement(shares)
        self.workers: list[Any] = [
            _RemoteWorker.options(**self._placement.options(place)).remote(study, form, shares)  # type: ignore[attr-defined]
            for place in range(shares.count)
        ]
        for each in rows:
            _send(each, self.workers)
        begun = results_of([worker.begin.remote() for worker in self.workers])
        samples = [
            (f"{machine} ({label})", sample)
            for machine, (_, label, sample) in zip(self._placement.machines, begun, strict=True)
        ]
        require_same_bits(samples)
        self.engine, label, _ = begun[0]
        self.label = (
            f"{label} by {counted(shares.count, 'worker')} on "
            f"{counted(self._placement.num_nodes, 'node')}"
        )


class RayBackend:
    """The workers of one hospital.

    Integer sums have no order, so every number of workers gives the same sum.
    Sums without privacy are sums of floats, which have one: one worker alone computes them.

    Raises:
        StudyRefused: no engine computes this network's gradients rightly.
        DeviceRefused: a worker's device is not there, or too small for a step; the cluster has no
            room, or its nodes are not alike.
    """

    def __init__(
        self,
        study: Study,
        form: StepForm,
        features: Rows,
        labels: Rows,
        shares: WorkerShares,
    ) -> None:
        # With coupled records, what one adds depends on all of the step's.
        couples = task_of(study.task, study.cohort).couples
        self._shares = replace(shares, count=1) if couples else shares
        self._given = study, form, (features, labels)
        self._own: Worker | None = None
        self._pool: _Pool | None = None
        self._others: list[Any] = []
        if shares.cluster:
            placed = self._placed()
            self.engine, self.label = placed.engine, placed.label
            return
        self._own = Worker(study, form, features, labels, device=device_of(shares))
        self.engine, self.label = self._own.engine, self._own.label
        if self._shares.count > 1:
            with named(features, labels) as readable:
                shared = [ray.put(rows) for rows in readable]
                self._others = [
                    _RemoteWorker.remote(study, form, shares, *shared)  # type: ignore[attr-defined]
                    for _ in range(self._shares.count - 1)
                ]
                if not all(isinstance(rows, np.ndarray) for rows in readable):
                    _wait_for(self._others)

    def _placed(self) -> _Pool:
        self._pool = None  # gives its room back
        self._pool = _Pool(*self._given, self._shares)
        self._others = self._pool.workers
        return self._pool

    def clipped(
        self, parameters: Floats, drawn: Drawn, clip: float, count_units: int = 0
    ) -> NDArray[np.int64]:
        """Returns the sum of clipped integer gradients; see ``Worker.clipped``.

        Raises:
            DeviceRefused: no worker is left on the cluster, and none finds room.
        """
        return self._clipped(parameters, drawn, clip, count_units, self._replaced())

    def _clipped(
        self, parameters: Floats, drawn: Drawn, clip: float, count_units: int, replaced: bool
    ) -> NDArray[np.int64]:
        first = 0 if self._own is None else 1
        others = self._others[: max(0, len(drawn) - first)]
        workers = len(others) + first
        common = ray.put(parameters) if others else parameters
        asked = [
            (other, part, other.clipped.remote(common, part, clip, count_units))
            for place, other in enumerate(others, start=first)
            for part in [drawn.part(place, workers)]
        ]
        total = np.zeros(parameters.size + bool(count_units), dtype=np.int64)
        if self._own is not None:
            total += self._own.clipped(parameters, drawn.part(0, workers), clip, count_units)
        missing = []
        for other, part, promised in asked:
            try:
                total += ray.get(promised)
            except ray.exceptions.RayError as error:
                self._lose(other, error)
                missing.append(part)
        for part in missing:
            replaced = self._replaced(refuse=replaced) or replaced
            total += self._clipped(parameters, part, clip, count_units, replaced)
        return total

    def plain(self, parameters: Floats, drawn: Drawn) -> Iterator[Floats]:
        """Yields (size,) float sums of gradients, unclipped, to be added in this order.

        Raises:
            DeviceRefused: no worker is left on the cluster, and none finds room.
        """
        if self._own is not None:
            yield from self._own.plain(parameters, drawn)
            return
        replaced = self._replaced()
        while True:
            other = self._others[0]
            try:
                yield ray.get(other.plain.remote(parameters, drawn))
                return
            except ray.exceptions.RayError as error:
                self._lose(other, error)
            replaced = self._replaced(refuse=replaced) or replaced

    def _lose(self, other: Any, error: Exception) -> None:
        log.warning("a worker was lost (%s): its part is done again", type(error).__name__)
        self._others.remove(other)

    def _replaced(self, *, refuse: bool = False) -> bool:
        """Whether new workers were placed, because none was left.

        Raises:
            DeviceRefused: none is left, and ``refuse`` says that they were replaced already.
        """
        if self._own is not None or self._others:
            return False
        if refuse:
            raise DeviceRefused(
                "all workers on the Ray cluster were lost twice in one step: see its nodes' "
                "memory and logs (docs/hospital.md)"
            )
        self._placed()
        return True
