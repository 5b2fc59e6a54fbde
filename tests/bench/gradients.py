"""What clipped per-patient gradients cost, beside a plain backward of the same batch."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import nn

from pipelines.gradients import OpacusGradients, clip_to_integers
from protocol.noise_shares import units_for
from pipelines.networks import build
from protocol.study import Study
from silos.entropy import SecretEntropy
from silos.trainer import Trainer
from tests.bench import studies
from tests.bench.measurement import OURS, Row, Target, row_of, take_turns

AREA = "gradients"
FLOOR = "plain backward"
LOGICAL_BATCH = 256


def rows(turns: int) -> Iterator[Row]:
    """Yields micro-batches, then whole steps of 256 patients, for both networks."""
    tabular, small_images = studies.tabular, studies.imaging
    yield _micro_batch("MLP 13-32-1", tabular(), 32, turns, Target(most=2.0, against=FLOOR))
    yield _micro_batch("MLP 13-32-1", tabular(), 256, turns)
    yield _micro_batch("Classifier 28x28", small_images(micro_batch=16), 16, turns)
    yield _micro_batch("Classifier 28x28", small_images(micro_batch=16), 64, turns)
    yield _step("MLP 13-32-1", tabular(steps=1, micro_batch=64, rate=1.0), turns)
    yield _step("MLP 13-32-1", tabular(steps=1, micro_batch=256, rate=1.0), turns)
    yield _step("Classifier 28x28", small_images(micro_batch=64), turns)


def _micro_batch(
    network: str, study: Study, batch: int, turns: int, target: Target | None = None
) -> Row:
    module = build(study.task, study.cohort, study.seeds.model).train()
    records = studies.drawn_records(study, batch)
    features, labels = torch.from_numpy(records.features), torch.from_numpy(records.labels)
    owners = torch.from_numpy(records.patients)
    engine, units = OpacusGradients(), units_for(_size(module))
    gradients = engine(module, features, labels, owners)
    clip = partial(clip_to_integers, gradients, clip=1.0, units=units)
    works = {
        OURS: lambda: clip_to_integers(
            engine(module, features, labels, owners), clip=1.0, units=units
        ),
        FLOOR: lambda: _backward(module, features, labels),
        "clip": clip,
    }
    taken = take_turns(works, turns)
    clipping = sorted(taken.pop("clip"))[turns // 2]
    return row_of(
        AREA,
        f"clipped gradients, {network}",
        f"batch {batch}",
        taken,
        target=target,
        parts={"clip to integers": clipping, "parameters": float(_size(module))},
    )


def _step(network: str, study: Study, turns: int) -> Row:
    """One protected step of the trainer against one SGD step over the same micro-batches."""
    records = studies.drawn_records(study, LOGICAL_BATCH)
    trainer = Trainer(study, study.site_names[0], records, records)
    model, entropy = trainer.initial_model(), SecretEntropy()
    module = build(study.task, study.cohort, study.seeds.model).train()
    size = study.training.micro_batch
    batches = list(
        zip(
            torch.from_numpy(records.features).split(size),
            torch.from_numpy(records.labels).split(size),
            strict=True,
        )
    )
    works = {
        OURS: lambda: trainer.update(model, 0, 0, 1.0, entropy),
        "plain SGD step": lambda: _sgd_step(module, batches),
    }
    case = f"256 patients by {size}"
    return row_of(AREA, f"whole protected step, {network}", case, take_turns(works, turns))


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
