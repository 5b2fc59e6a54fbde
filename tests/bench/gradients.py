"""What clipped per-patient gradients cost, beside a plain backward of the same batch."""

import copy
import statistics
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from torch import nn

from compliance.privacy.noise import DiscreteGaussian
from pipelines.gradients.clipping import PatientGradients, clip_to_integers
from pipelines.gradients.device import processor
from pipelines.gradients.engine_choice import engine_for
from pipelines.gradients.engines import ENGINES
from pipelines.networks.networks import build, parameters_of
from pipelines.records import Records
from protocol.study.rounds.noise_shares import units_for
from protocol.study.study import Study
from protocol.study.task.networks.classifiers import ViT
from protocol.study.task.networks.segmenters import SegResNet, UNet
from protocol.vectors.keystream import Keystream, fresh_key
from protocol.vectors.tensors import layout_of
from silos.training.randomness import RoundInput, SecretEntropy
from silos.training.steps.step_form import StepForm
from silos.training.trainer import Trainer
from silos.training.worker import Worker
from tests.bench import studies
from tests.bench.device import VIT_HEAD, DeviceRow, works_of
from tests.bench.measurement import OURS, Row, Target, row_of, take_turns
from tests.support.simulated.tasks import BINARY_CLASSIFICATION

AREA = "gradients"
FLOOR = "plain backward"
STEP = "plain SGD step of 256"
STEP_BY_PARTS = "plain SGD step, same micro-batches"
LOGICAL_BATCH = 256
#: Larger networks would need many GB for 256 images at once.
_MAX_AT_ONCE = 10**6
#: How many records patients have, one after the other: 1.4 on average, as in diabetes130.
_VISITS = (1, 1, 1, 1, 1, 1, 1, 2, 2, 3)

_SMALL_VIT = ViT(patch_size=16, hidden_size=192, mlp_dim=768, num_layers=12, num_heads=3)
#: Networks for masks, in two and three dimensions, and a transformer that is frozen but for little.
_LISTED = (
    DeviceRow(
        network=UNet(channels=(16, 32, 64, 128), strides=(2, 2, 2), num_res_units=2),
        sides=(64, 64),
        patients=16,
        most=1.5,
    ),
    DeviceRow(network=SegResNet(init_filters=8), sides=(32, 32, 32), patients=4, most=2.0),
    DeviceRow(network=_SMALL_VIT, sides=(128, 128), patients=8, most=1.5, trained=VIT_HEAD),
    DeviceRow(
        network=_SMALL_VIT,
        sides=(128, 128),
        patients=8,
        most=1.5,
        trained=("network.blocks",),
        rank=8,
    ),
)

Batch: TypeAlias = tuple[torch.Tensor, torch.Tensor]


def rows(turns: int) -> Iterator[Row]:
    """Yields micro-batches of every network, then whole steps of 256 patients."""
    tabular, small_images = studies.tabular, studies.imaging
    twice = Target(most=2.0, against=FLOOR)
    yield _micro_batch("MLP 13-32-1", tabular(), 32, turns, twice)
    yield _micro_batch("MLP 13-32-1", tabular(), 256, turns, twice)
    yield _micro_batch("Classifier 28x28", small_images(micro_batch=16), 16, turns)
    yield _micro_batch("Classifier 28x28", small_images(micro_batch=16), 64, turns)
    for listed in _LISTED:
        yield _listed(listed, min(turns, 5))
    dense = studies.imaging(micro_batch=16, side=64, network="{_target_: DenseNet121}")
    few, image = min(turns, 5), studies.imaging(micro_batch=16, side=64)
    yield _micro_batch("DenseNet121 64x64", dense, 16, few, Target(most=2.5, against=FLOOR))
    for size in (64, 256):
        everybody = tabular(steps=1, micro_batch=size, rate=1.0, patients=LOGICAL_BATCH)
        yield _step("MLP 13-32-1", everybody, turns)
    yield _step("Classifier 28x28", small_images(micro_batch=64), turns)
    yield _step("UNet 64x64", image, few, _unet())
    yield _step("DenseNet121 64x64", dense, min(turns, 3))
    yield _padded_step(
        "Classifier 28x28", small_images(micro_batch=64, rate=0.05, patients=1600), (1,), turns
    )
    visits = tabular(steps=1, micro_batch=256, rate=0.05, patients=4000, max_records=8)
    yield _padded_step("MLP 13-32-1", visits, _VISITS, turns)


def _micro_batch(
    network: str, study: Study, batch: int, turns: int, target: Target | None = None
) -> Row:
    module = build(study.task, study.cohort, study.seeds.model).train()
    records = studies.drawn_records(study, batch)
    features, labels = torch.from_numpy(records.features), torch.from_numpy(records.labels)
    form = (batch, 1, *records.features.shape[1:])
    engine = engine_for(study.task, study.cohort, module, form).engine
    return _clipped(network, module, engine, (features, labels), turns, target)


