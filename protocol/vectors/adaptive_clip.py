"""The clip that follows the patients' gradients, and the coordinate that says where it is to go.

Behind the gradient travels one more coordinate. A patient who was drawn adds ``count`` units to
it when the gradient is within the clip, and takes as many off when it is longer; an empty place
adds nothing. The noise of that coordinate is the noise of all others.

Rules:

1. *The claim.* A patient's gradient has an integer norm of at most G = ``gradient_units`` and its
   coordinate is K = ``count`` units, with G**2 + K**2 <= U**2: the whole vector is no longer than
   the U = ``units`` of a fixed clip, and noise of z x U on every coordinate is a Gaussian
   mechanism of multiplier z. So the price does not depend on the coordinate.
2. *What training feels* is z x U / G. In patients the count has a half where the coordinate has K
   units, so its noise has the deviation sigma_b = z x U / (2 K), and
   (z U / G)**-2 = z**-2 - (2 sigma_b)**-2: the formula of the source. With a count of 0 and 1
   in place of a half more or less, one patient would move it by 2 K, and z would be less.
3. *The median.* The coordinate's sum over the expected batch B is r (f - 1/2), where f is the part
   of the drawn patients that are within the clip, and r their number over B. Fewer patients than
   declared make the steps shorter, never wrong in direction: hence the quantile is one half, and
   no other.
4. *The clip of a round* is the study's, times exp of the tensor ``CLIP``, which travels in the
   model as one more parameter. So the model's digest fixes it: in the round's context, in the log's
   result, in what hospitals refuse, and in what an audit computes again. It starts at 0 and moves
   by at most half of the rate in a step, and by ``MAX_LOG_CLIP`` altogether. No sum depends on its
   size: sums are in units of the clip.

Source: Andrew, Thakkar, McMahan & Ramaswamy 2021 (1905.03871), algorithm 1 and theorem 1.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.vectors.tensors import Tensors

#: The clip's tensor in a model: the logarithm of the clip over the study's. Its name comes after
#: every name that a network's parameter may have (``pipelines.networks``), so its coordinate is a
#: vector's last.
CLIP = "~clip"
#: The largest logarithm: the clip stays within a factor of 22,026 of the study's.
MAX_LOG_CLIP = 10.0
#: The noise of the count, over all hospitals, is this part of the expected batch.
NOISE_PART = 1 / 20


def count_units_for(units: int, *, noise_multiplier: float, deviation: float) -> int:
    """Returns K: how many units of ``units`` one patient adds to the count, or takes off it.

    >>> count_units_for(1000, noise_multiplier=2.0, deviation=10.0)
    100

    Args:
        units: U, what one patient's whole vector may be long.
        noise_multiplier: z, of the noise in every coordinate.
        deviation: sigma_b, of that noise in the count, in patients.

    Raises:
        ValueError: nothing would be left for the gradient.
    """
    count = max(1, round(units * noise_multiplier / (2 * deviation)))
    if count >= units:
        raise ValueError(
            f"noise of {noise_multiplier:g} and a count to {deviation:g} patients leave no gradient"
        )
    return count


def gradient_units(units: int, count: int) -> int:
    """Returns G: the longest integer norm that a gradient may have beside its count.

    >>> gradient_units(1000, 0), gradient_units(1000, 100)
    (1000, 994)
    """
    return math.isqrt(units**2 - count**2)


def felt_multiplier(noise_multiplier: float, deviation: float) -> float:
    """Returns the noise multiplier that training feels beside the count; infinity: it sees nothing.

    >>> round(felt_multiplier(2.18, 64 * NOISE_PART), 2)
    2.32
    """
    part = noise_multiplier / (2 * deviation)
    return noise_multiplier / math.sqrt(1 - part**2) if part < 1 else math.inf


@dataclass(frozen=True, kw_only=True, eq=False)
class CountedMean:
    """A step's mean gradient, (size,), and by how much the clip's logarithm moves after it."""

    gradient: NDArray[np.float64]
    log_step: float


def counted_mean(
    noised: NDArray[np.number],
    *,
    units: int,
    count: int,
    clip: float,
    expected: float,
    rate: float,
) -> CountedMean:
    """Returns what a noised sum with a count behind it says.

    >>> found = counted_mean(np.array([99.0, 300.0]), units=100, count=10, clip=2.0,
    ...     expected=100.0, rate=0.2)
    >>> found.gradient, round(found.log_step, 3)
    (array([0.02]), -0.03)

    Args:
        noised: (size + 1,), in units.
        units: U, what one patient's whole vector may be long.
        count: K, what one patient adds to the last coordinate or takes off it.
        clip: what the gradients were clipped to.
        expected: the batch that the sum is over, as declared.
        rate: the study's; a step is at most half of it.
    """
    gradient = np.asarray(noised[:-1] * (clip / gradient_units(units, count) / expected))
    excess, most = float(noised[-1]) / (2 * count) / expected, max_move(rate)
    return CountedMean(gradient=gradient, log_step=min(most, max(-most, -rate * excess)))


def clip_of(model: Tensors, start: float) -> float:
    """Returns the clip that a model brings: the study's own where it brings none.

    >>> clip_of({}, 2.0), clip_of(with_clip({}, 0.5), 1.0)
    (2.0, 1.6487212181091309)
    """
    return clip_at(log_clip_of(model), start)


def clip_at(moved: float, start: float) -> float:
    """Returns the clip whose logarithm lies so far from the start's, as float32 rounds it."""
    return float(np.float32(start * math.exp(moved))) if moved else start


def log_clip_of(model: Tensors) -> float:
    """Returns how far the clip's logarithm has moved; 0 where a model brings no clip."""
    return float(model[CLIP][0]) if CLIP in model else 0.0


def with_clip(parameters: Tensors, moved: float = 0.0) -> Tensors:
    """Returns a network's parameters with the clip's tensor beside them, the last by name.

    Raises:
        ValueError: a parameter's name would come after the clip's.
    """
    if any(name > CLIP for name in parameters):
        raise ValueError("a parameter's name comes after the clip's")
    return {**parameters, CLIP: np.array([moved], dtype=np.float32)}


def without_clip(model: Tensors) -> Tensors:
    """Returns a network's own parameters."""
    return {name: tensor for name, tensor in model.items() if name != CLIP}


def max_move(rate: float, steps: int = 1) -> float:
    """Returns how far so many steps at this rate can move the clip's logarithm."""
    return steps * rate / 2


def can_be_reached(moved: float, *, rate: float, steps: int) -> bool:
    """Whether so many steps at this rate can have moved the clip so far."""
    return abs(moved) <= min(MAX_LOG_CLIP, max_move(rate, steps)) * (1 + 1e-5)


def bounded_log_clip(moved: float) -> float:
    """Returns the clip's logarithm, within ``MAX_LOG_CLIP``."""
    return min(MAX_LOG_CLIP, max(-MAX_LOG_CLIP, moved))


def moves_within(moves: float, moved: float, *, most: float = math.inf) -> float:
    """Returns a movement of the clip's logarithm, within ``most`` and what ``MAX_LOG_CLIP`` leaves.

    >>> moves_within(3.0, 0.5, most=0.25), moves_within(1.0, 9.5, most=2.0)
    (0.25, 0.5)
    """
    return bounded_log_clip(moved + min(most, max(-most, moves))) - moved
