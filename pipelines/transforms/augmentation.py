"""Data augmentation: random variations of training images, by MONAI's dictionary transforms.

Rules:

1. What is drawn for an image follows from a seed alone. The seed belongs to a place of the step
   and comes from the hospital's own generator (docs/adr/0028): what is done in a step does not
   depend on who was drawn, and one patient's absence changes no other patient's chances.
2. A spatial transform is applied to an image's mask too, by the nearest pixel: classes stay whole.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.recipes.loading import recipe_failures, transform_of
from pipelines.transforms.listed_transforms import made, plain_tensors
from protocol.errors import StudyRefused
from protocol.study.cohort.cohort import Cohort, ImageCohort
from protocol.study.cohort.labels import MaskLabel
from protocol.study.task.augmentation import Augmentation, RecipeTransform
from protocol.study.task.task import Task

Floats = NDArray[np.float32]


class Augmenter:
    """Varies images, each by a seed of its own.

    Args:
        settings: the transforms.
        sides: the sides of an image.
        masks: whether labels are masks.
    """

    def __init__(self, settings: Augmentation, sides: tuple[int, ...], *, masks: bool) -> None:
        from monai.transforms.compose import Compose

        listed = [
            _of_recipe(each, masks=masks)
            if isinstance(each, RecipeTransform)
            else made(each, len(sides), masks=masks)
            for each in settings.transforms
        ]
        self._compose, self._masks = Compose(listed), masks
        recipes = [each for each in settings.transforms if isinstance(each, RecipeTransform)]
        self._recipes = ", ".join(each.target for each in recipes)
        self._shape, self._pixels = (1, *sides), math.prod(sides)

    def __call__(
        self, images: Floats, labels: Floats, seeds: NDArray[np.uint32]
    ) -> tuple[Floats, Floats]:
        r"""Returns new images and labels of the same shapes.

        Args:
            images: (images, 1, \*sides) float32, or (images, pixels + width): columns behind the
                pixels come back as they are.
            labels: (images, \*sides) numbers of classes where they are masks; any other come back
                as they are.
            seeds: (images,) one for each image.

        Guarantee: equal images, labels and seeds give equal results, whatever stands beside them;
        what is given is not changed.
        """
        varied, masks = images.copy(), np.empty_like(labels) if self._masks else labels
        pixels = varied.reshape(len(images), -1)[:, : self._pixels]
        with plain_tensors():
            for place, seed in enumerate(seeds.tolist()):
                self._compose.set_random_state(seed=seed)
                # A copy: MONAI's coarse dropout works in place.
                given = {"image": torch.from_numpy(pixels[place].reshape(self._shape).copy())}
                if self._masks:
                    given["mask"] = torch.from_numpy(labels[place].copy())[None]
                found: Any = self._compose(given)
                pixels[place] = self._whole(found["image"], self._shape).reshape(-1)
                if self._masks:
                    masks[place] = self._whole(found["mask"], self._shape)[0]
        return varied, masks

    def _whole(self, found: Any, form: tuple[int, ...]) -> NDArray[Any]:
        if tuple(found.shape) != form:
            raise StudyRefused(
                f"task.augmentation: {self._recipes} makes {tuple(found.shape)} of an image of "
                f"{form}: a transform keeps its form"
            )
        return np.asarray(found.numpy())

    def require_repeatable(self, images: Floats, labels: Floats) -> None:
        """Tries a recipe's transforms on drawn images: by one seed twice, and alone.

        Raises:
            StudyRefused: one draws by another generator than its own, depends on other images,
                gives what is not finite, or classes that were not there.
        """
        if not self._recipes:
            return
        seeds = np.arange(len(images), dtype=np.uint32)
        first, second = self(images, labels, seeds), self(images[::-1], labels[::-1], seeds[::-1])
        alike = all(
            np.array_equal(one, other[::-1], equal_nan=True)
            for one, other in zip(first, second, strict=True)
        )
        if not alike:
            raise StudyRefused(
                f"task.augmentation: {self._recipes} gives two results for one image and one "
                "seed: all that a transform draws comes from its own R"
            )
        if not (np.isfinite(first[0]).all() and np.isin(first[1], labels).all()):
            raise StudyRefused(
                f"task.augmentation: {self._recipes} gives what is not finite, or classes that no "
                "mask had"
            )


def augmenter_of(task: Task, cohort: Cohort) -> Augmenter | None:
    """Returns what varies a study's training images; None where it varies none."""
    if task.augmentation is None or not isinstance(cohort, ImageCohort):
        return None
    masks = isinstance(cohort.label, MaskLabel)
    return Augmenter(task.augmentation, cohort.image.shape, masks=masks)


def _of_recipe(named: RecipeTransform, *, masks: bool) -> Any:
    """Returns the transform that a recipe registers."""
    from monai.transforms.transform import MapTransform, Randomizable

    recipe, settings = transform_of(named)
    keys = ("image", "mask") if masks and recipe.is_spatial else ("image",)
    with recipe_failures():
        found = recipe.build(settings, keys)
    if not (isinstance(found, MapTransform) and isinstance(found, Randomizable)):
        raise StudyRefused(f"task.augmentation: {named.target} is no random MONAI MapTransform")
    return found
