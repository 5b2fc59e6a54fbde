"""Released figures of a binary classification, from counts that a test makes up."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from coordinator.evaluation.registry import released_of
from coordinator.evaluation.released import NoisedCounts, Released
from protocol.vectors.score_grid import ScoreGrid
from tests.support.simulated.studies import small_study


def noised_counts(
    counts: NDArray[np.float64],
    deviation: float,
    tables: Mapping[str, NDArray[np.float64]],
    table_deviations: Mapping[str, float],
    *,
    grid: ScoreGrid,
) -> NoisedCounts:
    """Returns (2, bins) counts and (2, 2) tables, in patients, as an evaluation reads them."""
    return NoisedCounts(
        pooled=counts,
        deviation=deviation,
        tables=tables,
        table_deviations=table_deviations,
        grids=dict.fromkeys(tables, grid),
        groups=(),
    )


def released_metrics(
    counts: NDArray[np.float64],
    deviation: float,
    tables: Mapping[str, NDArray[np.float64]],
    table_deviations: Mapping[str, float],
    *,
    grid: ScoreGrid,
    declared: float | None = None,
) -> Released:
    """Returns the figures of (2, bins) counts and (2, 2) tables, in patients."""
    study = small_study()
    task = study.task.model_copy(update={"prevalence": declared})
    noised = noised_counts(counts, deviation, tables, table_deviations, grid=grid)
    return released_of(study.model_copy(update={"task": task}), noised)
