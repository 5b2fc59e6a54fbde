"""The task of a monitoring study: columns and a model's scores are counted, release by release."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from protocol.study.cohort.cohort import Cohort
from protocol.study.cohort.columns import NumberColumn
from protocol.study.cohort.labels import Label
from protocol.study.cohort.vocabulary import Token
from protocol.study.frozen_model import FrozenModel
from protocol.study.task.networks.registry import Network
from protocol.study.task.pretrained import Pretrained
from protocol.study.task.statistics import Statistics
from protocol.vectors.column_counts import CountedColumn, counted_numbers
from protocol.vectors.score_grid import ScoreGrid

#: The name of the column of scores; no column of records may have it.
SCORE = "score of the model"
#: So many scales lie between a column's centre and the ends of what is counted.
_SCALES = 3


class ScoredModel(FrozenModel):
    """A released model of one logit, whose scores are counted on a frozen grid.

    ``pretrained`` is the file of its parameters, beside the study, by its digest. ``centre`` and
    ``spread`` are those of the grid (``protocol.vectors.score_grid``). ``impute`` says what stands
    for a missing cell where the model is given one; a record that lacks another cell has no score.
    """

    network: Network
    pretrained: Pretrained
    centre: float
    spread: float = Field(gt=0)
    bins: int = Field(default=8, ge=2, le=64)
    impute: dict[str, float | Token] = Field(default_factory=dict, exclude_if=lambda said: not said)

    @property
    def edges(self) -> tuple[float, ...]:
        """The (bins - 1,) rising borders between the bins of the scores."""
        grid = ScoreGrid(centre=self.centre, spread=self.spread)
        return tuple(map(float, grid.edges(self.bins)))

    @property
    def column(self) -> CountedColumn:
        """The column of scores: a patient's score is the number of its bin."""
        ends = [f"{float(np.round(end, 2)):g}" for end in self.edges]
        between = [f"{low} to {high}" for low, high in zip(ends, ends[1:], strict=False)]
        parts = (f"below {ends[0]}", *between, f"above {ends[-1]}")
        return CountedColumn(name=SCORE, range=None, parts=parts)


class Monitoring(Statistics):
    """Histograms of columns, label and scores, in a calendar of releases that is priced as one.

    The calendar has one reference and then ``releases`` more, each a run of this study; a patient
    may be in all of them, and pays for all of them, whatever comes. ``watch`` names the features
    that are counted; left out, all are. Numbers are counted in ``bins`` equal parts of three of
    their declared scales around their declared centre, or of their range where that is narrower.
    """

    kind: Literal["monitoring"]  # type: ignore[assignment]
    bins: int = Field(default=8, ge=2, le=64)
    releases: int = Field(ge=1, le=120)
    watch: tuple[str, ...] = Field(
        default=(), max_length=100, exclude_if=lambda features: not features
    )
    model: ScoredModel | None = Field(default=None, exclude_if=lambda model: model is None)

    @property
    def pretrained(self) -> Pretrained | None:
        """The file of the model's parameters; None where no scores are counted."""
        return None if self.model is None else self.model.pretrained

    def columns(self, cohort: Cohort) -> tuple[CountedColumn, ...]:
        """Returns what is counted: the watched features, the label, the scores."""
        scores = () if self.model is None else (self.model.column,)
        return (*self.record_columns(cohort), *scores)

    def _features(self, cohort: Cohort) -> Iterator[CountedColumn]:
        kept = {column.name: column for column in cohort.features}
        for counted in super()._features(cohort):
            column = kept[counted.name]
            if self.watch and counted.name not in self.watch:
                continue
            if isinstance(column, NumberColumn):
                counted = counted_numbers(counted.name, near_range(column), self.bins)
            yield replace(counted, has_moments=False)

    def _labels(self, label: Label) -> Iterator[CountedColumn]:
        for counted in super()._labels(label):
            yield replace(counted, has_moments=False)


def near_range(column: NumberColumn) -> tuple[float, float]:
    """Returns the part of a column's range that is near to its declared centre."""
    low, high = column.range
    if "scale" not in column.model_fields_set:
        return low, high
    reach = _SCALES * column.scale
    near = max(low, column.centre - reach), min(high, column.centre + reach)
    return near if near[0] < near[1] else (low, high)
