"""Training on a device, beside the processor's: here, confined, and with too little memory."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.gradients.device import gpu, processor
from protocol.errors import DeviceRefused
from protocol.vectors.tensors import flatten
from silos.training.randomness import FixedEntropy, RoundInput
from silos.training.trainer import Trainer, try_step
from tests.bench import studies
from tests.long.gpu_check.networks import CLOSE

#: A study by what is trained.
TRAINED = {
    "table": studies.tabular(steps=5, micro_batch=32, rate=1.0, patients=64),
    "images": studies.imaging(micro_batch=16, patients=64),
}


def training_figures(name: str, device: torch.device) -> dict[str, Any]:
    """Returns how far three rounds' model is from the processor's, with the same noise."""
    study = TRAINED[name]
    site = study.site_names[0]
    records = studies.drawn_records(study, 64)
    ends = []
    for place in (processor(), device):
        trainer = Trainer(study, site, records, records, device=place)
        model, entropy = trainer.initial_model(), FixedEntropy(3, simulated=True)
        moved = np.zeros(flatten(model).size)
        for number in range(3):
            given = RoundInput(model=model, number=number, noise_multiplier=0.5)
            moved += trainer.update(given, entropy).update
        scores, _ = trainer.patient_scores(model)
        ends.append((moved, scores, trainer.engine))
    (here, scores, _), (there, other_scores, engine) = ends
    return {
        "computed by": engine,
        "updates apart, of their norm": float(np.linalg.norm(there - here) / np.linalg.norm(here)),
        "scores apart, at most": float(np.abs(other_scores - scores).max()),
    }


def training_faults(found: dict[str, Any]) -> Iterator[str]:
    """Yields what is not as it must be."""
    if found["updates apart, of their norm"] > CLOSE:
        yield "the model is not the processor's"


#: What a step that is too large may hold of the GPU's memory.
_TOO_LITTLE = 1 << 30


def process_figures() -> dict[str, Any]:
    """Returns what the confined process that trains answers on a GPU, beside this process."""
    from silos.isolation.remote_trainer import RemoteTrainer, TrainingMachine, TrainingProcess
    from silos.training.worker_pool.shares import WorkerShares

    study = TRAINED["images"]
    site, records = study.site_names[0], studies.drawn_records(study, 64)
    given = RoundInput(
        model=Trainer(study, site, records, records).initial_model(),
        number=0,
        noise_multiplier=0.5,
    )
    with tempfile.TemporaryDirectory() as home:
        machine = TrainingMachine(home=Path(home), shares=WorkerShares(gpu=True))
        process = TrainingProcess(machine)
        confined, facts = process.confined, process.ask("gpu")
        process.close()
        remote = RemoteTrainer(machine, study, site, records, records)
        there = remote.update(given, FixedEntropy(3, simulated=True)).update
        remote.close()
    here = Trainer(study, site, records, records, device=gpu())
    return {
        "confined": [confined.files, confined.network, confined.sockets],
        "GPU": facts[0],
        "computed by": remote.engine,
        "same bits as this process": bool(
            np.array_equal(there, here.update(given, FixedEntropy(3, simulated=True)).update)
        ),
    }


def process_faults(found: dict[str, Any]) -> Iterator[str]:
    """Yields what is not as it must be."""
    if not found["same bits as this process"]:
        yield "it computes other bits"
    if not all(found["confined"][:2]):
        yield "it can open the hospital's folder, or reach a network"


def refusal_faults(said: str) -> Iterator[str]:
    """Yields that nothing was refused."""
    if not said:
        yield "a step that does not fit was not refused"


def refusal() -> str:
    """Returns how a step is refused that needs more of the GPU's memory than is given."""
    study = studies.imaging(micro_batch=64, side=2048, patients=64)
    try:
        try_step(study, study.site_names[0], gpu(_TOO_LITTLE))
    except DeviceRefused as error:
        return str(error)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, 0)
        torch.cuda.empty_cache()
    return ""
