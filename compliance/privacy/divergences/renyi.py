"""The Rényi divergence of a sampled Gaussian at one order, integrated directly.

The library under us is exact at whole orders only; at the fractional ones that large
budgets need it is far too high or infinite
(``docs/adr/0003-one-order-of-rdp-is-integrated-here.md``).
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from compliance.privacy.events import SampledGaussian

#: Above the error of double precision in this file's sums; makes every price err upwards.
SLACK = 1e-9


def conversion(order: float, delta: float) -> float:
    """Returns what is added to rho at one order to get epsilon at ``delta``.

    Source: Canonne, Kamath & Steinke 2020 (2004.00010), proposition 12.
    """
    return math.log1p(-1 / order) - (math.log(delta) + math.log(order)) / (order - 1)


def rdp(event: SampledGaussian, order: float) -> float:
    """Returns rho: the Renyi divergence of ``order`` that the event can cause, rounded up.

    Exactly proportional to the number of steps. Infinite when not private or
    when it cannot be computed.

    >>> event = SampledGaussian(noise_multiplier=2.0, sampling_rate=1.0, steps=8)
    >>> round(rdp(event, 10.25), 6)
    10.25

    Raises:
        ValueError: the order is not finite and above 1.

    Source: Mironov, Talwar & Zhang 2019 (1908.10530), section 3: the divergence of the mixture
    from the plain Gaussian dominates. Here integrated directly, for any real order.
    """
    if not 1 < order < math.inf:
        raise ValueError(f"order must be finite and above 1: {order}")
    if event.is_nothing:
        return 0.0
    return event.steps * renyi_divergence(event.noise_multiplier, event.sampling_rate, float(order))


@lru_cache(maxsize=65536)
def renyi_divergence(noise_multiplier: float, sampling_rate: float, order: float) -> float:
    """Returns rho of one step, rounded up; infinite when not private or when it cannot be computed.

    Args:
        noise_multiplier: the noise's deviation over what one patient can contribute.
        sampling_rate: in (0, 1].
        order: finite and above 1.

    Source: Mironov, Talwar & Zhang 2019 (1908.10530), section 3: the divergence of the mixture
    from the plain Gaussian dominates.
    """
    variance = noise_multiplier * noise_multiplier
    if variance == 0:
        return math.inf
    if sampling_rate == 1:
        return order / (2 * variance) * (1 + SLACK)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        log_excess = _log_excess(noise_multiplier, sampling_rate, order)
    rho = float(np.logaddexp(0.0, log_excess)) / (order - 1) * (1 + SLACK)
    return rho if 0 <= rho < math.inf else math.inf


def _log_excess(deviation: float, rate: float, order: float) -> float:
    """Returns log(E[(1+u)^a] - 1) for u = rate * (exp((2x-1)/(2 s^2)) - 1), x ~ N(0, s^2).

    As E[u] = 0, the excess is E[(1+u)^a - 1 - a u], whose integrand is never
    negative: nothing cancels, however small the rate. The integrand is analytic
    in a strip of half-width pi s^2, so the trapezoid rule converges like
    exp(-2 pi * pi s^2 / step): below 1e-30 with the step chosen here.
    """
    step = min(deviation / 8, deviation * deviation / 4)
    reach = 14 * deviation
    points = math.ceil((order + 2 * reach) / step)
    if points > 5_000_000:
        return math.inf  # a noise multiplier this small protects nobody: fail closed
    x: NDArray[np.float64] = np.linspace(-reach, points * step - reach, points + 1)
    tilt = (2 * x - 1) / (2 * deviation * deviation)
    density = -0.5 * np.square(x / deviation) + math.log(step / deviation / math.sqrt(2 * math.pi))
    return float(np.logaddexp.reduce(density + _log_bend(rate, order, tilt)))


def _log_bend(rate: float, order: float, tilt: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns log((1+u)^a - 1 - a u) for u = rate * (exp(tilt) - 1), without cancellation."""
    a = order
    u = rate * np.expm1(np.minimum(tilt, 600.0))
    log_base = np.where(tilt < 600, np.log1p(u), math.log(rate) + tilt)  # log(1 + u)
    bend = np.full_like(u, -np.inf)
    small = np.abs(u) * a < 1e-3
    series = a * (a - 1) / 2 * (1 + u * (a - 2) / 3 * (1 + u * (a - 3) / 4 * (1 + u * (a - 4) / 5)))
    bend[small] = np.log(series[small]) + 2 * np.log(np.abs(u[small]) + 1e-300)
    large = a * log_base > 40
    # log(1 + a u) is at most log(a) + log(1 + u), whatever overflows
    ratio = np.minimum(math.log(a) + (1 - a) * log_base[large], -1e-12)
    bend[large] = a * log_base[large] + np.log1p(-np.exp(ratio))
    middle = ~small & ~large
    plain = np.expm1(a * log_base[middle]) - a * u[middle]
    bend[middle] = np.log(np.maximum(plain, 1e-300))
    return bend
