"""Canaries: patients whose gradients an auditor chooses.

The trainer is the hospital's own; only the engine that computes gradients is
exchanged. Some canaries' gradients are a thousand times as long as the clip and
some have several records, so that clipping is tested, and that it is by patient.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.records import Records

#: How many times as long as the clip a long canary's gradient is.
TOO_LONG = 1000.0
#: Maps the (patients,) numbers of sampled canaries to (patients, parameters) gradients.
Choice = Callable[[NDArray[np.int64]], NDArray[np.float32]]


class ChosenGradients:
    """An engine of gradients that an auditor chose; counts how many patients were sampled."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self.num_seen = 0

    def __call__(self, features: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Returns the chosen (patients, parameters) gradients; zeros at places nobody fills."""
        filled = weights.numpy()[:, 0] > 0
        self.num_seen += int(filled.sum())
        numbers = features.numpy().reshape(len(features), -1)[:, 0]
        rows = self._choice(numbers.astype(np.int64))
        return torch.from_numpy(np.where(filled[:, None], rows, np.float32(0)))


def canary_records(
    numbers: NDArray[np.int64], record_shape: tuple[int, ...], max_records: int = 1
) -> Records:
    """Returns a patient for each number, in its records' first value.

    Every third patient has ``max_records`` records, the others one.

    Raises:
        ValueError: there are none, or more than float32 can count.
    """
    count = len(numbers)
    if not 1 <= count <= numbers.max(initial=0) + 1 <= 2**24:
        raise ValueError(f"from 1 to 2**24 canaries can be told apart: {count}")
    counts = np.where(np.arange(count) % 3 == 0, max_records, 1)
    patients = np.repeat(np.arange(count, dtype=np.int64), counts)
    features = np.zeros((len(patients), *record_shape), dtype=np.float32)
    features.reshape(len(patients), -1)[:, 0] = numbers[patients]
    return Records(
        features=features,
        labels=np.zeros(len(patients), dtype=np.float32),
        patients=patients,
        patient_keys=tuple(str(number) for number in numbers),
        rows=np.arange(len(patients), dtype=np.int64),
    )


class Directions:
    """A fresh unit direction for every canary in every round, and what they showed.

    A direction is one coordinate with a sign. With more canaries than
    coordinates several share one; ``estimates`` tells them apart over the rounds.
    """

    def __init__(self, inside: NDArray[np.bool_], size: int, random: np.random.Generator) -> None:
        self._inside, self._size, self._random = inside, size, random
        self._sums = np.zeros(len(inside))
        self._overlaps = np.zeros((len(inside), len(inside)))
        self.turn()

    def turn(self) -> None:
        """Draws new directions: to be called after every round."""
        count = len(self._inside)
        times = -(-count // self._size)
        order = np.concatenate([self._random.permutation(self._size) for _ in range(times)])
        self._coordinates = order[:count]
        self._signs = self._random.choice(np.array([-1.0, 1.0]), size=count)

    def gradients(self, numbers: NDArray[np.int64], clip: float) -> NDArray[np.float32]:
        """Returns the canaries' gradients, along their directions, or zeros when out.

        Every second is exactly as long as the clip, the others ``TOO_LONG`` times as long.
        """
        length = np.where(numbers % 2, TOO_LONG * clip, clip)
        rows = np.zeros((len(numbers), self._size), dtype=np.float32)
        rows[np.arange(len(numbers)), self._coordinates[numbers]] = (
            self._signs[numbers] * self._inside[numbers] * length
        )
        return rows

    def observe(self, released: NDArray[np.float64]) -> None:
        """Takes in a round's (size,) released gradient: about 1 along each canary that is in."""
        self._sums += released[self._coordinates] * self._signs
        if len(self._inside) <= self._size:  # nobody shares
            self._overlaps += np.eye(len(self._inside))
            return
        together = self._coordinates[:, None] == self._coordinates[None, :]
        self._overlaps += together * np.outer(self._signs, self._signs)

    def estimates(self, noise_variance: float) -> NDArray[np.float64]:
        """Returns (canaries,) how much each seems to be in; a sure guess is far from one half.

        The best linear estimate: what sharers of a coordinate add is taken out.

        Args:
            noise_variance: of one released number, in the units of ``observe``.
        """
        count = len(self._inside)
        centred = self._sums - self._overlaps @ np.full(count, 0.5)
        spread = self._overlaps + 4 * noise_variance * np.eye(count)  # a coin's variance is 1/4
        return np.asarray(0.5 + np.linalg.solve(spread, centred))
