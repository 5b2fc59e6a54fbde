"""Data augmentation: random variations of training images, by MONAI's names and arguments.

A study lists transforms, a recipe's among them; no other is built, and no expression is
evaluated. Rotations (radians),
translations, widths and sides (pixels) and scales (fractions) hold alike for every axis.
"""

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from protocol.study.cohort.preprocessing import Axis, no_axis
from protocol.study.frozen_model import FrozenModel
from protocol.study.task.recipes import RecipeUse

Probability: TypeAlias = Annotated[float, Field(gt=0, le=1)]


class TransformSettings(FrozenModel):
    """The settings of one of MONAI's random dictionary transforms, without its keys.

    A spatial one is applied to the mask too; any other changes the image alone.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    is_spatial: ClassVar[bool] = False
    target: str
    prob: Probability

    def misfit(self, sides: tuple[int, ...]) -> str | None:
        """Returns why images of these sides cannot be varied so; None where they can."""
        return None

    def arguments(self, axes: int) -> dict[str, Any]:
        """Returns the settings as MONAI takes them for images of so many axes."""
        return self.model_dump(by_alias=False, exclude={"target"})


class RandFlipd(TransformSettings):
    """Mirrors the image along an axis."""

    is_spatial: ClassVar[bool] = True

    target: Literal["RandFlipd"] = Field(alias="_target_")
    spatial_axis: Axis

    def misfit(self, sides: tuple[int, ...]) -> str | None:
        """Returns that there is no such axis, where there is none."""
        return no_axis("spatial_axis", self.spatial_axis, len(sides))


class RandRotate90d(TransformSettings):
    """Turns the image by one to ``max_k`` right angles in the plane of two axes."""

    is_spatial: ClassVar[bool] = True

    target: Literal["RandRotate90d"] = Field(alias="_target_")
    max_k: int = Field(default=3, ge=1, le=3)
    spatial_axes: tuple[Axis, Axis] = (0, 1)

    def misfit(self, sides: tuple[int, ...]) -> str | None:
        """Returns that the plane is not there, or is no square."""
        missing = no_axis("spatial_axes", max(self.spatial_axes), len(sides))
        if missing is not None:
            return missing
        one, other = (sides[axis] for axis in self.spatial_axes)
        return None if one == other else f"needs equal sides, got {sides}"

    @model_validator(mode="after")
    def _consistent(self) -> "RandRotate90d":
        if self.spatial_axes[0] == self.spatial_axes[1]:
            raise ValueError("spatial_axes are two different axes")
        return self


class RandAffined(TransformSettings):
    """Turns (radians), moves (pixels) and scales (parts of one) the image, up to these numbers."""

    is_spatial: ClassVar[bool] = True

    target: Literal["RandAffined"] = Field(alias="_target_")
    rotate_range: float = Field(default=0, ge=0, le=3.15)
    translate_range: float = Field(default=0, ge=0, le=4096)
    scale_range: float = Field(default=0, ge=0, le=0.9)
    padding_mode: Literal["border", "zeros", "reflection"] = "border"

    def arguments(self, axes: int) -> dict[str, Any]:
        """Returns the settings as MONAI takes them, with a number for each axis."""
        return {
            "prob": self.prob,
            "rotate_range": (self.rotate_range,) * (1 if axes == 2 else 3),
            "translate_range": (self.translate_range,) * axes,
            "scale_range": (self.scale_range,) * axes,
            "padding_mode": self.padding_mode,
        }

    def misfit(self, sides: tuple[int, ...]) -> str | None:
        """Returns that nothing of an image might be left."""
        fits = self.translate_range < min(sides)
        return None if fits else f"translate_range moves images of {sides} out of sight"

    @model_validator(mode="after")
    def _consistent(self) -> "RandAffined":
        if not (self.rotate_range or self.translate_range or self.scale_range):
            raise ValueError("needs a rotate_range, translate_range or scale_range above 0")
        return self


class RandGaussianNoised(TransformSettings):
    """Adds Gaussian noise of a standard deviation up to ``std``."""

    target: Literal["RandGaussianNoised"] = Field(alias="_target_")
    std: float = Field(gt=0, le=1000)


class RandScaleIntensityd(TransformSettings):
    """Multiplies all pixels by one factor from 1 - ``factors`` to 1 + ``factors``."""

    target: Literal["RandScaleIntensityd"] = Field(alias="_target_")
    factors: float = Field(gt=0, le=10)


class RandShiftIntensityd(TransformSettings):
    """Adds one number from -``offsets`` to ``offsets`` to all pixels."""

    target: Literal["RandShiftIntensityd"] = Field(alias="_target_")
    offsets: float = Field(gt=0, le=1000)


class RandGaussianSmoothd(TransformSettings):
    """Smooths by a Gaussian kernel of a width, in pixels, from ``sigma``."""

    target: Literal["RandGaussianSmoothd"] = Field(alias="_target_")
    sigma: tuple[float, float] = (0.25, 1.5)

    def arguments(self, axes: int) -> dict[str, Any]:
        """Returns the settings as MONAI takes them, with a width for each axis."""
        return {"prob": self.prob, "sigma_x": self.sigma, "sigma_y": self.sigma} | (
            {"sigma_z": self.sigma} if axes == 3 else {}
        )

    @model_validator(mode="after")
    def _consistent(self) -> "RandGaussianSmoothd":
        if not 0 < self.sigma[0] <= self.sigma[1] <= 20:
            raise ValueError("sigma rises, from above 0 to 20 at most")
        return self


class RandCoarseDropoutd(TransformSettings):
    """Fills ``holes`` squares, or cubes, with zeros, which stand for the contract's centre."""

    target: Literal["RandCoarseDropoutd"] = Field(alias="_target_")
    holes: int = Field(ge=1, le=64)
    spatial_size: int = Field(ge=1, le=4096)

    def misfit(self, sides: tuple[int, ...]) -> str | None:
        """Returns that a hole is larger than an image."""
        fits = self.spatial_size <= min(sides)
        return None if fits else f"spatial_size is larger than an image of {sides}"

    def arguments(self, axes: int) -> dict[str, Any]:
        """Returns the settings as MONAI takes them, with a side for each axis."""
        sides = (self.spatial_size,) * axes
        return {"prob": self.prob, "holes": self.holes, "spatial_size": sides, "fill_value": 0}


