"""A hospital's evaluation vector: counts for the secure sum, and counts of its own.

Sizes and bounds of both follow from the study's task; how they are counted is defined in
``pipelines.tasks``. A hospital's own counts are noised by themselves, and signed in the
``masked`` message, so that nobody else can change them; behind them stand whole numbers that
follow from the model alone. All counts are in units of ``1 / COUNT_UNITS`` of a patient, so
that integer noise is fine-grained.

==========================  =============================  ===========================
task                        counts for the secure sum      own counts (of four)
==========================  =============================  ===========================
binary classification       scores in bins, by label       true negative, false
                                                           positive, false negative,
                                                           true positive
multi-class classification  true class by predicted        wrong, right
                            class; with ``confidence``
                            also its bins, by wrong and
                            right
multi-label classification  scores in bins, by finding     the mean over the findings
                            and by label                   of the same four
regression                  1, a, s, v, v**2               1, a, s
segmentation                1, d, d**2 for each class       1, d, d**2
                            but the background; with
                            ``distances`` also low d by
                            interval, h, h**2
survival                    scores in bins, by event and   as for binary classification
                            interval
statistics                  of columns, see                patients
                            ``column_counts``
==========================  =============================  ===========================

A patient adds one to one cell of the counts and to one of the table; with ``confidence`` (of a
multi-class task) to two of the counts: a norm of sqrt(2). With F findings it adds one for each
finding, and a table of which each finding fills 1/F: a norm of at most sqrt(F). To a regression's
sums it adds a vector: a is the absolute error, s its square, v the value's distance from the
declared centre, all as parts of the label's ``bound`` and so in [-1, 1]; the vector's norm is at
most sqrt(5), that of the own counts at most sqrt(3). Of a segmentation d is the Dice of a class
that the patient has, of the own counts the mean of its classes: three numbers in [0, 1] for each
class. With ``distances`` (of the task) stand behind them ones by the interval of ``DICE_BORDERS``
that d lies in, none above the last, and h, the distance of the surfaces as a part of the image's
diagonal, with its square. Below 0.9, d and d**2 add less than 1.5 to the square of the norm, so
that all eight add at most 5.5 for a class. Behind the table of a binary classification, of
survival and of a classification with ``confidence`` stands the grid of the scores
(``score_grid``), behind others zeros. Of survival, positive are patients with an event, and scores
above the grid's centre.

A study may ask for more of the same kind (``protocol.study.task.evaluation``):

* ``site_bins``: a hospital's own counts of a binary classification are then of its scores in so
  many bins, by label, of which one border is the threshold of the decision.
* ``groups``: behind the counts of all patients stand, for each grouping and each of its groups,
  the counts that a hospital's own would be if it had these patients only. Of a binary
  classification they are of ``group_bins``, and behind them stands the sum of the patients' risks,
  each by ``RISK_WEIGHT``. A patient is in one group of a grouping at most, and so adds to the
  square of the norm that of a group's counts once for each grouping.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from protocol.encoding import digest_json
from protocol.vectors.column_counts import CountedColumn, influence_of, size_of
from protocol.vectors.score_grid import ScoreGrid

#: How many units one patient is worth: noise of any use is then far above 16 units.
COUNT_UNITS = 1 << 10
#: How many numbers follow from the model alone: the two of the grid.
GRID_CELLS = 2
_TABLE = 4
#: What a risk, in [0, 1], is multiplied by in the counts of a group: it costs little of the noise,
#: and the sum of all risks is as well known as that of labels.
RISK_WEIGHT = 0.5
#: How many numbers a hospital gives of its own: its counts, four where nothing else is asked for,
#: and its grid's two.
OWN_CELLS = _TABLE + GRID_CELLS
#: The most that a study may ask for: two rows of scores in bins, and the grid.
MAX_OWN_CELLS = 2 * 16 + GRID_CELLS


@dataclass(frozen=True, kw_only=True)
class EvaluationVector:
    """The sizes and bounds of one task's counts.

    Attributes:
        shape: of the counts for the secure sum.
        influence: how much one patient changes the counts for the sum at most, and as much
            the hospital's own: the L2 norm, in patients.
        own_influence: how much it changes the hospital's own, where that is another bound.
        settings: what of the study the layout follows from, by name.
        own_shape: of the hospital's own counts.
        groups: of each grouping, how many groups it has.
        group_shape: of the counts of one group.
        binned: whether they are of scores in bins, of which a study chooses the number.
    """

    shape: tuple[int, ...]
    influence: float
    settings: Mapping[str, int]
    own_influence: float | None = None
    own_shape: tuple[int, ...] = (_TABLE,)
    groups: tuple[int, ...] = ()
    group_shape: tuple[int, ...] = (_TABLE,)
    binned: bool = False

    def with_parts(
        self, *, site_bins: int, groups: tuple[int, ...], group_bins: int
    ) -> "EvaluationVector":
        """Returns the layout with a hospital's own counts in bins, and with groups.

        >>> vector = binary_counts(16).with_parts(site_bins=2, groups=(2, 3), group_bins=8)
        >>> vector.size, round(vector.influence**2, 9), vector.own_cells
        (117, 3.5, 6)
        """
        own = group = self.own_influence or self.influence
        settings, shapes = dict(self.settings), [self.own_shape, self.group_shape]
        if self.binned:
            shapes, group = [(2, site_bins), (2 * group_bins + 1,)], math.hypot(own, RISK_WEIGHT)
        if self.binned and site_bins > 2:
            settings |= {"site bins": site_bins}
        if groups:
            settings |= {f"groups {place}": count for place, count in enumerate(groups)}
            settings |= {"group cells": math.prod(shapes[1])}
        return replace(
            self,
            influence=math.sqrt(self.influence**2 + len(groups) * group**2),
            own_influence=own,
            settings=settings,
            own_shape=shapes[0],
            groups=groups,
            group_shape=shapes[1],
        )

    @property
    def size(self) -> int:
        """The number of numbers in the vector."""
        return math.prod(self.shape) + sum(self.groups) * math.prod(self.group_shape)

    @property
    def own_cells(self) -> int:
        """The size of what a hospital gives beside the vector: its own counts, and the grid's."""
        return math.prod(self.own_shape) + GRID_CELLS

    @property
    def digest(self) -> str:
        """The layout's name."""
        return digest_json(dict(self.settings))

    def read(self, total: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns the counts of all patients in a sum, in their shape, in patients."""
        return np.asarray(total[: math.prod(self.shape)] / COUNT_UNITS).reshape(self.shape)

    def read_groups(self, total: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
        """Returns each grouping's counts by group in a sum, in patients."""
        found, begin = [], math.prod(self.shape)
        for count in self.groups:
            end = begin + count * math.prod(self.group_shape)
            found.append(np.asarray(total[begin:end] / COUNT_UNITS))
            begin = end
        return tuple(
            cells.reshape(count, *self.group_shape)
            for cells, count in zip(found, self.groups, strict=True)
        )

    def read_own(self, cells: tuple[int, ...]) -> NDArray[np.float64]:
        """Returns the own counts that a hospital signed, in their shape, in patients.

        >>> binary_counts(16).read_own((2048, 0, 1024, 512, 0, 10_000)).tolist()
        [2.0, 0.0, 1.0, 0.5]
        """
        return np.array(cells[:-GRID_CELLS], dtype=np.float64).reshape(self.own_shape) / COUNT_UNITS

    def deviations(self, noise_multiplier: float, site_share: float) -> tuple[float, float]:
        """Returns the noise deviations, in patients, of the sum's counts and of a hospital's own.

        See ``noise_deviations``.
        """
        counts, own = noise_deviations(noise_multiplier, site_share)
        return self.influence * counts, (self.own_influence or self.influence) * own


#: The sums of a regression: see above.
REGRESSION_SUMS = 5


def binary_counts(bins: int, classes: int = 2) -> EvaluationVector:
    """Returns the layout for binary classification: the scores' bins, by label."""
    return EvaluationVector(
        shape=(classes, bins), influence=1.0, settings={"bins": bins}, binned=True
    )


def finding_counts(bins: int, findings: int) -> EvaluationVector:
    """Returns the layout for several findings: the scores' bins, by finding and by label."""
    return EvaluationVector(
        shape=(findings, 2, bins),
        influence=math.sqrt(findings),
        settings={"bins": bins, "findings": findings},
    )


def class_counts(bins: int, classes: int) -> EvaluationVector:
    """Returns the layout for several classes: the true class by the predicted one."""
    return EvaluationVector(shape=(classes, classes), influence=1.0, settings={"classes": classes})


def confidence_counts(bins: int, classes: int) -> EvaluationVector:
    """Returns the layout for several classes with the bins of confidence, by wrong and right."""
    return EvaluationVector(
        shape=(classes**2 + 2 * bins,),
        influence=math.sqrt(2),
        settings={"classes": classes, "confidence bins": bins},
        own_influence=1.0,
    )


def regression_sums(bins: int, classes: int) -> EvaluationVector:
    """Returns the layout for regression: five sums of numbers in [-1, 1]."""
    return EvaluationVector(
        shape=(REGRESSION_SUMS,),
        influence=math.sqrt(REGRESSION_SUMS),
        settings={"sums": REGRESSION_SUMS},
    )


def dice_sums(bins: int, classes: int) -> EvaluationVector:
    """Returns the layout for segmentation: three sums of numbers in [0, 1] for each class."""
    return EvaluationVector(
        shape=(classes - 1, 3),
        influence=math.sqrt(3 * (classes - 1)),
        settings={"classes": classes, "sums": 3},
    )


#: The Dice below which patients are counted beside, by rising Dice.
DICE_BORDERS = (0.5, 0.7, 0.9)
#: How many sums there are for a class with distances.
DISTANCE_SUMS = 5 + len(DICE_BORDERS)


def distance_sums(bins: int, classes: int) -> EvaluationVector:
    """Returns the layout for segmentation with distances: eight sums for each class."""
    return EvaluationVector(
        shape=(classes - 1, DISTANCE_SUMS),
        influence=math.sqrt(5.5 * (classes - 1)),
        settings={"classes": classes, "sums": DISTANCE_SUMS},
        own_influence=math.sqrt(3),
    )


def survival_counts(bins: int, intervals: int) -> EvaluationVector:
    """Returns the layout for survival: censored or not, by interval, by the scores' bins."""
    return EvaluationVector(
        shape=(2, intervals, bins), influence=1.0, settings={"bins": bins, "intervals": intervals}
    )


def column_counts(columns: Sequence[CountedColumn]) -> EvaluationVector:
    """Returns the layout for statistics: the counts of columns; of a hospital its patients."""
    norms = {f"column {at}": column.norm_squared for at, column in enumerate(columns)}
    return EvaluationVector(
        shape=(size_of(columns),),
        influence=influence_of(columns),
        settings={"cells": size_of(columns)} | norms,
        own_influence=1.0,
    )


#: The layout of the counts that a model is evaluated by, by the task's ``kind``, from the number
#: of bins and that of the label's groups (``Task.groups``).
EVALUATION_VECTORS: Mapping[str, Callable[[int, int], EvaluationVector]] = {
    "binary_classification": binary_counts,
    "multiclass_classification": class_counts,
    "multilabel_classification": finding_counts,
    "regression": regression_sums,
    "segmentation": dice_sums,
    "survival": survival_counts,
}


def in_units(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns counts of patients, of whatever shape, as one vector of units."""
    return np.asarray(counts.reshape(-1) * COUNT_UNITS)


def read_grid(cells: tuple[int, ...]) -> ScoreGrid:
    """Returns the grid on which a hospital signed that it counted."""
    centre, spread = cells[-GRID_CELLS:]
    return ScoreGrid.of_cells((centre, spread))


def noise_deviations(noise_multiplier: float, site_share: float) -> tuple[float, float]:
    """Returns the noise deviations of the sum's counts and of a hospital's own, per influence.

    One patient changes both by its influence, so the joint release is a Gaussian
    mechanism with multiplier z when ``1/counts**2 + 1/table**2 == 1/z**2``;
    ``site_share`` is the own counts' part of that sum.

    >>> counts, table = noise_deviations(2.0, 0.2)
    >>> round(1 / counts**2 + 1 / table**2, 12)
    0.25
    """
    return (
        noise_multiplier / math.sqrt(1 - site_share),
        noise_multiplier / math.sqrt(site_share),
    )
