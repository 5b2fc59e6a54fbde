"""Preprocessing: deterministic transforms of every image, by MONAI's names and arguments.

A study lists transforms; no other is built, and no expression is evaluated. They are applied once,
in the order listed, to ``(value - centre) / scale``. Sizes, widths and margins are in pixels or
voxels; one number holds for every axis.

A hospital's images need not have the shape that the network sees: what a transform makes of sides
that are not known yet is a least and a greatest side of every axis.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, Field, model_validator

from protocol.study.frozen_model import FrozenModel

#: No side of what a network sees is longer.
MOST_PIXELS = 4096
#: No side of a hospital's image is longer.
LONGEST = 65_536

Axis: TypeAlias = Annotated[int, Field(ge=0, le=2)]
Pixels: TypeAlias = Annotated[int, Field(ge=1, le=MOST_PIXELS)]
#: The sides of an image: one for every axis, or one number for all of them.
Size: TypeAlias = Pixels | Annotated[tuple[Pixels, ...], Field(min_length=2, max_length=3)]
#: The least and the greatest that a side may be.
Side: TypeAlias = tuple[int, int]
Sides: TypeAlias = tuple[Side, ...]


class PreprocessingSettings(FrozenModel):
    """The settings of one of MONAI's deterministic dictionary transforms, without its keys.

    A spatial one is applied to the mask too; any other changes the image alone.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    is_spatial: ClassVar[bool] = False
    target: str

    def misfit(self, sides: Sides) -> str | None:
        """Returns why images of such sides cannot be prepared so; None where they can."""
        return None

    def made_of(self, sides: Sides) -> Sides:
        """Returns the sides that it leaves of such sides."""
        return sides

    def arguments(self, axes: int) -> dict[str, Any]:
        """Returns the settings as MONAI takes them for images of so many axes."""
        return self.model_dump(by_alias=False, exclude={"target"})


class ScaleIntensityRanged(PreprocessingSettings):
    """Maps values from ``a_min`` to ``a_max`` linearly to ``b_min`` to ``b_max``."""

    target: Literal["ScaleIntensityRanged"] = Field(alias="_target_")
    a_min: float
    a_max: float
    b_min: float = Field(default=0, ge=-1e6, le=1e6)
    b_max: float = Field(default=1, ge=-1e6, le=1e6)
    clip: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> "ScaleIntensityRanged":
        if not self.a_min < self.a_max:
            raise ValueError("a_max must be above a_min")
        return self


class ScaleIntensityd(PreprocessingSettings):
    """Maps each image's own least and greatest value to ``minv`` and ``maxv``."""

    target: Literal["ScaleIntensityd"] = Field(alias="_target_")
    minv: float = Field(default=0, ge=-1e6, le=1e6)
    maxv: float = Field(default=1, ge=-1e6, le=1e6)

    @model_validator(mode="after")
    def _consistent(self) -> "ScaleIntensityd":
        if not self.minv < self.maxv:
            raise ValueError("maxv must be above minv")
        return self


class ScaleIntensityRangePercentilesd(PreprocessingSettings):
    """Maps two percentiles of each image, ``lower`` and ``upper``, to ``b_min`` and ``b_max``."""

    target: Literal["ScaleIntensityRangePercentilesd"] = Field(alias="_target_")
    lower: float = Field(ge=0, le=100)
    upper: float = Field(ge=0, le=100)
    b_min: float = Field(default=0, ge=-1e6, le=1e6)
    b_max: float = Field(default=1, ge=-1e6, le=1e6)
    clip: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> "ScaleIntensityRangePercentilesd":
        if not self.lower < self.upper:
            raise ValueError("upper must be above lower")
        return self


class NormalizeIntensityd(PreprocessingSettings):
    """Takes each image's own mean off and divides by its own standard deviation.

    ``nonzero``: of the values other than 0 alone, which are then alone changed.
    """

    target: Literal["NormalizeIntensityd"] = Field(alias="_target_")
    nonzero: bool = False


class GaussianSmoothd(PreprocessingSettings):
    """Smooths by a Gaussian kernel of the width ``sigma``."""

    target: Literal["GaussianSmoothd"] = Field(alias="_target_")
    sigma: float = Field(default=1, gt=0, le=20)


