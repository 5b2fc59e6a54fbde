"""Bounds of sums in the ring: a sum that wraps around is wrong, and nothing shows it.

Rules:

1. Shortened updates: n sites x bound x 2**frac_bits stays below half the
   ring. A wrap is impossible, not just unlikely.
2. Counts are cut off at ``COUNT_LIMIT``, which no hospital reaches.
3. Sums over Poisson batches have no largest value; the batches' sizes and the
   noise exceed what is allowed for with a probability below ``FAILURE``, which
   is counted over all sites, coordinates and both tails.
4. 32 bits where that suffices, else 64. What does not fit 64 bits is refused. A study may ask
   for 16: its step is then as fine as the bound allows (``finest_frac_bits``).
5. A sum outside these limits is not a sum of what honest sites send: a mask
   was wrong somewhere, and all of it is noise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.errors import SumRefused

RingVector: TypeAlias = NDArray[np.unsignedinteger]

#: Cells of counts are cut off here: a thousand million patients in units of 1/1024.
COUNT_LIMIT = 1 << 40
#: The chance of a wrap that is put up with where no certain limit exists.
FAILURE = 2.0**-64
#: Behind an update's parameters travel at most so many scalars.
MAX_SCALARS = 16
#: The largest scalar, as a part of the bound: all of them lengthen a vector by 3 % at most.
SCALAR_PART = 1 / MAX_SCALARS
_LENGTHENED = math.hypot(1.0, SCALAR_PART * math.sqrt(MAX_SCALARS))
#: A typical coordinate of a vector as long as its bound spans at least so many steps: else a step
#: is too coarse, and a wider ring is needed.
LEAST_STEPS = 4
#: The rings that a sum may have; without a study's wish one of the wider two.
RINGS = (16, 32, 64)
WIDE_RINGS = RINGS[1:]
_SIGNED = {2: np.int16, 4: np.int32, 8: np.int64}
_CHUNK = 1 << 15
#: Bytes of a word of the ring in which updates are rounded at random (``fixed_point``).
_RANDOMLY_ROUNDED = 2


def max_sum_of_updates(*, sites: int, bound: float, frac_bits: int) -> int:
    """Returns the largest magnitude in a sum of updates that are shortened to ``bound``.

    >>> max_sum_of_updates(sites=100, bound=16.0, frac_bits=20)
    1677721600

    Raises:
        ValueError: a number is out of its range.
    """
    if sites < 1 or frac_bits < 0:
        raise ValueError("sites and frac_bits are not negative")
    if not 0 < bound < math.inf:
        raise ValueError(f"bound must be finite and positive, got {bound!r}")
    most = bound * 2.0**frac_bits
    if not most < 2.0 ** RINGS[-1]:
        raise ValueError(f"bound {bound:g} x 2^{frac_bits} could wrap {RINGS[-1]} bits")
    return sites * math.ceil(most)


def max_sum_of_counts(*, sites: int) -> int:
    """Returns the largest magnitude in a sum of cells of counts."""
    return sites * COUNT_LIMIT


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One site's Poisson batch: how many patients it declares, and the rate of each to be drawn."""

    patients: int
    rate: float

    def __post_init__(self) -> None:
        if self.patients < 1 or not 0 < self.rate <= 1:
            raise ValueError("a batch is drawn from at least one patient, at a rate in (0, 1]")


def most_of_batches(
    batches: Sequence[Batch], *, clip: int, deviation: float, dim: int, failure: float = FAILURE
) -> int:
    """Returns what no coordinate of a noised sum over Poisson batches exceeds, nearly surely.

    >>> most_of_batches([Batch(patients=1000, rate=0.1)], clip=1024, deviation=0.0, dim=10)
    204800

    Args:
        batches: one for each site.
        clip: what one patient adds to a coordinate, at most, in units of the ring.
        deviation: of the discrete Gaussian noise in the whole sum, in the same units.
        dim: how many coordinates there are.
        failure: the chance that any coordinate is larger.

    Source: Chernoff's bound with the relative entropy for the binomial batch
    sizes; Canonne, Kamath & Steinke 2020 (2004.00010), corollary 17, for the
    noise: it is sub-Gaussian with its own deviation.
    """
    if clip < 1 or dim < 1 or not 0 <= deviation < math.inf or not 0 < failure < 1:
        raise ValueError("clip and dim are above 0, deviation is finite, failure in (0, 1)")
    share = failure / 2 / len(batches)
    patients = sum(max_in_batch(batch, share) for batch in batches)
    noise = deviation * math.sqrt(2 * math.log(4 * dim / failure))
    return patients * clip + math.ceil(noise)


