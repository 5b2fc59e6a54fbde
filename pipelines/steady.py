"""Gradients and scores of a patient that depend on that patient alone, bit for bit.

Why: the bound on one patient's influence is exact only if removing a patient
leaves every other patient's result as it was. A matrix product may round a
row differently when the number of rows changes, and a coordinator that chose
the model can make one such bit decide a whole gradient.

Rules:

1. Every call has the same form, whatever the sample: places that nobody fills
   hold zeros, and their results are thrown away.
2. For each form the network is put to the test before it is used: rows are
   moved and taken away, and the others must not change in a single bit. A
   library picks its kernels by form, not by value, so drawn values suffice.
3. A network or machine that fails the test computes one patient at a time.
"""

import logging
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.gradients import PatientGradients, scores

log = logging.getLogger("collegium.silo")

#: Records scored in one call.
_SCORE_ROWS = 64

Rows = NDArray[np.float32]


def depends_on_own_row_only(compute: Callable[[Rows], Rows], example: Rows) -> bool:
    """Returns whether each row of ``compute(example)`` follows from that row of the example alone.

    Args:
        compute: maps (rows, ...) to (rows, ...).
        example: (rows, ...) drawn values; the test is for this number of rows.
    """
    whole = compute(example)
    for moved in {1, len(example) // 2, len(example) - 1} - {0}:
        shifted = np.zeros_like(example)
        shifted[: len(example) - moved] = example[moved:]
        if not np.array_equal(compute(shifted)[: len(example) - moved], whole[moved:]):
            return False
    return True


class SteadyGradients:
    """An engine's gradients for micro-batches of one form; see the rules above."""

    def __init__(self, engine: PatientGradients) -> None:
        self._engine = engine
        self._is_steady: dict[tuple[int, ...], bool] = {}

    def __call__(
        self, module: nn.Module, features: Rows, labels: Rows, num_patients: int
    ) -> NDArray[np.float32]:
        """Returns (num_patients, parameters): each patient's mean gradient.

        Args:
            module: maps features to logits.
            features: (places, records, ...): a micro-batch with every place filled.
            labels: (places, records), 0 or 1.
            num_patients: how many places, from the first, hold patients.
        """
        if features.shape not in self._is_steady:
            self._is_steady[features.shape] = self._test(module, features.shape)
        if self._is_steady[features.shape]:
            return self._rows(module, features, labels)[:num_patients]
        rows = [
            self._rows(module, features[place : place + 1], labels[place : place + 1])
            for place in range(num_patients)
        ]
        return np.concatenate(rows)

    def _rows(self, module: nn.Module, features: Rows, labels: Rows) -> NDArray[np.float32]:
        places, records = labels.shape
        return self._engine(
            module,
            torch.from_numpy(features.reshape(places * records, *features.shape[2:])),
            torch.from_numpy(labels.reshape(-1)),
            torch.arange(places).repeat_interleave(records),
        )

    def _test(self, module: nn.Module, shape: tuple[int, ...]) -> bool:
        example = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        labels = np.ones(shape[:2], dtype=np.float32)
        steady = depends_on_own_row_only(lambda rows: self._rows(module, rows, labels), example)
        if not steady:
            log.info("gradients of form %s are computed one patient at a time", shape)
        return steady


def steady_scores(module: nn.Module, features: Rows) -> Rows:
    """Returns the (records,) logits, each a function of its own record alone."""
    example = np.random.default_rng(0).normal(size=(_SCORE_ROWS, *features.shape[1:]))
    steady = depends_on_own_row_only(lambda rows: scores(module, rows), example.astype(np.float32))
    size = _SCORE_ROWS if steady else 1
    logits = np.zeros(len(features), dtype=np.float32)
    for begin in range(0, len(features), size):
        part = features[begin : begin + size]
        filled = np.zeros((size, *features.shape[1:]), dtype=np.float32)
        filled[: len(part)] = part
        logits[begin : begin + len(part)] = scores(module, filled)[: len(part)]
    return logits
