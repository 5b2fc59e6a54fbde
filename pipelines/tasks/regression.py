"""Regression: one number for a record, learned by half its squared error.

Network and labels speak in the contract's ``(value - centre) / scale``; errors and values are
counted as parts of the label's bound, beyond which they count as the bound. A patient's score
is the mean of its records' predictions, its label the mean of their values.
"""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from pipelines.tasks.dithered_units import in_dithered_units
from pipelines.tasks.task import Counts, Floats, Singles, TaskDefinition, patient_means
from protocol.study.cohort.labels import NumberLabel


def _loss(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return ((outputs.reshape(-1) - labels) ** 2 * weights).sum() / 2


def _errors(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return ((outputs.reshape(-1) - labels) * weights).reshape(outputs.shape)


def _scores(outputs: Floats, labels: Singles, weights: Singles) -> tuple[Floats, Floats]:
    own = patient_means(labels[..., None].astype(np.float64), weights)[:, 0]
    return patient_means(outputs, weights)[:, 0], own


def regression(label: NumberLabel) -> TaskDefinition:
    """Returns the definition for numbers of a range."""
    bound, unit = label.bound, label.bound * label.scale
    low, high = ((end - label.centre) / label.scale for end in label.range)

    def parts(scores: Floats, labels: Floats) -> tuple[Floats, Floats]:
        """Returns errors and values as parts of the bound; what is no number is the centre."""
        errors = np.nan_to_num(scores, nan=0.0) - labels
        return np.clip(errors / bound, -1, 1), np.clip(labels / bound, -1, 1)

    def counts(scores: Floats, labels: Floats, reference: Floats, bins: int) -> Counts:
        """Returns the sums of 1, a, s, v, v**2."""
        errors, values = parts(scores, labels)
        each = np.stack([np.ones_like(errors), np.abs(errors), errors**2, values, values**2])
        sums: Counts = in_dithered_units(each).sum(axis=1)
        return sums

    def own(scores: Floats, labels: Floats, reference: Floats, bins: int) -> Counts:
        """Returns the sums of 1, a, s, and zero."""
        return np.array([*counts(scores, labels, reference, bins)[:3], 0])

    def exact(scores: Floats, labels: Floats) -> Mapping[str, float | None]:
        if not len(labels) or np.isnan(scores).any():
            return {"mae": None, "r2": None, "rmse": None}
        errors, values = parts(scores, labels)
        squares, spread = float((errors**2).mean()), float(values.var())
        return {
            "mae": float(np.abs(errors).mean()) * unit,
            "r2": 1 - squares / spread if spread > 0 else None,
            "rmse": squares**0.5 * unit,
        }

    def drawn_labels(random: np.random.Generator, count: int) -> Singles:
        return random.uniform(low, high, count).astype(np.float32)

    return TaskDefinition(
        outputs=1,
        starting_bias=None,
        loss=_loss,
        errors=_errors,
        scores=_scores,
        counts=counts,
        own=own,
        group=own,
        exact=exact,
        drawn_labels=drawn_labels,
    )