class RecipeTransform(RecipeUse):
    """A random dictionary transform of a package's own."""

    def misfit(self, sides: tuple[int, ...]) -> str | None:
        """Returns None: it is tried when a hospital joins."""
        return None


def _told_apart(value: object) -> str:
    given = value.get("_target_") if isinstance(value, dict) else getattr(value, "target", None)
    return "recipe" if ":" in str(given) else "built in"


BuiltInTransform: TypeAlias = Annotated[
    RandFlipd
    | RandRotate90d
    | RandAffined
    | RandGaussianNoised
    | RandScaleIntensityd
    | RandShiftIntensityd
    | RandGaussianSmoothd
    | RandCoarseDropoutd,
    Field(discriminator="target"),
]

Transform: TypeAlias = Annotated[
    Annotated[BuiltInTransform, Tag("built in")] | Annotated[RecipeTransform, Tag("recipe")],
    Discriminator(_told_apart),
]


class Augmentation(FrozenModel):
    """Each training image is used ``copies`` times in a step, each time varied anew.

    A patient's gradient is the mean over all of them, clipped once: privacy costs the same.

    Source: De et al. 2022 (2204.13650), section 3.2 (augmentation multiplicity).
    """

    copies: int = Field(default=4, ge=1, le=32)
    transforms: tuple[Transform, ...] = Field(min_length=1, max_length=8)

    def misfits(self, sides: tuple[int, ...]) -> list[tuple[str, str]]:
        """Returns paths and reasons why records of these sides cannot be varied so."""
        path = "task.augmentation"
        if not sides:
            return [(path, "needs a cohort of kind images")]
        found = ((place, each.misfit(sides)) for place, each in enumerate(self.transforms))
        return [(f"{path}.transforms.{place}", why) for place, why in found if why]
