"""Peak resident memory of a hospital's processes, by the number of its images.

One round of one hospital, as on a network: the records are read from an npz and prepared, a
training process is started, confined and handed them, makes an update of ten steps, and counts the
evaluation. Each number of images is measured in new processes. The value is what the kernel noted
as the most that a process held (``VmHWM``).
"""

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipelines.cohort.loading import load_cohort
from protocol.study.study import Study
from silos.isolation.remote_trainer import RemoteTrainer, TrainingMachine
from silos.training.randomness import FixedEntropy, RoundInput
from tests.bench import studies
from tests.bench.measurement import OURS, Row, Target, row_of

AREA = "memory"
FEW, MANY = 1_000, 20_000
_SIDE = 64
_SITE = "east"


def rows() -> Iterator[Row]:
    """Yields the training process' row and the supervisor's, in MiB."""
    found = {count: _measured(count) for count in (FEW, MANY)}
    for process in ("training process", "supervisor"):
        yield row_of(
            AREA,
            f"peak resident memory, {process}",
            f"{MANY:,} images of {_SIDE}x{_SIDE} against {FEW:,}",
            {
                OURS: [found[MANY][process]],
                f"{FEW:,} images": [found[FEW][process]],
            },
            target=Target(most=1.1, against=f"{FEW:,} images"),
            unit="MiB",
            clock="VmHWM",
        )


def _study(count: int) -> Study:
    """Returns a study of so many images a hospital, of which a step draws 64 on average."""
    text = studies.imaging(micro_batch=32, side=_SIDE).model_dump(mode="json")
    text["cohort"]["image"]["preprocessing"] = [
        {"_target_": "ScaleIntensityd"},
        {"_target_": "Resized", "spatial_size": _SIDE},
    ]
    text["sites"] = [site | {"patients": count} for site in text["sites"]]
    text["privacy"] |= {"sampling_rate": 64 / count, "delta": 1e-6}
    text["training"]["local_steps"] = 10
    return Study.model_validate(text)


def _measured(count: int) -> dict[str, float]:
    """Returns MiB by process, of a new one."""
    command = [sys.executable, "-m", "tests.bench.memory", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _round(count: int) -> dict[str, float]:
    """Returns the peaks of one round in this process and in its training process."""
    study = _study(count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npz"
        _write(path, count)
        records = load_cohort(study.cohort, path, site=_SITE)
        train = records.take(records.rows % 5 > 0)
        test = records.take(records.rows % 5 == 0)
        trainer = RemoteTrainer(TrainingMachine(home=Path(folder)), study, _SITE, train, test)
        try:
            model = trainer.initial_model()
            given = RoundInput(model=model, number=0, noise_multiplier=1.0)
            trainer.update(given, FixedEntropy(1, simulated=True))
            trainer.counts(model)
            if trainer._process is None:
                raise RuntimeError("the training process has ended")
            pid = str(trainer._process._process.pid)
            return {"training process": _peak(pid), "supervisor": _peak("self")}
        finally:
            trainer.close()


def _write(path: Path, count: int) -> None:
    """Writes an npz, some images at a time: this process is measured."""
    generator, at_once = np.random.default_rng(0), 100
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, share in (("train", count), ("val", 0), ("test", 0)):
            with archive.open(f"{part}_images.npy", "w") as member:
                shape = (share, _SIDE, _SIDE)
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(member, header)
                for _ in range(share // at_once):
                    images = generator.integers(0, 64, (at_once, _SIDE, _SIDE), dtype=np.uint8)
                    member.write(images.tobytes())
            with archive.open(f"{part}_labels.npy", "w") as member:
                np.lib.format.write_array(member, np.arange(share) % 2)


def _peak(pid: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    print(json.dumps(_round(int(sys.argv[1]))))
