"""The task of a statistics study: columns are counted, and no network learns."""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import ClassVar, Literal

from pydantic import Field

from protocol.study.cohort.cohort import Cohort
from protocol.study.cohort.columns import NumberColumn
from protocol.study.cohort.labels import (
    BinaryLabel,
    ClassLabel,
    EventLabel,
    FindingsLabel,
    Label,
    NumberLabel,
)
from protocol.study.frozen_model import FrozenModel
from protocol.study.task.networks.network import NetworkSettings
from protocol.study.task.pretrained import Pretrained
from protocol.study.task.recipes import RecipeUse
from protocol.vectors.column_counts import CountedColumn, counted_numbers

#: The names of a label's values that is ill or not.
HEALTHY, ILL = "negative", "positive"


class NoNetwork(NetworkSettings):
    """The network of a study that learns nothing: none."""

    cohort: ClassVar[str] = "table"
    target: Literal["none"] = "none"

    @property
    def targets(self) -> tuple[str, ...]:
        """No network's name."""
        return ()


class Statistics(FrozenModel):
    """Counts, means, deviations and missing values of every column, in one release.

    ``bins`` is the number of bins of a histogram of every column of numbers; 0 asks for none,
    and leaves the other figures less noise.
    """

    kind: Literal["statistics"]
    bins: int = Field(default=0, ge=0, le=64)

    gives: ClassVar[str] = "scores"
    output: ClassVar[str] = "nothing: no network is trained"
    lower_is_better: ClassVar[bool] = False
    label: ClassVar[type | UnionType] = (
        BinaryLabel | EventLabel | ClassLabel | FindingsLabel | NumberLabel
    )
    network: ClassVar[NoNetwork] = NoNetwork()
    trained_layers: ClassVar[tuple[str, ...]] = ()
    adapters: ClassVar[None] = None
    augmentation: ClassVar[None] = None
    loss: ClassVar[None] = None
    is_partly_frozen: ClassVar[bool] = False
    names_layers: ClassVar[bool] = False
    is_linear: ClassVar[bool] = False
    recipe_uses: ClassVar[Mapping[str, RecipeUse]] = {}

    @property
    def pretrained(self) -> Pretrained | None:
        """The parameters that it starts from: none."""
        return None

    def outputs(self, label: Label) -> int:
        """Returns the number of a network's outputs: there is none."""
        return 0

    def groups(self, label: Label) -> int:
        """Returns the number of groups that patients are counted in by their label: one."""
        return 1

    def columns(self, cohort: Cohort) -> tuple[CountedColumn, ...]:
        """Returns what is counted: the features in the order declared, then the label."""
        return self.record_columns(cohort)

    def record_columns(self, cohort: Cohort) -> tuple[CountedColumn, ...]:
        """Returns what is counted of the records themselves."""
        return tuple(self._features(cohort)) + tuple(self._labels(cohort.label))

    def _features(self, cohort: Cohort) -> Iterator[CountedColumn]:
        for column in cohort.features:
            if isinstance(column, NumberColumn):
                yield counted_numbers(column.name, column.range, self.bins)
            else:
                yield CountedColumn(name=column.name, range=None, parts=column.tokens)

    def _labels(self, label: Label) -> Iterator[CountedColumn]:
        named = str(label.column)
        if isinstance(label, NumberLabel):
            yield counted_numbers(named, label.range, self.bins)
        elif isinstance(label, ClassLabel):
            yield CountedColumn(name=named, range=None, parts=tuple(label.classes))
        elif isinstance(label, FindingsLabel):
            for finding in label.findings:
                yield CountedColumn(name=finding, range=None, parts=(HEALTHY, ILL))
        elif isinstance(label, EventLabel):
            yield CountedColumn(name=label.event_date, range=None, parts=(HEALTHY, ILL))
        elif isinstance(label, BinaryLabel):
            yield CountedColumn(name=named, range=None, parts=(HEALTHY, ILL))
