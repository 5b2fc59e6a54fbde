"""Compares the engines' gradients on a GPU with the processor's, and trains there: JSON on stdout.

python -m tests.long.gpu_check [--device cuda] [--only NETWORK]

For every network that is tried: how far each engine on the device is from one backward per
record on the processor (a part of the norm), how far the clipped integers are from the
processor's (in units of the bound / 2**17 or more), whether the same call gives the same bits
again, how far the absence of one patient moves the sum (in bounds: 1 at most), and what a few
steps of training with noise do to the AUROC. Without CUDA it says so and ends well; a check
that fails ends with 1. Nothing is downloaded, and no real record is read.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.evaluation.metrics import auroc
from pipelines.gradients.clipping import clip_to_integers
from pipelines.gradients.engine_choice import (
    TOLERANCE,
    Sample,
    distance,
    engine_on,
    moved_copy,
    one_backward_per_record,
)
from pipelines.gradients.engines import ENGINES
from pipelines.networks.networks import build
from pipelines.records import Records
from pipelines.tasks.registry import task_of
from protocol.study.noise_shares import units_for
from protocol.study.study import Study
from protocol.vectors.tensors import Tensors, flatten, layout_of, unflatten
from silos.training.randomness import RoundInput, SecretEntropy
from silos.training.step_form import PatientRecords, StepForm
from silos.training.trainer import Trainer
from silos.training.worker import Worker
from tests.bench import studies

#: Of the bound: how far a patient's clipped gradient may be from the processor's. A unit at the
#: kink of its ReLU may fall to the other side: 0.4 % was seen for DenseNet121 on an H100.
_CLOSE = 1e-2


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network, drawn records, and how it is trained; ``least_auroc`` is to be reached."""

    name: str
    study: Study
    steps: int
    noise: float
    least_auroc: float

    @property
    def patients(self) -> int:
        """How many the first hospital declares."""
        return self.study.sites[0].patients

    @property
    def records(self) -> Records:
        """One for each patient; what is ill is a little brighter."""
        drawn = studies.drawn_records(self.study, self.patients)
        ill = drawn.labels.reshape(-1, *[1] * (drawn.features.ndim - 1))
        drawn.features[:] += (ill - 0.5).astype(np.float32)
        return drawn


def cases() -> Iterator[Case]:
    """Yields a table's network and two of images.

    DenseNet121 has 7 million parameters: a few steps of 16 patients show that it trains, not
    that it learns, and with little noise, for more would be all that is left.
    """
    table = studies.tabular(steps=1, micro_batch=32, rate=1.0, patients=64)
    yield Case(name="MLP 13-32-1", study=table, steps=30, noise=0.5, least_auroc=0.7)
    small = studies.imaging(micro_batch=16, patients=64)
    yield Case(name="Classifier 28x28", study=small, steps=30, noise=0.5, least_auroc=0.7)
    large = studies.imaging(micro_batch=16, side=32, network="{_target_: DenseNet121}", patients=16)
    yield Case(name="DenseNet121 32x32", study=large, steps=3, noise=1e-3, least_auroc=0.0)


def checked(case: Case, device: torch.device) -> dict[str, Any]:
    """Returns the figures of one network."""
    there = _worker(case, str(device))
    return {
        "engine": there.engine,
        "distance of each engine": _distances(case, device),
        **_clipped(case, there),
        "training": _trained(case, device),
    }


def _worker(case: Case, device: str) -> Worker:
    records, site = case.records, case.study.site_names[0]
    form = StepForm.of(case.study, site)
    return Worker(case.study, form, records.features, records.labels, device=device)


def _distances(case: Case, device: torch.device) -> dict[str, float | str]:
    """Returns each engine's distance from one backward per record on the processor."""
    module = build(case.study.task, case.study.cohort, case.study.seeds.model)
    learned = task_of(case.study.task, case.study.cohort)
    sample = Sample.drawn(case.records.features.shape[1:], learned)
    expected = one_backward_per_record(moved_copy(module), sample, learned.loss)
    found: dict[str, float | str] = {}
    for name in ENGINES:
        try:
            engine = engine_on(device, name, moved_copy(module), learned.errors)
            found[name] = distance(engine, sample, expected)
        except (RuntimeError, NotImplementedError) as error:
            found[name] = f"cannot: {type(error).__name__}"
    return found


