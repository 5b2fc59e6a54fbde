"""What a privacy event costs: PLD for a fixed plan, one-order RDP for the life-long filter.

Rules (``privacy.md`` C.0, C.7; rulings 16, 17, 19, 25):

1. The unit is the patient; neighbours differ by adding or removing one patient's
   records. Sums are divided by a public number (sampling rate x declared patients),
   so the noise multiplier is noise over one patient's clip.
2. An event is stored as stable JSON; what a stored event means never changes.
   Another meaning is another event name or version.
3. ``epsilon`` prices a plan that was fixed beforehand. It must never be used to
   decide when to stop: that is the ``Filter``'s work, at one order fixed for life.
4. Every figure errs upwards; what cannot be computed costs infinity.

An integer mechanism with sigma >= 16 units costs what the Gaussian does: the
difference underflows double precision (``privacy.md`` C.2).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property, lru_cache

import dp_accounting
import numpy as np
from dp_accounting.pld import PLDAccountant
from numpy.typing import NDArray

from protocol.encoding import Json, digest_json
from protocol.errors import MessageRefused

_EVENT_NAME = "sampled-gaussian"
_EVENT_VERSION = 1
_LARGEST_MULTIPLIER = 1e6
#: Below this delta the rounding of the Fourier transform is no longer negligible.
_PLD_SMALLEST_DELTA = 1e-10
#: Above the error of double precision in this file's sums; makes every price err upwards.
_SLACK = 1e-9
_ORDERS = tuple(float(order) for order in np.round(1 + np.geomspace(0.05, 2000, 240), 6))


@dataclass(frozen=True, kw_only=True)
class SampledGaussian:
    """``steps`` Gaussian releases, each of a fresh Poisson sample of the patients.

    ``noise_multiplier`` is the noise's standard deviation over the L2 norm that
    one patient can contribute; 0 means no protection. ``sampling_rate`` is the
    chance of a patient to be sampled in a step; 1 means everybody, always.

    >>> SampledGaussian(noise_multiplier=2.0, sampling_rate=0.032, steps=1000).to_json()["steps"]
    '1000'

    Raises:
        ValueError: a figure is NaN, infinite or outside its range.
    """

    noise_multiplier: float
    sampling_rate: float
    steps: int

    def __post_init__(self) -> None:
        if not 0 <= self.noise_multiplier < math.inf:  # written so that NaN is refused too
            raise ValueError(f"noise_multiplier must be finite and >= 0: {self.noise_multiplier}")
        if not 0 <= self.sampling_rate <= 1:
            raise ValueError(f"sampling_rate must lie in [0, 1]: {self.sampling_rate}")
        if not isinstance(self.steps, int) or isinstance(self.steps, bool) or self.steps < 0:
            raise ValueError(f"steps must be a whole number >= 0: {self.steps}")
        object.__setattr__(self, "noise_multiplier", float(self.noise_multiplier))
        object.__setattr__(self, "sampling_rate", float(self.sampling_rate))

    @property
    def is_nothing(self) -> bool:
        """True when no patient can influence anything: no step, or nobody is sampled."""
        return self.steps == 0 or self.sampling_rate == 0

    def to_json(self) -> dict[str, Json]:
        """Returns the stored form; numbers are text, so that no reader can round them."""
        return {
            "event": _EVENT_NAME,
            "v": _EVENT_VERSION,
            "noise_multiplier": repr(self.noise_multiplier),
            "sampling_rate": repr(self.sampling_rate),
            "steps": repr(self.steps),
        }

    @classmethod
    def from_json(cls, value: Json) -> "SampledGaussian":
        """Returns the event of a stored form; the inverse of ``to_json``.

        Raises:
            MessageRefused: another event, another version, or not exactly what
                ``to_json`` writes.
        """
        if not isinstance(value, Mapping) or value.get("event") != _EVENT_NAME:
            raise MessageRefused(f"not a privacy event of the kind {_EVENT_NAME}")
        version = value.get("v")
        if type(version) is not int or version != _EVENT_VERSION:
            raise MessageRefused(f"{_EVENT_NAME} is known in version {_EVENT_VERSION} only")
        try:
            event = cls(
                noise_multiplier=float(str(value.get("noise_multiplier"))),
                sampling_rate=float(str(value.get("sampling_rate"))),
                steps=int(str(value.get("steps"))),
            )
        except ValueError as error:
            raise MessageRefused(f"{_EVENT_NAME} is malformed: {error}") from error
        if event.to_json() != dict(value):
            raise MessageRefused(f"{_EVENT_NAME} is not in its one stored form")
        return event

    @property
    def digest(self) -> str:
        """SHA-256 of the stored form's canonical bytes."""
        return digest_json(self.to_json())


