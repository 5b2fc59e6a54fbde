"""Trains with pools of several sizes on one Ray and prints what each came to, as JSON.

Run by tests/unit/silos/training/worker_pool/test_backend.py in a process of its own:
python -m tests.support.simulated.worker_pools [cluster]
"""

import hashlib
import json
import sys
from contextlib import closing
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from collegium.simulation.consortium import simulation_ray
from pipelines.records import Records, Rows
from pipelines.sources.images import stored_rows
from pipelines.sources.images.stored_rows import RowWriter
from protocol.errors import FederationError
from protocol.study.study_file import read_study
from protocol.vectors.tensors import Tensors, flatten
from silos.training.randomness import FixedEntropy, RoundInput
from silos.training.ray_runtime import ray
from silos.training.steps.step_form import Drawn, StepForm
from silos.training.trainer import Trainer
from silos.training.worker import GradientBackend
from silos.training.worker_pool import placement
from silos.training.worker_pool.backend import RayBackend
from silos.training.worker_pool.shares import WorkerShares
from tests.bench import studies
from tests.support.simulated.studies import changed

STUDY = read_study(
    changed("micro_batch: 8", "micro_batch: 4").replace("patients: 40", "patients: 60")
)


IMAGES = studies.imaging(
    micro_batch=3,
    side=12,
    patients=12,
    rate=0.5,
    max_records=2,
    network="{_target_: Classifier, channels: [4], strides: [2]}",
)


def returning_patients(count: int = 60) -> Records:
    """Patients with one to three records, drawn from a fixed seed."""
    random = np.random.default_rng(5)
    patients = np.repeat(np.arange(count), random.integers(1, 4, size=count))
    return Records(
        features=random.normal(size=(len(patients), STUDY.cohort.width)).astype(np.float32),  # type: ignore[union-attr]
        labels=(random.random(len(patients)) < 0.5).astype(np.float32),
        patients=patients,
        patient_keys=tuple(map(str, range(count))),
        rows=np.arange(len(patients)),
    )


def images(*, stored: bool) -> Records:
    """Patients with one or two images, in memory or in a file."""
    records = studies.drawn_records(IMAGES, 12, (1, 2))
    return replace(records, features=stored_rows_of(records.features[:])) if stored else records


def stored_rows_of(array: NDArray[np.float32]) -> Rows:
    """Returns the rows of an array from a file, however few they are."""
    before, stored_rows.IN_MEMORY_BYTES = stored_rows.IN_MEMORY_BYTES, 0
    try:
        with closing(RowWriter(len(array), array.shape[1:], array.dtype, site="east")) as writer:
            writer.write(array)
            return writer.rows()
    finally:
        stored_rows.IN_MEMORY_BYTES = before


def of_images(records: Records, workers: int, *, cluster: bool = False) -> str:
    """The digest of an update from images, and of what is counted of them."""
    form = StepForm.of(IMAGES, "east")
    shares = WorkerShares(count=workers, cluster=cluster)
    backend = RayBackend(IMAGES, form, records.features, records.labels, shares)
    trainer = Trainer(IMAGES, "east", records, records, backend)
    model = trainer.initial_model()
    given = RoundInput(model=model, number=0, noise_multiplier=1.0)
    update = trainer.update(given, FixedEntropy(3, simulated=True)).update
    return hashlib.sha256(update.tobytes() + trainer.counts(model)[0].tobytes()).hexdigest()


def updates(
    backend: GradientBackend | None, noise_multiplier: float | None = 1.0, seed: int = 3
) -> str:
    """The digest of two rounds' updates, with a test's fixed noise."""
    records = returning_patients()
    trainer = Trainer(STUDY, "east", records, records, backend)
    model: Tensors = trainer.initial_model()
    entropy = FixedEntropy(seed, simulated=True)
    found = [
        trainer.update(
            RoundInput(model=model, number=n, noise_multiplier=noise_multiplier), entropy
        ).update
        for n in range(2)
    ]
    return hashlib.sha256(b"".join(update.tobytes() for update in found)).hexdigest()


