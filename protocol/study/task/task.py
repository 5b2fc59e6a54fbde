"""The tasks that a study may name: what is learned, and by which network; no code.

They are defined in ``pipelines.tasks``.
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from types import UnionType
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from protocol.study.cohort.labels import (
    BinaryLabel,
    ClassLabel,
    EventLabel,
    FindingsLabel,
    Label,
    MaskLabel,
    NumberLabel,
    SurvivalLabel,
    TimeToEventLabel,
)
from protocol.study.frozen_model import FrozenModel
from protocol.study.task.adapters import Adapters, Layer
from protocol.study.task.augmentation import Augmentation
from protocol.study.task.monitoring import Monitoring
from protocol.study.task.networks.classifiers import FullyConnectedNet
from protocol.study.task.networks.registry import Network
from protocol.study.task.pretrained import Pretrained
from protocol.study.task.recipes import RecipeLoss, RecipeUse
from protocol.study.task.statistics import Statistics


class _Task(FrozenModel):
    """A network and what it learns.

    ``pretrained`` names what it starts from; ``trained_layers`` the layers that are trained, by
    their own names or those of layers that hold them. All others are frozen: they are part of the
    network, and neither clipped, noised nor sent. Left out, all are trained, or, where there are
    ``adapters``, those alone. ``augmentation`` varies training images at random.
    """

    gives: ClassVar[str] = "scores"
    #: The sentence that says, beside a model's file, what the network's numbers mean.
    output: ClassVar[str]
    #: Whether the task's headline figure, its first one, is an error.
    lower_is_better: ClassVar[bool] = False

    network: Network
    pretrained: Pretrained | None = Field(default=None, exclude_if=lambda named: named is None)
    trained_layers: tuple[Layer, ...] = Field(
        default=(), min_length=1, max_length=100, exclude_if=lambda layers: not layers
    )
    adapters: Adapters | None = Field(default=None, exclude_if=lambda named: named is None)
    augmentation: Augmentation | None = Field(default=None, exclude_if=lambda named: named is None)

    @property
    def is_partly_frozen(self) -> bool:
        """True where some of the network's parameters stay as they are."""
        return bool(self.trained_layers) or self.adapters is not None

    @property
    def names_layers(self) -> bool:
        """True where it names layers or parameters, which only its network can confirm."""
        return self.pretrained is not None or self.is_partly_frozen

    @property
    def is_linear(self) -> bool:
        """True where the outputs are a linear function of the record."""
        return isinstance(self.network, FullyConnectedNet) and not self.network.hidden_channels

    @property
    def recipe_uses(self) -> Mapping[str, RecipeUse]:
        """The parts that are a recipe's, by the key under which the study names them."""
        varied = self.augmentation.transforms if self.augmentation is not None else ()
        named = {
            "task.network": self.network,
            "task.loss": getattr(self, "loss", None),
            **{f"task.augmentation.transforms.{at}": each for at, each in enumerate(varied)},
        }
        return {path: each for path, each in named.items() if isinstance(each, RecipeUse)}

    def outputs(self, label: Label) -> int:
        """Returns how many numbers the network gives for a record."""
        return 1

    def groups(self, label: Label) -> int:
        """Returns into how many groups the evaluation counts patients by their label."""
        return label.num_classes


class _OwnLoss(_Task):
    """A task with a loss of its own, in whose place a recipe's may stand."""

    loss: RecipeLoss | None = Field(default=None, exclude_if=lambda named: named is None)


#: The risk above which a patient is called ill, unless a study says another.
EVEN = 0.5


class BinaryClassification(_OwnLoss):
    """Ill or not: one logit for a record.

    ``prevalence`` is the share of patients whose label is positive, as published
    sources or general knowledge have it, never as counted in anybody's records. The
    model's output starts at its logit; left out, at whatever the network starts with.
    ``threshold`` is the risk above which a patient is called ill where decisions are counted.
    """

    kind: Literal["binary_classification"] = "binary_classification"
    prevalence: float | None = Field(default=None, gt=0, lt=1)
    threshold: float = Field(default=EVEN, ge=0.001, le=0.999, exclude_if=lambda risk: risk == EVEN)
    label: ClassVar[type | UnionType] = BinaryLabel | EventLabel
    output: ClassVar[str] = "one logit of the positive label; above 0 is positive"


class MulticlassClassification(_OwnLoss):
    """One of several classes: one logit for each.

    With ``confidence`` the evaluation also counts how sure the model is of the class that it names,
    and whether it is right: whether it is right as often as it says, with more noise in all counts.
    """

    kind: Literal["multiclass_classification"]
    confidence: bool = Field(default=False, exclude_if=lambda counted: not counted)
    label: ClassVar[type] = ClassLabel
    output: ClassVar[str] = "one logit for each class, in the label's order; the highest one"

    def outputs(self, label: Label) -> int:
        """Returns the number of classes."""
        return label.num_classes


class MultilabelClassification(_OwnLoss):
    """Several findings that a patient may have at once: one logit for each."""

    kind: Literal["multilabel_classification"]
    label: ClassVar[type] = FindingsLabel
    output: ClassVar[str] = "one logit for each finding, in the label's order; above 0 is present"

    def outputs(self, label: Label) -> int:
        """Returns the number of findings."""
        return label.num_classes


