"""Regression: one number for a record, learned by half its squared error.

Network and labels speak in the contract's ``(value - centre) / scale``; errors and values are
counted as parts of the label's bound, beyond which they count as the bound. A patient's score
is the mean of its records' predictions, its label the mean of their values.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pipelines.tasks.task import Counts, Floats, Singles, TaskDefinition, patient_means
from protocol.study.cohort.labels import NumberLabel
from protocol.vectors.evaluation import COUNT_UNITS


def _loss(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return ((outputs.reshape(-1) - labels) ** 2 * weights).sum() / 2


def _errors(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return ((outputs.reshape(-1) - labels) * weights).reshape(outputs.shape)


def _scores(outputs: Floats, labels: Singles, weights: Singles) -> tuple[Floats, Floats]:
    own = patient_means(labels[..., None].astype(np.float64), weights)[:, 0]
    return patient_means(outputs, weights)[:, 0], own


def in_dithered_units(parts: Floats) -> Counts:
    """Returns numbers in [-1, 1] as whole units, rounded up as often as their fraction says.

    To round to the nearest unit would lose what is small. The chance is drawn from the number's
    own bits: a patient's units follow from that patient alone, and are no more than
    ``COUNT_UNITS``.

    >>> in_dithered_units(np.array([1.0, -1.0, 0.0])).tolist()
    [1024, -1024, 0]
    """
    units = np.floor(parts * COUNT_UNITS + _fractions(parts)).astype(np.int64)
    return np.clip(units, -COUNT_UNITS, COUNT_UNITS)  # a float's own rounding adds one in 2**43


def _fractions(numbers: Floats) -> Floats:
    """Returns a number in [0, 1) for each, mixed from its bits (Steele et al. 2014, SplitMix64)."""
    mixed: NDArray[np.uint64] = np.ascontiguousarray(numbers + 0.0).view(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray((mixed ^ (mixed >> np.uint64(31))) / 2.0**64 * (1 - 2.0**-53))


def regression(label: NumberLabel) -> TaskDefinition:
    """Returns the definition for numbers of a range."""
    bound, unit = label.bound, label.bound * label.scale
    low, high = ((end - label.centre) / label.scale for end in label.range)

    def parts(scores: Floats, labels: Floats) -> tuple[Floats, Floats]:
        """Returns errors and values as parts of the bound; what is no number is the centre."""
        errors = np.nan_to_num(scores, nan=0.0) - labels
        return np.clip(errors / bound, -1, 1), np.clip(labels / bound, -1, 1)

    def counts(
        scores: Floats, labels: Floats, reference: Floats, bins: int
    ) -> tuple[Counts, Counts, Counts]:
        """Returns the sums of 1, a, s, v, v**2, and those of 1, a, s."""
        errors, values = parts(scores, labels)
        each = np.stack([np.ones_like(errors), np.abs(errors), errors**2, values, values**2])
        sums = in_dithered_units(each).sum(axis=1)
        return sums, np.array([*sums[:3], 0]), np.zeros(2, dtype=np.int64)

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
        exact=exact,
        drawn_labels=drawn_labels,
    )