class _Resizing(PreprocessingSettings):
    is_spatial: ClassVar[bool] = True

    spatial_size: Size

    def misfit(self, sides: Sides) -> str | None:
        """Returns that the size has another number of axes."""
        return _other_axes("spatial_size", self.spatial_size, sides)

    def made_of(self, sides: Sides) -> Sides:
        """Returns the declared sides."""
        return tuple((side, side) for side in _of_axes(self.spatial_size, len(sides)))

    def arguments(self, axes: int) -> dict[str, Any]:
        """Returns the settings as MONAI takes them, with a side for each axis."""
        return {"spatial_size": _of_axes(self.spatial_size, axes)}


class Resized(_Resizing):
    """Interpolates to ``spatial_size``; a mask by the nearest pixel's centre."""

    target: Literal["Resized"] = Field(alias="_target_")
    mode: Literal["area", "nearest", "nearest-exact", "bilinear", "bicubic", "trilinear"] = "area"

    def misfit(self, sides: Sides) -> str | None:
        """Returns that the size, or the interpolation, has another number of axes."""
        axes = {"bilinear": 2, "bicubic": 2, "trilinear": 3}.get(self.mode, len(sides))
        if axes != len(sides):
            return f"mode {self.mode} is for images of {axes} axes, these have {len(sides)}"
        return super().misfit(sides)

    def arguments(self, axes: int) -> dict[str, Any]:
        """Returns the settings as MONAI takes them, with a side for each axis."""
        return super().arguments(axes) | {"mode": self.mode}


class ResizeWithPadOrCropd(_Resizing):
    """Cuts at the middle, or fills up with zeros around it, to ``spatial_size``."""

    target: Literal["ResizeWithPadOrCropd"] = Field(alias="_target_")


class SpatialPadd(_Resizing):
    """Fills up with zeros around the middle where a side is below ``spatial_size``."""

    target: Literal["SpatialPadd"] = Field(alias="_target_")

    def made_of(self, sides: Sides) -> Sides:
        """Returns the sides, none below the declared one."""
        least = _of_axes(self.spatial_size, len(sides))
        return tuple(
            (max(low, own), max(high, own)) for (low, high), own in zip(sides, least, strict=True)
        )


class CenterSpatialCropd(PreprocessingSettings):
    """Cuts at the middle where a side is above ``roi_size``."""

    is_spatial: ClassVar[bool] = True

    target: Literal["CenterSpatialCropd"] = Field(alias="_target_")
    roi_size: Size

    def misfit(self, sides: Sides) -> str | None:
        """Returns that the size has another number of axes."""
        return _other_axes("roi_size", self.roi_size, sides)

    def made_of(self, sides: Sides) -> Sides:
        """Returns the sides, none above the declared one."""
        most = _of_axes(self.roi_size, len(sides))
        return tuple(
            (min(low, own), min(high, own)) for (low, high), own in zip(sides, most, strict=True)
        )

    def arguments(self, axes: int) -> dict[str, Any]:
        """Returns the settings as MONAI takes them, with a side for each axis."""
        return {"roi_size": _of_axes(self.roi_size, axes)}


class CropForegroundd(PreprocessingSettings):
    """Cuts to the smallest box that holds all values above 0, and ``margin`` pixels around it.

    The box never reaches beyond the image. What it leaves is the image's own size, so a later
    transform must fix one.
    """

    is_spatial: ClassVar[bool] = True

    target: Literal["CropForegroundd"] = Field(alias="_target_")
    margin: int = Field(default=0, ge=0, le=MOST_PIXELS)

    def made_of(self, sides: Sides) -> Sides:
        """Returns that of each side any part may be left."""
        return tuple((1, high) for _, high in sides)

    def arguments(self, axes: int) -> dict[str, Any]:
        """Returns the settings as MONAI takes them."""
        return {"margin": self.margin, "source_key": "image", "allow_smaller": True}


class Flipd(PreprocessingSettings):
    """Mirrors every image along an axis."""

    is_spatial: ClassVar[bool] = True

    target: Literal["Flipd"] = Field(alias="_target_")
    spatial_axis: Axis

    def misfit(self, sides: Sides) -> str | None:
        """Returns that there is no such axis, where there is none."""
        return no_axis("spatial_axis", self.spatial_axis, len(sides))


