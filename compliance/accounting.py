"""Prices of privacy events: by PLD for a fixed plan, by Rényi DP at one order for the filter.

Rules:

1. The unit is the patient; neighbours differ by adding or removing one patient's
   records. Sums are divided by a public number (sampling rate x declared patients),
   so the noise multiplier is noise over one patient's clip.
2. An event is stored as stable JSON; what a stored event means never changes.
   Another meaning is another event name or version.
3. ``epsilon`` prices a plan that was fixed beforehand. It must never be used to
   decide when to stop: that is the ``Filter``'s work, at orders fixed for life.
4. Every figure errs upwards; what cannot be computed costs infinity.

An integer mechanism with sigma >= 16 units costs what the Gaussian does: the
difference underflows double precision.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

import dp_accounting
import numpy as np
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

from compliance.renyi import SLACK, conversion, renyi_divergence
from protocol.encoding import Json, digest_json
from protocol.errors import MessageRefused

_EVENT_NAME = "sampled-gaussian"
_EVENT_VERSION = 1
_LARGEST_MULTIPLIER = 1e6
#: Below this delta the rounding of the Fourier transform is no longer negligible.
_PLD_SMALLEST_DELTA = 1e-10
_NEIGHBOURS = dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE
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


@dataclass(frozen=True, kw_only=True, order=True)
class JointRelease:
    """``steps`` Gaussian releases of one sum to which several parties may add their bound.

    A party is a patient of a group, or one hospital's part of a patient. ``rates`` hold
    each one's chance to be drawn in a step, independently; those drawn together are
    taken to add up in one direction, which is the worst they can do.

    Source: Choquette-Choo, Ganesh, Steinke & Thakurta 2024 (2310.15526), corollary 4.7: sums
    of vectors are dominated by sums of their norms.
    """

    noise_multiplier: float
    rates: tuple[float, ...]
    steps: int

    @classmethod
    def of(cls, event: SampledGaussian, parties: int = 1) -> "JointRelease":
        """Returns the event as it looks to a group of this many patients of one hospital."""
        return cls(
            noise_multiplier=event.noise_multiplier,
            rates=(event.sampling_rate,) * parties,
            steps=event.steps,
        )

    @property
    def is_nothing(self) -> bool:
        """True when no party can influence anything."""
        return self.steps == 0 or not any(self.rates)

    @property
    def as_one(self) -> SampledGaussian:
        """An event that costs at least as much: all parties are drawn whenever one is."""
        nobody = math.prod(1 - rate for rate in self.rates)
        return SampledGaussian(
            noise_multiplier=self.noise_multiplier / len(self.rates),
            sampling_rate=self.rates[0] if len(self.rates) == 1 else 1 - nobody,
            steps=self.steps,
        )

    @property
    def draws(self) -> tuple[float, ...]:
        """The chances that none, one, two ... of the parties are drawn in a step."""
        chances = np.ones(1)
        for rate in self.rates:
            chances = np.convolve(chances, (1 - rate, rate))
        return tuple(float(chance) for chance in chances)


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
    return joint_epsilon((JointRelease.of(event),), delta)


def joint_epsilon(releases: Iterable[JointRelease], delta: float) -> float:
    """Returns an upper bound of epsilon at ``delta`` for several fixed plans together.

    Counts as ``epsilon`` does, but more coarsely where there is more than one event or
    party, which costs less than a hundredth.

    >>> event = SampledGaussian(noise_multiplier=2.0, sampling_rate=0.032, steps=1000)
    >>> round(joint_epsilon([JointRelease.of(event, parties=2)], 1e-5), 1)
    5.0

    Raises:
        ValueError: delta is not in (0, 1).
    """
    _require_delta(delta)
    real = sorted(release for release in releases if not release.is_nothing)
    return _joint_epsilon(tuple(real), float(delta))


@lru_cache(maxsize=4096)
def _joint_epsilon(releases: tuple[JointRelease, ...], delta: float) -> float:
    if not releases:
        return 0.0
    if any(release.noise_multiplier == 0 for release in releases):
        return math.inf
    if all(min(release.rates) == 1 for release in releases):
        squares = (r.steps * (len(r.rates) / r.noise_multiplier) ** 2 for r in releases)
        deviation = 1 / math.sqrt(sum(squares))
        return float(dp_accounting.get_epsilon_gaussian(deviation, delta)) * (1 + SLACK) + SLACK
    bound = _rdp_epsilon(tuple(release.as_one for release in releases), delta)
    if delta < _PLD_SMALLEST_DELTA or math.isinf(bound):
        return bound
    return min(bound, _pld_epsilon(releases, delta, _pld_interval(bound, releases)))


def _pld_interval(bound: float, releases: Sequence[JointRelease]) -> float:
    """Returns how finely losses are counted: finer where epsilon is small, never too long a list.

    1e-4 from epsilon 1 to 10. One step's losses reach about 10 / noise_multiplier,
    so 2e5 of them at most; a fortieth of all for what is shown and not enforced: joint prices.
    """
    longest = max(len(release.rates) / release.noise_multiplier for release in releases)
    coarseness = 1 if sum(len(release.rates) for release in releases) == 1 else 40
    return coarseness * max(min(1e-4, bound * 1e-4), bound * 1e-5, 5e-5 * longest)


def _pld_epsilon(releases: Iterable[JointRelease], delta: float, interval: float) -> float:
    accountant = PLDAccountant(_NEIGHBOURS, value_discretization_interval=interval)
    for release in releases:
        accountant.compose(_library_event(release), release.steps)
    found = float(accountant.get_epsilon(delta))
    return found if found >= 0 else math.inf


def _library_event(release: JointRelease) -> dp_accounting.DpEvent:
    parties = len(release.rates)
    if min(release.rates) == 1:
        return dp_accounting.GaussianDpEvent(release.noise_multiplier / parties)
    if parties == 1:
        single = dp_accounting.GaussianDpEvent(release.noise_multiplier)
        return dp_accounting.PoissonSampledDpEvent(release.rates[0], single)
    possible = [(float(k), chance) for k, chance in enumerate(release.draws) if chance > 0]
    bounds, chances = zip(*possible, strict=True)
    return dp_accounting.dp_event.MixtureOfGaussiansDpEvent(
        release.noise_multiplier, bounds, chances
    )


def _rdp_epsilon(events: Sequence[SampledGaussian], delta: float) -> float:
    best = math.inf
    for order in _ORDERS:  # any order gives a bound, so stopping at the first rise is sound
        bound = sum(rdp(event, order) for event in events) + conversion(order, delta)
        if bound > best:
            break
        best = bound
    return max(0.0, best)


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


def _require_delta(delta: float) -> None:
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie in (0, 1): {delta}")


def calibrate(*, epsilon: float, delta: float, sampling_rate: float, steps: int) -> float:
    """Returns a noise multiplier of four digits that keeps ``epsilon`` and is hardly too large.

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
    found = _found(target, delta, rate, steps)
    if not found <= _LARGEST_MULTIPLIER:
        raise ValueError("no noise multiplier below 10^6 keeps this epsilon")
    figure = _rounded_up(found)
    while epsilon(_event(figure, rate, steps), delta) > target:  # now counted finely
        figure = _rounded_up(figure * (1 + 1e-6))
    return figure