def pool_of(workers: int, *, cluster: bool = False) -> RayBackend:
    """Returns a backend over the same patients."""
    records = returning_patients()
    form = StepForm.of(STUDY, "east")
    shares = WorkerShares(count=workers, cluster=cluster)
    return RayBackend(STUDY, form, records.features, records.labels, shares)


def step_of(micro_batches: int) -> Drawn:
    """Returns a step with so many micro-batches, all places filled."""
    form = StepForm.of(STUDY, "east")
    shape = (micro_batches, form.places, form.records)
    return Drawn(
        records=np.arange(np.prod(shape)).reshape(shape) % 60,
        weights=np.full(shape, 1 / form.records, dtype=np.float32),
    )


def on_a_cluster() -> dict[str, object]:
    """Returns what workers in a cluster's places came to; this Ray is a cluster of one node."""
    spread = pool_of(2, cluster=True)
    seen: dict[str, object] = {
        "two": updates(spread),
        "without privacy": updates(spread, None),
        "label": spread.label,
    }
    ray.kill(spread._others[0])
    seen["one lost"] = updates(spread)
    seen["left"] = len(spread._others)
    ray.kill(spread._others[0])
    seen["all lost"] = updates(spread, None)
    seen["placed again"] = len(spread._others)
    before, placement.PLACEMENT_TIMEOUT = placement.PLACEMENT_TIMEOUT, 0.5
    whole = int(ray.cluster_resources()["CPU"])
    for name, count in (("too many", 64 + whole), ("taken by others", whole)):
        try:
            pool_of(count, cluster=True)
        except FederationError as error:
            seen[name] = f"{type(error).__name__}: {error}"
    seen["still there"] = updates(spread)
    placement.PLACEMENT_TIMEOUT = before
    del spread
    seen["stored images, one"] = of_images(images(stored=True), 1, cluster=True)
    return seen


def found() -> dict[str, object]:
    """Returns what every backend came to."""
    pools = {workers: pool_of(workers) for workers in (1, 3)}
    spread = pools[3]
    seen: dict[str, object] = {
        "alone": updates(None),
        "with torch's compiler": "torch._dynamo" in sys.modules,
        "another seed": updates(None, seed=4),
        "pools": {str(workers): updates(backend) for workers, backend in pools.items()},
        "without privacy, alone": updates(None, None),
        "without privacy, three": updates(spread, None),
        "label": spread.label,
    }
    model = Trainer(STUDY, "east", *[returning_patients()] * 2).initial_model()
    parameters = flatten(model).astype(np.float64)
    drawn = step_of(7)
    whole = spread.clipped(parameters, drawn, 1.0)
    parts = [spread.clipped(parameters, drawn.part(place, 7), 1.0) for place in range(7)]
    seen["images"] = of_images(images(stored=False), 1)
    seen["stored images"] = {str(n): of_images(images(stored=True), n) for n in (1, 2)}
    seen["each once"] = bool(np.array_equal(whole, np.sum(parts, axis=0)) and whole.any())
    counted = spread.clipped(parameters, drawn, 1.0, 100)
    parts = [spread.clipped(parameters, drawn.part(place, 7), 1.0, 100) for place in range(7)]
    seen["each counted once"] = bool(np.array_equal(counted, np.sum(parts, axis=0)))
    filled = int((drawn.weights[..., 0] > 0).sum())
    seen["a count that can be"] = bool(
        counted[-1] % 100 == 0 and abs(counted[-1]) <= 100 * filled and len(counted) > len(whole)
    )
    ray.kill(spread._others[0])
    seen["one lost"] = updates(spread)
    seen["left of the lost one's workers"] = len(spread._others)
    return seen


if __name__ == "__main__":
    with simulation_ray():
        json.dump(on_a_cluster() if sys.argv[1:] == ["cluster"] else found(), sys.stdout)
