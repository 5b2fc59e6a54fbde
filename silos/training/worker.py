"""Sums of patients' gradients over the micro-batches that the trainer drew.

A worker decides nothing: what it returns follows from the records, the parameters
and the micro-batches it is given, bit for bit, so that any worker of a hospital may
do any part of a step, and do it again. Of a task that couples records one worker
does the whole step.
"""

from collections.abc import Iterator
from typing import Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.gradients.batch_invariance import RecordOutputs, without_subnormals
from pipelines.gradients.clipping import PatientGradients, clip_to_integers, within_less_longer
from pipelines.gradients.device import engine_label, enough_memory, processor
from pipelines.gradients.engine_choice import engine_for
from pipelines.gradients.engines import SummedGradient
from pipelines.networks.networks import build, load_parameters, parameters_of
from pipelines.recipes.loading import recipe_failures
from pipelines.records import Rows
from pipelines.tasks.registry import task_of
from pipelines.tasks.task import TaskDefinition
from pipelines.transforms.augmentation import Augmenter, augmenter_of
from protocol.counted import counted
from protocol.encoding import digest
from protocol.study.rounds.noise_shares import units_for, units_of
from protocol.study.study import Study
from protocol.vectors.adaptive_clip import gradient_units
from protocol.vectors.tensors import flatten, layout_of, unflatten
from silos.training.steps.step_form import Drawn, Index, Seeds, StepForm

Floats: TypeAlias = NDArray[np.float64]


class GradientBackend(Protocol):
    """The backend that computes a hospital's gradients: one worker, or several."""

    @property
    def engine(self) -> str:
        """The name of the engine of per-patient gradients; unclipped sums need none."""

    @property
    def label(self) -> str:
        """The engine's name, then the GPU, and the workers and nodes of a cluster, where used."""

    def clipped(
        self, parameters: Floats, drawn: Drawn, clip: float, count_units: int = 0
    ) -> NDArray[np.int64]:
        """Returns the (size,) sum of the patients' gradients, each clipped and made whole.

        With ``count_units``, one more coordinate: ``protocol.vectors.adaptive_clip``.
        """

    def plain(self, parameters: Floats, drawn: Drawn) -> Iterator[Floats]:
        """Yields the (size,) sum of each micro-batch's gradients as they are, in order."""