def _event(noise_multiplier: float, rate: float, steps: int) -> SampledGaussian:
    return SampledGaussian(noise_multiplier=noise_multiplier, sampling_rate=rate, steps=steps)


def _found(target: float, delta: float, rate: float, steps: int) -> float:
    """Returns a noise multiplier that is enough, found by the library's calibration."""
    single = float(dp_accounting.get_sigma_gaussian(target, delta))
    if rate == 1:
        return single * math.sqrt(steps)
    # Central limit of many steps: Bu, Dong, Long & Su 2020 (1911.11607), corollary 5.4.
    guess = 1 / math.sqrt(math.log1p(1 / (single * rate) ** 2 / steps))
    interval = 4 * _pld_interval(target, [JointRelease.of(_event(guess, rate, steps))])

    def accountant() -> dp_accounting.PrivacyAccountant:
        if delta < _PLD_SMALLEST_DELTA:
            return RdpAccountant(_ORDERS, _NEIGHBOURS)
        return PLDAccountant(_NEIGHBOURS, value_discretization_interval=interval)

    def composed(noise_multiplier: float) -> dp_accounting.DpEvent:
        release = JointRelease.of(_event(noise_multiplier, rate, steps))
        return dp_accounting.SelfComposedDpEvent(_library_event(release), steps)

    lacking = guess
    while accountant().compose(composed(lacking)).get_epsilon(delta) <= target:
        lacking /= 1.25
    return float(
        dp_accounting.calibrate_dp_mechanism(
            accountant,
            composed,
            target,
            delta,
            dp_accounting.LowerEndpointAndGuess(lacking, 1.25 * lacking),
            tol=guess * 1e-5,
        )
    )


def _rounded_up(value: float) -> float:
    """Returns the least number of four significant digits that is not below the value.

    >>> _rounded_up(1.0), _rounded_up(0.99991), _rounded_up(12.3412)
    (1.0, 1.0, 12.35)
    """
    exact = Decimal(repr(value))
    step = Decimal(1).scaleb(exact.adjusted() - 3)
    return float(exact.quantize(step, rounding=ROUND_CEILING))
