"""Real updates as integers modulo 2**16, 2**32 or 2**64, so that masks cancel exactly.

Rules:

1. A coordinate x of an update becomes round(x * weight * 2**frac_bits), halves
   to even, in two's complement. The update is shortened to the L2 norm
   ``bound`` first: an honest site's bugs cannot spoil the sum. It is no
   defence against a dishonest site.
2. In the ring of 16 bits a step is coarse, and rounding to the nearest would lose what is always
   smaller. There x * weight * 2**frac_bits is rounded down after a number from [0, 1) was added
   to it: in the mean it is what it was. These numbers come from a public key.
3. Integer counts travel as they are. How large either can become: ``ring_bounds``.
"""

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from protocol.errors import UpdateRefused
from protocol.vectors.keystream import Keystream
from protocol.vectors.ring_bounds import COUNT_LIMIT, fits, max_sum_of_updates

RingVector: TypeAlias = NDArray[np.unsignedinteger]

_UNSIGNED: dict[int, DTypeLike] = {16: np.uint16, 32: np.uint32, 64: np.uint64}
_SIGNED: dict[int, DTypeLike] = {16: np.int16, 32: np.int32, 64: np.int64}
#: Updates are encoded in pieces of this many coordinates: no whole-vector temporaries.
_CHUNK = 1 << 15
#: Below this a sum of squares has lost digits to underflow, and is taken again in larger units.
_SMALLEST_SQUARE = 1e-280


def encode(
    update: NDArray[np.floating],
    *,
    weight: float,
    bound: float,
    frac_bits: int,
    ring_bits: int = 32,
    out: RingVector | None = None,
    rounding: Keystream | None = None,
) -> RingVector:
    """Returns a weighted update as ring elements; ``decode`` of a sum is the inverse.

    >>> encode(np.array([0.5, -0.25]), weight=1.0, bound=1.0, frac_bits=2)
    array([         2, 4294967295], dtype=uint32)

    Args:
        update: (size,) float32 or float64.
        weight: the site's public share, in (0, 1].
        bound: the L2 norm to which the update is shortened; finite, above zero.
        frac_bits: an update is sent in units of ``2**-frac_bits``.
        ring_bits: 16, 32 or 64.
        out: where to write: a vector of an earlier round, whose memory is used again.
        rounding: makes the random numbers of rounding; None rounds to the nearest.

    Returns:
        (size,) unsigned words of the ring. Guarantee: read as signed, no entry exceeds
        ``ceil(bound * 2**frac_bits)`` in magnitude.

    Raises:
        UpdateRefused: an entry is NaN or infinite.
        ValueError: weight, bound or ring are out of range.
    """
    if not 0 < weight <= 1:  # written so that NaN is refused too
        raise ValueError(f"weight must lie in (0, 1], got {weight!r}")
    if not fits(max_sum_of_updates(sites=1, bound=bound, frac_bits=frac_bits), ring_bits):
        raise ValueError(f"bound {bound:g} x 2^{frac_bits} could wrap {ring_bits} bits")
    norm = norm_of(update)
    factor = weight * 2.0**frac_bits * (bound / norm if norm > bound else 1.0)
    limit = float(math.ceil(bound * 2.0**frac_bits))
    encoded: RingVector = np.empty(len(update), _UNSIGNED[ring_bits]) if out is None else out
    if encoded.shape != update.shape or encoded.dtype != _UNSIGNED[ring_bits]:
        raise ValueError(f"expected ({len(update)},) uint{ring_bits} to write to")
    signed = _as_signed(encoded)
    buffer = np.empty(min(_CHUNK, len(update)))
    for start in range(0, len(update), _CHUNK):
        part = update[start : start + _CHUNK]
        scaled = np.multiply(part, factor, out=buffer[: len(part)], dtype=np.float64)
        if rounding is None:
            np.rint(scaled, out=scaled)
        else:
            scaled += rounding.words(len(part), np.uint32) * 2.0**-32
            np.floor(scaled, out=scaled)
        # Rounding may carry a coordinate past the bound, by less than one unit in 2**50.
        np.minimum(np.maximum(scaled, -limit, out=scaled), limit, out=scaled)
        signed[start : start + _CHUNK] = scaled
    return encoded


def decode(total: RingVector, *, frac_bits: int) -> NDArray[np.float64]:
    """Returns the weighted sum of updates that a sum of ring elements stands for.

    >>> decode(np.array([2, 4294967295], dtype=np.uint32), frac_bits=2)
    array([ 0.5 , -0.25])
    """
    return _as_signed(total).astype(np.float64) * 2.0**-frac_bits


def encode_counts(counts: NDArray[np.int64]) -> RingVector:
    """Returns signed integers as elements of the 64-bit ring; the inverse is ``decode_counts``.

    >>> encode_counts(np.array([3, -1]))
    array([                   3, 18446744073709551615], dtype=uint64)

    Raises:
        UpdateRefused: a count lies beyond ``COUNT_LIMIT``.
    """
    if counts.dtype.kind != "i":
        raise ValueError(f"counts are signed integers, not {counts.dtype}")
    if counts.size and not (-COUNT_LIMIT <= int(counts.min()) and int(counts.max()) <= COUNT_LIMIT):
        raise UpdateRefused("a count lies beyond what any hospital counts")
    unsigned: RingVector = counts.astype(np.uint64)
    return unsigned


def decode_counts(total: RingVector) -> NDArray[np.int64]:
    """Returns the sum of counts that a sum of ring elements stands for.

    >>> decode_counts(np.array([3, 2**64 - 1], dtype=np.uint64))
    array([ 3, -1])
    """
    return _as_signed(total).astype(np.int64)


def shortened(update: NDArray[np.float64], bound: float) -> NDArray[np.float64]:
    """Returns an update within the L2 norm that ``encode`` shortens it to.

    >>> shortened(np.array([3.0, 4.0]), 1.0)
    array([0.6, 0.8])
    """
    norm = norm_of(update)
    return update * (bound / norm) if norm > bound else update


def norm_of(update: NDArray[np.floating]) -> float:
    """Returns the L2 norm of a (size,) update, in float64 and without overflow.

    Raises:
        UpdateRefused: an entry is NaN or infinite.
    """
    if update.ndim != 1:
        raise ValueError(f"an update is one vector, got shape {update.shape}")
    total = _sum_of_squares(update, 1.0)
    if _SMALLEST_SQUARE < total < math.inf:
        return math.sqrt(total)
    largest = max(float(update.max()), -float(update.min())) if update.size else 0.0
    if not math.isfinite(largest):
        raise UpdateRefused("the update holds a value that is not finite")
    if largest == 0.0:
        return 0.0
    norm = largest * math.sqrt(_sum_of_squares(update, largest))  # squares that left the range
    if not math.isfinite(norm):
        raise UpdateRefused("the update's norm is not finite")
    return norm


def _sum_of_squares(update: NDArray[np.floating], unit: float) -> float:
    """Returns the sum of (coordinate / unit)**2; infinite or NaN when it leaves the range."""
    total = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(update), _CHUNK):
            part = update[start : start + _CHUNK].astype(np.float64, copy=False)
            part = part if unit == 1.0 else part / unit
            total += float(np.einsum("i,i->", part, part))  # BLAS would wake other threads
    return total


def _as_signed(words: RingVector) -> NDArray[np.signedinteger]:
    bits = 8 * words.dtype.itemsize
    if words.dtype.kind != "u" or bits not in _SIGNED:
        raise ValueError(f"expected uint16, uint32 or uint64, got {words.dtype}")
    signed: NDArray[np.signedinteger] = words.view(_SIGNED[bits])
    return signed
