"""Released figures of a binary classification, from counts that a test makes up."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from compliance.estimates.binned_scores.risk_figures import RiskFigures
from coordinator.rounds.evaluation.binary_classification import BINARY_CLASSIFICATION
from coordinator.rounds.evaluation.registry import released_of
from coordinator.rounds.evaluation.released import NoisedCounts, Released
from protocol.study.study import Study
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
    noised = noised_counts(counts, deviation, tables, table_deviations, grid=grid)
    return released_of(_study(declared), noised)


def released_risks(noised: NoisedCounts, declared: float | None = None) -> RiskFigures:
    """Returns what such counts say of the model's risks, without the other figures."""
    read = BINARY_CLASSIFICATION.risks
    if read is None:
        raise AssertionError("a binary classification has risks")
    return read(_study(declared), noised)


def _study(declared: float | None) -> Study:
    study = small_study()
    task = study.task.model_copy(update={"prevalence": declared})
    return study.model_copy(update={"task": task})
