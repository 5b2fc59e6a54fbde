"""The discrete Gaussian written down directly, slowly and obviously: an oracle."""

from fractions import Fraction

import mpmath

_BITS = 400


def pmf(sigma: float, reach: int) -> dict[int, mpmath.mpf]:
    """Returns exp(-x^2 / (2 sigma^2)) / sum for |x| <= reach; the sum runs over +- 20 sigma."""
    with mpmath.workprec(_BITS):
        scale = 2 * mpmath.mpf(sigma) ** 2
        far = max(reach, int(20 * sigma) + 2)
        half = [mpmath.exp(-mpmath.mpf(x * x) / scale) for x in range(far + 1)]
        total = half[0] + 2 * mpmath.fsum(half[1:])
        return {x: half[abs(x)] / total for x in range(-reach, reach + 1)}


def pmf_of_sum(first: Fraction, second: Fraction, k: int, values: list[int]) -> list[mpmath.mpf]:
    """Returns P[k X1 + X2 = x] for each x, up to one common factor.

    Args:
        first: variance of X1.
        second: variance of X2, a whole number.
        k: the factor.
        values: where to look.
    """
    with mpmath.workprec(_BITS):
        variance = mpmath.mpf(first.numerator) / first.denominator
        found = []
        for x in values:
            around = range(x // k - 300, x // k + 301)
            found.append(
                mpmath.fsum(
                    mpmath.exp(
                        -j * j / (2 * variance) - mpmath.mpf(x - k * j) ** 2 / (2 * int(second))
                    )
                    for j in around
                )
            )
        return found
