"""Images are prepared as MONAI's own transforms do, once, and masks move with them."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import monai.transforms
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from rich.console import Console

from pipelines.cohort.loading import load_cohort
from pipelines.cohort.quality import quality_of
from pipelines.sources.images import npz_images, stored_rows
from pipelines.transforms.preprocessing import Preprocessor
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import Image, ImageCohort
from protocol.study.cohort.labels import BinaryLabel, MaskLabel
from protocol.study.cohort.preprocessing import Preprocessing, PreprocessingSettings
from silos.preflight.quality_table import print_quality

#: Every transform that a study may name, as it writes it, and as MONAI is given it.
EACH: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ScaleIntensityRanged": (
        {"a_min": -1, "a_max": 2, "clip": True},
        {"a_min": -1, "a_max": 2, "b_min": 0, "b_max": 1, "clip": True},
    ),
    "ScaleIntensityd": ({"maxv": 3}, {"minv": 0, "maxv": 3}),
    "ScaleIntensityRangePercentilesd": (
        {"lower": 5, "upper": 95},
        {"lower": 5, "upper": 95, "b_min": 0, "b_max": 1},
    ),
    "NormalizeIntensityd": ({"nonzero": True}, {"nonzero": True}),
    "GaussianSmoothd": ({"sigma": 1.5}, {"sigma": 1.5}),
    "Resized": ({"spatial_size": 7}, {"spatial_size": 7, "mode": ["area", "nearest-exact"]}),
    "ResizeWithPadOrCropd": ({"spatial_size": 10}, {"spatial_size": 10}),
    "SpatialPadd": ({"spatial_size": 13}, {"spatial_size": 13}),
    "CenterSpatialCropd": ({"roi_size": 5}, {"roi_size": 5}),
    "CropForegroundd": (
        {"margin": 1},
        {"margin": 1, "source_key": "image", "allow_smaller": True},
    ),
    "Flipd": ({"spatial_axis": 1}, {"spatial_axis": 1}),
    "Rotate90d": ({"k": 3}, {"k": 3}),
}
SIDES = {2: (12, 9), 3: (8, 9, 10)}


def settings_of(*named: tuple[str, dict[str, Any]]) -> tuple[PreprocessingSettings, ...]:
    adapter = TypeAdapter[PreprocessingSettings](Preprocessing)
    return tuple(adapter.validate_python({"_target_": name, **said}) for name, said in named)


def drawn(axes: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    random = np.random.default_rng(4)
    image = random.normal(size=SIDES[axes]).astype(np.float32)
    image[:2] = 0
    return image, random.integers(0, 3, SIDES[axes]).astype(np.float32)


def test_every_transform_of_a_study_is_tried_here() -> None:
    schema = TypeAdapter(Preprocessing).json_schema(by_alias=True)
    assert set(schema["discriminator"]["mapping"]) == set(EACH)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("name", EACH)
def test_an_image_and_its_mask_are_what_monais_own_transform_makes_of_them(
    name: str, axes: int
) -> None:
    said, given = EACH[name]
    (settings,) = listed = settings_of((name, said))
    image, mask = drawn(axes)
    kept = image.copy()
    found, masked = Preprocessor(listed, axes, masks=True)(image, mask)
    keys = ["image", "mask"] if settings.is_spatial else ["image"]
    if name == "Resized":
        given = given | {"spatial_size": (7,) * axes}
    own = getattr(monai.transforms, name)(keys=keys, **given)
    given_to_it = {"image": image[None].copy(), "mask": mask[None].copy()}
    expected = own({key: torch.from_numpy(array) for key, array in given_to_it.items()})
    assert np.array_equal(found, np.asarray(expected["image"])[0])
    assert masked is not None and np.array_equal(masked, np.asarray(expected["mask"])[0])
    assert set(np.unique(masked)) <= {0, 1, 2} and found.dtype == np.float32
    assert np.array_equal(image, kept) and not np.array_equal(found, image)
    alone, none = Preprocessor(listed, axes, masks=False)(image)
    assert none is None and np.array_equal(alone, found)


def test_transforms_follow_each_other_as_listed() -> None:
    image, _ = drawn(2)
    both = settings_of(("ScaleIntensityd", {}), ("SpatialPadd", {"spatial_size": 14}))
    found, _ = Preprocessor(both, 2, masks=False)(image)
    assert found[0, 0] == 0 and found.max() == 1
    turned, _ = Preprocessor(both[::-1], 2, masks=False)(image)
    assert turned[0, 0] > 0


def cohort_of(
    shape: tuple[int, ...], *named: tuple[str, dict[str, Any]], **image: Any
) -> ImageCohort:
    return ImageCohort(
        kind="images",
        patient_key="row",
        label=MaskLabel(mask="masks", classes={"none": (0,), "lesion": (7,)}),
        image=Image(
            **{"shape": shape, "range": (0, 255), "centre": 0, "scale": 1, **image},
            preprocessing=settings_of(*named),
        ),
        parts=("train", "test"),
    )


def save(folder: Path, train: tuple[int, ...] = (12, 9), test: tuple[int, ...] = (20, 31)) -> Path:
    random = np.random.default_rng(2)
    arrays = {}
    for part, sides in (("train", train), ("test", test)):
        arrays[f"{part}_images"] = random.integers(1, 256, (5, *sides)).astype(np.uint8)
        arrays[f"{part}_masks"] = 7 * random.integers(0, 2, (5, *sides))
    np.savez(folder / "images.npz", **arrays)
    return folder / "images.npz"


FIXED = (
    ("CropForegroundd", {}),
    ("NormalizeIntensityd", {}),
    ("Resized", {"spatial_size": [8, 6]}),
)


def test_images_of_other_sides_become_the_networks_shape_each_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort, path = cohort_of((8, 6), *FIXED), save(tmp_path)
    records = load_cohort(cohort, path, site="north")
    assert records.features.shape == (10, 1, 8, 6) and records.labels.shape == (10, 8, 6)
    assert set(np.unique(records.labels)) == {0, 1}
    raw = np.load(path)
    prepare = Preprocessor(cohort.image.preprocessing, 2, masks=True)
    image, mask = raw["test_images"][1].astype(np.float32), raw["test_masks"][1] / np.float32(7)
    found, masked = prepare(image, mask.astype(np.float32))
    assert np.array_equal(records.features[6:7][0, 0], found)
    assert masked is not None and np.array_equal(records.labels[6:7][0], masked)
    monkeypatch.setattr(npz_images, "_NUMBERS", 1)
    monkeypatch.setattr(stored_rows, "IN_MEMORY_BYTES", 0)
    assert load_cohort(cohort, path, site="north").digest == records.digest


def test_centre_and_scale_come_before_the_transforms(tmp_path: Path) -> None:
    path = save(tmp_path, test=(12, 9))
    halved = ("ScaleIntensityRanged", {"a_min": 0, "a_max": 2})
    records = load_cohort(cohort_of((12, 9), halved, centre=55, scale=100), path, site="north")
    first = np.load(path)["train_images"][0].astype(np.float64)
    assert np.allclose(records.features[:1][0, 0], (first - 55) / 100 / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "named", "said"),
    [
        ((12, 9), (), r"array 'test_images': images of shape \(20, 31\), the contract declares"),
        (
            (12, 9),
            (("CenterSpatialCropd", {"roi_size": [12, 40]}),),
            r"'test_images': the study's preprocessing does not make images of shape \(12, 9\) of "
            r"these, of shape \(20, 31\); save them .* Resized or ResizeWithPadOrCropd",
        ),
        (
            (8, 6),
            (
                ("ScaleIntensityRanged", {"a_min": 0, "a_max": 255, "b_min": -2, "b_max": -1}),
                *FIXED,
            ),
            "'train_images', entry 0: no pixel is above 0, so CropForegroundd leaves nothing",
        ),
    ],
)
def test_images_that_cannot_be_prepared_are_refused_with_array_and_remedy(
    tmp_path: Path, shape: tuple[int, ...], named: Any, said: str
) -> None:
    with pytest.raises(CohortRefused, match=f"site north: .*{said}"):
        load_cohort(cohort_of(shape, *named), save(tmp_path), site="north")


def test_a_number_that_is_not_finite_is_refused() -> None:
    steep = settings_of(("ScaleIntensityRanged", {"a_min": 0, "a_max": 1e-300}))
    with pytest.raises(CohortRefused, match="not finite; amend the study's scale"):
        Preprocessor(steep, 2, masks=False)(drawn(2)[0])


def test_a_mask_has_its_images_own_sides(tmp_path: Path) -> None:
    cohort = cohort_of((8, 6), ("Resized", {"spatial_size": [8, 6]}))
    path = save(tmp_path)
    arrays = dict(np.load(path))
    arrays["test_masks"] = np.zeros((5, 8, 6), dtype=np.uint8)
    np.savez(path, **arrays)
    with pytest.raises(CohortRefused, match=r"shape \(5, 8, 6\), expected \(5, 20, 31\)"):
        load_cohort(cohort, path, site="north")


def test_labels_that_are_no_masks_stay_as_they_are(tmp_path: Path) -> None:
    label = BinaryLabel(positive=(1,), negative=(0,))
    cohort = cohort_of((8, 6), *FIXED).model_copy(update={"label": label})
    path = save(tmp_path)
    arrays = dict(np.load(path)) | {f"{p}_labels": np.arange(5) % 2 for p in ("train", "test")}
    np.savez(path, **arrays)
    assert load_cohort(cohort, path, site="north").labels[:].tolist() == [0, 1, 0, 1, 0] * 2


def test_people_see_which_sides_were_found_and_what_they_became(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort, path = cohort_of((8, 6), *FIXED), save(tmp_path)
    monkeypatch.setattr(stored_rows, "IN_MEMORY_BYTES", 0)
    records = load_cohort(cohort, path, site="north")
    screen = Console(record=True, width=120, file=io.StringIO())
    print_quality({"north": quality_of(records, records, records, cohort)}, screen)
    said = screen.export_text()
    transforms = "CropForegroundd, NormalizeIntensityd, Resized"
    assert f"north: images of 12 x 9, 20 x 31 become 8 x 6 by {transforms}" in said
    assert "north: 1.92e-06 GB of prepared images in the folder for temporary files" in said
    found = quality_of(records, records, records, cohort)
    assert found.images is not None
    same = replace(found, images=replace(found.images, sides=((8, 6),)))
    print_quality({"north": same}, screen)
    assert f"north: images of 8 x 6 are prepared by {transforms}" in screen.export_text()
