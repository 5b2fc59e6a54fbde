"""Prices of privacy events: by PLD for a fixed plan, by Rényi DP at one order for the filter.

Rules:

1. The unit is the patient; neighbours differ by adding or removing one patient's
   records. Sums are divided by a public number (sampling rate x declared patients),
   so the noise multiplier is noise over one patient's clip.
2. ``epsilon`` prices a plan that was fixed beforehand. It must never be used to
   decide when to stop: that is the ``Filter``'s work, at orders fixed for life.
3. Every figure errs upwards; what cannot be computed costs infinity.

An integer mechanism with sigma >= 16 units costs what the Gaussian does: the
difference underflows double precision.
"""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from compliance.privacy.divergences.renyi import SLACK, conversion, rdp
from compliance.privacy.events import JointRelease, SampledGaussian
from compliance.privacy.rounding import rounded_up

if TYPE_CHECKING:  # importing it takes two seconds, and most commands price nothing
    import dp_accounting

_LARGEST_MULTIPLIER = 1e6
#: Less noise protects nobody, and squares of what it hides leave the range of floats.
_SMALLEST_MULTIPLIER = 1e-100
#: Below this delta the rounding of the Fourier transform is no longer negligible.
_PLD_SMALLEST_DELTA = 1e-10
_ORDERS = tuple(float(order) for order in np.round(1 + np.geomspace(0.05, 2000, 240), 6))


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
    if any(release.noise_multiplier < _SMALLEST_MULTIPLIER for release in releases):
        return math.inf
    if all(min(release.rates) == 1 for release in releases):
        import dp_accounting

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
    import dp_accounting

    accountant = dp_accounting.pld.PLDAccountant(
        dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE, value_discretization_interval=interval
    )
    for release in releases:
        accountant.compose(_library_event(release), release.steps)
    found = float(accountant.get_epsilon(delta))
    return found if found >= 0 else math.inf


def _library_event(release: JointRelease) -> "dp_accounting.DpEvent":
    import dp_accounting

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


def _require_delta(delta: float) -> None:
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie in (0, 1): {delta}")


def calibrate(*, epsilon: float, delta: float, sampling_rate: float, steps: int) -> float:
    """Returns a noise multiplier of four digits that keeps ``epsilon``, rounded up.

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
    figure = rounded_up(found, 4)
    while epsilon(_event(figure, rate, steps), delta) > target:  # now counted finely
        figure = rounded_up(figure * (1 + 1e-6), 4)
    return figure


def _event(noise_multiplier: float, rate: float, steps: int) -> SampledGaussian:
    return SampledGaussian(noise_multiplier=noise_multiplier, sampling_rate=rate, steps=steps)


def _found(target: float, delta: float, rate: float, steps: int) -> float:
    """Returns a noise multiplier that is enough, found by the library's calibration."""
    import dp_accounting

    neighbours = dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE
    single = float(dp_accounting.get_sigma_gaussian(target, delta))
    if rate == 1:
        return single * math.sqrt(steps)
    # Central limit of many steps: Bu, Dong, Long & Su 2020 (1911.11607), corollary 5.4.
    guess = 1 / math.sqrt(math.log1p(1 / (single * rate) ** 2 / steps))
    interval = 4 * _pld_interval(target, [JointRelease.of(_event(guess, rate, steps))])

    def accountant() -> dp_accounting.PrivacyAccountant:
        if delta < _PLD_SMALLEST_DELTA:
            return dp_accounting.rdp.RdpAccountant(_ORDERS, neighbours)
        return dp_accounting.pld.PLDAccountant(neighbours, value_discretization_interval=interval)

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