class Rotate90d(PreprocessingSettings):
    """Turns every image by ``k`` right angles in the plane of two axes."""

    is_spatial: ClassVar[bool] = True

    target: Literal["Rotate90d"] = Field(alias="_target_")
    k: int = Field(default=1, ge=1, le=3)
    spatial_axes: tuple[Axis, Axis] = (0, 1)

    def misfit(self, sides: Sides) -> str | None:
        """Returns that the plane is not there."""
        return no_axis("spatial_axes", max(self.spatial_axes), len(sides))

    def made_of(self, sides: Sides) -> Sides:
        """Returns the sides; those of the plane change places, unless it is turned by half."""
        one, other = self.spatial_axes
        turned = list(sides)
        if self.k % 2:
            turned[one], turned[other] = turned[other], turned[one]
        return tuple(turned)

    @model_validator(mode="after")
    def _consistent(self) -> "Rotate90d":
        if self.spatial_axes[0] == self.spatial_axes[1]:
            raise ValueError("spatial_axes are two different axes")
        return self


Preprocessing: TypeAlias = Annotated[
    ScaleIntensityRanged
    | ScaleIntensityd
    | ScaleIntensityRangePercentilesd
    | NormalizeIntensityd
    | GaussianSmoothd
    | Resized
    | ResizeWithPadOrCropd
    | SpatialPadd
    | CenterSpatialCropd
    | CropForegroundd
    | Flipd
    | Rotate90d,
    Field(discriminator="target"),
]


def sides_after(transforms: Sequence[PreprocessingSettings], sides: Sides) -> Sides:
    """Returns the sides that all transforms together leave, in their order.

    >>> crop = CenterSpatialCropd(_target_="CenterSpatialCropd", roi_size=8)
    >>> sides_after([crop], ((5, 5), (1, 65536)))
    ((5, 5), (1, 8))
    """
    for transform in transforms:
        sides = transform.made_of(sides)
    return sides


def misfits(
    transforms: Sequence[PreprocessingSettings], shape: Sequence[int]
) -> list[tuple[str, str]]:
    """Returns places and reasons why these transforms leave no images of that shape.

    >>> pad = SpatialPadd(_target_="SpatialPadd", spatial_size=32)
    >>> misfits([pad], (28, 28))[0][1]
    'leaves sides of 32 or more, 32 or more; image.shape is 28 x 28'
    """
    sides: Sides = ((1, LONGEST),) * len(shape)
    for place, transform in enumerate(transforms):
        why = transform.misfit(sides)
        if why is not None:
            return [(f"preprocessing.{place}", why)]
        sides = transform.made_of(sides)
    if not all(low <= own <= high for own, (low, high) in zip(shape, sides, strict=True)):
        whole = " x ".join(map(str, shape))
        return [("preprocessing", f"leaves sides of {_told(sides)}; image.shape is {whole}")]
    own = [p for p, each in enumerate(transforms) if isinstance(each, CropForegroundd)]
    if own and not is_fixed(sides):
        why = "leaves each image a size of its own: list Resized or ResizeWithPadOrCropd behind it"
        return [(f"preprocessing.{own[-1]}", why)]
    return []


def exactly(sides: Sequence[int]) -> Sides:
    """Returns sides that are known.

    >>> exactly((28, 20))
    ((28, 28), (20, 20))
    """
    return tuple((side, side) for side in sides)


def is_fixed(sides: Sides) -> bool:
    """Whether every side is one number.

    >>> is_fixed(((8, 8), (1, 8)))
    False
    """
    return all(low == high for low, high in sides)


def no_axis(key: str, axis: int, axes: int) -> str | None:
    """Returns that images of so many axes have no such axis, where they have none.

    >>> no_axis("spatial_axis", 2, 2)
    'spatial_axis 2: the images have the axes 0, 1'
    """
    if axis < axes:
        return None
    return f"{key} {axis}: the images have the axes {', '.join(map(str, range(axes)))}"


def _of_axes(size: Size, axes: int) -> tuple[int, ...]:
    return (size,) * axes if isinstance(size, int) else size


def _other_axes(key: str, size: Size, sides: Sides) -> str | None:
    found = len(_of_axes(size, len(sides)))
    return None if found == len(sides) else f"{key} has {found} sides, the images {len(sides)}"


def _told(sides: Sides) -> str:
    """Returns sides as a message names them."""
    told = []
    for low, high in sides:
        ends = {(1, LONGEST): "any length", (low, LONGEST): f"{low} or more"}
        between = str(low) if low == high else f"{low} to {high}"
        told.append(ends.get((low, high), between))
    return ", ".join(told)
