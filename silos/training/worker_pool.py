"""Spreads a step's micro-batches over several Ray workers inside one hospital.

The hospital's own process is the first worker. The others are Ray actors of
the hospital's own Ray; they hold records, and no key and no noise. A worker
that is lost costs nothing but time: its micro-batches are computed again here,
with the same result.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.gradients.device import gpu, processor
from pipelines.records import Rows
from pipelines.sources.stored_rows import named
from pipelines.tasks.registry import task_of
from protocol.study.study import Study
from silos.training.ray_runtime import limit_memory, ray
from silos.training.step_form import Drawn, StepForm
from silos.training.worker import Floats, Worker

log = logging.getLogger("collegium.silo")


@dataclass(frozen=True, kw_only=True)
class WorkerShares:
    """The shares of a hospital's machine that its ``count`` workers may use.

    ``max_bytes`` is what each may hold of data, ``gpu_bytes`` of the GPU's memory; None sets no
    limit. With ``gpu`` there is one worker, which computes on the GPU, and no limit of its data:
    CUDA's libraries crash where the kernel refuses them memory.
    """

    count: int = 1
    max_bytes: int | None = None
    gpu: bool = False
    gpu_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.gpu and (self.count > 1 or self.max_bytes is not None):
            raise ValueError("one worker computes on the GPU, with no limit of its data")

    def device(self) -> torch.device:
        """Returns the first worker's device.

        Raises:
            DeviceRefused: there is no GPU, or none with so much memory.
        """
        return gpu(self.gpu_bytes) if self.gpu else processor()


@ray.remote(num_cpus=0)
class _OtherWorker:
    """A worker in a process of its own."""

    def __init__(
        self,
        study: Study,
        form: StepForm,
        features: Rows,
        labels: Rows,
        max_bytes: int | None,
    ) -> None:
        limit_memory(max_bytes)
        self._worker = Worker(study, form, features, labels)

    def is_ready(self) -> bool:
        """Whether it holds its network, and has open what it reads."""
        return True

    def clipped(self, parameters: Floats, drawn: Drawn, clip: float) -> NDArray[np.int64]:
        """See ``Worker.clipped``."""
        return self._worker.clipped(parameters, drawn, clip)


def _wait_for(workers: Sequence[Any]) -> None:
    """Waits until workers have opened what they read; one that is lost then is lost later too."""
    for worker in workers:
        try:
            ray.get(worker.is_ready.remote())
        except ray.exceptions.RayError as error:
            log.warning("a worker did not start (%s)", type(error).__name__)


class RayBackend:
    """The workers of one hospital, the calling process among them.

    Integer sums have no order, so every number of workers gives the same sum.
    Sums without privacy are sums of floats, which have one: they are computed
    here, by the first worker alone.

    Raises:
        StudyRefused: no engine computes this network's gradients rightly.
        DeviceRefused: the first worker's device is not there, or too small for a step.
    """

    def __init__(
        self,
        study: Study,
        form: StepForm,
        features: Rows,
        labels: Rows,
        shares: WorkerShares,
    ) -> None:
        self._own = Worker(study, form, features, labels, device=shares.device())
        # With coupled records, what one adds depends on all of the step's.
        count = 1 if task_of(study.task, study.cohort).couples else shares.count
        self._others: list[Any] = []
        if count > 1:
            with named(features, labels) as readable:
                shared = [ray.put(rows) for rows in readable]
                self._others = [
                    _OtherWorker.remote(study, form, *shared, shares.max_bytes)  # type: ignore[attr-defined]
                    for _ in range(count - 1)
                ]
                if not all(isinstance(rows, np.ndarray) for rows in readable):
                    _wait_for(self._others)

    @property
    def engine(self) -> str:
        """The name of the engine that computes the gradients."""
        return self._own.engine

    def clipped(self, parameters: Floats, drawn: Drawn, clip: float) -> NDArray[np.int64]:
        """Returns the (size,) sum of clipped integer gradients; see ``Worker.clipped``."""
        others = self._others[: max(0, len(drawn) - 1)]
        count = len(others) + 1
        common = ray.put(parameters) if others else parameters
        asked = [
            (other, part, other.clipped.remote(common, part, clip))
            for place, other in enumerate(others, start=1)
            for part in [drawn.part(place, count)]
        ]
        total = self._own.clipped(parameters, drawn.part(0, count), clip)
        for other, share, promised in asked:
            try:
                total += ray.get(promised)
            except ray.exceptions.RayError as error:
                log.warning("a worker was lost (%s): its part is done here", type(error).__name__)
                self._others.remove(other)
                total += self._own.clipped(parameters, share, clip)
        return total

    def plain(self, parameters: Floats, drawn: Drawn) -> Iterator[Floats]:
        """Yields the (size,) float sum of each micro-batch's gradients, unclipped."""
        return self._own.plain(parameters, drawn)
