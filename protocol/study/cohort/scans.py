"""Expectations of images with a header (DICOM, NIfTI): axes, spacing, volume, colour, series.

A hospital says where its images lie; these keys of ``cohort.image`` say what they must be. Each is
left out of a study's digest where it is not written.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from protocol.study.frozen_model import FrozenModel

_AXES = ("LR", "PA", "IS")


def _three_axes(letters: str) -> str:
    pairs = [next((i for i, pair in enumerate(_AXES) if letter in pair), 3) for letter in letters]
    if sorted(pairs) != [0, 1, 2]:
        raise ValueError("names each axis once: L or R, A or P, S or I, as in RAS")
    return letters


#: The directions in which an image's axes rise: right, anterior, superior, and their opposites.
Orientation: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[LRAPIS]{3}$"), AfterValidator(_three_axes)
]
#: The orientation of an image of three axes whose study names none.
DEFAULT_ORIENTATION = "RAS"

#: The least and the greatest distance of two voxels' centres along an axis, in mm.
SpacingRange: TypeAlias = tuple[
    Annotated[float, Field(gt=0, le=1000)], Annotated[float, Field(gt=0, le=1000)]
]


def _rising(ranges: tuple[SpacingRange, ...]) -> tuple[SpacingRange, ...]:
    if any(low > high for low, high in ranges):
        raise ValueError("holds the least and the greatest distance of each axis: [0.5, 1.0]")
    return ranges


Spacing: TypeAlias = Annotated[
    tuple[SpacingRange, ...], Field(min_length=2, max_length=3), AfterValidator(_rising)
]
#: What becomes of colours: refused, or one number by the weights of ITU-R BT.601.
Colour: TypeAlias = Literal["refuse", "grey"]


class SeriesRule(FrozenModel):
    """The rule by which one DICOM series of a study, or of a folder, is the image.

    A series counts if it is of ``modality`` and its description holds the phrase ``description``,
    in any case. Of several that count, ``choose: largest`` takes the one with most images (of
    equal ones the first by its UID), ``refuse`` none.
    """

    modality: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_]{1,16}$")] | None = None
    description: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    choose: Literal["largest", "refuse"] = "refuse"

    @model_validator(mode="after")
    def _consistent(self) -> "SeriesRule":
        if self == SeriesRule.model_construct():
            raise ValueError("says nothing: name modality, description or choose: largest")
        return self
