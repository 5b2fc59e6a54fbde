"""Per-patient gradients, and their exact clipping to integers.

Rules:

1. A patient's gradient is the mean over that patient's records, clipped once.
   All of a patient's records are in one call: a patient never straddles calls.
2. After clipping, gradients are integers whose exact squared norm is at most
   ``units**2``. Sums of integers have no rounding and no order, so one patient
   changes the sum by at most ``units``, exactly.
3. A gradient that is not finite becomes zeros; to stop instead would tell the
   world something about that patient. So does one whose norm is outside
   ``_MIN_SQUARE`` and ``_MAX_SQUARE``: its squares would vanish or overflow.
4. What is done for a row does not depend on its values, nor on other rows.
5. Gradients are clipped and summed on the device that computed them. The processor does it
   in float32, by blocks that stay in its cache; any other device scales in float32 too, and
   takes norms and sums in float64, in which sums of whole numbers' squares are exact.
"""

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

#: Records per forward pass when only scores are wanted.
_SCORE_BATCH = 512
#: Numbers that are clipped at once, which stay in the cache, and how many of one row.
_BLOCK = 1 << 17
_COLUMNS = 1 << 13
#: Whole numbers up to this are exact in float32.
_EXACT = 2**24
#: Keeps scales finite in float32, so that zero times a scale is zero.
_MAX_SCALE = 1e38
#: Numbers that are clipped at once on another device, and what a root and a square may lose there.
_IN_FLOAT64, _ROUNDED = 1 << 26, 1e-14
#: How much shorter than the bound a longer row ends: more than float32 rounds its scale and its
#: products.
_HAIR = 1e-6
#: Between these a row's squares neither vanish nor overflow in float32.
_MIN_SQUARE, _MAX_SQUARE = 1e-24, 1e30