def epsilon(event: SampledGaussian, delta: float) -> float:
    """Returns an upper bound of epsilon at ``delta`` for a plan that was fixed beforehand.

    ======================  =============================================
    noise_multiplier 0      infinity
    steps 0 or rate 0       0
    rate 1                  the exact Gaussian value, no amplification
    delta below 1e-10       the RDP bound (PLD's rounding would show)
    ======================  =============================================

    >>> event = SampledGaussian(noise_multiplier=2.0, sampling_rate=0.032, steps=1000)
    >>> round(epsilon(event, 1e-5), 2)
    2.24

    Raises:
        ValueError: delta is not in (0, 1).

    Source: PLD: Koskela et al. 2020 (1906.03049), Doroshenko et al. 2022 (2207.04380), as in
    dp-accounting; rate 1: Balle & Wang 2018 (1805.06530), theorem 8.
    """
    _require_delta(delta)
    return _epsilon(event, float(delta), 1)


def epsilon_for_hospitals(event: SampledGaussian, delta: float, hospitals: int) -> float:
    """Returns epsilon of a patient who takes part in ``hospitals`` hospitals of one study.

    Every hospital runs the same event with its own noise, so the patient pays
    for all of them (ruling 25; ``privacy.md`` C.0).

    >>> event = SampledGaussian(noise_multiplier=2.0, sampling_rate=0.032, steps=1000)
    >>> [round(epsilon_for_hospitals(event, 1e-5, m), 2) for m in (1, 2)]
    [2.24, 3.28]

    Raises:
        ValueError: delta is not in (0, 1), or hospitals is below 1.
    """
    if hospitals < 1:
        raise ValueError(f"hospitals must be at least 1: {hospitals}")
    return epsilon(replace(event, steps=event.steps * hospitals), delta)


@lru_cache(maxsize=4096)
def _epsilon(event: SampledGaussian, delta: float, coarseness: int) -> float:
    if event.is_nothing:
        return 0.0
    if event.noise_multiplier == 0:
        return math.inf
    if event.sampling_rate == 1:
        deviation = event.noise_multiplier / math.sqrt(event.steps)
        return float(dp_accounting.get_epsilon_gaussian(deviation, delta)) * (1 + _SLACK) + _SLACK
    bound = rdp_epsilon(event, delta)
    if delta < _PLD_SMALLEST_DELTA or math.isinf(bound):
        return bound
    return min(
        bound, _pld_epsilon(event, delta, coarseness * _pld_interval(bound, event.noise_multiplier))
    )


def _pld_interval(bound: float, noise_multiplier: float) -> float:
    """Returns how finely losses are counted: finer where epsilon is small, never too long a list.

    1e-4 from epsilon 1 to 10, the interval at which ``privacy.md`` was computed.
    One step's losses reach about 10 / noise_multiplier, so 2e5 of them at most.
    """
    return max(min(1e-4, bound * 1e-4), bound * 1e-5, 5e-5 / noise_multiplier)


def _pld_epsilon(event: SampledGaussian, delta: float, interval: float) -> float:
    accountant = PLDAccountant(
        dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE, value_discretization_interval=interval
    )
    step = dp_accounting.PoissonSampledDpEvent(
        event.sampling_rate, dp_accounting.GaussianDpEvent(event.noise_multiplier)
    )
    accountant.compose(step, event.steps)
    found = float(accountant.get_epsilon(delta))
    return found if found >= 0 else math.inf


