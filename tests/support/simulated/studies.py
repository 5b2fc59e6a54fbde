"""Study documents for tests: one small valid study as text, and ways to change it."""

from protocol.study.study import Study
from protocol.study.study_file import read_study

TABLE_STUDY = """\
collegium: 1
name: small
title: A small study
purpose: To be tested.
cohort:
  kind: table
  patient_key: patient
  label: {column: ill, positive: [1], negative: [0]}
  min_patients: 4
  columns:
    - {name: age, kind: number, range: [0, 120], centre: 50, scale: 20}
    - {name: ward, kind: category, values: [A, B, C]}
    - {name: patient, kind: other}
    - {name: ill, kind: other}
sites:
  - {name: east, records: east.csv, patients: 40}
  - {name: north, records: north.csv, patients: 40}
  - {name: south, records: south.csv, patients: 40}
  - {name: west, records: west.csv, patients: 40}
split: {method: keyed_hash, test_fraction: 0.3}
task:
  network: {_target_: FullyConnectedNet, hidden_channels: [4]}
training: {rounds: 2, local_steps: 2, learning_rate: 0.5, micro_batch: 8}
privacy: {mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}
aggregation: {threshold: 3, colluders: 1}
evaluation: {bins: 8}
seeds: {model: 1, split: 1}
"""

#: The same about survival: the time in years, and whether the patient died then.
SURVIVAL_STUDY = (
    TABLE_STUDY.replace(
        "{column: ill, positive: [1], negative: [0]}",
        "{column: years, event: died, occurred: [1], censored: [0], range: [0, 10]}",
    )
    .replace(
        "{name: ill, kind: other}", "{name: years, kind: other}\n    - {name: died, kind: other}"
    )
    .replace(
        "task:\n",
        "task:\n  kind: survival\n  times: [1, 2, 4]\n  event_free: [0.9, 0.8, 0.6]\n",
    )
)

#: Counts the small study's columns; histograms have four bins.
STATISTICS_STUDY = (
    TABLE_STUDY.replace("  network: {_target_: FullyConnectedNet, hidden_channels: [4]}\n", "")
    .replace("task:\n", "task: {kind: statistics, bins: 4}\n")
    .replace("training: {rounds: 2, local_steps: 2, learning_rate: 0.5, micro_batch: 8}\n", "")
    .replace("split: {method: keyed_hash, test_fraction: 0.3}\n", "")
    .replace("  min_patients: 4\n", "  min_patients: 4\n  on_missing: count\n")
    .replace(", clip: 1.0", "")
    .replace("{bins: 8}", "{site_share: 0.1}")
)

#: A calendar of two releases after the reference, of the small study's columns in four bins.
MONITORING_STUDY = STATISTICS_STUDY.replace(
    "{kind: statistics, bins: 4}", "{kind: monitoring, releases: 2, bins: 4}"
)

#: What the small study says of training, and an evaluation of a given model does not.
_OF_TRAINING = (
    "training: {rounds: 2, local_steps: 2, learning_rate: 0.5, micro_batch: 8}\n",
    ", clip: 1.0",
)


def evaluation_study(sha256: str, text: str = TABLE_STUDY) -> str:
    """Returns a study like the small one that evaluates a file's parameters and trains nothing.

    Args:
        sha256: of the file, which is called ``given.safetensors``.
        text: the small study, or one like it.
    """
    for line in _OF_TRAINING:
        text = text.replace(line, "")
    named = f"{{file: given.safetensors, sha256: {sha256}, source: a test}}"
    return text.replace("task:\n", f"task:\n  pretrained: {named}\n")


def changed(old: str, new: str) -> str:
    """Returns the small study's text with one passage replaced; it must be there."""
    if old not in TABLE_STUDY:
        raise ValueError(f"the small study has no {old!r}")
    return TABLE_STUDY.replace(old, new, 1)


def small_study() -> Study:
    """Returns the small study."""
    return read_study(TABLE_STUDY)
