"""A study lists deterministic transforms of its images; they must leave the declared shape."""

import pytest

from protocol.errors import StudyRefused
from protocol.study.cohort.cohort import Image
from protocol.study.cohort.preprocessing import Preprocessing
from protocol.study.study import Study
from protocol.study.study_file import read_study

STUDY = """\
collegium: 1
name: images
title: Images
purpose: Tests
cohort:
  kind: images
  patient_key: row
  label: {positive: [1], negative: [0]}
  image: {shape: [28, 20], range: [0, 255], centre: 0, scale: 1%s}
sites: [{name: a, patients: 60}, {name: b, patients: 60}, {name: c, patients: 60}]
task: {kind: binary_classification, network: {_target_: Classifier, channels: [8], strides: [2]}}
training: {rounds: 2, local_steps: 1, learning_rate: 0.5}
privacy: {mode: none, sampling_rate: 0.5}
"""


def written(*transforms: str) -> str:
    lines = ",\n    ".join(f"{{_target_: {each}}}" for each in transforms)
    return STUDY % (f", preprocessing: [\n    {lines}]" if transforms else "")


def read(*transforms: str) -> Study:
    return read_study(written(*transforms), "study.yaml")


def image(*transforms: str) -> Image:
    found = read(*transforms).cohort
    assert found.kind == "images"
    return found.image


def test_a_study_without_preprocessing_keeps_its_digest() -> None:
    assert read_study(STUDY % "").digest == read().digest
    assert "preprocessing" not in read().canonical_bytes.decode()
    assert "preprocessing" in read("ScaleIntensityd").canonical_bytes.decode()


def test_transforms_keep_their_order_and_monais_defaults() -> None:
    listed = image(
        "ScaleIntensityRanged, a_min: -1000, a_max: 400, clip: true",
        "Resized, spatial_size: [28, 20], mode: bilinear",
    ).preprocessing
    assert [each.target for each in listed] == ["ScaleIntensityRanged", "Resized"]
    assert listed[0].arguments(2) == {
        "a_min": -1000, "a_max": 400, "b_min": 0, "b_max": 1, "clip": True,
    }  # fmt: skip
    assert listed[1].arguments(2) == {"spatial_size": (28, 20), "mode": "bilinear"}


@pytest.mark.parametrize(
    ("transforms", "sides", "fits"),
    [
        ([], (28, 20), True),
        ([], (28, 21), False),
        (["NormalizeIntensityd"], (30, 20), False),
        (["Resized, spatial_size: [28, 20]"], (5000, 3), True),
        (["ResizeWithPadOrCropd, spatial_size: [28, 20]"], (1, 99), True),
        (["ResizeWithPadOrCropd, spatial_size: [28, 20]"], (28, 20, 1), False),
        (["ResizeWithPadOrCropd, spatial_size: [28, 20]"], (0, 20), False),
        (["CenterSpatialCropd, roi_size: [28, 20]"], (28, 90), True),
        (["CenterSpatialCropd, roi_size: [28, 20]"], (27, 90), False),
        (["SpatialPadd, spatial_size: [28, 20]"], (1, 20), True),
        (["SpatialPadd, spatial_size: [28, 20]"], (29, 20), False),
        (["Rotate90d"], (20, 28), True),
        (["Rotate90d"], (28, 20), False),
        (["Rotate90d, k: 2"], (28, 20), True),
        (["CropForegroundd", "Resized, spatial_size: [28, 20]"], (90, 90), True),
        (["CenterSpatialCropd, roi_size: [28, 20]", "CropForegroundd, margin: 2",
          "SpatialPadd, spatial_size: [28, 20]"], (90, 90), True),
    ],
)  # fmt: skip
def test_images_of_other_sides_fit_where_transforms_make_the_shape_of_them(
    transforms: list[str], sides: tuple[int, ...], fits: bool
) -> None:
    assert image(*transforms).takes(sides) is fits


@pytest.mark.parametrize(
    ("transforms", "where", "why"),
    [
        (["Resized, spatial_size: 28"], "preprocessing",
         "leaves sides of 28, 28; image.shape is 28 x 20"),
        (["SpatialPadd, spatial_size: 32"], "preprocessing",
         "leaves sides of 32 or more, 32 or more; image.shape is 28 x 20"),
        (["CenterSpatialCropd, roi_size: [16, 20]"], "preprocessing", "1 to 16, 1 to 20"),
        (["Flipd, spatial_axis: 2"], "preprocessing[0]", "the images have the axes 0, 1"),
        (["Rotate90d, spatial_axes: [0, 2]"], "preprocessing[0]", "the images have the axes 0, 1"),
        (["ScaleIntensityd", "Resized, spatial_size: [28, 20, 3]"], "preprocessing[1]",
         "spatial_size has 3 sides, the images 2"),
        (["CenterSpatialCropd, roi_size: [28, 20, 3]"], "preprocessing[0]", "roi_size has 3"),
        (["Resized, spatial_size: [28, 20], mode: trilinear"], "preprocessing[0]",
         "mode trilinear is for images of 3 axes"),
        (["ScaleIntensityd", "CropForegroundd"], "preprocessing[1]",
         "list Resized or ResizeWithPadOrCropd behind it"),
        (["Rotate90d, spatial_axes: [1, 1]"], "preprocessing", "two different axes"),
        (["ScaleIntensityRanged, a_min: 1, a_max: 1"], "preprocessing", "above a_min"),
        (["ScaleIntensityd, minv: 1"], "preprocessing", "above minv"),
        (["ScaleIntensityRangePercentilesd, lower: 9, upper: 8"], "preprocessing", "above lower"),
        (["GaussianSmoothd, sigma: .inf"], "preprocessing", "sigma"),
        (["NormalizeIntensityd, nonzero: $import os"], "preprocessing", "nonzero"),
        (["RandFlipd, prob: 1, spatial_axis: 0"], "preprocessing", "RandFlipd"),
        (["Flipd, spatial_axis: 0"] * 13, "preprocessing", "12"),
    ],
)  # fmt: skip
def test_what_cannot_give_the_declared_shape_is_refused_with_its_line(
    transforms: list[str], where: str, why: str
) -> None:
    with pytest.raises(StudyRefused) as refusal:
        read(*transforms)
    first = str(refusal.value).splitlines()[0]
    assert first.startswith("study.yaml:") and f"cohort.image.{where}" in first and why in first


def test_axes_of_volumes_have_a_side_each() -> None:
    text = STUDY.replace("[28, 20]", "[8, 8, 8]").replace(
        "Classifier", "Classifier, spatial_dims: 3"
    )
    study = read_study(text % ", preprocessing: [{_target_: CenterSpatialCropd, roi_size: 8}]")
    assert study.cohort.kind == "images"
    assert study.cohort.image.preprocessing[0].arguments(3) == {"roi_size": (8, 8, 8)}
    assert study.cohort.image.takes((8, 9, 300)) and not study.cohort.image.takes((8, 9))


def test_the_names_are_monais_own() -> None:
    import monai.transforms
    from pydantic import TypeAdapter

    schema = TypeAdapter(Preprocessing).json_schema(by_alias=True)
    assert all(hasattr(monai.transforms, name) for name in schema["discriminator"]["mapping"])