class Worker:
    """One hospital's records and network, in one process and on one thread.

    Args:
        study: names the network.
        form: of the hospital's steps; the engine is tried in it.
        features, labels: the hospital's training records.
        gradients: computes the gradients; the network's own engine when None.
        device: where gradients are computed, clipped and summed.

    Raises:
        StudyRefused: no engine computes this network's gradients rightly.
        DeviceRefused: the device's memory does not hold a step.
    """

    def __init__(
        self,
        study: Study,
        form: StepForm,
        features: Rows,
        labels: Rows,
        gradients: PatientGradients | None = None,
        device: torch.device | None = None,
    ) -> None:
        torch.set_num_threads(1)  # one thread per worker, so that sums have one order
        self._features, self._labels = features, labels
        self._device = device or processor()
        learned = task_of(study.task, study.cohort)
        shape = (form.places, form.records, *features.shape[1:])
        tried = f"{counted(form.places, 'patient')} with {counted(form.records, 'record')} each"
        self.engine, self._summed, self._outputs = "given", None, None
        with recipe_failures(), enough_memory(f"a micro-batch of {tried}"):
            self._module = build(study.task, study.cohort, study.seeds.model).to(self._device)
            if gradients is None:
                self._summed = SummedGradient(self._module, learned.by_record.errors)
                chosen = engine_for(study.task, study.cohort, self._module, shape)
                _try_form(chosen.engine, shape, learned.by_record)
                self.engine, gradients = chosen.name, chosen.engine
            if learned.couples:
                self._outputs = RecordOutputs(self._module, features.shape[1:])
        self.label = engine_label(self.engine, self._device)
        self._augmenter = augmenter_of(study.task, study.cohort)
        if self._augmenter is not None:
            with recipe_failures():
                _try_augmenter(self._augmenter, shape, learned)
        self._study = study
        self._initial = parameters_of(self._module)
        self._layout = layout_of(self._initial)
        self._form = (form.places, form.records)
        self._gradients = gradients
        self._coupled = learned.errors if learned.couples else None

    def clipped(
        self, parameters: Floats, drawn: Drawn, clip: float, count_units: int = 0
    ) -> NDArray[np.int64]:
        """Returns the (size,) sum of clipped integer gradients; ``clip`` is ``units_of(size)``.

        With ``count_units``, (size + 1,): behind the gradients stand so many for each patient
        within the clip, less as many for each who is not, and size + 1 says what the units are.

        Guarantee: one patient changes it by at most that many units, exactly. What is done
        does not depend on who was drawn: empty places are computed and clipped like others.
        """
        coordinates = parameters.size + bool(count_units)
        units = gradient_units(units_of(self._study, coordinates), count_units)
        total = torch.zeros(parameters.size, dtype=torch.int64, device=self._device)
        within = 0
        with without_subnormals(), enough_memory("a step"):
            for gradients, filled in self._rows(parameters, drawn):
                total += clip_to_integers(gradients, clip=clip, units=units)
                if count_units:
                    within += within_less_longer(gradients, filled, clip=clip)
                del gradients  # or the next would be computed beside these
        summed = total.cpu().numpy()
        return np.append(summed, within * count_units) if count_units else summed

    def sample(self) -> str:
        """Returns the digest of one micro-batch's sum, at the study's first parameters.

        Workers that compute other bits (other processors, other libraries) give another one.
        Without a record it is empty.
        """
        if not len(self._features):
            return ""
        shape = (1, *self._form)
        drawn = Drawn(
            records=np.arange(np.prod(shape)).reshape(shape) % len(self._features),
            weights=np.full(shape, 1 / shape[2], dtype=np.float32),
            seeds=np.zeros(shape, dtype=np.uint32) if self._augmenter is not None else None,
        )
        parameters = flatten(self._initial).astype(np.float64)
        return digest(self.clipped(parameters, drawn, 1.0).tobytes())

    def plain(self, parameters: Floats, drawn: Drawn) -> Iterator[Floats]:
        """Yields the (size,) float sum of each micro-batch's gradients, unclipped."""
        with enough_memory("a step"):
            if self._summed is None:
                for gradients, filled in self._rows(parameters, drawn):
                    yield gradients[filled].double().sum(dim=0).cpu().numpy()
                return
            for features, labels, weights in self._micro_batches(parameters, drawn):
                yield self._summed(features, labels, weights).double().cpu().numpy()

    def _rows(
        self, parameters: Floats, drawn: Drawn
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yields each micro-batch's (places, size) gradients, and which places are filled."""
        for features, labels, weights in self._micro_batches(parameters, drawn):
            filled = weights[:, 0].to(self._device) > 0
            yield self._gradients(features, labels, weights), filled

    def _micro_batches(
        self, parameters: Floats, drawn: Drawn
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Yields features, labels and weights, with the parameters loaded."""
        load_parameters(self._module, unflatten(self._layout, parameters))
        coupled = self._coupled_labels(drawn)
        for place, (records, weights, seeds) in enumerate(drawn.micro_batches()):
            features, labels = self._filled(records, weights > 0, seeds)
            if coupled is not None:
                labels = coupled[place]
            yield features, labels, torch.from_numpy(weights)

    def _coupled_labels(self, drawn: Drawn) -> torch.Tensor | None:
        """Returns the labels of a task's linear form, of all the step's records; else None."""
        if self._coupled is None or self._outputs is None:
            return None
        found = [
            self._outputs(self._filled(records, weights > 0, seeds)[0].flatten(0, 1).numpy())
            for records, weights, seeds in drawn.micro_batches()
        ]
        weights = torch.from_numpy(drawn.weights)
        labels = torch.from_numpy(self._labels[drawn.records]) * (weights > 0)
        outputs = torch.from_numpy(np.concatenate(found))
        errors = self._coupled(outputs, labels.flatten(), weights.flatten()).reshape(weights.shape)
        return torch.where(weights > 0, errors / weights, 0.0)

    def _filled(
        self, records: Index, present: NDArray[np.bool_], seeds: Seeds | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the micro-batch's features and labels, varied; zeros where no record is."""
        features, labels = self._features[records], self._labels[records]
        if self._augmenter is not None:
            if seeds is None:
                raise ValueError("a study that varies images has a seed for each of them")
            images = features.reshape(records.size, *features.shape[2:])
            labels = labels.reshape(records.size, *labels.shape[2:])
            images, labels = self._augmenter(images, labels, seeds.reshape(-1))
            features = images.reshape(features.shape)
            labels = labels.reshape(*records.shape, *labels.shape[1:])
        for values in (features, labels):
            values *= present.reshape(*present.shape, *[1] * (values.ndim - 2))
        return torch.from_numpy(features), torch.from_numpy(labels)


def _try_augmenter(augmenter: Augmenter, form: tuple[int, ...], learned: TaskDefinition) -> None:
    """Varies a micro-batch of zeros: a transform that fails does so before the hospital joins."""
    count, random = form[0] * form[1], np.random.default_rng(0)
    labels = learned.drawn_labels(random, count)
    with enough_memory("a micro-batch's images"):
        images = np.zeros((count, *form[2:]), dtype=np.float32)
        augmenter(images, labels, np.zeros(count, dtype=np.uint32))
        few = random.normal(size=(min(count, 4), *form[2:])).astype(np.float32)
        augmenter.require_repeatable(few, labels[:4])


def _try_form(engine: PatientGradients, form: tuple[int, ...], learned: TaskDefinition) -> None:
    """Computes and clips a micro-batch of zeros: what every step's memory must hold."""
    labels = torch.from_numpy(learned.drawn_labels(np.random.default_rng(0), form[0] * form[1]))
    rows = engine(
        torch.zeros(form), labels.reshape(*form[:2], *labels.shape[1:]), torch.zeros(form[:2])
    )
    clip_to_integers(rows, clip=1.0, units=units_for(rows.shape[1]))
