"""Passages of a new study about its records and task, for every task and kind of records."""

from collections.abc import Mapping
from dataclasses import dataclass

_FEATURES = """\
    # unit: Cel, units: {degF: {scale: .., offset: ..}} let hospitals keep a number in another unit;
    # kind: date is for ages, windows of time and "first event within N days": docs/study.md
    - {name: age, kind: number, range: [0, 120], centre: 60, scale: 15}
    - {name: ward, kind: category, values: [A, B, C]}
    - {name: patient_id, kind: other}
"""
_TABLE = f"""\
  kind: table               # or images, see docs/study.md
  patient_key: patient_id   # the column that tells patients apart; row: one row is one patient
  label: LABEL
  min_patients: 20          # a smaller hospital is refused
  columns:
{_FEATURES}"""
_OUTCOME = "    - {name: outcome, kind: other}\n"
_IMAGES = """\
  # an npz: train_images, ARRAYS, train_patient_id, ...; or a folder of NIfTI, DICOM or PNG with
  # a table: docs/images.md
  kind: images
  patient_key: patient_id   # the array that tells patients apart; row: one image is one patient
  label: LABEL
  image: {shape: [64, 64], range: [0, 255], centre: 128, scale: 64}   # three numbers: volumes
  parts: [train]
  min_patients: 20          # a smaller hospital is refused
"""
_LINEAR = (
    "  network: {_target_: FullyConnectedNet, hidden_channels: []}   # no hidden layer: linear\n"
)
_PREVALENCE = """\
  prevalence: PREVALENCE           # the share of ill patients, from published sources: mend it
"""
_ILL = "{positive: [1], negative: [0]}"
_SMALL_NETWORK = "{_target_: Classifier, channels: [8, 16], strides: [2, 2]}"
_BESIDE_IMAGES = """\
  columns:                  # arrays train_age, ..., an entry for each image; NaN or "" is missing
    - {name: age, kind: number, range: [0, 120], centre: 60, scale: 15}
    - {name: sex, kind: category, values: [female, male]}
    - {name: crp, kind: number, range: [0, 1000], centre: 8, scale: 8, outside: clip, impute: 8}
"""


@dataclass(frozen=True, kw_only=True)
class TaskPassages:
    """Passages of a new study.

    Attributes:
        cohort: the section's lines.
        task: the section's lines; ``PREVALENCE`` stands for the share of the ill.
        records: what a hospital's file ends with.
        micro_batch: how many patients are computed together.
        settings: rounds, learning rate and clip to begin from; None takes the plan's.
    """

    cohort: str
    task: str
    records: str = "csv"
    micro_batch: int = 64
    settings: tuple[int, float, float] | None = (50, 1.0, 1.0)


#: The passages of every task, by its ``kind``; and of binary classification of images.
TEMPLATES: Mapping[str, TaskPassages] = {
    "binary_classification": TaskPassages(
        cohort=_TABLE.replace("LABEL", "{column: outcome, positive: [1], negative: [0]}")
        + _OUTCOME,
        task=_LINEAR.replace("linear", "logistic regression") + _PREVALENCE,
        settings=None,
    ),
    "multiclass_classification": TaskPassages(
        cohort=_TABLE.replace(
            "LABEL", "{column: outcome, classes: {mild: [1], moderate: [2], severe: [3]}}"
        )
        + _OUTCOME,
        task="  kind: multiclass_classification\n" + _LINEAR,
    ),
    "multilabel_classification": TaskPassages(
        cohort=_TABLE.replace(
            "LABEL",
            "{findings: {effusion: {column: effusion, positive: [1], negative: [0]}, "
            "oedema: {column: oedema, positive: [1], negative: [0]}}}",
        )
        + "    - {name: effusion, kind: other}\n    - {name: oedema, kind: other}\n",
        task="  kind: multilabel_classification\n" + _LINEAR,
    ),
    "regression": TaskPassages(
        cohort=_TABLE.replace(
            "LABEL",
            "{column: days, range: [0, 60], centre: 8, scale: 6, outside: clip}   # published",
        )
        + "    - {name: days, kind: other}\n",
        task="  kind: regression\n" + _LINEAR,
    ),
    "survival": TaskPassages(
        cohort=_TABLE.replace(
            "LABEL",
            "{column: days, event: died, occurred: [1], censored: [0], range: [0, 10000]}",
        )
        + "    - {name: days, kind: other}   # from entry to the event, or until last seen\n"
        "    - {name: died, kind: other}\n",
        task="  kind: survival\n"
        + _LINEAR
        + "  times: [365, 1095, 1825]          # ends of intervals, in the time column's unit\n"
        "  event_free: [0.97, 0.91, 0.85]    # share without the event at each, from published "
        "sources\n",
    ),
    "statistics": TaskPassages(
        cohort=_TABLE.replace("LABEL", "{column: outcome, positive: [1], negative: [0]}")
        .replace(
            "min_patients", "on_missing: count         # a missing cell is counted\n  min_patients"
        )
        .replace(", centre: 60, scale: 15", ", outside: clip")
        + _OUTCOME,
        task="  kind: statistics\n"
        "# bins: 8                  # a histogram of every number column; costs some precision\n",
    ),
    "segmentation": TaskPassages(
        cohort=_IMAGES.replace("ARRAYS", "train_masks").replace(
            "LABEL", "{mask: masks, classes: {background: [0], lesion: [1]}}"
        ),
        task="  kind: segmentation\n"
        "  network: {_target_: UNet, channels: [8, 16, 32], strides: [2, 2]}\n",
        records="npz",
        micro_batch=4,
    ),
    "image_classification": TaskPassages(
        cohort=_IMAGES.replace("ARRAYS", "train_labels").replace("LABEL", _ILL),
        task=f"  network: {_SMALL_NETWORK}   # or DenseNet121, ...\n" + _PREVALENCE,
        records="npz",
        settings=(40, 0.5, 1.0),
    ),
    "late_fusion": TaskPassages(
        cohort=_IMAGES.replace("ARRAYS", "train_labels, train_age").replace("LABEL", _ILL)
        + _BESIDE_IMAGES,
        task="  network:                  # the sum of what both make of a record\n"
        "    _target_: LateFusion\n"
        f"    image: {_SMALL_NETWORK}   # or DenseNet121, ...\n"
        "    table: {_target_: FullyConnectedNet, hidden_channels: []}\n" + _PREVALENCE,
        records="npz",
        settings=(40, 0.5, 1.0),
    ),
}
