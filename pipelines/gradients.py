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
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

#: Records per forward pass when only scores are wanted.
_SCORE_BATCH = 512
#: Numbers that are clipped at once, which stay in the cache, and how many of one row.
_BLOCK = 1 << 17
_COLUMNS = 1 << 13
#: Whole numbers up to this are exact in float32.
_EXACT = 2**24
#: Keeps the float clip safely inside the bound before truncation.
_MARGIN = 1e-6
#: Keeps scales finite in float32, so that zero times a scale is zero.
_MOST_SCALE = 1e38
#: Between these a row's squares neither vanish nor overflow in float32.
_LEAST_SQUARE, _MOST_SQUARE = 1e-30, 1e30


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
    if not 1 <= units <= _EXACT:
        raise ValueError(f"units must be from 1 to 2**24, got {units!r}")
    if gradients.dtype != np.float32:  # their squares cannot overflow float64
        raise TypeError(f"gradients must be float32, got {gradients.dtype}")
    patients, dim = gradients.shape
    norms = np.sqrt(_squared_norms(gradients))
    finite = np.isfinite(norms)
    scales = _scales(norms, clip, units)
    total = np.zeros(dim, dtype=np.int64)
    desk = _Desk(dim, units)
    for start in range(0, patients, desk.rows):
        own = slice(start, start + desk.rows)
        block, factors, kept = gradients[own], scales[own], finite[own]
        if not kept.all():
            block, factors = block[kept], factors[kept]
        np.add(total, desk.sum_of_integers(block, factors), out=total, casting="unsafe")
    return total, int((norms <= clip).sum())


def _squared_norms(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns each row's squared norm, with float32's rounding; not finite where an entry is not.

    A row's norm is computed from that row alone, in pieces so short that BLAS gives
    one thread to each: no bit of it depends on the neighbours or on the machine's cores.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = _sum_over_pieces(rows, lambda piece: np.vecdot(piece, piece))
    rough = ~((squares > _LEAST_SQUARE) & (squares < _MOST_SQUARE))  # NaN is rough too
    if rough.any():
        squares[rough] = _sum_over_pieces(rows[rough], _squares_in_float64)
    return squares


def _sum_over_pieces(
    rows: NDArray[np.float32], squares: Callable[[NDArray[np.float32]], Any]
) -> NDArray[np.float64]:
    found = np.zeros(len(rows))
    for columns in _pieces(rows.shape[1]):
        found += squares(rows[:, columns])
    return found


def _squares_in_float64(piece: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = piece.astype(np.float64)
    return np.asarray(np.vecdot(wide, wide))


def _pieces(dim: int) -> Iterator[slice]:
    for start in range(0, dim, _COLUMNS):
        yield slice(start, start + _COLUMNS)


def _scales(norms: NDArray[np.float64], clip: float, units: int) -> NDArray[np.float32]:
    """Returns what each row is multiplied by: longer ones end a hair inside the bound."""
    as_they_are = min(units / clip, _MOST_SCALE)
    shortened = units * (1 - _MARGIN) / np.maximum(norms, units / _MOST_SCALE)
    return np.where(norms > clip * (1 - _MARGIN), shortened, as_they_are).astype(np.float32)


class _Desk:
    """Sums blocks of rows as integers; holds the room for it, as fresh memory is slow.

    The integers stand in float32, which is exact up to 2**24. At most 2**24 / units
    rows, none longer than ``units``, are summed at once: no partial sum is larger.
    """

    def __init__(self, dim: int, units: int) -> None:
        columns = min(dim, _COLUMNS)
        self.rows = max(1, min(_BLOCK // max(1, columns), _EXACT // units))
        self._units = units
        self._room = np.empty((self.rows, columns), dtype=np.float32)
        self._sum = np.empty(dim, dtype=np.float32)

    def sum_of_integers(
        self, block: NDArray[np.float32], scales: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Returns the sum of the scaled and truncated rows; rows over the bound are scaled anew.

        The sum is the desk's own memory until the next call. Guarantee: each row that is
        summed holds integers whose exact norm is at most ``units``, whatever the scales.
        """
        one = np.ones(len(block), dtype=np.float32)
        while True:
            most = np.zeros(len(block))  # no exact squared norm is larger
            for columns in _pieces(block.shape[1]):
                integers = self._integers(block[:, columns], scales)
                rounded = np.vecdot(integers, integers).astype(np.float64)
                most += rounded * _most_lost(integers.shape[1])
                np.matmul(one, integers, out=self._sum[columns])
            unsure = np.flatnonzero(~(most <= self._units**2))
            if not len(unsure):
                return self._sum
            squares = self._exact_squares(block[unsure], scales[unsure])
            over = ~(squares <= self._units**2)
            if not over.any():
                return self._sum
            longer, scales = unsure[over], scales.copy()
            shorter = scales[longer] * (self._units / np.sqrt(squares[over]) * (1 - _MARGIN))
            # always a little less, even where float32 has few digits left
            scales[longer] = np.minimum(shorter, np.nextafter(scales[longer], np.float32(0)))

    def _exact_squares(
        self, block: NDArray[np.float32], scales: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Returns the integers' squared norms, exact up to 2**53; ``units**2`` is at most 2**48."""
        found = np.zeros(len(block))
        for columns in _pieces(block.shape[1]):
            found += _squares_in_float64(self._integers(block[:, columns], scales))
        return found

    def _integers(
        self, piece: NDArray[np.float32], scales: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        room = self._room[: piece.shape[0], : piece.shape[1]]
        factors = torch.from_numpy(scales)[:, None]  # numpy takes twice as long for short rows
        torch.mul(torch.from_numpy(piece), factors, out=torch.from_numpy(room))
        return np.trunc(room, out=room)


def _most_lost(count: int) -> float:
    """Returns the factor by which a float32 sum of ``count`` squares may fall short at most.

    In whatever order it was added up: each of its terms was rounded ``count`` times at
    most, and lost 2**-24 of itself each time. One more pays for the float64 arithmetic.
    """
    return 1 / (1 - (count + 1) * 2.0**-24)


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
