"""Per-patient gradients, and their exact clipping to integers.

Rules:

1. A patient's gradient is the mean over that patient's records, clipped once.
   All of a patient's records are in one call: a patient never straddles calls.
2. After clipping, gradients are integers whose exact squared norm is at most
   ``units**2``. Sums of integers have no rounding and no order, so one patient
   changes the sum by at most ``units``, exactly (ruling 11).
3. A gradient that is not finite becomes zeros; to stop instead would tell
   the world something about that patient (ruling 2).
"""

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

#: Records per forward pass when only scores are wanted.
_SCORE_BATCH = 512
#: Numbers that are clipped at once, which stay in the cache, and how many of one row.
_BLOCK = 1 << 18
_COLUMNS = 1 << 14
#: Keeps the float clip safely inside the bound before truncation.
_MARGIN = 1e-6
_MOST_UNITS = 2**24
#: Keeps scales finite in float32, so that zero times a scale is zero.
_MOST_SCALE = 1e38


class PatientGradients(Protocol):
    """An engine that computes one gradient for every patient of a micro-batch."""

    def __call__(
        self,
        module: nn.Module,
        features: torch.Tensor,
        labels: torch.Tensor,
        patients_in_batch: torch.Tensor,
    ) -> NDArray[np.float32]:
        """Returns (patients, parameters): each patient's mean gradient of the loss.

        Args:
            module: maps features to (records, 1) logits; its parameters are
                not changed.
            features: (records, ...) float32.
            labels: (records,) float32, 0 or 1.
            patients_in_batch: (records,) int64, the patient of each record; any numbers.

        Rows stand in order of the patients' first appearance; columns as in
        ``protocol.tensors.flatten``. The loss of a record is binary cross
        entropy with logits. A row may hold NaN or infinity: see
        ``clip_to_integers``.
        """
        ...


def clip_to_integers(
    gradients: NDArray[np.float32], *, clip: float, units: int
) -> tuple[NDArray[np.int64], int]:
    """Returns the integer sum of all patients' clipped gradients.

    Args:
        gradients: (patients, parameters) float32, a row per patient; any value at all.
        clip: the L2 bound C in the units of the gradients.
        units: the integer length that stands for ``clip``.

    Returns:
        (parameters,) int64, in units of ``clip / units``, and how many patients
        were within the bound and so not shortened. Guarantee: adding
        or removing one row changes the sum by an integer vector whose exact
        L2 norm is at most ``units``.

    >>> rows = np.array([[3.0, 4.0], [0.0, 0.5]], dtype=np.float32)
    >>> total, unclipped = clip_to_integers(rows, clip=1, units=10)
    >>> total.tolist(), unclipped
    ([5, 12], 1)

    Source: ``privacy.md`` C.2 with rulings 2 and 11.
    """
    if not 0 < clip < math.inf:
        raise ValueError(f"clip must be finite and positive, got {clip!r}")
    if not 1 <= units <= _MOST_UNITS:
        raise ValueError(f"units must be from 1 to 2**24, got {units!r}")
    if gradients.dtype != np.float32:  # their squares cannot overflow float64
        raise TypeError(f"gradients must be float32, got {gradients.dtype}")
    patients, dim = gradients.shape
    total = np.zeros(dim, dtype=np.int64)
    unclipped = 0
    rows = min(patients, max(1, _BLOCK // max(1, min(dim, _COLUMNS))))
    desk = _Desk(rows, min(dim, _COLUMNS))
    for start in range(0, patients, rows or 1):
        block = gradients[start : start + rows]
        norms = np.sqrt(desk.squared_norms(block))
        finite = np.isfinite(norms)
        if not finite.all():
            block, norms = block[finite], norms[finite]
        total += desk.sum_of_integers(block, _scales(norms, clip, units), units)
        unclipped += int((norms <= clip).sum())
    return total, unclipped


def _scales(norms: NDArray[np.float64], clip: float, units: int) -> NDArray[np.float32]:
    """Returns what each row is multiplied by: longer ones end a hair inside the bound."""
    as_they_are = min(units / clip, _MOST_SCALE)
    shortened = units * (1 - _MARGIN) / np.maximum(norms, units / _MOST_SCALE)
    return np.where(norms > clip * (1 - _MARGIN), shortened, as_they_are).astype(np.float32)


class _Desk:
    """Room for the pieces of rows that are worked on, taken once: fresh memory is slow."""

    def __init__(self, rows: int, columns: int) -> None:
        self._columns = max(1, columns)
        self._narrow = np.empty((rows, columns), dtype=np.float32)
        self._wide = np.empty((rows, columns), dtype=np.float64)

    def squared_norms(self, block: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns the squared norm of every row; not finite where an entry is not."""
        squares = np.zeros(len(block))
        for columns in self._pieces(block):
            squares += self._squares(block[:, columns])[1]
        return squares

    def sum_of_integers(
        self, block: NDArray[np.float32], scales: NDArray[np.float32], units: int
    ) -> NDArray[np.int64]:
        """Returns the sum of the scaled and truncated rows; rows over the bound are scaled anew.

        Guarantee: each row that is summed holds integers whose exact norm is at
        most ``units``, whatever the scales. The integers stand in floats: they are
        exact in float32, where a scaled entry is at most 2**24, and their squares
        and sums in float64, which are below 2**53. A sum of squares above that is
        rounded, but still far above ``units**2``, which is at most 2**48.
        """
        one = np.ones(len(block))
        while True:
            total = np.zeros(block.shape[1])
            squares = np.zeros(len(block))
            for columns in self._pieces(block):
                piece = block[:, columns]
                integers = self._narrow[: len(block), : piece.shape[1]]
                np.multiply(piece, scales[:, None], out=integers)
                np.trunc(integers, out=integers)
                wide, found = self._squares(integers)
                squares += found
                np.matmul(one, wide, out=total[columns])
            over = ~(squares <= units * units)
            if not over.any():
                return total.astype(np.int64)
            shorter = scales[over] * (units / np.sqrt(squares[over]) * (1 - _MARGIN))
            scales = scales.copy()  # always a little less, even where float32 has few digits left
            scales[over] = np.minimum(shorter, np.nextafter(scales[over], np.float32(0)))

    def _squares(self, piece: NDArray[np.float32]) -> tuple[NDArray[np.float64], ...]:
        wide = self._wide[: piece.shape[0], : piece.shape[1]]
        np.copyto(wide, piece)
        return wide, np.vecdot(wide, wide)

    def _pieces(self, block: NDArray[np.float32]) -> Iterator[slice]:
        for start in range(0, block.shape[1], self._columns):
            yield slice(start, start + self._columns)


def scores(module: nn.Module, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the (records,) logits of the network in evaluation mode."""
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            batches = [
                module(torch.from_numpy(features[start : start + _SCORE_BATCH])).reshape(-1).numpy()
                for start in range(0, len(features), _SCORE_BATCH)
            ]
    finally:
        module.train(was_training)
    return np.concatenate(batches) if batches else np.zeros(0, dtype=np.float32)
