"""The task and the network of a study: names and sizes, no code.

The networks themselves are built in ``pipelines.networks``; tasks are defined in
``pipelines.tasks``.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from protocol.study.cohort import BinaryLabel, ClassLabel, FrozenModel, NumberLabel


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


class _Task(FrozenModel):
    network: Network

    @property
    def is_linear(self) -> bool:
        """True where the outputs are a linear function of the record."""
        return isinstance(self.network, FullyConnected) and not self.network.hidden


class BinaryClassification(_Task):
    """Ill or not: one logit for a record.

    ``prevalence`` is the share of patients whose label is positive, as published
    sources or general knowledge have it, never as counted in anybody's records. The
    model's output starts at its logit; left out, at whatever the network starts with.
    """

    kind: Literal["binary_classification"] = "binary_classification"
    prevalence: float | None = Field(default=None, gt=0, lt=1)
    label: ClassVar[type] = BinaryLabel


class MulticlassClassification(_Task):
    """One of several classes: one logit for each."""

    kind: Literal["multiclass_classification"]
    label: ClassVar[type] = ClassLabel


class Regression(_Task):
    """A number, by its squared error."""

    kind: Literal["regression"]
    label: ClassVar[type] = NumberLabel


def _task_kind(value: object) -> str:
    given = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    return str(given.get("kind", "binary_classification"))


#: The task section of a study: what is learned, and with which network.
Task: TypeAlias = Annotated[
    Annotated[BinaryClassification, Tag("binary_classification")]
    | Annotated[MulticlassClassification, Tag("multiclass_classification")]
    | Annotated[Regression, Tag("regression")],
    Discriminator(
        _task_kind,
        custom_error_type="task_kind",
        custom_error_message="kind is one of binary_classification, multiclass_classification, "
        "regression",
    ),
]


def prevalence_of(task: Task) -> float | None:
    """Returns the declared share of the ill; None of tasks that have none."""
    return task.prevalence if isinstance(task, BinaryClassification) else None


#: The words of a label that go with a task, by its kind.
LABEL_FORMS: Mapping[str, str] = {
    "binary_classification": "positive and negative",
    "multiclass_classification": "classes",
    "regression": "a range",
}
