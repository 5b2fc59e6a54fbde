"""Binary classification: AUROC and thresholds from the scores' bins, shares from tables."""

import math

from compliance.estimates.binned_scores.auroc import TOO_FEW, auroc_from_histogram
from compliance.estimates.binned_scores.operating_points import OperatingPoint, operating_points
from compliance.estimates.binned_scores.release_rule import is_released
from compliance.estimates.binned_scores.risk_figures import RiskFigures, risk_figures
from compliance.estimates.interval import Interval
from compliance.estimates.proportion import proportion
from coordinator.evaluation.released import EvaluationReader, Figures, Floats, NoisedCounts
from protocol.study.study import Study
from protocol.study.task.task import prevalence_of
from protocol.vectors.evaluation import read_grid
from protocol.vectors.score_grid import ScoreGrid, agreed_grid


def _pooled(study: Study, noised: NoisedCounts) -> Figures:
    return {
        "auroc": released_auroc(noised),
        "accuracy": _site(study, noised.table, noised.table_deviation)["accuracy"],
    }


def released_auroc(noised: NoisedCounts) -> Interval:
    """Returns the AUROC of the scores' bins, where the sizes of the classes allow one."""
    estimate = auroc_from_histogram(noised.pooled, noised.deviation)
    negatives, positives = map(float, noised.table.reshape(2, 2).sum(axis=1))
    released = is_released(
        negatives, positives, bins=noised.pooled.shape[1], noise_sigma=noised.deviation
    )
    return Interval(
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        note=estimate.note if released else TOO_FEW,
    )


def _site(study: Study, cells: Floats, deviation: float) -> Figures:
    """Returns what a two-by-two table says."""
    true_negative, false_positive, false_negative, true_positive = map(float, cells)
    return {
        "accuracy": proportion(
            true_negative + true_positive, false_positive + false_negative, deviation * math.sqrt(2)
        ),
        "sensitivity": proportion(true_positive, false_negative, deviation),
        "specificity": proportion(true_negative, false_positive, deviation),
    }


def _risks(study: Study, noised: NoisedCounts) -> RiskFigures:
    return risk_figures(
        noised.pooled,
        noised.deviation,
        noised.table.reshape(2, 2),
        noised.table_deviation,
        sensitivity=_site(study, noised.table, noised.table_deviation)["sensitivity"],
        grid=_grid(noised),
        declared=prevalence_of(study.task),
    )


def _operating_points(study: Study, noised: NoisedCounts) -> tuple[OperatingPoint, ...]:
    healthy, ill = map(float, noised.table.reshape(2, 2).sum(axis=1))
    return operating_points(noised.pooled, noised.deviation, (healthy, ill), _grid(noised))


def _grid(noised: NoisedCounts) -> ScoreGrid:
    return agreed_grid([read_grid(cells) for cells in noised.public.values()])


BINARY_CLASSIFICATION = EvaluationReader(
    pooled=_pooled, site=_site, risks=_risks, operating_points=_operating_points
)
