"""Classification into several classes: one logit for each, and labels 0 to K - 1.

The loss is cross entropy. A patient's scores are the mean logits of its records, its class the
one with the highest, its label the highest of its records'. Its confidence is the softmax of that
class, as the logit of a chance: of being right.
"""

from collections.abc import Mapping

import numpy as np
from torch import Tensor
from torch.nn import functional

from pipelines.evaluation.metrics import balanced_accuracy, class_table, histogram, macro_f1
from pipelines.evaluation.risk_metrics import calibration_error
from pipelines.tasks.task import (
    Counts,
    Floats,
    Singles,
    TaskDefinition,
    highest_labels,
    in_whole_registers,
    no_grid,
    patient_means,
)
from protocol.vectors.evaluation import in_units
from protocol.vectors.score_grid import ScoreGrid


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


def _confidences(scores: Floats) -> Floats:
    """Returns the (patients,) logits of the chance of the class that is named."""
    rising = np.sort(np.nan_to_num(scores), axis=1)
    others = rising[:, -2:-1]  # the highest of them: no power overflows
    rest = others[:, 0] + np.log(np.exp(rising[:, :-1] - others).sum(axis=1))
    return np.asarray(rising[:, -1] - rest)


def _is_right(scores: Floats, labels: Floats) -> Floats:
    named = np.nan_to_num(scores, nan=0.0).argmax(axis=1)
    return np.asarray(named == np.asarray(labels).astype(np.int64), dtype=np.float64)


def _confident_counts(scores: Floats, labels: Floats, reference: Floats, bins: int) -> Counts:
    """Returns the (K, K) counts, and behind them (2, bins) of confidence, by wrong and right."""
    edges = ScoreGrid.around(_confidences(reference)).edges(bins)
    sure = histogram(_confidences(scores), _is_right(scores, labels), edges)
    return np.concatenate([_counts(scores, labels, reference, bins), in_units(sure)])


def _grid(reference: Floats) -> Counts:
    return np.array(ScoreGrid.around(_confidences(reference)).cells)


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


def _confident_exact(scores: Floats, labels: Floats) -> Mapping[str, float | None]:
    known = len(labels) > 0 and not np.isnan(scores).any()
    error = calibration_error(_confidences(scores), _is_right(scores, labels)) if known else None
    return {**_exact(scores, labels), "ece": error}


def multiclass_classification(classes: int, *, confidence: bool = False) -> TaskDefinition:
    """Returns the definition for so many classes.

    Args:
        classes: how many there are.
        confidence: whether patients are also counted by the model's confidence.
    """

    def drawn_labels(random: np.random.Generator, count: int) -> Singles:
        return random.integers(classes, size=count).astype(np.float32)

    return TaskDefinition(
        outputs=classes,
        starting_bias=None,
        loss=_loss,
        errors=_errors,
        scores=_scores,
        counts=_confident_counts if confidence else _counts,
        own=_own,
        group=_own,
        grid=_grid if confidence else no_grid,
        exact=_confident_exact if confidence else _exact,
        drawn_labels=drawn_labels,
    )
