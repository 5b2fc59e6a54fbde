"""Images are varied by MONAI's transforms, each by its own seed, and masks move with them."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter

from pipelines.transforms.augmentation import Augmenter
from protocol.study.task.augmentation import Augmentation, BuiltInTransform, TransformSettings

#: Every transform that a study may name, as often as can be.
EACH: dict[str, dict[str, Any]] = {
    "RandFlipd": {"spatial_axis": 1},
    "RandRotate90d": {},
    "RandAffined": {"rotate_range": 0.5, "translate_range": 2, "scale_range": 0.1},
    "RandGaussianNoised": {"std": 0.1},
    "RandScaleIntensityd": {"factors": 0.3},
    "RandShiftIntensityd": {"offsets": 0.3},
    "RandGaussianSmoothd": {},
    "RandCoarseDropoutd": {"holes": 2, "spatial_size": 3},
}
SIDES = {2: (16, 16), 3: (8, 8, 8)}


def settings_of(*names: str, prob: float = 1) -> Augmentation:
    made = [{"_target_": name, "prob": prob, **EACH[name]} for name in names]
    return Augmentation.model_validate({"copies": 2, "transforms": made})


def drawn(axes: int, count: int = 5) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(count, 1, *SIDES[axes])).astype(np.float32)


def seeds(count: int = 5) -> NDArray[np.uint32]:
    return np.random.default_rng(1).integers(0, 2**32, count, dtype=np.uint32)


NO_LABELS = np.zeros(5, dtype=np.float32)


def test_every_transform_of_a_study_is_tried_here() -> None:
    schema = TypeAdapter[TransformSettings](BuiltInTransform).json_schema(by_alias=True)
    assert set(schema["discriminator"]["mapping"]) == set(EACH)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("name", EACH)
def test_an_image_follows_from_itself_and_its_seed_alone(name: str, axes: int) -> None:
    images, own = drawn(axes), seeds()
    vary = Augmenter(settings_of(name), SIDES[axes], masks=False)
    found, labels = vary(images, NO_LABELS, own)
    assert found.shape == images.shape and found.dtype == np.float32
    assert np.isfinite(found).all() and labels is NO_LABELS
    assert all((found[place] != images[place]).any() for place in range(5))
    assert np.array_equal(images, drawn(axes))
    turned = np.array([3, 1, 4, 0, 2])
    again, _ = vary(images[turned], NO_LABELS, own[turned])
    assert np.array_equal(again, found[turned])
    alone, _ = vary(images[2:3], NO_LABELS[:1], own[2:3])
    assert np.array_equal(alone[0], found[2])


@pytest.mark.parametrize("name", EACH)
def test_another_seed_varies_otherwise_and_a_chance_is_a_chance(name: str) -> None:
    images = np.repeat(drawn(2, 1), 400, axis=0)
    vary = Augmenter(settings_of(name, prob=0.25), SIDES[2], masks=False)
    found, _ = vary(images, np.zeros(400, dtype=np.float32), seeds(400))
    changed = (found != images).any(axis=(1, 2, 3))
    assert 60 <= changed.sum() <= 140  # 100 expected, deviation 8.7
    kinds, fixed = (
        {image.tobytes() for image in found[changed]},
        {"RandFlipd": 1, "RandRotate90d": 3},
    )
    assert len(kinds) == fixed[name] if name in fixed else len(kinds) > 50


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("name", ["RandFlipd", "RandRotate90d"])
def test_a_mask_moves_exactly_as_its_image(name: str, axes: int) -> None:
    images = np.random.default_rng(2).integers(0, 3, (5, 1, *SIDES[axes])).astype(np.float32)
    masks = images[:, 0].copy()
    found, moved = Augmenter(settings_of(name), SIDES[axes], masks=True)(images, masks, seeds())
    assert np.array_equal(found[:, 0], moved) and not np.array_equal(moved, masks)


@pytest.mark.parametrize("axes", [2, 3])
def test_a_mask_that_is_turned_a_little_keeps_whole_classes(axes: int) -> None:
    images = np.zeros((5, 1, *SIDES[axes]), dtype=np.float32)
    images[:, :, 2:6, 3:7] = 2
    found, moved = Augmenter(settings_of("RandAffined"), SIDES[axes], masks=True)(
        images, images[:, 0].copy(), seeds()
    )
    assert set(np.unique(moved)) == {0.0, 2.0}
    assert ((found[:, 0] > 1) == (moved > 1)).mean() > 0.97


@pytest.mark.parametrize("name", EACH)
def test_masks_change_where_a_transform_is_spatial_and_nowhere_else(name: str) -> None:
    settings = settings_of(name)
    masks = np.random.default_rng(2).integers(0, 3, (5, *SIDES[2])).astype(np.float32)
    _, found = Augmenter(settings, SIDES[2], masks=True)(drawn(2), masks, seeds())
    assert np.array_equal(found, masks) != settings.transforms[0].is_spatial


@pytest.mark.parametrize(
    ("sides", "transform", "path", "words"),
    [
        ((), "RandFlipd", "task.augmentation", "a cohort of kind images"),
        ((9, 8), "RandRotate90d", "task.augmentation.transforms.1", "needs equal sides"),
        ((2, 2), "RandCoarseDropoutd", "task.augmentation.transforms.1", "larger than an image"),
        ((2, 2), "RandAffined", "task.augmentation.transforms.1", "out of sight"),
        ((9,), "RandFlipd", "task.augmentation.transforms.1", "spatial_axis 1: the images have"),
    ],
)
def test_what_does_not_fit_the_images_is_said_where_it_stands(
    sides: tuple[int, ...], transform: str, path: str, words: str
) -> None:
    ((found, why),) = settings_of("RandGaussianNoised", transform).misfits(sides)
    assert found == path and words in why
    assert settings_of(*EACH).misfits((16, 16)) == []
