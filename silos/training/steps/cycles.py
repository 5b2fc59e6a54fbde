"""A round's cycles of correlated noise at one hospital: whom a step may draw, and its noise.

Rules:

1. A round has whole cycles, and each begins anew: with a part of the cycle for every patient, drawn
   at random for that cycle alone, and with noise that knows nothing of what was added before. So a
   round that is repeated, lost or begun after a restart costs what any round costs, and no vector
   of noise outlives its round.
2. A patient may be drawn in the one step of its part only, with ``bands`` times the rate of a step.
   Its part depends on no other patient.
3. As many random words are used for any draw.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compliance.privacy.noise import (
    CorrelatedSums,
    NoiseMatrix,
    noise_matrix,
    poisson_sample,
)
from protocol.study.rounds.noise_shares import units_for
from protocol.study.study import Study
from protocol.vectors.keystream import Keystream
from silos.training.randomness import DrawContext, Entropy


class Cycles:
    """The cycles of one round, step by step.

    Args:
        study: with correlated noise.
        site: the hospital.
        size: of a gradient.
        noise_multiplier: of each cycle.
    """

    def __init__(self, study: Study, site: str, size: int, noise_multiplier: float) -> None:
        self._rate, self._bands = study.privacy_of(site).priced_rate, study.privacy.bands
        self._noise = noise_multiplier * units_for(size)
        self._matrix = cycle_matrix(study, size, noise_multiplier)
        self._parts: NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
        self._sums = CorrelatedSums(self._matrix, self._noise)

    def drawn(
        self, draw: DrawContext, entropy: Entropy, sampling: Keystream, count: int
    ) -> NDArray[np.bool_]:
        """Returns (count,) whether a step draws each patient; a cycle's first deals the parts."""
        place = draw.step % self._bands
        if place == 0:
            words = entropy.stream(replace(draw, use="parts")).words(count, np.uint64)
            self._parts = (words >> np.uint64(32)) * np.uint64(self._bands) >> np.uint64(32)
            self._sums = CorrelatedSums(self._matrix, self._noise)
        in_part = self._parts == np.uint64(place)
        drawn: NDArray[np.bool_] = poisson_sample(sampling, self._rate, count) & in_part
        return drawn

    def noised(self, summed: NDArray[np.int64], stream: Keystream) -> NDArray[np.float64]:
        """Returns a step's sum with its noise; see ``CorrelatedSums``."""
        return self._sums.noised(summed, stream)


def cycle_matrix(study: Study, size: int, noise_multiplier: float) -> NoiseMatrix:
    """Returns the matrix of every cycle of a study, for gradients of a size."""
    training = study.training
    real, _ = noise_matrix(
        rounds=training.rounds,
        steps=training.gradients_per_round,
        bands=study.privacy.bands,
        momentum=training.momentum,
    )
    return NoiseMatrix.of(real, noise_multiplier * units_for(size))