def rdp_epsilon(event: SampledGaussian, delta: float) -> float:
    """Returns epsilon by Renyi DP, the best of many orders: 8-11 % above PLD, but quick.

    Raises:
        ValueError: delta is not in (0, 1).

    Source: Canonne, Kamath & Steinke 2020 (2004.00010), proposition 12.
    """
    _require_delta(delta)
    if event.is_nothing:
        return 0.0
    best = math.inf
    for order in _ORDERS:  # any order gives a bound, so stopping at the first rise is sound
        bound = rdp(event, order) + conversion(order, delta)
        if bound > best:
            break
        best = bound
    return max(0.0, best)


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
    return event.steps * _rdp_of_step(event.noise_multiplier, event.sampling_rate, float(order))


@lru_cache(maxsize=65536)
def _rdp_of_step(noise_multiplier: float, sampling_rate: float, order: float) -> float:
    variance = noise_multiplier * noise_multiplier
    if variance == 0:
        return math.inf
    if sampling_rate == 1:
        return order / (2 * variance) * (1 + _SLACK)
    with np.errstate(over="ignore", under="ignore"):
        log_excess = _log_excess(noise_multiplier, sampling_rate, order)
    rho = float(np.logaddexp(0.0, log_excess)) / (order - 1) * (1 + _SLACK)
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


def _require_delta(delta: float) -> None:
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie in (0, 1): {delta}")


def calibrate(*, epsilon: float, delta: float, sampling_rate: float, steps: int) -> float:
    """Returns the smallest noise multiplier, in four significant digits, that keeps ``epsilon``.

    Guarantee: the ``epsilon`` function of this module, with the returned noise
    multiplier, is at most the argument. Remembered by its arguments.

    >>> calibrate(epsilon=2.0, delta=1e-5, sampling_rate=0.032, steps=1000)
    2.184

    Raises:
        ValueError: epsilon is not finite and above zero, delta not in (0, 1),
            the rate not in (0, 1], there is no step, or no noise multiplier
            below 10^6 suffices.
    """
    if not 0 < epsilon < math.inf:
        raise ValueError(f"epsilon must be finite and above zero: {epsilon}")
    _require_delta(delta)
    if not 0 < sampling_rate <= 1 or steps < 1:
        raise ValueError("calibration needs a sampling rate in (0, 1] and at least one step")
    return _calibrate(float(epsilon), float(delta), float(sampling_rate), int(steps))


@lru_cache(maxsize=1024)
def _calibrate(target: float, delta: float, rate: float, steps: int) -> float:
    def price(noise_multiplier: float, coarseness: int) -> float:
        event = SampledGaussian(noise_multiplier=noise_multiplier, sampling_rate=rate, steps=steps)
        return _epsilon(event, delta, coarseness)

    guess = _central_limit_guess(target, delta, rate, steps)
    near = _solve(lambda noise_multiplier: price(noise_multiplier, 10), target, guess)
    return _least_figure(lambda noise_multiplier: price(noise_multiplier, 1) <= target, near)


def _central_limit_guess(target: float, delta: float, rate: float, steps: int) -> float:
    """Source: Bu, Dong, Long & Su 2020 (1911.11607), corollary 5.4; exact for rate 1."""
    single = float(dp_accounting.get_sigma_gaussian(target, delta))
    if rate == 1:
        return single * math.sqrt(steps)
    return 1 / math.sqrt(math.log1p(1 / (single * rate) ** 2 / steps))


def _solve(price: Callable[[float], float], target: float, guess: float) -> float:
    """Returns roughly the noise multiplier whose price is the target, by few queries."""
    low = high = guess
    low_price = high_price = price(guess)
    while high_price > target:
        low, low_price, high = high, high_price, high * 1.25
        if high > _LARGEST_MULTIPLIER:
            raise ValueError("no noise multiplier below 10^6 keeps this epsilon")
        high_price = price(high)
    while low_price <= target:
        high, high_price, low = low, low_price, low / 1.25
        low_price = price(low)
    while high / low > 1.0003 and high_price < target * 0.9998:
        share = 0.5  # of the way from low to high, in logarithms; interpolated where possible
        if 0 < high_price and low_price < math.inf:
            share = math.log(low_price / target) / math.log(low_price / high_price)
        middle = low * (high / low) ** min(0.95, max(0.05, share))
        middle_price = price(middle)
        if middle_price > target:
            low, low_price = middle, middle_price
        else:
            high, high_price = middle, middle_price
    return high