def max_in_batch(batch: Batch, failure: float) -> int:
    """Returns a batch size that is exceeded with a probability of at most ``failure``.

    >>> max_in_batch(Batch(patients=1000, rate=1.0), 2.0**-64)
    1000
    """
    low, high = math.floor(batch.patients * batch.rate), batch.patients
    allowed = math.log(failure)
    while low < high:  # the exponent falls as the size grows
        middle = (low + high) // 2
        if _log_chance_above(batch, middle) <= allowed:
            high = middle
        else:
            low = middle + 1
    return high


def least_ring_bits(most: int) -> int:
    """Returns the smaller of the wide rings in which sums up to this magnitude cannot wrap.

    >>> least_ring_bits(2**31 - 1), least_ring_bits(2**31)
    (32, 64)

    Raises:
        ValueError: they wrap 64 bits too.
    """
    for bits in WIDE_RINGS:
        if fits(most, bits):
            return bits
    raise ValueError(f"sums up to 2^{math.log2(most):.1f} could wrap 64 bits")


def fits(most: int, ring_bits: int) -> bool:
    """Whether sums up to this magnitude stay below half the ring."""
    if ring_bits not in RINGS:
        raise ValueError(f"the ring has 16, 32 or 64 bits, not {ring_bits}")
    return most < 1 << (ring_bits - 1)


def finest_frac_bits(*, sites: int, bound: float, ring_bits: int, most: int) -> int | None:
    """Returns how fine the step ``2**-frac_bits`` of updates can be so that no sum wraps.

    >>> finest_frac_bits(sites=4, bound=16.0, ring_bits=16, most=20)
    8
    >>> finest_frac_bits(sites=4, bound=16.0, ring_bits=32, most=20)
    20

    Args:
        sites, bound: how many updates are summed, each shortened to this L2 norm.
        ring_bits: of the ring.
        most: the finest step that is wanted.

    Returns:
        ``most`` at most; None where whole units even could wrap.
    """
    for frac_bits in range(most, -1, -1):
        if fits(max_sum_of_updates(sites=sites, bound=bound, frac_bits=frac_bits), ring_bits):
            return frac_bits
    return None


def is_fine(longest: float, size: int) -> bool:
    """Whether a typical coordinate of a vector of this length, in steps, spans enough of them.

    >>> is_fine(4096.0, 10**6), is_fine(2048.0, 10**6)
    (True, False)
    """
    return longest >= LEAST_STEPS * math.sqrt(size)


def require_sum_of_updates(total: RingVector, *, sites: int, bound: float, frac_bits: int) -> None:
    """Checks that a sum is no longer than that of so many shortened updates and their scalars.

    A sum in which one mask is wrong is uniform: about ``sqrt(size / 3)`` times
    half the ring long, where an honest one is shorter than half the ring. Only
    a vector of a handful of numbers could pass by chance.

    Raises:
        SumRefused: it is longer.
    """
    signed = total.view(_SIGNED[total.itemsize])
    squares = 0.0
    for start in range(0, len(signed), _CHUNK):
        part = signed[start : start + _CHUNK].astype(np.float64)
        squares += float(np.einsum("i,i->", part, part))  # BLAS would wake other threads
    # Rounding moves a number by half a step at most, at random (16 bits) by a whole one.
    rounding = math.sqrt(len(total)) / (1 if total.itemsize == _RANDOMLY_ROUNDED else 2)
    longest = _LENGTHENED * bound * 2.0**frac_bits
    if not math.sqrt(squares) <= sites * (longest + rounding) * (1 + 1e-9):
        raise SumRefused("the sum is longer than its updates can be: a mask or a vector is wrong")


def require_sum_of_counts(total: RingVector, *, sites: int) -> None:
    """Checks that no cell of a sum exceeds what that many sites can count.

    Raises:
        SumRefused: a cell does.
    """
    signed = total.view(_SIGNED[total.itemsize])
    most = max_sum_of_counts(sites=sites)
    if signed.size and not (-most <= int(signed.min()) and int(signed.max()) <= most):
        raise SumRefused("the sum counts more patients than there are: a mask or a vector is wrong")


def _log_chance_above(batch: Batch, size: int) -> float:
    """Returns the logarithm of Chernoff's bound on P(batch > size), for a size above the mean."""
    least = size + 1
    if least > batch.patients:
        return -math.inf
    part, rate = least / batch.patients, batch.rate
    if part <= rate:
        return 0.0
    entropy = part * math.log(part / rate)
    if part < 1:
        entropy += (1 - part) * math.log((1 - part) / (1 - rate))
    return -batch.patients * entropy
