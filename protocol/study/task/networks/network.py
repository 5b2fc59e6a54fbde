"""Settings that all networks share."""

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from protocol.study.frozen_model import FrozenModel

Channels: TypeAlias = Annotated[int, Field(ge=1, le=4096)]
Stride: TypeAlias = Annotated[int, Field(ge=1, le=8)]
#: Kernels have a middle, so that a stride of one keeps an image's size.
Kernel: TypeAlias = Literal[1, 3, 5, 7, 9, 11, 13, 15]
Activation: TypeAlias = Literal["relu", "leakyrelu", "prelu", "gelu", "tanh"]


class GroupNormOptions(FrozenModel):
    """The number of groups that a layer's channels are normalised in; it must divide them."""

    num_groups: int = Field(ge=1, le=1024)


def _no_batch_norm(value: Any) -> Any:
    name = value[0] if isinstance(value, list | tuple) and value else value
    if isinstance(name, str) and name.lower() in ("batch", "syncbn", "instance_nvfuser"):
        raise PydanticCustomError(
            "norm",
            "{name} norm mixes the patients of a batch: use norm: instance, or norm: {groups}",
            {"name": name, "groups": "[group, {num_groups: 8}]"},
        )
    return value


#: ``instance``, or ``[group, {num_groups: 8}]``.
Norm: TypeAlias = Annotated[
    Literal["instance"] | tuple[Literal["group"], GroupNormOptions],
    BeforeValidator(_no_batch_norm),
]
GROUPS_OF_8: Norm = ("group", GroupNormOptions(num_groups=8))


class NetworkSettings(FrozenModel):
    """A network's settings: ``target`` is MONAI's own name, ``_target_`` in a study.

    ``cohort`` is what it takes, a ``Cohort``'s ``contents``; it ``gives`` scores of a record, or
    masks: a class for every pixel.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    cohort: ClassVar[str] = "images"
    gives: ClassVar[str] = "scores"
    target: str

    @property
    def parts(self) -> tuple["NetworkSettings", ...]:
        """The networks that it is made of, one for each of a cohort's ``input_forms``: itself."""
        return (self,)

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of every network in it, its own first."""
        return (self.target,)

    def arguments(self) -> dict[str, Any]:
        """Returns the settings as MONAI takes them."""
        found = self.model_dump(by_alias=False, exclude={"target", "spatial_dims"})
        return {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}


class ImageNetwork(NetworkSettings):
    """Settings of a network for images; ``spatial_dims``, where given, must be theirs."""

    spatial_dims: Literal[2, 3] | None = None
