"""Exact discrete Gaussian noise and Poisson sampling, from a cryptographic keystream.

Rules:

1. Noise is added to integers, so that nothing is lost or revealed by the
   rounding of floating point.
2. A sample is drawn by inverting the exact cumulative distribution: thresholds
   of 128 bits, 64 uniform bits from the keystream, and 64 more in the rare
   case that the first 64 do not decide. No floating point takes part.
3. A large sigma is built as k * X1 + X2 of two small ones.
4. A keystream is used for one purpose and never twice. Keys come from the caller.

Total-variation distance from the true distribution: at most 2^-100 a sample
(tail beyond 12 sigma: 2^-107; thresholds: 2^-128 each, at most 2^22 of them;
k * X1 + X2 with sigma of X2 at least 8 k: below 2^-500). For d coordinates and
T steps add d * T * 2^-100 * (1 + e^epsilon) to delta: nothing.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import mpmath
import numpy as np
from numpy.typing import NDArray

from protocol.vectors.keystream import Keystream

#: Fixed-point bits of the recurrence that builds a table: leaves 90 bits for its rounding.
_PRECISION = 256
_TAIL = 12  # in sigma
_SMOOTH = 8  # sigma of X2 in units of k
_ONE_TABLE = 600.0  # up to this sigma one table is smaller than two
LARGEST = 2.0**30
_CHUNK = 1 << 16
_GUIDE_BITS = 16


@dataclass(frozen=True)
class DiscreteGaussian:
    """The integers with probability proportional to exp(-x^2 / (2 sigma^2)).

    >>> from protocol.vectors.keystream import Keystream
    >>> noise = DiscreteGaussian(3.0)
    >>> bool((noise.sample(Keystream(bytes(32)), 5) == noise.sample(Keystream(bytes(32)), 5)).all())
    True

    Raises:
        ValueError: sigma is not in (0, 2^30], the unit being one integer step.

    Source: Canonne, Kamath & Steinke 2020 (2004.00010), definition 1; the sum of two:
    Micciancio & Walter 2017 (2017/259), section 4.
    """

    sigma: float

    def __post_init__(self) -> None:
        if not 0 < self.sigma <= LARGEST:  # written so that NaN is refused too
            raise ValueError(f"sigma must lie in (0, 2^30]: {self.sigma}")

    def sample(self, stream: Keystream, count: int) -> NDArray[np.int64]:
        """Returns (count,) independent samples.

        Equal keystreams give equal samples. Whether 64 bits more were needed
        depends on the keystream alone.
        """
        if count < 0:
            raise ValueError(f"count must be >= 0: {count}")
        k, parts = _parts(float(self.sigma))
        samples = np.empty(count, dtype=np.int64)
        for begin in range(0, count, _CHUNK):
            size = min(_CHUNK, count - begin)
            chunk = parts[0].draw(stream, size)
            for part in parts[1:]:
                chunk = k * chunk + part.draw(stream, size)
            samples[begin : begin + size] = chunk
        return samples


@lru_cache(maxsize=64)
def _parts(sigma: float) -> tuple[int, tuple["_Table", ...]]:
    """Returns k and the tables of X1 and X2 (or of X alone, k unused)."""
    if sigma <= _ONE_TABLE:
        return 1, (_table(Fraction(sigma) ** 2),)
    k, first, second = _split(sigma)
    return k, (_table(first), _table(second))


def _split(sigma: float) -> tuple[int, Fraction, Fraction]:
    """Returns k and the variances of X1 and X2, so that k * X1 + X2 has exactly sigma^2."""
    k = round(math.sqrt(sigma / _SMOOTH))  # makes both tables about equally long
    second = Fraction(_SMOOTH * k) ** 2
    return k, (Fraction(sigma) ** 2 - second) / k**2, second


@dataclass(frozen=True)
class _Table:
    """An inverse cumulative distribution: X = low + how many thresholds are <= a uniform.

    ``high`` and ``rest`` are the upper and lower 64 bits of the thresholds;
    ``guide[b]`` is the index for the least uniform whose top 16 bits are b.
    """

    low: int
    high: NDArray[np.uint64]
    rest: NDArray[np.uint64]
    guide: NDArray[np.int32]

    def draw(self, stream: Keystream, count: int) -> NDArray[np.int64]:
        """Returns (count,) samples."""
        words = stream.words(count, np.uint64)
        index, undecided = self._locate(words)
        for place in undecided:
            index[place] += self._untie(int(index[place]), words[place], stream)
        return index + self.low

    def _locate(self, words: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns how many thresholds' upper halves lie below each word, and where one ties."""
        bucket = (words >> np.uint64(64 - _GUIDE_BITS)).astype(np.int32)
        index = self.guide[bucket].astype(np.int64)
        wide = np.flatnonzero(index != self.guide[bucket + 1])  # a threshold lies in the bucket
        searched = words[wide]
        found = np.searchsorted(self.high, searched, side="left")
        index[wide] = found
        reached = self.high[np.minimum(found, len(self.high) - 1)]
        return index, wide[(found < len(self.high)) & (reached == searched)]

    def _untie(self, index: int, word: np.uint64, stream: Keystream) -> int:
        """Returns how many of the thresholds that share ``word`` are <= the longer uniform."""
        last = int(np.searchsorted(self.high, word, side="right"))
        lower = stream.words(1, np.uint64)[0]
        return int(np.searchsorted(self.rest[index:last], lower, side="right"))


