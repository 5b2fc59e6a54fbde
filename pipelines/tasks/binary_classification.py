"""Binary classification: one logit for a record, and labels 0 or 1.

The loss is binary cross entropy with logits. A patient's score is the mean logit of its
records, its label the highest of theirs.
"""

import math
from collections.abc import Mapping

import numpy as np
from torch import Tensor
from torch.nn import functional

from pipelines.evaluation.metrics import accuracy, auroc, histogram, two_by_two
from pipelines.tasks.task import (
    Counts,
    Floats,
    Singles,
    TaskDefinition,
    highest_labels,
    in_whole_registers,
    patient_means,
)
from protocol.vectors.evaluation import in_units
from protocol.vectors.score_grid import ScoreGrid


def _starting_bias(prevalence: float | None) -> tuple[float, ...] | None:
    """Returns the logit of the declared prevalence: a record that says nothing is as likely."""
    return None if prevalence is None else (math.log(prevalence / (1 - prevalence)),)


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


def _counts(
    scores: Floats, labels: Floats, reference: Floats, bins: int
) -> tuple[Counts, Counts, Counts]:
    """Returns (2, bins) counts of scores, the (2, 2) table of decisions, and the grid's cells.

    One patient counts in one bin and in one cell of the table. The bins lie around the
    reference outputs (``protocol.vectors.score_grid``).
    """
    grid = ScoreGrid.around(reference[:, 0])
    counts, table = histogram(scores, labels, grid.edges(bins)), two_by_two(scores, labels)
    return in_units(counts), in_units(table), np.array(grid.cells)


def _exact(scores: Floats, labels: Floats) -> Mapping[str, float | None]:
    return {"auroc": auroc(scores, labels), "accuracy": accuracy(scores, labels)}


def _drawn_labels(random: np.random.Generator, count: int) -> Singles:
    return (random.random(count) < 0.5).astype(np.float32)


def binary_classification(prevalence: float | None) -> TaskDefinition:
    """Returns the definition for a declared share of the ill, if any."""
    return TaskDefinition(
        outputs=1,
        starting_bias=_starting_bias(prevalence),
        loss=_loss,
        errors=_errors,
        scores=_scores,
        counts=_counts,
        exact=_exact,
        drawn_labels=_drawn_labels,
    )
