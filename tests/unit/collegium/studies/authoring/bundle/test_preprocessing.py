"""Transforms of a bundle are taken, left to who makes the files, or refused by name and line."""

from typing import Any

import pytest

from collegium.studies.authoring.bundle.preprocessing import TRANSFORMS, read_preprocessing
from protocol.errors import StudyRefused
from tests.support.bundles import CT, XRAY, section_of

SCALE = {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": 9,
         "b_min": 0, "b_max": 1}  # fmt: skip
LOAD = {"_target_": "LoadImaged", "keys": "image"}


def compose(*transforms: Any) -> dict[str, Any]:
    return {"_target_": "Compose", "transforms": list(transforms)}


def test_deterministic_transforms_are_taken_and_the_others_said() -> None:
    found = read_preprocessing(section_of(compose(*CT), roi=[16, 16, 16]))
    assert found.written == (
        {"_target_": "ScaleIntensityRanged", "a_min": -57, "a_max": 164, "b_min": 0, "b_max": 1,
         "clip": True},
        {"_target_": "ResizeWithPadOrCropd", "spatial_size": [16, 16, 16]},
    )  # fmt: skip
    assert found.files == (
        "Orientationd axcodes: RAS: the hospitals' arrays must have that orientation",
        "Spacingd pixdim: [1.5, 1.5, 2.0]: the hospitals' arrays must have that spacing",
    )
    assert [note.split(":")[0] for note in found.notes] == [
        "LoadImaged", "EnsureChannelFirstd", "it.transforms[6] EnsureTyped",
    ]  # fmt: skip
    assert found.sides(3) == (16, 16, 16) and found.sides(2) is None


def test_a_list_is_read_as_compose_is_and_sides_are_known() -> None:
    found = read_preprocessing(section_of(XRAY))
    assert [one["_target_"] for one in found.written] == ["ScaleIntensityd", "Resized"]
    assert found.sides(2) == (16, 16)
    assert read_preprocessing(section_of([SCALE])).sides(2) is None


def test_what_is_not_of_the_image_or_not_in_use_is_left_out_and_said() -> None:
    found = read_preprocessing(
        section_of(
            [
                SCALE | {"_disabled_": True},
                SCALE | {"keys": ["label"], "_disabled_": False},
                {"_target_": "monai.transforms.Resized", "keys": ["image", "label"],
                 "spatial_size": 8, "mode": ["bilinear", "nearest"], "_desc_": "x"},
                {"_target_": "CastToTyped", "keys": "image", "dtype": "float32"},
            ]
        )
    )  # fmt: skip
    assert found.written == ({"_target_": "Resized", "spatial_size": 8, "mode": "bilinear"},)
    assert [note.rpartition(": ")[2] for note in found.notes] == [
        "_disabled_, so left out",
        "cohort.label says what labels are",
        "arrays are float32 in every study",
    ]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_transform_of_a_study_is_known_with_monais_defaults(name: str) -> None:
    with pytest.raises(StudyRefused, match=r"it\[0\]\.wings: MONAI has no such argument; allowed"):
        read_preprocessing(section_of([{"_target_": name, "keys": "image", "wings": 2}]))


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        ([{"_target_": "Lambdad", "keys": "image", "func": "f"}], "c.json:4: it[0]._target_: "
         "'Lambdad' is code that the bundle or a library brings: no study runs it"),
        ([{"_target_": "Lambdad", "keys": "image", "func": "$lambda x: x > 0"}], "c.json:6: "
         "it[0].func: '$lambda x: x > 0' is a function that the bundle brings (a lambda), and no "
         "study runs one: take what uses it out"),
        ([{"_target_": "scripts.mine.Crop", "keys": "image"}], "'scripts.mine.Crop' is code"),
        ([{"_target_": "RandFlipd", "keys": "image", "prob": 1}], "'RandFlipd' draws at random: "
         "task.augmentation of the study is the place for it"),
        ([{"_target_": "Resize", "keys": "image"}], "is not built; did you mean 'Resized'?; a "
         "study takes ScaleIntensityRanged, "),
        ([SCALE | {"a_max": -1}], "c.json:3: it[0]: a_max must be above a_min"),
        ([LOAD, SCALE | {"a_min": "low"}], "c.json:10: it[1].a_min: input should be a valid "
         "number"),
        ([SCALE, {"_target_": "Spacingd", "keys": "image", "pixdim": 1}], "Spacingd stands behind "
         "ScaleIntensityRanged, but is left to whoever makes the hospitals' files"),
        ([SCALE | {"keys": ["label", "image"]}], "it[0].keys: [label, image]: write image first"),
        ([SCALE | {"keys": 3}], "it[0].keys: expected image, or [image, label]"),
        ([SCALE | {"dtype": "float16"}], "it[0].dtype: float16: a study has no such argument"),
        ([{"_target_": "CropForegroundd", "keys": "image", "source_key": "label"}],
         "it[0].source_key: label: a study has no such argument, and image in its place"),
        ([{"_target_": "CropForegroundd", "keys": "image", "source_key": "image", "margin": 2}],
         "it[0].margin: a study's box never reaches beyond the image: write allow_smaller: true"),
        ([{"_target_": "EnsureTyped", "keys": "image", "dtype": "$torch.float16"}],
         "it[0].dtype: '$torch.float16' is an expression, and none is evaluated: write the value"),
        ([3], "c.json:3: it[0]: a transform is written {_target_: NAME, keys: image, ...}"),
        ([LOAD | {"_disabled_": 7}], "it[0]._disabled_: true or false, nothing else"),
        ({"_target_": "OneOf", "transforms": []}, "preprocessing is {_target_: Compose, "),
        (compose(LOAD) | {"lazy": True}, "it.lazy: Compose takes transforms alone here"),
    ],
)  # fmt: skip
def test_what_no_study_can_have_is_refused_by_name_and_line(transforms: Any, message: str) -> None:
    with pytest.raises(StudyRefused) as refused:
        read_preprocessing(section_of(transforms))
    assert message in str(refused.value)
