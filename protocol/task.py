"""What a study learns, and with which network: names and sizes, no code.

The networks themselves are built in ``pipelines.networks``.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from protocol.contract import Record


class FullyConnected(Record):
    """MONAI ``FullyConnectedNet``; without hidden layers it is logistic regression."""

    name: Literal["FullyConnectedNet"]
    hidden: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = ()
    activation: Literal["relu", "tanh", "gelu", "prelu"] = "relu"


class ConvClassifier(Record):
    """MONAI ``Classifier``: a small convolutional network with instance norm."""

    name: Literal["Classifier"]
    channels: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(min_length=1)
    strides: tuple[Annotated[int, Field(ge=1, le=8)], ...] = Field(min_length=1)
    kernel_size: int = Field(default=3, ge=1, le=15)

    @model_validator(mode="after")
    def _consistent(self) -> "ConvClassifier":
        if len(self.channels) != len(self.strides):
            raise ValueError("channels and strides must have the same length")
        return self


class DenseNet121(Record):
    """MONAI ``DenseNet121`` with group norm, for images of 32 pixels a side and more.

    Group norm stands where the original has batch norm, which would mix patients.
    """

    name: Literal["DenseNet121"]
    groups: int = Field(default=8, ge=1, le=32)

    @model_validator(mode="after")
    def _consistent(self) -> "DenseNet121":
        if 32 % self.groups:
            raise ValueError("groups must divide 32: it is what every layer adds in channels")
        return self


Network: TypeAlias = Annotated[
    FullyConnected | ConvClassifier | DenseNet121, Field(discriminator="name")
]


class Task(Record):
    """What is learned, and with which network."""

    kind: Literal["binary_classification"] = "binary_classification"
    network: Network