class _MeanLogit(nn.Module):
    """One logit of a network that gives an image, so that every record has a loss of its own."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.network(features).flatten(1).mean(dim=1, keepdim=True)


def _unet() -> nn.Module:
    """MONAI's UNet with one logit for an image, as no study has it."""
    from monai.networks.nets.unet import UNet

    torch.manual_seed(1)
    channels, strides = (16, 32, 64, 128), (2, 2, 2)
    return _MeanLogit(UNet(2, 1, 1, channels, strides, num_res_units=2)).train()


def _listed(row: DeviceRow, turns: int) -> Row:
    """A network by MONAI's name, on the processor."""
    works = works_of(row, processor())
    target = None if row.most is None else Target(most=row.most, against=FLOOR)
    return row_of(
        AREA,
        f"clipped gradients, {row.described}",
        f"batch {row.patients}",
        take_turns({OURS: works.ours, FLOOR: works.plain}, turns),
        target=target,
        parts={"parameters": float(works.parameters)},
    )


def _clipped(
    network: str,
    module: nn.Module,
    engine: PatientGradients,
    batch: Batch,
    turns: int,
    target: Target | None,
) -> Row:
    features, labels = batch
    own = features[:, None], labels[:, None], torch.ones(len(labels), 1)
    gradients, units = engine(*own), units_for(_size(module))
    clip = partial(clip_to_integers, clip=1.0, units=units)
    works = {
        OURS: lambda: clip(engine(*own)),
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
        form = StepForm.of(study, study.site_names[0])
        layers = ENGINES["layers"](module, BINARY_CLASSIFICATION.errors)
        super().__init__(study, form, records.features, records.labels, layers)
        self._module, self._layout = module, layout_of(parameters_of(module))


def _step(network: str, study: Study, turns: int, own: nn.Module | None = None) -> Row:
    """One protected step of the trainer against one SGD step of the same 256 patients.

    Ours samples, computes gradients in micro-batches, clips, sums, adds exact
    noise and updates. ``own`` is a network that the study does not name.
    """
    records = studies.drawn_records(study, LOGICAL_BATCH)
    module = own or build(study.task, study.cohort, study.seeds.model).train()
    backend = _WorkerWith(study, records, own) if own else None
    trainer = Trainer(study, study.site_names[0], records, records, backend)
    model, entropy, size = parameters_of(module), SecretEntropy(), study.training.micro_batch
    whole = torch.from_numpy(records.features), torch.from_numpy(records.labels)
    parts = _split(whole, size)
    works = {
        OURS: lambda: trainer.update(
            RoundInput(model=model, number=0, noise_multiplier=1.0), entropy
        ),
        STEP_BY_PARTS: lambda: _sgd_step(copied, parts),
    }
    if _size(module) <= _MAX_AT_ONCE:
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


def _padded_step(network: str, study: Study, counts: Sequence[int], turns: int) -> Row:
    """One protected step of sampled patients against plain SGD steps of as many.

    The floor knows who was drawn: it computes the expected number of patients, in whole
    micro-batches' worth of their own records. The other floor computes as many places as ours.
    """
    site = study.site_names[0]
    form, expected = StepForm.of(study, site), round(study.expected_batch(site))
    records = studies.drawn_records(study, study.site(site).patients, counts)
    module = build(study.task, study.cohort, study.seeds.model).train()
    trainer = Trainer(study, site, records, records)
    model, entropy, size = parameters_of(module), SecretEntropy(), study.training.micro_batch
    own = records.patients < expected
    places = form.batches * form.places * form.records
    works = {
        OURS: lambda: trainer.update(
            RoundInput(model=model, number=0, noise_multiplier=1.0), entropy
        ),
        "plain SGD step of those expected": lambda: _sgd_step(module, drawn),
        "plain SGD step, as many places": lambda: _sgd_step(module, padded),
    }
    batch = torch.from_numpy(records.features[own]), torch.from_numpy(records.labels[own])
    drawn = _split(batch, size)
    numbers = np.arange(places) % len(records.labels)
    filled = torch.from_numpy(records.features[numbers]), torch.from_numpy(records.labels[numbers])
    padded = _split(filled, form.places * form.records)
    rate = study.privacy_of(site).sampling_rate
    return row_of(
        AREA,
        f"padded step, {network}",
        f"{rate:g} of {study.site(site).patients} patients, up to {form.records} records",
        take_turns(works, turns),
        parts={
            "places": float(form.batches * form.places),
            "expected patients": float(expected),
            "records computed": float(places),
            "expected records": float(own.sum()),
        },
    )


def _split(batch: Batch, size: int) -> list[Batch]:
    return list(zip(*(tensor.split(size) for tensor in batch), strict=True))


def _backward(module: nn.Module, features: torch.Tensor, labels: torch.Tensor) -> None:
    module.zero_grad()
    logits = module(features).reshape(-1)
    nn.functional.binary_cross_entropy_with_logits(logits, labels).backward()


def _sgd_step(module: nn.Module, batches: list[Batch]) -> None:
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-6)
    optimizer.zero_grad()
    for features, labels in batches:
        logits = module(features).reshape(-1)
        nn.functional.binary_cross_entropy_with_logits(logits, labels).backward()
    optimizer.step()


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