class PatientGradients(Protocol):
    """An engine that computes one gradient for every patient of a micro-batch."""

    def __call__(self, features: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Returns (patients, parameters) float32: each patient's weighted sum of its gradients.

        Args:
            features: (patients, records, ...) float32.
            labels: (patients, records, ...) float32, as the task has them.
            weights: (patients, records) float32; those of a patient add up to 1 for a
                mean, and a place that holds no record has weight 0.

        The rows lie on the device that computed them. Columns stand as in
        ``protocol.vectors.tensors.flatten``. The loss is the task's. A row may hold NaN or
        infinity: see ``clip_to_integers``.
        """
        ...


def clip_to_integers(gradients: Tensor, *, clip: float, units: int) -> Tensor:
    """Returns the int64 sum of all patients' clipped gradients, in units of ``clip / units``.

    Args:
        gradients: (patients, parameters) float32, a row per patient; any value at all.
        clip: the L2 bound C in the units of the gradients.
        units: the integer length that stands for ``clip``.

    The sum is computed, and lies, where the gradients are. Guarantee: adding or removing one
    row changes it by an integer vector whose exact L2 norm is at most ``units``. Longer rows
    end within a thousandth of the bound, less what truncation takes: below the square root of
    the number of parameters, in units.

    Raises:
        ValueError: clip or units bound nothing, or cannot be counted exactly.
        TypeError: the gradients are not float32.

    >>> clip_to_integers(torch.tensor([[3, 4], [0, 0.5]]), clip=1, units=10).tolist()
    [5, 12]
    """
    if not 0 < clip < math.inf:
        raise ValueError(f"clip must be finite and positive, got {clip!r}")
    if not 1 <= units <= _EXACT:
        raise ValueError(f"units must be from 1 to 2**24, got {units!r}")
    if gradients.dtype != torch.float32:
        raise TypeError(f"gradients must be float32, got {gradients.dtype}")
    if gradients.device.type != "cpu":
        return clipped_on_device(gradients, clip=clip, units=units)
    return torch.from_numpy(_clipped_in_blocks(gradients.detach().numpy(), clip, units))


def within_less_longer(gradients: Tensor, present: Tensor, *, clip: float) -> int:
    """Returns how many patients' gradients are within the clip, less how many are longer.

    Args:
        gradients: (patients, parameters) float32, a row per patient; any value at all.
        present: (patients,) booleans: an empty place counts as neither.
        clip: the L2 bound C in the units of the gradients.

    Guarantee: adding or removing one patient changes it by one at most. A gradient that is not
    finite counts as longer.

    >>> within_less_longer(torch.tensor([[3.0], [1], [0]]), torch.tensor([1, 1, 0]) > 0, clip=1)
    0
    """
    if gradients.device.type == "cpu":
        squares = torch.from_numpy(_squared_norms(gradients.detach().numpy()))
    else:
        squares = torch.linalg.vector_norm(gradients, dim=1, dtype=torch.float64).square()
    within = squares <= clip**2  # NaN is not
    return int((2 * (within & present).sum() - present.sum()).item())


def _clipped_in_blocks(
    gradients: NDArray[np.float32], clip: float, units: int
) -> NDArray[np.int64]:
    patients, dim = gradients.shape
    squares = _squared_norms(gradients)
    kept = (squares > _MIN_SQUARE) & (squares < _MAX_SQUARE)  # NaN is not
    scales = _scales(np.sqrt(np.where(kept, squares, 1.0)), clip, units, dim)
    total = np.zeros(dim, dtype=np.int64)
    integers = _IntegerSums(dim, units)
    for start in range(0, patients, integers.rows):
        own = slice(start, start + integers.rows)
        found = integers.sum_of(gradients[own], scales[own], kept[own])
        np.add(total, found, out=total, casting="unsafe")
    return total


def _squared_norms(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns each row's squared norm, with float32's rounding; not finite where an entry is not.

    A row's norm is computed from that row alone, in pieces so short that BLAS gives
    one thread to each: no bit of it depends on the neighbours or on the machine's cores.
    """
    found = np.zeros(len(rows))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for columns in _pieces(rows.shape[1]):
            piece = rows[:, columns]
            found += np.vecdot(piece, piece)
    return found


def _pieces(dim: int) -> Iterator[slice]:
    for start in range(0, dim, _COLUMNS):
        yield slice(start, start + _COLUMNS)


def _scales(norms: NDArray[np.float64], clip: float, units: int, dim: int) -> NDArray[np.float32]:
    """Returns what each row is multiplied by: longer ones end a hair inside the bound.

    The hair pays for four roundings of a float32 sum of squares at their worst, two of
    the norm here and two of the check in ``_IntegerSums``: no row fails that check.
    """
    margin = 2 * (_most_lost(min(dim, _COLUMNS)) - 1) + _HAIR
    as_they_are = min(units / clip, _MAX_SCALE)
    shortened = units * (1 - margin) / norms
    return np.where(norms > clip * (1 - margin), shortened, as_they_are).astype(np.float32)


class _IntegerSums:
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

    def sum_of(
        self, block: NDArray[np.float32], scales: NDArray[np.float32], kept: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Returns the sum of the scaled and truncated rows that are kept.

        The sum is this object's own memory until the next call. Guarantee: each row that is
        summed holds integers whose exact norm is at most ``units``, whatever the scales:
        one that cannot be proven to is left out.
        """
        one = np.ones(len(block), dtype=np.float32)
        while True:
            most = np.zeros(len(block))  # no exact squared norm is larger
            for columns in _pieces(block.shape[1]):
                integers = self._integers(block[:, columns], scales, kept)
                rounded = np.vecdot(integers, integers).astype(np.float64)
                most += rounded * _most_lost(integers.shape[1])
                np.matmul(one, integers, out=self._sum[columns])
            proven = most <= self._units**2
            if proven.all():  # always, by the margin of ``_scales``
                return self._sum
            kept = kept & proven

    def _integers(
        self, piece: NDArray[np.float32], scales: NDArray[np.float32], kept: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Returns the whole numbers of a piece; those of rows that are not kept are zeros."""
        room = self._room[: piece.shape[0], : piece.shape[1]]
        factors = torch.from_numpy(scales)[:, None]  # numpy takes twice as long for short rows
        torch.mul(torch.from_numpy(piece), factors, out=torch.from_numpy(room))
        np.trunc(room, out=room)
        bits, mask = room.view(np.int32), -kept.astype(np.int32)[:, None]  # also NaN becomes 0
        np.bitwise_and(bits, mask, out=bits)
        return room


def _most_lost(count: int) -> float:
    """Returns the factor by which a float32 sum of ``count`` squares may fall short at most.

    In whatever order it was added up: each of its terms was rounded ``count`` times at
    most, and lost 2**-24 of itself each time. One more pays for the float64 arithmetic.
    """
    return 1 / (1 - (count + 1) * 2.0**-24)


def clipped_on_device(gradients: Tensor, *, clip: float, units: int) -> Tensor:
    """Returns the same sum by operations that every device has; used where the processor is not.

    Args:
        gradients: (patients, parameters) float32.
        clip, units: as ``clip_to_integers`` takes them.

    Returns:
        The (parameters,) int64 sum, on the gradients' device.

    A row's whole numbers are at most 2**24, so float64 holds each square and, up to
    ``units**2``, every partial sum of them, whatever their order; what roots and squares of
    those round is less than ``_ROUNDED``. The sum of the rows is exact.
    """
    width = max(1, _IN_FLOAT64 // max(1, len(gradients)))
    pieces = [slice(start, start + width) for start in range(0, gradients.shape[1], width)]

    def squared(rows: Callable[[slice], Tensor]) -> Tensor:
        found = torch.zeros(len(gradients), dtype=torch.float64, device=gradients.device)
        for piece in pieces:
            found += torch.linalg.vector_norm(rows(piece), dim=1, dtype=torch.float64).square()
        return found

    squares = squared(lambda piece: gradients[:, piece])
    kept = (squares > _MIN_SQUARE) & (squares < _MAX_SQUARE)  # NaN is not
    norms, longest = torch.where(kept, squares, 1.0).sqrt(), clip * (1 - _HAIR)
    shortened = units * (1 - _HAIR) / norms
    scales = torch.where(norms > longest, shortened, min(units / clip, _MAX_SCALE)).float()

    def integers(piece: slice) -> Tensor:
        return torch.where(kept[:, None], (gradients[:, piece] * scales[:, None]).trunc(), 0.0)

    proven = squared(integers) * (1 + _ROUNDED) <= units**2  # always, by the hair
    total = torch.zeros(gradients.shape[1], dtype=torch.int64, device=gradients.device)
    for piece in pieces:
        own = torch.where(proven[:, None], integers(piece), 0.0)
        total[piece] = own.sum(dim=0, dtype=torch.float64).long()
    return total


def scores(module: nn.Module, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the (records,) logits of the network in evaluation mode, for figures of no patient.

    Fast, and a record's logit may round differently beside other records: see ``batch_invariance``.
    """
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
