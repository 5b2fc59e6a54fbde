"""Clipped gradients beside one plain backward, on one device: networks of the sizes in use."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pipelines.gradients.clipping import clip_to_integers
from pipelines.gradients.engine_choice import engine_on, first_engine
from pipelines.networks.networks import build
from pipelines.tasks.registry import task_of
from protocol.study.cohort.cohort import Cohort, Image, ImageCohort
from protocol.study.cohort.labels import BinaryLabel, MaskLabel
from protocol.study.rounds.noise_shares import units_for
from protocol.study.task.adapters import Adapters
from protocol.study.task.networks.classifiers import DenseNet, ResNet, ViT
from protocol.study.task.networks.network import NetworkSettings
from protocol.study.task.networks.segmenters import SegResNet, UNet
from protocol.study.task.task import BinaryClassification, Segmentation, Task

_TURNS = 7
#: The layer of a ViT that gives its scores.
VIT_HEAD = ("network.classification_head",)


@dataclass(frozen=True, kw_only=True)
class DeviceRow:
    """A network, the sides of its images, and how many patients of one image are computed at once.

    ``most`` is what ours may cost, in plain backwards; None where nothing is promised.
    ``trained`` names the layers that are trained, with ``rank`` by adapters beside them; all are,
    where it names none.
    """

    network: NetworkSettings
    sides: tuple[int, ...]
    patients: int
    most: float | None = None
    trained: tuple[str, ...] = ()
    rank: int | None = None

    @property
    def name(self) -> str:
        """The network and the form of its micro-batch."""
        return f"{self.described}, batch {self.patients}"

    @property
    def described(self) -> str:
        """The network, what of it is trained, and the sides of its images."""
        how = "trained" if self.rank is None else f"adapted by rank {self.rank}"
        trained = f", {' and '.join(self.trained)} {how}" if self.trained else ""
        return f"{self.network.target}{trained} {'x'.join(map(str, self.sides))}"

    @property
    def learned(self) -> tuple[Task, Cohort]:
        """A task of the network's kind, and a cohort of such images."""
        image = Image(shape=self.sides, range=(0, 1), centre=0, scale=1)
        if self.network.gives == "masks":
            masks = MaskLabel(mask="masks", classes={"none": (0,), "lesion": (1,)})
            cohort = ImageCohort(kind="images", patient_key="row", label=masks, image=image)
            masked = Segmentation(kind="segmentation", network=self.network)
            return masked.model_copy(update=self._frozen), cohort
        label = BinaryLabel(positive=(1,), negative=(0,))
        cohort = ImageCohort(kind="images", patient_key="row", label=label, image=image)
        task = BinaryClassification(network=self.network)
        return task.model_copy(update=self._frozen), cohort

    @property
    def _frozen(self) -> dict[str, Any]:
        if self.rank is None:
            return {"trained_layers": self.trained}
        return {"adapters": Adapters(rank=self.rank, layers=self.trained)}


ROWS = (
    DeviceRow(network=DenseNet(), sides=(224, 224), patients=16, most=2.0),
    DeviceRow(network=DenseNet(), sides=(224, 224), patients=64, most=2.0),
    DeviceRow(network=ResNet(), sides=(224, 224), patients=32),
    DeviceRow(network=ViT(patch_size=16), sides=(224, 224), patients=16),
    DeviceRow(network=ViT(patch_size=16), sides=(224, 224), patients=16, trained=VIT_HEAD),
    DeviceRow(
        network=UNet(channels=(16, 32, 64, 128), strides=(2, 2, 2), num_res_units=2),
        sides=(256, 256),
        patients=16,
    ),
    DeviceRow(network=SegResNet(init_filters=16), sides=(64, 64, 64), patients=4),
)


@dataclass(frozen=True, kw_only=True)
class Works:
    """What is timed: clipped gradients by the network's engine, and one plain backward."""

    engine: str
    parameters: int
    ours: Callable[[], object]
    plain: Callable[[], object]


def works_of(row: DeviceRow, device: torch.device) -> Works:
    """Returns what is timed of a row, with drawn images on the device."""
    task, cohort = row.learned
    learned, module = task_of(task, cohort), build(task, cohort, 1).to(device)
    owned = list(module.parameters())
    size = sum(parameter.numel() for parameter in owned)
    name = first_engine(task)
    engine = engine_on(device, name, module, learned.errors)
    labels = torch.from_numpy(learned.drawn_labels(np.random.default_rng(0), row.patients))
    features = torch.randn(row.patients, 1, 1, *row.sides).to(device)
    labels = labels[:, None].to(device)
    weights = torch.ones(row.patients, 1, device=device)

    def ours() -> object:
        rows = engine(features, labels, weights)
        return clip_to_integers(rows, clip=1.0, units=units_for(size))

    def plain() -> object:
        outputs = module(features.flatten(0, 1))
        loss = learned.loss(outputs, labels.flatten(0, 1), weights.flatten())
        return torch.autograd.grad(loss, owned)

    return Works(engine=name, parameters=size, ours=ours, plain=plain)


def measured(row: DeviceRow, device: torch.device) -> Mapping[str, Any]:
    """Returns one row's figures: medians over the turns, the ratio within a turn."""
    works = works_of(row, device)
    taken = [
        (_seconds(works.ours, device), _seconds(works.plain, device)) for _ in range(_TURNS + 1)
    ][1:]
    ratio = statistics.median(own / floor for own, floor in taken)
    return {
        "engine": works.engine,
        "ms": statistics.median(own for own, _ in taken) * 1000,
        "plain backward, ms": statistics.median(floor for _, floor in taken) * 1000,
        "ratio": ratio,
        "at most": row.most,
    }


def slow(found: Mapping[str, Any]) -> Iterator[str]:
    """Yields that ours took longer than promised."""
    if found["at most"] is not None and found["ratio"] > found["at most"]:
        yield f"{found['ratio']:.2f} plain backwards, at most {found['at most']} are promised"


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    wait()
    started = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - started
