"""Classification by several labels: one logit for each, and labels 0 or 1 for each.

The loss of a record is the sum of its labels' binary cross entropies. A patient's scores are the
mean logits of its records, its labels the highest of theirs. AUROC follows from the order of one
label's scores alone: each label's are counted less the mean of the reference inputs' scores and
over their deviation, so that one grid of bins does for all.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
from torch import Tensor
from torch.nn import functional

from pipelines.evaluation.metrics import auroc, histogram, two_by_two
from pipelines.tasks.dithered_units import in_dithered_units
from pipelines.tasks.task import (
    Counts,
    Floats,
    Singles,
    TaskDefinition,
    in_whole_registers,
    patient_means,
)
from protocol.vectors.evaluation import in_units
from protocol.vectors.score_grid import ScoreGrid


def multilabel_classification(labels: int) -> TaskDefinition:
    """Returns the definition for so many labels."""
    return TaskDefinition(
        outputs=labels,
        starting_bias=None,
        loss=_loss,
        errors=_errors,
        scores=_scores,
        counts=_counts,
        own=_own,
        group=_own,
        exact=_exact,
        drawn_labels=partial(_drawn_labels, labels),
    )


def _loss(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    losses = functional.binary_cross_entropy_with_logits(outputs, labels, reduction="none")
    return (losses.sum(dim=1) * weights).sum()


def _errors(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Returns sigmoid(logit) - label, weighted."""
    chances = in_whole_registers(outputs.reshape(-1), Tensor.sigmoid_).reshape(outputs.shape)
    return (chances - labels) * weights[:, None]


def _scores(outputs: Floats, labels: Singles, weights: Singles) -> tuple[Floats, Floats]:
    own = np.where(weights[..., None] > 0, labels, 0).max(axis=1).astype(np.float64)
    return patient_means(outputs, weights), own


def _counts(scores: Floats, labels: Floats, reference: Floats, bins: int) -> Counts:
    """Returns (labels, 2, bins) counts of scores: a patient counts in one bin for each label."""
    edges = ScoreGrid().edges(bins)
    centres, spreads = reference.mean(axis=0), np.maximum(reference.std(axis=0), 1e-6)
    counts = [
        histogram((scores[:, place] - centres[place]) / spreads[place], labels[:, place], edges)
        for place in range(scores.shape[1])
    ]
    return in_units(np.stack(counts))


def _own(scores: Floats, labels: Floats, reference: Floats, bins: int) -> Counts:
    """Returns the mean table of the labels' decisions: a patient adds a cell's share for each."""
    each = [
        two_by_two(scores[row, None, place], labels[row, None, place])
        for row in range(len(scores))
        for place in range(scores.shape[1])
    ]
    shares = np.array(each, dtype=np.float64).reshape(len(scores), scores.shape[1], 4)
    table: Counts = in_dithered_units(shares.mean(axis=1)).sum(axis=0)
    return table


def _exact(scores: Floats, labels: Floats) -> Mapping[str, float | None]:
    if not len(scores):
        return {"mean_auroc": None, "accuracy": None}
    found = [auroc(scores[:, place], labels[:, place]) for place in range(scores.shape[1])]
    known = [value for value in found if value is not None]
    right = None if np.isnan(scores).any() else float(((scores > 0) == (labels > 0)).mean())
    return {
        "mean_auroc": float(np.mean(known)) if len(known) == len(found) else None,
        "accuracy": right,
    }


def _drawn_labels(labels: int, random: np.random.Generator, count: int) -> Singles:
    return (random.random((count, labels)) < 0.5).astype(np.float32)
