"""Sums patients' gradients over micro-batches that the trainer drew.

A worker decides nothing: what it returns follows from the records, the
parameters and the micro-batches it is given, bit for bit, so that any worker
of a hospital may do any part of a step, and do it again (ruling 22).
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.engines import ENGINES, engine_for
from pipelines.gradients import clip_to_integers
from pipelines.networks import build, load_parameters, parameters_of
from pipelines.steady import SteadyGradients
from protocol.noise_shares import units_for
from protocol.study import Study
from protocol.tensors import layout_of, unflatten

#: The places of each patient's records; all patients of a micro-batch have equally many.
MicroBatch: TypeAlias = Sequence[NDArray[np.int64]]
Floats: TypeAlias = NDArray[np.float64]


class Crew(Protocol):
    """Whoever computes a hospital's gradients: one worker, or several."""

    @property
    def engine(self) -> str:
        """The name of the engine that computes the gradients."""

    def clipped(
        self, parameters: Floats, batches: Sequence[MicroBatch], clip: float
    ) -> NDArray[np.int64]:
        """Returns the (size,) sum of the patients' gradients, each clipped and made whole."""

    def plain(self, parameters: Floats, batches: Sequence[MicroBatch]) -> Iterator[Floats]:
        """Yields the (size,) sum of each micro-batch's gradients as they are, in order."""


class RowsOfPatients(Protocol):
    """What turns a filled micro-batch into gradients: see ``SteadyGradients``."""

    def __call__(
        self,
        module: nn.Module,
        features: NDArray[np.float32],
        labels: NDArray[np.float32],
        num_patients: int,
    ) -> NDArray[np.float32]:
        """Returns (num_patients, size): each patient's mean gradient."""


class Worker:
    """One hospital's records and network, in one process and on one thread.

    Args:
        study: names the network and the size of a micro-batch.
        features, labels: the hospital's training records.
        gradients: computes the gradients; the network's own engine when None.

    Raises:
        StudyRefused: no engine computes this network's gradients rightly.
    """

    def __init__(
        self,
        study: Study,
        features: NDArray[np.float32],
        labels: NDArray[np.float32],
        gradients: RowsOfPatients | None = None,
    ) -> None:
        torch.set_num_threads(1)  # one thread per worker, so that sums have one order (ruling 22)
        self._size = study.training.micro_batch
        self._features, self._labels = features, labels
        self._module = build(study.task, study.cohort, study.seeds.model)
        self._layout = layout_of(parameters_of(self._module))
        self.engine = "given"
        if gradients is None:
            engine = engine_for(study.task.network, self._module, features.shape[1:])
            self.engine = next(name for name, made in ENGINES.items() if type(engine) is made)
            gradients = SteadyGradients(engine)
        self._gradients = gradients

    def clipped(
        self, parameters: Floats, batches: Sequence[MicroBatch], clip: float
    ) -> NDArray[np.int64]:
        """Returns the (size,) sum of clipped integer gradients; ``clip`` is ``units_for(size)``.

        Guarantee: one patient changes it by at most that many units, exactly.
        """
        total, units = np.zeros(parameters.size, dtype=np.int64), units_for(parameters.size)
        for gradients in self._rows(parameters, batches):
            total += clip_to_integers(gradients, clip=clip, units=units)[0]
        return total

    def plain(self, parameters: Floats, batches: Sequence[MicroBatch]) -> Iterator[Floats]:
        """Yields the (size,) float sum of each micro-batch's gradients, unclipped."""
        for gradients in self._rows(parameters, batches):
            yield gradients.sum(axis=0, dtype=np.float64)

    def _rows(
        self, parameters: Floats, batches: Sequence[MicroBatch]
    ) -> Iterator[NDArray[np.float32]]:
        load_parameters(self._module, unflatten(self._layout, parameters))
        for batch in batches:
            yield self._gradients(self._module, *self._filled(batch))

    def _filled(self, patients: MicroBatch) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
        """Returns a micro-batch's features and labels with every place filled, and how many are."""
        size, count = self._size, len(patients[0])
        index = np.concatenate(patients)
        features = np.zeros((size * count, *self._features.shape[1:]), dtype=np.float32)
        labels = np.zeros(size * count, dtype=np.float32)
        features[: len(index)] = self._features[index]
        labels[: len(index)] = self._labels[index]
        return (
            features.reshape(size, count, *features.shape[1:]),
            labels.reshape(size, count),
            len(patients),
        )
