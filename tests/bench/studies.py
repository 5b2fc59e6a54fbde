"""The two studies that are measured: 13 numbers and an MLP, small images and a small network."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.records import Records
from protocol.study.study import Study
from protocol.study.study_file import read_study

FEATURES = 13
PATIENTS = 160

_SHARED = """\
purpose: To be measured.
split: {{method: keyed_hash, test_fraction: 0.2}}
training:
  {{rounds: {rounds}, local_steps: {steps}, learning_rate: 0.1, micro_batch: {micro_batch}}}
privacy: {{mode: per_site, epsilon: 4, delta: 1e-4, clip: 1.0, sampling_rate: {rate}}}
aggregation: {{threshold: 3, colluders: 1}}
evaluation: {{bins: 16}}
seeds: {{model: 1, split: 1}}
"""


def tabular(
    *,
    rounds: int = 10,
    steps: int = 5,
    micro_batch: int = 64,
    rate: float = 0.25,
    patients: int = 150,
    max_records: int = 1,
) -> Study:
    """Returns the study of ``tabular_text``."""
    return read_study(
        tabular_text(
            rounds=rounds, steps=steps, micro_batch=micro_batch, rate=rate, patients=patients,
            max_records=max_records,
        )
    )  # fmt: skip


def tabular_text(
    *,
    rounds: int,
    steps: int = 5,
    micro_batch: int = 64,
    rate: float = 0.25,
    patients: int = 150,
    max_records: int = 1,
) -> str:
    """Returns four hospitals with 13 numbers a record, and the MLP 13-32-1."""
    columns = "\n".join(
        f"    - {{name: x{place}, kind: number, range: [-100, 100]}}" for place in range(FEATURES)
    )
    sites = "\n".join(
        f"  - {{name: {site}, records: {site}.csv, patients: {patients}}}"
        for site in ("east", "north", "south", "west")
    )
    shared = _SHARED.format(rounds=rounds, steps=steps, micro_batch=micro_batch, rate=rate)
    return f"""\
collegium: 1
name: bench-tabular
title: Thirteen numbers
cohort:
  kind: table
  patient_key: patient
  label: {{column: ill, positive: [1], negative: [0]}}
  min_patients: 4
  max_records_per_patient: {max_records}
  columns:
{columns}
    - {{name: patient, kind: other}}
    - {{name: ill, kind: other}}
sites:
{sites}
task:
  network: {{_target_: FullyConnectedNet, hidden_channels: [32]}}
{shared}"""


def imaging(
    *,
    micro_batch: int,
    side: int = 28,
    network: str = "{_target_: Classifier, channels: [8, 16], strides: [2, 2]}",
    rate: float = 1.0,
    patients: int = 256,
    max_records: int | None = None,
    columns: str = "",
) -> Study:
    """Returns a study of square images and the small Classifier, everybody in every step.

    An image is a patient, unless ``max_records`` says how many one may have; ``columns`` stand
    beside images.
    """
    shared = _SHARED.format(rounds=1, steps=1, micro_batch=micro_batch, rate=rate)
    key = f"patient\n  max_records_per_patient: {max_records}" if max_records else "row"
    beside = f"  columns: [{columns}]\n" if columns else ""
    return read_study(f"""\
collegium: 1
name: bench-images
title: Small images
cohort:
  kind: images
  patient_key: {key}
  label: {{positive: [1], negative: [0]}}
  image: {{shape: [{side}, {side}], range: [0, 255], centre: 127.5, scale: 64}}
{beside}sites:
  - {{name: east, records: east.npz, patients: {patients}}}
  - {{name: north, records: north.npz, patients: {patients}}}
  - {{name: south, records: south.npz, patients: {patients}}}
task:
  network: {network}
{shared}""")


def drawn_records(study: Study, patients: int, counts: Sequence[int] = (1,)) -> Records:
    """Returns random records of the study's shape: so many for one patient after the other."""
    generator = np.random.default_rng(1)
    shape = study.cohort.record_form
    owners = np.repeat(np.arange(patients), np.resize(counts, patients))
    return Records(
        features=generator.normal(size=(len(owners), *shape)).astype(np.float32),
        labels=(generator.random(len(owners)) < 0.5).astype(np.float32),
        patients=owners,
        patient_keys=tuple(f"p{number}" for number in range(patients)),
        rows=np.arange(len(owners)),
    )


def write_hospitals(folder: Path, study: Study) -> None:
    """Writes one CSV for each hospital of the tabular study."""
    header = ",".join([f"x{place}" for place in range(FEATURES)] + ["patient", "ill"])
    for place, site in enumerate(study.site_names):
        generator = np.random.default_rng(place)
        lines = [header]
        for patient in range(PATIENTS):
            ill = int(generator.random() < 0.5)
            values = ",".join(f"{value:.3f}" for value in generator.normal(ill, 1.0, FEATURES))
            lines.append(f"{values},{site}-{patient},{ill}")
        (folder / f"{site}.csv").write_text("\n".join(lines) + "\n")