def _clipped(case: Case, there: Worker) -> dict[str, Any]:
    """Returns how clipped integers differ from the processor's, and from themselves."""
    here, site = _worker(case, "cpu"), case.study.site_names[0]
    module = moved_copy(build(case.study.task, case.study.cohort, case.study.seeds.model))
    named = {name: p.detach().numpy() for name, p in module.named_parameters()}
    parameters = flatten(named).astype(np.float64)
    form, units = StepForm.of(case.study, site), units_for(parameters.size)
    everybody = np.arange(case.patients)
    own, starts = PatientRecords(everybody, 1), np.zeros(case.patients * 2, dtype=np.uint64)

    def summed(worker: Worker, first: int) -> NDArray[np.int64]:
        return worker.clipped(parameters, own.drawn(everybody[first:], form, starts), 1.0)

    def each(worker: Worker) -> list[NDArray[np.int64]]:
        drawn = own.drawn(everybody, form, starts)
        rows = np.concatenate([rows for rows, _ in worker._rows(parameters, drawn)])
        return [clip_to_integers(row[None], clip=1.0, units=units) for row in rows]

    pairs = list(zip(each(there), each(here), strict=True))
    whole = summed(there, 0)
    return {
        "furthest patient, of the bound": max(_length(a - b) for a, b in pairs) / units,
        "longest patient, of the bound": max(_length(a) for a, _ in pairs) / units,
        "same bits again": bool(np.array_equal(whole, summed(there, 0))),
        "absence of patient 0 moves the sum by, of the bound": _length(whole - summed(there, 1))
        / units,
    }


def _length(vector: NDArray[np.int64]) -> float:
    """Returns the norm; the squared one is whole and below 2**63."""
    return float(np.vecdot(vector, vector)) ** 0.5


def _trained(case: Case, device: torch.device) -> dict[str, Any]:
    """Returns the AUROC before and after some noised steps, and the time of one."""
    records, site = case.records, case.study.site_names[0]
    trainer = Trainer(case.study, site, records, records, _worker(case, str(device)))
    model, layout = trainer.initial_model(), layout_of(trainer.initial_model())
    before, times = _auroc(trainer, model), []
    for number in range(case.steps):
        started = time.perf_counter()
        update = trainer.update(
            RoundInput(model=model, number=number, noise_multiplier=case.noise), SecretEntropy()
        )
        times.append((time.perf_counter() - started) * 1000)
        model = unflatten(layout, flatten(model) + update)
    return {
        "steps": case.steps,
        "AUROC to reach": case.least_auroc,
        "AUROC before": before,
        "AUROC after": _auroc(trainer, model),
        "finite": bool(np.isfinite(flatten(model)).all()),
        "ms a step": statistics.median(times),
    }


def _auroc(trainer: Trainer, model: Tensors) -> float:
    logits, labels = trainer.patient_scores(model)
    return float(auroc(logits, labels))


def faults(name: str, found: dict[str, Any]) -> Iterator[str]:
    """Yields what is not as it must be."""
    engine = found["engine"]
    if not found["distance of each engine"][engine] <= TOLERANCE:
        yield f"{name}: the chosen engine {engine!r} is wrong"
    if found["furthest patient, of the bound"] > _CLOSE:
        yield f"{name}: a clipped gradient is not the processor's"
    if found["longest patient, of the bound"] > 1:
        yield f"{name}: a clipped gradient is longer than the bound"
    if found["absence of patient 0 moves the sum by, of the bound"] > 1:
        yield f"{name}: one patient moves the sum by more than the bound"
    if not found["same bits again"]:
        yield f"{name}: the same call gives other bits"
    training = found["training"]
    if not training["finite"] or training["AUROC after"] < training["AUROC to reach"]:
        yield f"{name}: nothing was learned"


def main() -> int:
    """Runs the check as the command line asks; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.long.gpu_check", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", default="", help="what a network's name begins with")
    asked = parser.parse_args()
    device = torch.device(asked.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("skipped: torch finds no CUDA device here", file=sys.stderr)
        print(json.dumps({"skipped": "torch finds no CUDA device here"}))
        return 0
    chosen = [case for case in cases() if case.name.startswith(asked.only)]
    found = {case.name: checked(case, device) for case in chosen}
    wrong = [fault for name, figures in found.items() for fault in faults(name, figures)]
    is_cuda = device.type == "cuda"
    document = {
        "device": torch.cuda.get_device_name(device) if is_cuda else platform.processor(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "networks": found,
        "faults": wrong,
    }
    print(json.dumps(document, indent=2, allow_nan=False))
    for fault in wrong:
        print(fault, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
