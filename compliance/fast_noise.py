"""Rounded float noise: for simulations that only ask what a privacy level is worth.

Its distribution is that of single-precision normals, rounded: tails end early
and low bits repeat, so that it keeps no promise exactly (``privacy.md`` C.5).
A real hospital refuses it, and every report that shows its epsilon says "fast".
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from compliance.noise import DiscreteGaussian
from protocol.keystream import Keystream


class Noise(Protocol):
    """Draws integer noise."""

    def sample(self, stream: Keystream, count: int) -> NDArray[np.int64]:
        """Returns (count,) independent samples."""


@dataclass(frozen=True)
class FastGaussian:
    """Normals of deviation ``sigma`` from a counter-based generator, rounded to integers.

    The generator's 128-bit key comes from the keystream; Philox itself is not a
    cryptographic generator (Salmon et al. 2011).
    """

    sigma: float

    def sample(self, stream: Keystream, count: int) -> NDArray[np.int64]:
        """Returns (count,) samples; equal keystreams give equal samples."""
        key: NDArray[np.uint64] = stream.words(2, np.uint64)
        normals = np.random.Generator(np.random.Philox(key=key)).standard_normal(count, np.float32)
        return np.rint(normals * np.float64(self.sigma)).astype(np.int64)


def noise_of(kind: str, sigma: float) -> Noise:
    """Returns the noise that a study asks for: ``exact`` or ``fast``."""
    return FastGaussian(sigma) if kind == "fast" else DiscreteGaussian(sigma)