class Regression(_OwnLoss):
    """A number, by its squared error."""

    kind: Literal["regression"]
    label: ClassVar[type] = NumberLabel
    output: ClassVar[str] = (
        "one number; times the label's scale, plus its centre, it is in the label's unit"
    )
    lower_is_better: ClassVar[bool] = True


class Segmentation(_OwnLoss):
    """The class of every pixel or voxel of an image.

    With ``distances`` the evaluation also counts how far predicted and true surfaces lie apart, and
    in how many patients Dice is low: more sums, with more noise in all of them.
    """

    kind: Literal["segmentation"]
    distances: bool = Field(default=False, exclude_if=lambda counted: not counted)
    label: ClassVar[type] = MaskLabel
    gives: ClassVar[str] = "masks"
    output: ClassVar[str] = (
        "one logit for each class at each pixel or voxel, in the label's order; the highest one"
    )

    def outputs(self, label: Label) -> int:
        """Returns the number of classes: so many numbers for each pixel."""
        return label.num_classes


#: A published hazard lies at least so far from 0 and 1.
_LEAST = 1e-6


class Survival(_Task):
    """Time to an event, from patients of whom some were censored: one log risk for each.

    ``times`` are the ends of the intervals in which events are counted, in the unit of the
    label's time; ``event_free`` is the share of patients without the event at each of them, as
    published sources have it, never as counted in anybody's records. By loss ``hazard`` the
    model adds its output to the logit of each interval's published hazard; ``cox`` compares
    patients with each other, which no privacy of one patient allows. A recipe's loss may stand
    there too.
    """

    kind: Literal["survival"]
    times: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1, max_length=50)
    event_free: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(min_length=1)
    loss: Literal["hazard", "cox"] | RecipeLoss = "hazard"
    label: ClassVar[type | UnionType] = SurvivalLabel | TimeToEventLabel
    output: ClassVar[str] = "one log risk: the higher, the sooner the event"

    @model_validator(mode="after")
    def _consistent(self) -> "Survival":
        if any(after <= before for before, after in pairwise(self.times)):
            raise ValueError("times must rise")
        if len(self.event_free) != len(self.times):
            raise ValueError(f"event_free needs a share for each of the {len(self.times)} times")
        if any(after >= before for before, after in pairwise((1.0, *self.event_free))):
            raise ValueError("event_free must fall from time to time")
        if not all(_LEAST < hazard < 1 - _LEAST for hazard in self.hazards):
            raise ValueError("event_free falls by too little, or to nothing, in an interval")
        return self

    @property
    def hazards(self) -> tuple[float, ...]:
        """The published risk of the event in each interval, of those without it before."""
        return tuple(1 - after / before for before, after in pairwise((1.0, *self.event_free)))

    def groups(self, label: Label) -> int:
        """Returns the number of intervals, and one for what comes after them."""
        return len(self.times) + 1


def _task_kind(value: object) -> str:
    given = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    return str(given.get("kind", "binary_classification"))


#: The task section of a study: what is learned, and with which network.
Task: TypeAlias = Annotated[
    Annotated[BinaryClassification, Tag("binary_classification")]
    | Annotated[MulticlassClassification, Tag("multiclass_classification")]
    | Annotated[MultilabelClassification, Tag("multilabel_classification")]
    | Annotated[Regression, Tag("regression")]
    | Annotated[Segmentation, Tag("segmentation")]
    | Annotated[Survival, Tag("survival")]
    | Annotated[Statistics, Tag("statistics")]
    | Annotated[Monitoring, Tag("monitoring")],
    Discriminator(
        _task_kind,
        custom_error_type="task_kind",
        custom_error_message="kind is one of binary_classification, multiclass_classification, "
        "multilabel_classification, regression, segmentation, survival, statistics, monitoring",
    ),
]


def threshold_of(task: Task) -> float:
    """Returns the risk above which a patient is called ill: of other tasks, an even one."""
    return task.threshold if isinstance(task, BinaryClassification) else EVEN


def output_of(task: Task) -> str:
    """Returns what a task's network gives for a record, with where the study decides.

    >>> network = FullyConnectedNet(hidden_channels=[], **{"_target_": "FullyConnectedNet"})
    >>> output_of(BinaryClassification(network=network, threshold=0.1))
    'one logit of the positive label; above -2.197, a risk of 0.1, is positive'
    """
    risk = threshold_of(task)
    if risk == EVEN:
        return task.output
    logit = math.log(risk / (1 - risk))
    return f"one logit of the positive label; above {logit:.4g}, a risk of {risk:g}, is positive"


def prevalence_of(task: Task) -> float | None:
    """Returns the declared share of the ill; None of tasks that have none."""
    return task.prevalence if isinstance(task, BinaryClassification) else None


#: The words of a label that go with a task, by its kind.
LABEL_FORMS: Mapping[str, str] = {
    "binary_classification": "positive and negative, or event_date and within_days",
    "multiclass_classification": "classes",
    "multilabel_classification": "findings",
    "regression": "a range",
    "segmentation": "a mask and classes",
    "survival": "a time and an event, or event_date and a range",
    "statistics": "positive and negative, within_days, classes, findings or a range",
    "monitoring": "positive and negative, within_days, classes, findings or a range",
}
