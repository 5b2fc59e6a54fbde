"""Noise and sampling: exact discrete Gaussian samples, and noise correlated over a cycle of steps.

What is drawn comes from a cryptographic keystream; what is added is added to integers.
"""

from compliance.privacy.noise.correlated import (
    MAX_MULTIPLIER,
    CorrelatedSums,
    NoiseMatrix,
    error_left,
    noise_matrix,
)
from compliance.privacy.noise.exact import DiscreteGaussian, poisson_sample

__all__ = [
    "MAX_MULTIPLIER",
    "CorrelatedSums",
    "DiscreteGaussian",
    "NoiseMatrix",
    "error_left",
    "noise_matrix",
    "poisson_sample",
]
