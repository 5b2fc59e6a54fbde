"""Trade-off functions of Gaussian plans: how few false alarms a test of a patient's presence needs.

A mechanism is f-DP when no test that finds a present patient with chance
``hits`` raises fewer false alarms than f allows. Every figure errs towards the
attacker's advantage, so what it refutes is refuted.

Source: Dong, Roth & Su 2019 (1905.02383), definition 3 and proposition 5 (from a privacy profile:
f is the supremum of the lines of all (epsilon, delta)); the profile by PLD as in dp-accounting.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri  # type: ignore[import-untyped]  # ships no types

from compliance.privacy.events import SampledGaussian

_LINES = 240
_LARGEST_EPSILON = 40.0
#: How finely losses are counted; connected dots make the profile right to 1e-4 of itself.
_INTERVAL, _INTERVAL_TIMES_NOISE = 1e-3, 5e-4


@dataclass(frozen=True, kw_only=True)
class GaussianTradeOff:
    """The trade-off function of a plan that samples everybody: exact.

    ``separation`` is a patient's contribution over the noise's deviation, all steps together.
    """

    separation: float

    def false_alarms(self, hits: float) -> float:
        """Returns the least chance of a false alarm of a test that is right with this chance.

        >>> round(GaussianTradeOff(separation=1.0).false_alarms(0.5), 4)
        0.1587
        """
        return float(ndtr(ndtri(hits) - self.separation))


@dataclass(frozen=True, kw_only=True, eq=False)
class ProfileTradeOff:
    """The trade-off function that a list of (epsilon, delta) guarantees, all of which hold."""

    epsilons: NDArray[np.float64]
    deltas: NDArray[np.float64]

    def false_alarms(self, hits: float) -> float:
        """Returns the least chance of a false alarm of a test that is right with this chance.

        >>> pure = ProfileTradeOff(epsilons=np.array([1.0]), deltas=np.array([0.0]))
        >>> round(pure.false_alarms(0.5), 6)
        0.18394
        """
        low = np.exp(-self.epsilons) * (hits - self.deltas)
        high = 1 - self.deltas - np.exp(self.epsilons) * (1 - hits)
        return max(0.0, float(low.max()), float(high.max()))


TradeOff = GaussianTradeOff | ProfileTradeOff


@lru_cache(maxsize=512)
def trade_off(event: SampledGaussian) -> TradeOff:
    """Returns the trade-off function of a plan that was fixed beforehand.

    Raises:
        ValueError: nothing is released, or without noise.
    """
    if event.is_nothing or event.noise_multiplier == 0:
        raise ValueError("a plan that releases nothing, or without noise, has none worth testing")
    if event.sampling_rate == 1:
        return GaussianTradeOff(separation=math.sqrt(event.steps) / event.noise_multiplier)
    from dp_accounting.pld import privacy_loss_distribution  # takes two seconds

    step = privacy_loss_distribution.from_gaussian_mechanism(
        event.noise_multiplier,
        sampling_prob=event.sampling_rate,
        value_discretization_interval=max(
            _INTERVAL, _INTERVAL_TIMES_NOISE / event.noise_multiplier
        ),
    )
    epsilons = np.concatenate([[0.0], np.geomspace(1e-3, _LARGEST_EPSILON, _LINES)])
    deltas = np.asarray(step.self_compose(event.steps).get_delta_for_epsilon(epsilons))
    return ProfileTradeOff(epsilons=epsilons, deltas=np.clip(deltas, 0.0, 1.0))
