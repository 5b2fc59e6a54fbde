"""A study of images and columns: late fusion and nothing else, refused with line and remedy."""

import pytest

from protocol.errors import StudyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from tests.bench.studies import imaging

AGE = "{name: age, kind: number, range: [0, 120], centre: 60, scale: 15}"
CLASSIFIER = "{_target_: Classifier, channels: [4], strides: [2]}"
TABLE = "{_target_: FullyConnectedNet, hidden_channels: [4]}"
FUSION = f"{{_target_: LateFusion, image: {CLASSIFIER}, table: {TABLE}}}"


def study_of(network: str = FUSION, columns: str = AGE) -> Study:
    return imaging(micro_batch=8, side=16, network=network, columns=columns)


def test_its_parts_are_written_as_networks_are_and_digested_so() -> None:
    study = study_of()
    kept = study.model_dump(mode="json")["task"]["network"]
    assert kept["_target_"] == "LateFusion"
    assert kept["image"]["_target_"] == "Classifier" and kept["image"]["channels"] == [4]
    assert kept["table"]["_target_"] == "FullyConnectedNet"
    assert Study.model_validate_json(study.canonical_bytes).digest == study.digest
    assert study.cohort.record_form == (16 * 16 + 1,)


def test_a_study_of_images_alone_says_nothing_of_columns() -> None:
    dumped = study_of(CLASSIFIER, "").model_dump(mode="json")["cohort"]
    assert "columns" not in dumped and "missing" not in dumped


@pytest.mark.parametrize(
    ("network", "columns", "said"),
    [
        (CLASSIFIER, AGE, r":\d+: task.network: a cohort of images with columns needs LateFusion: "
         r"\{_target_: LateFusion, image: .*; or take cohort.columns out"),
        (TABLE, AGE, "a cohort of images with columns needs LateFusion"),
        (FUSION, "", r":\d+: task.network: a cohort of images needs Classifier or .*; LateFusion "
         "needs images, and cohort.columns beside them"),
        (FUSION.replace("Classifier", "UNet"), AGE, r"task.network.image: _target_ is one of"),
        (FUSION.replace("Classifier", "LateFusion"), AGE, "task.network.image: _target_ is one of"),
        (FUSION.replace("FullyConnectedNet", "ViT"), AGE, r"table: _target_ is one of Full"),
        (FUSION.replace("_target_: Classifier, ", ""), AGE, "task.network.image: _target_ is one"),
        (FUSION.replace(f", table: {TABLE}", ""), AGE, "task.network.table: this key is required"),
        (FUSION, AGE.replace("age", "labels"), "the patient key must not be features"),
        (FUSION, "{name: age, kind: other}", r":\d+: cohort.columns.0"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused_with_its_line(network, columns, said) -> None:
    with pytest.raises(StudyRefused, match=said):
        study_of(network, columns)


def test_a_mask_has_no_columns() -> None:
    text = study_of().canonical_bytes.decode()
    masks = '"label":{"mask":"masks","classes":{"none":[0],"lesion":[1]}}'
    text = text.replace('"label":{"column":null,"negative":[0],"positive":[1]}', masks)
    text = text.replace('"kind":"binary_classification"', '"kind":"segmentation"')
    text = text.replace(',"prevalence":null', "")
    with pytest.raises(StudyRefused, match="cohort.columns: a mask is made of the image alone"):
        read_study(text)


def test_split_and_columns_do_not_share_an_array() -> None:
    text = study_of().canonical_bytes.decode()
    split = '"split":{"column":"age","method":"column","test":[1],"train":[0]}'
    text = text.replace('"split":{"method":"keyed_hash","test_fraction":0.2}', split)
    with pytest.raises(StudyRefused, match="the split column must not be a feature"):
        read_study(text)
