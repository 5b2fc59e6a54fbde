"""Low-rank adapters of a network whose own parameters stay as they are."""

from typing import Annotated, TypeAlias

from pydantic import Field, StringConstraints

from protocol.study.frozen_model import FrozenModel

#: A layer's name, as torch gives it, or the name of layers that hold others.
Layer: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[\w]+(\.[\w]+){0,20}$")]


class Adapters(FrozenModel):
    """Low-rank adapters (LoRA): to each named linear layer ``scale * up(down(x))`` is added.

    ``down`` gives ``rank`` numbers, ``up`` starts at zeros; ``scale`` is LoRA's alpha / rank.
    ``layers`` names linear layers, or layers that hold them. All else is frozen, but what
    ``trained_layers`` names.

    Source: Hu et al. 2022 (2106.09685); under differential privacy Yu et al. 2022 (2110.06500).
    """

    rank: int = Field(ge=1, le=256)
    scale: float = Field(default=1, gt=0, le=1000)
    layers: tuple[Layer, ...] = Field(min_length=1, max_length=100)
