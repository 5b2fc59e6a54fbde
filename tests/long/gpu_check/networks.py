"""Gradients of every network on a device, beside the processor's."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from pipelines.gradients.clipping import PatientGradients, clip_to_integers
from pipelines.gradients.device import processor
from pipelines.gradients.engine_choice import (
    Sample,
    distance,
    engine_for,
    engine_on,
    moved_copy,
    one_backward_per_record,
)
from pipelines.networks.networks import build
from pipelines.tasks.registry import task_of
from pipelines.tasks.task import TaskDefinition
from protocol.study.rounds.noise_shares import units_for
from tests.support.simulated.networks import learned_by

#: Of the bound: how far a patient's clipped gradient may be from the processor's. A unit at the
#: kink of its ReLU may fall to the other side: 0.4 % was seen for DenseNet121 on an H100.
CLOSE = 1e-2
#: As ADR 26 has it: another platform's gradients, as a part of their norm, in float64.
_EQUAL = 1e-5
#: How many records the patients have that are compared.
_COUNTS = (1, 20, 3)


def network_figures(name: str, device: torch.device) -> dict[str, Any]:
    """Returns the figures of one network on a device, beside the processor."""
    task, cohort, form = learned_by(name)
    learned, shape = task_of(task, cohort), (len(_COUNTS), max(_COUNTS), *form)
    here, there = (build(task, cohort, 1).to(place) for place in (processor(), device))
    chosen = engine_for(task, cohort, there, shape)
    sample = Sample.drawn(form, learned)
    alone = one_backward_per_record(moved_copy(here), sample, learned.loss)
    compared = engine_on(device, chosen.name, moved_copy(here), learned.errors)
    given = _patients(learned, shape)
    own = engine_on(processor(), chosen.name, here, learned.errors)(*given)
    rows = chosen.engine(*given)
    units = units_for(rows.shape[1])
    clip = float(own.norm(dim=1).median())
    ours, theirs = (_clipped_each(each, clip, units) for each in (rows, own))
    whole, again = (_sum(chosen.engine, given, clip, units) for _ in range(2))
    without = (*given[:2], given[2].clone())
    without[2][0] = 0
    return {
        "engine": chosen.name,
        "distance": distance(compared, sample, alone),
        "furthest patient, of the bound": float((ours - theirs).norm(dim=1).max()) / units,
        "longest patient, of the bound": float(ours.norm(dim=1).max()) / units,
        "same bits again": bool(torch.equal(whole, again)),
        "absence of patient 0 moves the sum by, of the bound": float(
            (whole - _sum(chosen.engine, without, clip, units)).double().norm()
        )
        / units,
    }


def _patients(learned: TaskDefinition, shape: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    """Returns drawn features, labels and weights of patients of ``_COUNTS`` records."""
    random = np.random.default_rng(2)
    counts = np.array(_COUNTS)
    features = random.normal(size=shape).astype(np.float32)
    labels = learned.drawn_labels(random, shape[0] * shape[1])
    present = np.arange(shape[1]) < counts[:, None]
    weights = np.where(present, 1 / counts[:, None], 0).astype(np.float32)
    labels = labels.reshape(*shape[:2], *labels.shape[1:])
    return tuple(map(torch.from_numpy, (features, labels, weights)))


def _clipped_each(rows: torch.Tensor, clip: float, units: int) -> torch.Tensor:
    """Returns each patient's whole numbers, in float64 on the processor."""
    each = [clip_to_integers(row[None], clip=clip, units=units).cpu().double() for row in rows]
    return torch.stack(each)


def _sum(
    engine: PatientGradients, given: tuple[torch.Tensor, ...], clip: float, units: int
) -> torch.Tensor:
    return clip_to_integers(engine(*given), clip=clip, units=units).cpu()


def network_faults(found: dict[str, Any]) -> Iterator[str]:
    """Yields what is not as it must be."""
    if not found["distance"] <= _EQUAL:
        yield f"the chosen engine {found['engine']!r} is wrong"
    if found["furthest patient, of the bound"] > CLOSE:
        yield "a clipped gradient is not the processor's"
    if found["longest patient, of the bound"] > 1:
        yield "a clipped gradient is longer than the bound"
    if found["absence of patient 0 moves the sum by, of the bound"] > 1:
        yield "one patient moves the sum by more than the bound"
    if not found["same bits again"]:
        yield "the same call gives other bits"
