"""What a hospital is told about its model's inputs is what the network is given."""

import json
from pathlib import Path

import numpy as np
import pytest

from protocol.study.study_file import read_study_file
from silos.results.kept_models import inputs_of, keep_model
from tests import ROOT
from tests.bench.studies import imaging

FUSION = (
    "{_target_: LateFusion, image: {_target_: Classifier, channels: [4], strides: [2]}, "
    "table: {_target_: FullyConnectedNet}}"
)
COLUMNS = "{name: age, kind: number, range: [0, 9]}, {name: w, kind: category, values: [a, b, c]}"


def test_inputs_of_late_fusion_are_the_image_and_then_the_columns() -> None:
    study = imaging(micro_batch=4, side=8, network=FUSION, columns=COLUMNS)
    found = inputs_of(study)
    assert found["image"]["shape"] == [8, 8]
    assert [(one["column"], one.get("equals")) for one in found["inputs"]] == [
        ("age", None), ("w", "b"), ("w", "c"),
    ]  # fmt: skip
    assert len(found["inputs"]) == study.cohort.width
    assert set(inputs_of(imaging(micro_batch=4))) == {"image"}


@pytest.mark.parametrize(
    ("example", "said"),
    [
        ("heart-disease", "above 0 is positive"),
        ("digits", "one logit for each class, in the label's order"),
        ("diabetes-progression", "it is in the label's unit"),
        ("breast-cancer-survival", "the higher, the sooner the event"),
        ("segmentation-3d", "at each pixel or voxel"),
    ],
)
def test_beside_a_model_of_any_task_stands_what_comes_out_of_it(
    tmp_path: Path, example: str, said: str
) -> None:
    study = read_study_file(ROOT / "examples" / example / "study.yaml")
    path = keep_model(tmp_path, "run-1", study, {"w": np.zeros(2, np.float32)})
    about = json.loads(path.with_name("model.json").read_text(encoding="utf-8"))
    assert said in about["output"] and about["network"]["_target_"]
