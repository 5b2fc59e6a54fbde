"""What clipped per-patient gradients cost, beside a plain backward of the same batch."""

import copy
import statistics
from collections.abc import Iterator
from functools import partial

import torch
from torch import nn

from compliance.noise import DiscreteGaussian
from pipelines.engines import ENGINES, engine_for
from pipelines.gradients import PatientGradients, clip_to_integers
from pipelines.networks import build, parameters_of
from pipelines.records import Records
from pipelines.steady import SteadyGradients
from protocol.keystream import Keystream, fresh_key
from protocol.noise_shares import units_for
from protocol.study import Study
from protocol.tensors import layout_of
from silos.entropy import SecretEntropy
from silos.trainer import Trainer
from silos.worker import Worker
from tests.bench import studies
from tests.bench.measurement import OURS, Row, Target, row_of, take_turns

AREA = "gradients"
FLOOR = "plain backward"
STEP = "plain SGD step of 256"
STEP_BY_PARTS = "plain SGD step, same micro-batches"
LOGICAL_BATCH = 256
#: Larger networks would need many GB for 256 images at once.
_MOST_AT_ONCE = 10**6


def rows(turns: int) -> Iterator[Row]:
    """Yields micro-batches of every network, then whole steps of 256 patients."""
    tabular, small_images = studies.tabular, studies.imaging
    twice = Target(most=2.0, against=FLOOR)
    yield _micro_batch("MLP 13-32-1", tabular(), 32, turns, twice)
    yield _micro_batch("MLP 13-32-1", tabular(), 256, turns, twice)
    yield _micro_batch("Classifier 28x28", small_images(micro_batch=16), 16, turns)
    yield _micro_batch("Classifier 28x28", small_images(micro_batch=16), 64, turns)
    yield _unet_micro_batch(turns)
    dense = studies.imaging(micro_batch=16, side=64, network="{name: DenseNet121}")
    few, image = min(turns, 5), studies.imaging(micro_batch=16, side=64)
    yield _micro_batch("DenseNet121 64x64", dense, 16, few, Target(most=3.0, against=FLOOR))
    yield _step("MLP 13-32-1", tabular(steps=1, micro_batch=64, rate=1.0), turns)
    yield _step("MLP 13-32-1", tabular(steps=1, micro_batch=256, rate=1.0), turns)
    yield _step("Classifier 28x28", small_images(micro_batch=64), turns)
    yield _step("UNet 64x64", image, few, _unet())
    yield _step("DenseNet121 64x64", dense, min(turns, 3))


def _micro_batch(
    network: str, study: Study, batch: int, turns: int, target: Target | None = None
) -> Row:
    module = build(study.task, study.cohort, study.seeds.model).train()
    records = studies.drawn_records(study, batch)
    features, labels = torch.from_numpy(records.features), torch.from_numpy(records.labels)
    engine = engine_for(study.task.network, module, records.features.shape[1:])
    return _clipped(network, module, engine, (features, labels), turns, target)


class _MeanLogit(nn.Module):
    """One logit of a network that gives an image, so that every record has a loss of its own."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.network(features).flatten(1).mean(dim=1, keepdim=True)


def _unet() -> nn.Module:
    """MONAI's UNet, which is not in the table of networks."""
    from monai.networks.nets.unet import UNet

    torch.manual_seed(1)
    channels, strides = (16, 32, 64, 128), (2, 2, 2)
    return _MeanLogit(UNet(2, 1, 1, channels, strides, num_res_units=2)).train()


def _unet_micro_batch(turns: int) -> Row:
    batch = torch.randn(16, 1, 64, 64), (torch.rand(16) < 0.5).float()
    target = Target(most=1.5, against=FLOOR)
    return _clipped("UNet 64x64", _unet(), ENGINES["layers"](), batch, turns, target)


def _clipped(
    network: str,
    module: nn.Module,
    engine: PatientGradients,
    batch: tuple[torch.Tensor, torch.Tensor],
    turns: int,
    target: Target | None,
) -> Row:
    features, labels = batch
    owners, units = torch.arange(len(labels)), units_for(_size(module))
    gradients = engine(module, features, labels, owners)
    clip = partial(clip_to_integers, clip=1.0, units=units)
    works = {
        OURS: lambda: clip(engine(module, features, labels, owners)),
        FLOOR: lambda: _backward(module, features, labels),
        "clip": lambda: clip(gradients),
    }
    taken = take_turns(works, turns)
    clipping = sorted(taken.pop("clip"))[turns // 2]
    return row_of(
        AREA,
        f"clipped gradients, {network}",
        f"batch {len(labels)}",
        taken,
        target=target,
        parts={"clip to integers": clipping, "parameters": float(_size(module))},
    )


class _WorkerWith(Worker):
    """A worker for a network that no study can name."""

    def __init__(self, study: Study, records: Records, module: nn.Module) -> None:
        steady = SteadyGradients(ENGINES["layers"]())
        super().__init__(study, records.features, records.labels, steady)
        self._module, self._layout = module, layout_of(parameters_of(module))


def _step(network: str, study: Study, turns: int, own: nn.Module | None = None) -> Row:
    """One protected step of the trainer against one SGD step of the same 256 patients.

    Ours samples, computes gradients in micro-batches, clips, sums, adds exact
    noise and updates. ``own`` is a network that the study does not name.
    """
    records = studies.drawn_records(study, LOGICAL_BATCH)
    module = own or build(study.task, study.cohort, study.seeds.model).train()
    crew = _WorkerWith(study, records, own) if own else None
    trainer = Trainer(study, study.site_names[0], records, records, crew)
    model, entropy, size = parameters_of(module), SecretEntropy(), study.training.micro_batch
    whole = torch.from_numpy(records.features), torch.from_numpy(records.labels)
    parts = list(zip(*(tensor.split(size) for tensor in whole), strict=True))
    works = {
        OURS: lambda: trainer.update(model, 0, 0, 1.0, entropy),
        STEP_BY_PARTS: lambda: _sgd_step(copied, parts),
    }
    if _size(module) <= _MOST_AT_ONCE:
        works[STEP] = lambda: _sgd_step(copied, [whole])
    copied, noise = copy.deepcopy(module), DiscreteGaussian(float(units_for(_size(module))))
    works["noise"] = lambda: noise.sample(Keystream(fresh_key()), _size(module))
    works["digest"] = lambda: study.digest
    taken = take_turns(works, turns)
    shown = {"exact noise": taken.pop("noise"), "the study's digest": taken.pop("digest")}
    case = f"256 patients by {size}"
    return row_of(
        AREA,
        f"whole protected step, {network}",
        case,
        taken,
        parts={name: statistics.median(values) for name, values in shown.items()},
    )


def _backward(module: nn.Module, features: torch.Tensor, labels: torch.Tensor) -> None:
    module.zero_grad()
    logits = module(features).reshape(-1)
    nn.functional.binary_cross_entropy_with_logits(logits, labels).backward()


def _sgd_step(module: nn.Module, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-6)
    optimizer.zero_grad()
    for features, labels in batches:
        logits = module(features).reshape(-1)
        nn.functional.binary_cross_entropy_with_logits(logits, labels).backward()
    optimizer.step()


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
