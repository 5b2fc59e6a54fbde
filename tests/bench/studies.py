"""The two studies that are measured: 13 numbers and an MLP, small images and a small network."""

from pathlib import Path

import numpy as np

from pipelines.records import Records
from protocol.contract import ImageCohort
from protocol.study import Study
from protocol.study_file import read_study

FEATURES = 13
PATIENTS = 160

_SHARED = """\
purpose: To be measured.
split: {{method: keyed_hash, test_fraction: 0.2}}
training:
  {{rounds: {rounds}, local_steps: {steps}, learning_rate: 0.1, micro_batch: {micro_batch}}}
privacy: {{mode: local, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: {rate}}}
aggregation: {{threshold: 3, colluders: 1}}
evaluation: {{bins: 16}}
seeds: {{model: 1, split: 1}}
"""


def tabular(
    *, rounds: int = 10, steps: int = 5, micro_batch: int = 64, rate: float = 0.25
) -> Study:
    """Returns the study of ``tabular_text``."""
    return read_study(tabular_text(rounds=rounds, steps=steps, micro_batch=micro_batch, rate=rate))


def tabular_text(*, rounds: int, steps: int = 5, micro_batch: int = 64, rate: float = 0.25) -> str:
    """Returns four hospitals of 160 patients with 13 numbers each, and the MLP 13-32-1."""
    columns = "\n".join(
        f"    - {{name: x{place}, kind: number, range: [-100, 100]}}" for place in range(FEATURES)
    )
    sites = "\n".join(
        f"  - {{name: {site}, records: {site}.csv, patients: 150}}"
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
  columns:
{columns}
    - {{name: patient, kind: other}}
    - {{name: ill, kind: other}}
sites:
{sites}
task:
  network: {{name: FullyConnectedNet, hidden: [32]}}
{shared}"""


def imaging(
    *,
    micro_batch: int,
    side: int = 28,
    network: str = "{name: Classifier, channels: [8, 16], strides: [2, 2]}",
) -> Study:
    """Returns a study of square images and the small Classifier, everybody in every step."""
    shared = _SHARED.format(rounds=1, steps=1, micro_batch=micro_batch, rate=1.0)
    return read_study(f"""\
collegium: 1
name: bench-images
title: Small images
cohort:
  kind: images
  patient_key: row
  label: {{positive: [1], negative: [0]}}
  image: {{shape: [{side}, {side}], range: [0, 255], centre: 127.5, scale: 64}}
sites:
  - {{name: east, records: east.npz, patients: 256}}
  - {{name: north, records: north.npz, patients: 256}}
  - {{name: south, records: south.npz, patients: 256}}
task:
  network: {network}
{shared}""")


def drawn_records(study: Study, patients: int) -> Records:
    """Returns random records of the study's shape, one for each patient."""
    generator = np.random.default_rng(1)
    cohort = study.cohort
    shape = (1, *cohort.image.shape) if isinstance(cohort, ImageCohort) else (FEATURES,)
    return Records(
        features=generator.normal(size=(patients, *shape)).astype(np.float32),
        labels=(generator.random(patients) < 0.5).astype(np.float32),
        patients=np.arange(patients),
        patient_keys=tuple(f"p{number}" for number in range(patients)),
        rows=np.arange(patients),
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