@lru_cache(maxsize=64)
def _table(variance: Fraction) -> _Table:
    below = _cumulative(variance)
    thresholds = [*below, *((1 << 128) - threshold for threshold in reversed(below))]
    halves = np.frombuffer(b"".join(t.to_bytes(16, "little") for t in thresholds), dtype="<u8")
    high = halves[1::2].astype(np.uint64)
    starts = np.arange(1 << _GUIDE_BITS, dtype=np.uint64) << np.uint64(64 - _GUIDE_BITS)
    guide = np.append(np.searchsorted(high, starts, side="left"), len(high)).astype(np.int32)
    return _Table(low=-len(below), high=high, rest=halves[0::2].astype(np.uint64), guide=guide)


def _cumulative(variance: Fraction) -> list[int]:
    """Returns 2^128 * P[X <= x] for x = -m .. -1, rounded down; the other half mirrors it.

    Values too rare for 128 bits are left out.

    p(x+1) = p(x) r(x) and r(x+1) = r(x) e^(-1/sigma^2), in fixed point. With at
    most 2^22 values the rounding stays below 2^(2*22 - 256).
    """
    reach = math.ceil(_TAIL * math.sqrt(variance)) + 1
    ratio, factor = _exponential(-1 / (2 * variance)), _exponential(-1 / variance)
    weights = []
    weight = 1 << _PRECISION
    for _ in range(reach):
        weight = (weight * ratio) >> _PRECISION
        ratio = (ratio * factor) >> _PRECISION
        weights.append(weight)
    total = (1 << _PRECISION) + 2 * sum(weights)
    inverse = (1 << (_PRECISION + 128)) // total
    cumulative, running = [], 0
    for weight in reversed(weights):
        running += weight
        cumulative.append((running * inverse) >> _PRECISION)
    return [threshold for threshold in cumulative if threshold > 0]


def _exponential(exponent: Fraction) -> int:
    """Returns e^exponent in fixed point, rounded down."""
    with mpmath.workprec(_PRECISION + 64):
        value = mpmath.exp(mpmath.mpf(exponent.numerator) / exponent.denominator)
        return int(mpmath.floor(value * (1 << _PRECISION)))


def poisson_sample(stream: Keystream, rate: float, count: int) -> NDArray[np.bool_]:
    """Returns (count,) booleans, each True with chance ``rate``, independently.

    Exact to 2^-64 and never above the rate (64-bit integer comparison; floats
    would be coarser). Rate 0 gives nobody, rate 1 everybody.

    Raises:
        ValueError: the rate is not in [0, 1], or count is negative.
    """
    if not 0 <= rate <= 1 or count < 0:
        raise ValueError(f"rate must lie in [0, 1] and count be >= 0: {rate}, {count}")
    words: NDArray[np.uint64] = stream.words(count, np.uint64)
    if rate == 1:
        return np.ones(count, dtype=np.bool_)
    return np.less(words, np.uint64(math.floor(Fraction(rate) * 2**64)))
