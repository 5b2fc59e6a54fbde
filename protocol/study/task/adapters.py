"""Low-rank adapters: what is trained of a large network whose own parameters stay as they are."""

from typing import Annotated, TypeAlias

from pydantic import Field, StringConstraints

from protocol.study.frozen_model import FrozenModel

#: A layer's name, as torch gives it, or the name of layers that hold others.
Layer: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[\w]+(\.[\w]+){0,20}$")]


class Adapters(FrozenModel):
    """Beside each of some linear layers, two smaller ones: to ``rank`` numbers and back (LoRA).

    ``layers`` names linear layers, or layers that hold them. What the two add is multiplied by
    ``scale``. They begin by adding nothing; all else is frozen, but what ``trained_layers`` names.

    Source: Hu et al. 2022 (2106.09685); under differential privacy Yu et al. 2022 (2110.06500).
    """

    rank: int = Field(ge=1, le=256)
    scale: float = Field(default=1, gt=0, le=1000)
    layers: tuple[Layer, ...] = Field(min_length=1, max_length=100)
