"""Expected AUROC of a plan, by private gradient descent on drawn patients.

The drawn patients have normal features of deviation 1 whose means differ between ill
and healthy ones in one direction, as far as the assumed AUROC says. No record of a
patient is used. The figure says how much of what can be learned survives the noise;
what can be learned from a hospital's own records it cannot know.

Source: DP-SGD, Abadi et al. 2016 (1607.00133), algorithm 1, for logistic regression.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from compliance.privacy.noise import noise_matrix

#: More patients than these are drawn as so many, with the noise on the average unchanged.
_MAX_PATIENTS = 2000
#: Inputs beyond these add time and little else.
_MAX_INPUTS = 400
#: Cohorts are drawn anew up to so many inputs; with more, one is much like another.
_FEW_INPUTS = 100
_COHORTS = 3
_REPEATS = 8

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Descent:
    """Gradient descent as a study declares it.

    ``noise`` is the deviation of the noise on the averaged gradient, over ``clip``; of correlated
    noise of that before a matrix of ``bands`` correlates it, in rounds of ``round_steps`` steps.
    """

    steps: int
    sampling_rate: float
    clip: float
    learning_rate: float
    noise: float
    momentum: float = 0.0
    starts_at_prevalence: bool = False
    bands: int = 1
    round_steps: int = 1


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The mean AUROC over the drawn cohorts, and where nine of ten drawn runs lie above."""

    auroc: float
    low: float


def expected_auroc(
    descent: Descent, *, patients: int, inputs: int, prevalence: float, auroc: float
) -> Expected:
    """Returns what the descent is expected to reach; equal arguments give equal figures.

    Args:
        descent: how the model is trained.
        patients: the training patients of all hospitals.
        inputs: how many numbers describe a patient, scaled to a deviation of about 1.
        prevalence: the share of patients who are ill.
        auroc: what could be reached without privacy and with any number of patients.
    """
    random = np.random.default_rng(0)
    count, width = min(patients, _MAX_PATIENTS), min(inputs, _MAX_INPUTS)
    reached = []
    for _ in range(_COHORTS if width <= _FEW_INPUTS else 1):
        direction = random.standard_normal(width)
        direction *= math.sqrt(2) * NormalDist().inv_cdf(auroc) / np.linalg.norm(direction)
        records, ill = _drawn(direction, count, prevalence, random)
        weights = _descend(descent, records, ill, random)
        reached.append(_aurocs(weights[:-1], direction))
    found = np.concatenate(reached)
    return Expected(auroc=float(found.mean()), low=float(np.quantile(found, 0.1)))


def _drawn(
    direction: NDArray[np.float64], count: int, prevalence: float, random: np.random.Generator
) -> tuple[Floats, Floats]:
    """Returns (count, inputs + 1) records, the last column being 1, and (count, 1) labels."""
    positives = min(max(1, round(prevalence * count)), count - 1)
    ill = (np.arange(count) < positives).astype(np.float32)[:, None]
    features = random.standard_normal((count, len(direction))) + (ill - prevalence) * direction
    return np.hstack([features, np.ones((count, 1))]).astype(np.float32), ill


def _descend(descent: Descent, records: Floats, ill: Floats, random: np.random.Generator) -> Floats:
    """Returns (inputs + 1, repeats) weights after the last step, each with noise of its own."""
    lengths = np.linalg.norm(records, axis=1)[:, None]
    weights = np.zeros((records.shape[1], _REPEATS), dtype=np.float32)
    if descent.starts_at_prevalence:
        weights[-1] = math.log(ill.mean() / (1 - ill.mean()))
    momentum = np.zeros_like(weights)
    samples, noises = _samples(descent, ill, random), _noises(descent, weights.shape, random)
    for sample, noise in zip(samples, noises, strict=True):
        with np.errstate(over="ignore"):  # a model that ran away scores 0 or 1, as it should
            left = 1 / (1 + np.exp(-(records @ weights))) - ill
        left *= np.minimum(1, descent.clip / np.maximum(np.abs(left) * lengths, 1e-12))
        left *= sample
        added = descent.noise * descent.clip * noise
        momentum = descent.momentum * momentum + records.T @ left / len(records) + added
        weights = (weights - descent.learning_rate * momentum).astype(np.float32)
    return weights


def _noises(
    descent: Descent, shape: tuple[int, ...], random: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Yields each step's noise, of deviation 1 before it is correlated."""
    if descent.bands == 1:
        for _ in range(descent.steps):
            yield random.standard_normal(shape)
        return
    rounds = max(1, descent.steps // descent.round_steps)
    matrix, _ = noise_matrix(
        rounds=rounds, steps=descent.round_steps, bands=descent.bands, momentum=descent.momentum
    )
    undone = np.linalg.inv(matrix)
    for _ in range(descent.steps // descent.bands):
        yield from np.tensordot(undone, random.standard_normal((descent.bands, *shape)), 1)


def _samples(
    descent: Descent, ill: Floats, random: np.random.Generator
) -> Iterator[NDArray[np.float64] | float]:
    """Yields each step's weights of the patients, (patients, repeats): 0, or one over the rate."""
    rate, shape = descent.sampling_rate, (len(ill), _REPEATS)
    for step in range(descent.steps):
        place = step % descent.bands
        if place == 0 and descent.bands > 1:
            parts = random.integers(0, descent.bands, shape)
        if rate == 1:
            yield 1.0
        elif descent.bands == 1:
            yield (random.random(shape) < rate) / rate
        else:
            yield (parts == place) * (random.random(shape) < rate * descent.bands) / rate


def _aurocs(weights: Floats, direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores of two normal classes lie apart as far as the weights point their way."""
    lengths = np.maximum(np.linalg.norm(weights, axis=0), 1e-12)
    apart = direction @ weights / lengths / math.sqrt(2)
    return np.array([NormalDist().cdf(float(each)) for each in apart])
