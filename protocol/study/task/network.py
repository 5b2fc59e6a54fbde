"""The networks that a study may name: settings and ranges, no code.

They are built in ``pipelines.networks``.
"""

from typing import Annotated, ClassVar, Literal, TypeAlias, get_args

from pydantic import Field, model_validator

from protocol.study.frozen_model import FrozenModel


class FullyConnected(FrozenModel):
    """MONAI ``FullyConnectedNet``; without hidden layers it is logistic regression."""

    cohort: ClassVar[str] = "table"

    name: Literal["FullyConnectedNet"]
    hidden: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = ()
    activation: Literal["relu", "tanh", "gelu", "prelu"] = "relu"


class ConvClassifier(FrozenModel):
    """MONAI ``Classifier``: a small convolutional network with instance norm."""

    cohort: ClassVar[str] = "images"

    name: Literal["Classifier"]
    channels: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(min_length=1)
    strides: tuple[Annotated[int, Field(ge=1, le=8)], ...] = Field(min_length=1)
    kernel_size: int = Field(default=3, ge=1, le=15)

    @model_validator(mode="after")
    def _consistent(self) -> "ConvClassifier":
        if len(self.channels) != len(self.strides):
            raise ValueError("channels and strides must have the same length")
        return self


class DenseNet121(FrozenModel):
    """MONAI ``DenseNet121`` with group norm, for images of 32 pixels a side and more.

    Group norm stands where the original has batch norm, which would mix patients.
    """

    cohort: ClassVar[str] = "images"

    name: Literal["DenseNet121"]
    groups: int = Field(default=8, ge=1, le=32)

    @model_validator(mode="after")
    def _consistent(self) -> "DenseNet121":
        if 32 % self.groups:
            raise ValueError("groups must divide 32: it is what every layer adds in channels")
        return self


#: The networks that a study may name; ``cohort`` of each is the kind of cohort it takes.
Network: TypeAlias = Annotated[
    FullyConnected | ConvClassifier | DenseNet121, Field(discriminator="name")
]


def networks_for(cohort: str) -> tuple[str, ...]:
    """Returns the names of the networks that take a kind of cohort.

    >>> "FullyConnectedNet" in networks_for("table")
    True
    """
    fitting = [one for one in get_args(get_args(Network)[0]) if one.cohort == cohort]
    return tuple(get_args(one.model_fields["name"].annotation)[0] for one in fitting)
