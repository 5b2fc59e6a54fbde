"""What a hospital is told about its model's inputs is what the network is given."""

from silos.results.kept_models import inputs_of
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
