"""Correlated noise: the banded matrix mechanism over cycles of steps.

With g_1 .. g_b the sums of clipped gradients of a cycle of b steps and z_1 .. z_b independent
Gaussian noise, a lower triangular matrix C gives y = C g + z, which is released, and x = C^-1 y,
with which the training goes on: g + C^-1 z, in which later noise takes back a part of the earlier.

Rules:

1. A patient is in one step of a cycle at most, so it moves y by its clipped gradient times one
   column of C. Columns are no longer than 1: a cycle costs what one Gaussian release costs, of a
   sample in which the patient is with b times the rate of a step. Each gradient may depend on all
   that was released before.
2. Cycles share nothing: the matrix of a whole training is block diagonal, and so b-banded. Nothing
   is kept from a cycle, a round or a repeated draw to the next, and a restart loses nothing.
3. C is made of whole numbers over a power of two, so y is a whole number of units with exact
   discrete noise. x is computed from y alone, in floating point: post-processing.
4. No entry is negative: so many patients together move y by the sum of their bounds at most.
5. The matrix follows from public values. What a cycle costs rests on the length of its columns
   alone, which is checked in whole numbers; another matrix would only be more or less useful.

Source: Choquette-Choo, Ganesh, McKenna, McMahan, Rush, Thakurta & Xu 2023 (2306.08153), section 4
and theorem 4 (banded matrices, cyclic Poisson sampling); Denisov, McMahan, Rush, Smith & Thakurta
2022 (2202.08312), theorem 2.1 (adaptive gradients) and section 3 (the optimal matrix).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from compliance.privacy.noise.exact import LARGEST, DiscreteGaussian
from protocol.vectors.keystream import Keystream

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Larger noise multipliers leave no room for a matrix of fine numbers; nothing is learned there.
MAX_MULTIPLIER = 128.0
#: Entries are multiples of 1 / 64: finer ones make the noise less by a hundredth.
_SCALE = 64
_ITERATIONS = 400
_CONVERGED = 1e-12


@dataclass(frozen=True, kw_only=True)
class NoiseMatrix:
    """A lower triangular matrix of whole numbers: ``scale`` times C.

    Raises:
        ValueError: it is not lower triangular with a positive diagonal, has a negative entry, or a
            column is longer than the scale.
    """

    rows: tuple[tuple[int, ...], ...]
    scale: int

    def __post_init__(self) -> None:
        if any(len(row) != place + 1 for place, row in enumerate(self.rows)):
            raise ValueError("row t of a lower triangular matrix has t + 1 numbers")
        if any(min(row) < 0 or row[-1] < 1 for row in self.rows):
            raise ValueError("the numbers of a noise matrix are positive, or 0 off its diagonal")
        if any(square > self.scale**2 for square in self.column_squares):
            raise ValueError("a column of the noise matrix is longer than a patient pays for")

    @property
    def column_squares(self) -> tuple[int, ...]:
        """The squared length of each column, as a whole number."""
        return tuple(
            sum(row[place] ** 2 for row in self.rows[place:]) for place in range(len(self.rows))
        )

    @property
    def dense(self) -> Floats:
        """C itself, (steps, steps)."""
        found = np.zeros((len(self.rows), len(self.rows)))
        for place, row in enumerate(self.rows):
            found[place, : place + 1] = row
        return found / self.scale

    @classmethod
    def of(cls, real: Floats, noise: float) -> "NoiseMatrix":
        """Returns a matrix of real numbers, rounded down to whole ones.

        Args:
            real: lower triangular, its columns no longer than 1.
            noise: the noise multiplier times the units of the clip; the larger, the coarser the
                numbers, as the sampler of exact noise ends at 2^30.
        """
        scale = _SCALE
        while scale > 1 and scale * noise > LARGEST:
            scale //= 2
        whole = np.floor(np.maximum(real, 0.0) * scale + 1e-9).astype(np.int64)
        np.fill_diagonal(whole, np.maximum(1, np.diag(whole)))
        rows = tuple(
            tuple(int(value) for value in row[: place + 1]) for place, row in enumerate(whole)
        )
        return cls(rows=rows, scale=scale)


class CorrelatedSums:
    """The steps of one cycle: sums of clipped gradients go in, noised ones come out.

    It holds the cycle's sums and what it has made of them: (bands, size) each, twice.
    """

    def __init__(self, matrix: NoiseMatrix, noise: float) -> None:
        self._rows = matrix.rows
        self._noise = DiscreteGaussian(noise * matrix.scale)
        self._sums: list[Ints] = []
        self._made: list[Floats] = []

    def noised(self, summed: Ints, stream: Keystream) -> Floats:
        """Returns the next step's (size,) sum with noise that takes back earlier noise.

        Raises:
            ValueError: the cycle has had all its steps.
        """
        if len(self._sums) == len(self._rows):
            raise ValueError("a cycle of correlated noise has no further step")
        row = self._rows[len(self._sums)]
        self._sums.append(summed)
        released = self._noise.sample(stream, summed.size)
        for weight, earlier in zip(row, self._sums, strict=True):
            released += weight * earlier
        made = released.astype(np.float64)
        for weight, known in zip(row, self._made, strict=False):
            made -= weight * known
        made /= row[-1]
        self._made.append(made)
        return made


@lru_cache(maxsize=256)
def noise_matrix(*, rounds: int, steps: int, bands: int, momentum: float) -> tuple[Floats, float]:
    """Returns C of each cycle of ``bands`` steps, (bands, bands), and the error that it leaves.

    C is the lower triangular matrix, its columns of length 1, under which noise moves the model
    least: in the mean square, over the steps of ``rounds`` rounds of so many ``steps`` at rate 1
    that are averaged. The error is the root of that mean square, over that of independent noise of
    the same multiplier.

    Source: Denisov et al. 2022 (2202.08312), theorem 3.2, a fixed point; the matrix of minimal
    error is the same for all cycles, being that for the mean of their workloads.
    """
    asked = _workload(rounds, steps, bands, momentum)
    roots = np.diag(_root(asked))
    for _ in range(_ITERATIONS):
        half = np.sqrt(roots)
        moved = np.diag(_root(half[:, None] * asked * half))
        far, roots = float(np.abs(moved - roots).max() / moved.max()), moved
        if far < _CONVERGED:
            break
    half = np.sqrt(roots)
    gram = _root(half[:, None] * asked * half) / half[:, None] / half
    matrix = np.linalg.cholesky(gram[::-1, ::-1]).T[::-1, ::-1]  # gram = C' C, C lower triangular
    matrix = np.tril(matrix) / np.linalg.norm(np.tril(matrix), axis=0)
    undone = np.linalg.inv(matrix)
    left = float(np.trace(undone.T @ asked @ undone) / np.trace(asked))
    matrix.setflags(write=False)
    return matrix, math.sqrt(left)


def error_left(*, rounds: int, steps: int, bands: int, momentum: float) -> float:
    """Returns the noise that is left in the model, over independent noise of the same multiplier.

    1 for one band. In the root mean square over all steps; see ``noise_matrix``.

    >>> round(error_left(rounds=10, steps=8, bands=8, momentum=0.0), 2)
    0.49
    """
    return noise_matrix(rounds=rounds, steps=steps, bands=bands, momentum=momentum)[1]


def _workload(rounds: int, steps: int, bands: int, momentum: float) -> Floats:
    """Returns what a cycle's noise does to the model, summed over all cycles of a training.

    Step i moves the model after step t by a(t - i) = 1 + momentum + ... + momentum^(t - i), and
    that at a round's end stays in all later rounds. The entry of i and j is the mean over all steps
    t of the training of a(t - i) a(t - j).
    """
    cycles = steps // bands
    lags = np.arange(1.0, steps + 1)
    reach = (1 - momentum**lags) / (1 - momentum)
    later = (rounds - 1) / 2  # the mean number of rounds that follow a round's end
    place = np.arange(bands)
    lag = place[:, None] - place
    inside = np.where(lag >= 0, reach[np.maximum(lag, 0)], 0.0)
    weights = np.full(bands, cycles / steps)
    weights[-1] += later
    total = inside.T @ (weights[:, None] * inside)
    if cycles > 1:
        after = np.arange(1, steps - bands + 1)  # how far behind a cycle's last step
        behind = reach[after[:, None] + bands - 1 - place]
        counted = (cycles - np.ceil(after / bands)) / steps
        counted[bands - 1 :: bands] += later  # the round's end, as each earlier cycle sees it
        total += behind.T @ (counted[:, None] * behind)
    return np.asarray(total)


def _root(matrix: Floats) -> Floats:
    """Returns the root of a positive definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)
