"""Regression: one number for a record, learned by half its squared error.

Network and labels speak in the contract's ``(value - centre) / scale``; errors are counted as
parts of the declared range, where predictions outside are taken for its nearer end. A patient's
score is the mean of its records' predictions, its label the mean of their values.
"""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from pipelines.tasks.task import Counts, Floats, Singles, TaskDefinition, patient_means
from protocol.study.cohort import NumberLabel
from protocol.vectors.evaluation import COUNT_UNITS


def _loss(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return ((outputs.reshape(-1) - labels) ** 2 * weights).sum() / 2


def _errors(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return ((outputs.reshape(-1) - labels) * weights).reshape(outputs.shape)


def _scores(outputs: Floats, labels: Singles, weights: Singles) -> tuple[Floats, Floats]:
    own = patient_means(labels[..., None].astype(np.float64), weights)[:, 0]
    return patient_means(outputs, weights)[:, 0], own


def regression(label: NumberLabel) -> TaskDefinition:
    """Returns the definition for numbers of a range."""
    low, high = label.encoded_range
    width = label.range[1] - label.range[0]

    def parts(values: Floats) -> Floats:
        """Returns values as parts of the range, in [0, 1]; what is no number is its middle."""
        return np.clip((np.nan_to_num(values, nan=(low + high) / 2) - low) / (high - low), 0, 1)

    def counts(
        scores: Floats, labels: Floats, reference: Floats, bins: int
    ) -> tuple[Counts, Counts, Counts]:
        """Returns the sums of 1, a, s, s**2, y, y**2, and those of 1, a, s: each part rounded."""
        values = parts(labels)
        errors = np.abs(parts(scores) - values)
        squares = errors**2
        one = np.ones_like(errors)
        each = np.stack([one, errors, squares, squares**2, values, values**2])
        sums = np.rint(each * COUNT_UNITS).astype(np.int64).sum(axis=1)
        return sums, np.array([*sums[:3], 0]), np.zeros(2, dtype=np.int64)

    def exact(scores: Floats, labels: Floats) -> Mapping[str, float | None]:
        if not len(labels) or np.isnan(scores).any():
            return {"r2": None, "mae": None, "rmse": None}
        values = parts(labels)
        errors = parts(scores) - values
        squares, spread = float((errors**2).mean()), float(values.var())
        return {
            "r2": 1 - squares / spread if spread > 0 else None,
            "mae": float(np.abs(errors).mean()) * width,
            "rmse": squares**0.5 * width,
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
        exact=exact,
        drawn_labels=drawn_labels,
    )
