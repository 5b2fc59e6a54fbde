"""Classification into several classes: one logit for each, and labels 0 to K - 1.

The loss is cross entropy. A patient's scores are the mean logits of its records, its class the
one with the highest, its label the highest of its records'.
"""

from collections.abc import Mapping

import numpy as np
from torch import Tensor
from torch.nn import functional

from pipelines.evaluation.metrics import balanced_accuracy, class_table, macro_f1
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


def _loss(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    losses = functional.cross_entropy(outputs, labels.long(), reduction="none")
    return (losses * weights).sum()


def _errors(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Returns softmax(logits) - one-hot label, weighted; a row's sum has one order."""
    spread = outputs - outputs.amax(dim=1, keepdim=True)
    powers = in_whole_registers(spread.t().contiguous(), Tensor.exp_)
    total = powers[0].clone()
    for column in powers[1:]:
        total += column
    errors = (powers / total).t().contiguous()
    true = labels.long()[:, None]
    errors = errors.scatter_add(1, true, errors.new_full(true.shape, -1.0))
    return errors * weights[:, None]


def _scores(outputs: Floats, labels: Singles, weights: Singles) -> tuple[Floats, Floats]:
    return patient_means(outputs, weights), highest_labels(labels, weights)


def _counts(scores: Floats, labels: Floats, reference: Floats, bins: int) -> Counts:
    """Returns (K, K) counts of true by predicted class."""
    return in_units(class_table(scores, labels))


def _own(scores: Floats, labels: Floats, reference: Floats, bins: int) -> Counts:
    """Returns how many are wrong and right."""
    table = class_table(scores, labels)
    right = int(np.trace(table))
    return in_units(np.array([table.sum() - right, right, 0, 0], dtype=np.int64))


def _exact(scores: Floats, labels: Floats) -> Mapping[str, float | None]:
    known = len(labels) > 0 and not np.isnan(scores).any()
    table = class_table(scores, labels)
    return {
        "balanced_accuracy": balanced_accuracy(table) if known else None,
        "accuracy": float(np.trace(table) / table.sum()) if known else None,
        "macro_f1": macro_f1(table) if known else None,
    }


def multiclass_classification(classes: int) -> TaskDefinition:
    """Returns the definition for so many classes."""

    def drawn_labels(random: np.random.Generator, count: int) -> Singles:
        return random.integers(classes, size=count).astype(np.float32)

    return TaskDefinition(
        outputs=classes,
        starting_bias=None,
        loss=_loss,
        errors=_errors,
        scores=_scores,
        counts=_counts,
        own=_own,
        group=_own,
        exact=_exact,
        drawn_labels=drawn_labels,
    )
