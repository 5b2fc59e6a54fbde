"""Binary classification: one logit for a record, and labels 0 or 1.

The loss is binary cross entropy with logits. A patient's score is the mean logit of its
records, its label the highest of theirs.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
from torch import Tensor
from torch.nn import functional

from pipelines.evaluation.metrics import accuracy, auroc, histogram
from pipelines.evaluation.risk_metrics import (
    average_precision,
    brier_score,
    calibration_error,
    calibration_intercept,
    calibration_slope,
)
from pipelines.tasks.dithered_units import in_dithered_units
from pipelines.tasks.task import (
    Counts,
    Floats,
    Singles,
    TaskDefinition,
    highest_labels,
    in_whole_registers,
    patient_means,
)
from protocol.study.task.task import EVEN
from protocol.vectors.evaluation import RISK_WEIGHT, in_units
from protocol.vectors.score_grid import ScoreGrid, logit_of

#: Beyond this a logit's risk is 0 or 1 in every figure.
_FAR = 40.0


def _starting_bias(prevalence: float | None) -> tuple[float, ...] | None:
    """Returns the logit of the declared prevalence: a record that says nothing is as likely."""
    return None if prevalence is None else (logit_of(prevalence),)


def _loss(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(
        outputs.reshape(-1), labels, weight=weights, reduction="sum"
    )


def _errors(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Returns sigmoid(logit) - label, weighted."""
    chances = in_whole_registers(outputs.reshape(-1), Tensor.sigmoid_)
    return ((chances - labels) * weights).reshape(outputs.shape)


def _scores(outputs: Floats, labels: Singles, weights: Singles) -> tuple[Floats, Floats]:
    return patient_means(outputs, weights)[:, 0], highest_labels(labels, weights)


def _counts(scores: Floats, labels: Floats, reference: Floats, bins: int) -> Counts:
    """Returns (2, bins) counts of scores, in which a patient counts in one bin.

    The bins lie around the reference outputs (``protocol.vectors.score_grid``).
    """
    edges = ScoreGrid.around(reference[:, 0]).edges(bins)
    return in_units(histogram(scores, labels, edges))


def _own(at: float, scores: Floats, labels: Floats, reference: Floats, bins: int) -> Counts:
    """Returns (2, bins) counts of scores, with a border at the threshold of the decision.

    Two bins are the table of decisions: whose logit is above ``at`` is called ill.
    """
    edges = ScoreGrid.around(reference[:, 0]).edges_through(at, bins)
    return in_units(histogram(scores, labels, edges, side="left"))


def _group(at: float, scores: Floats, labels: Floats, reference: Floats, bins: int) -> Counts:
    """Returns the counts as a hospital's own, and behind them the weighted sum of the risks."""
    risks = 1 / (1 + np.exp(-np.clip(np.nan_to_num(scores), -_FAR, _FAR)))
    summed = in_dithered_units(risks * RISK_WEIGHT).sum()
    return np.array([*_own(at, scores, labels, reference, bins), summed])


def _grid(reference: Floats) -> Counts:
    return np.array(ScoreGrid.around(reference[:, 0]).cells)


def _exact(at: float, scores: Floats, labels: Floats) -> Mapping[str, float | None]:
    return {
        "auroc": auroc(scores, labels),
        "accuracy": accuracy(scores - at, labels),
        "auprc": average_precision(scores, labels),
        "brier": brier_score(scores, labels),
        "ece": calibration_error(scores, labels),
        "calibration_slope": calibration_slope(scores, labels),
        "calibration_intercept": calibration_intercept(scores, labels),
    }


def _drawn_labels(random: np.random.Generator, count: int) -> Singles:
    return (random.random(count) < 0.5).astype(np.float32)


def binary_classification(prevalence: float | None, threshold: float = EVEN) -> TaskDefinition:
    """Returns the definition for a declared share of the ill, if any.

    Args:
        prevalence: that share.
        threshold: the risk above which a patient is called ill.
    """
    at = logit_of(threshold)
    return TaskDefinition(
        outputs=1,
        starting_bias=_starting_bias(prevalence),
        loss=_loss,
        errors=_errors,
        scores=_scores,
        counts=_counts,
        own=partial(_own, at),
        group=partial(_group, at),
        grid=_grid,
        exact=partial(_exact, at),
        drawn_labels=_drawn_labels,
    )