def _least_figure(is_enough: Callable[[float], bool], near: float) -> float:
    """Returns the least four-digit number that is enough; gallops away from ``near``."""
    place = _place_of(near)
    stride = 1
    if is_enough(_figure_at(place)):
        enough, lacking = place, place - 1
        while is_enough(_figure_at(lacking)):
            enough, stride = lacking, 2 * stride
            lacking = enough - stride
    else:
        lacking, enough = place, place + 1
        while not is_enough(_figure_at(enough)):
            lacking, stride = enough, 2 * stride
            enough = lacking + stride
    while enough - lacking > 1:
        middle = (enough + lacking) // 2
        lacking, enough = (lacking, middle) if is_enough(_figure_at(middle)) else (middle, enough)
    return _figure_at(enough)


def _figure_at(place: int) -> float:
    """Returns a number of four significant digits; places count them all, in order.

    >>> [_figure_at(place) for place in (-1, 0, 1, 9000)]
    [0.9999, 1.0, 1.001, 10.0]
    """
    exponent, mantissa = divmod(place, 9000)
    return float(Decimal(1000 + mantissa).scaleb(exponent - 3))


def _place_of(value: float) -> int:
    """Returns the place of the least four-digit number that is not below the value."""
    exact = Decimal(repr(value))
    exponent = exact.adjusted()
    return exponent * 9000 + math.ceil(exact.scaleb(3 - exponent)) - 1000


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Decides whether one more event fits into a life-long budget, whatever was chosen before.

    The order is fixed once, from the budget alone: there a plain Gaussian that
    exhausts the budget would be priced best. With one fixed order the sum of
    rho may grow adaptively and concurrently, and the guarantee still holds.

    >>> budget = Filter(epsilon_max=8.0, delta=1e-5)
    >>> budget.order, round(budget.capacity, 3)
    (4.0, 4.912)

    Raises:
        ValueError: epsilon_max not finite and above zero, delta not in (0, 1),
            or a budget so small that no order up to 4096 holds it.

    Source: Feldman & Zrnic 2021 (2008.11193), section 4; Haney et al. 2023 for concurrency.
    """

    epsilon_max: float
    delta: float

    def __post_init__(self) -> None:
        if not 0 < self.epsilon_max < math.inf:
            raise ValueError(f"epsilon_max must be finite and above zero: {self.epsilon_max}")
        _require_delta(self.delta)
        if not self.capacity > 0:
            raise ValueError(
                f"a budget of epsilon {self.epsilon_max:g} at delta {self.delta:g} is too small"
            )

    @cached_property
    def order(self) -> float:
        """The Renyi order at which everything is priced, a multiple of 1/4."""
        orders = np.arange(5, 4 * 4096 + 1) / 4
        added = np.log1p(-1 / orders) - (math.log(self.delta) + np.log(orders)) / (orders - 1)
        return float(orders[np.argmax((self.epsilon_max - added) / orders)])

    @cached_property
    def capacity(self) -> float:
        """How much rho, at the order, the budget holds."""
        return self.epsilon_max - conversion(self.order, self.delta)

    def rho_of(self, event: SampledGaussian) -> float:
        """Returns what the event books."""
        return rdp(event, self.order)

    def epsilon_of(self, rho: float) -> float:
        """Returns the enforced epsilon of a booked rho: the figure shown to people.

        0 for nothing booked, never more than epsilon_max for rho within the
        capacity. A budget with anything booked shows at least the conversion
        term, so the first small release seems dear and later ones cheap.

        >>> round(Filter(epsilon_max=8.0, delta=1e-5).epsilon_of(4.912), 2)
        8.0
        """
        return enforced_epsilon(rho, self.order, self.delta)


def enforced_epsilon(rho: float, order: float, delta: float) -> float:
    """Returns what a sum of rho at one fixed order guarantees at ``delta``; 0 for nothing.

    Raises:
        ValueError: rho is negative or NaN.
    """
    if not rho >= 0:
        raise ValueError(f"rho must be >= 0: {rho}")
    return max(0.0, rho + conversion(order, delta)) if rho > 0 else 0.0
