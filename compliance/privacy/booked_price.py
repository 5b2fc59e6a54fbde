"""Ratio of the ledger's price to that of a plan fixed beforehand.

The filter holds whatever studies come later, and pays for that: it books ordinary
studies at less than ``DEAR`` times what they would cost in a fixed sequence of their
like (PLD), and studies with little noise and a small sampling rate at many times that.
Then a larger sampling rate, or more noise and more steps, costs the patients less.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from compliance.privacy.accounting import joint_epsilon
from compliance.privacy.budget_filter import Filter
from compliance.privacy.events import JointRelease, SampledGaussian

#: Above this the price is worth a warning.
DEAR = 1.3
_MAX_RUNS = 4096.0


def times_too_dear(limit: Filter, events: Sequence[SampledGaussian]) -> float:
    """Returns the share that the filter counts for a study, over its share by PLD.

    By PLD a study takes 1/n of a budget if n of its like, fixed beforehand, cost just
    that budget; n need not be whole. Infinite where the filter knows no price.
    """
    share = limit.share_of(tuple(events))
    return share * _runs_by_pld(limit, events) if share < math.inf else math.inf


def _runs_by_pld(limit: Filter, events: Sequence[SampledGaussian]) -> float:
    """Returns how many such studies a budget holds, each plan of them known beforehand."""

    def price(runs: float) -> float:
        return joint_epsilon([_repeated(event, runs) for event in events], limit.delta)

    low, high = 0.0, 1.0
    while price(high) <= limit.epsilon_max and high < _MAX_RUNS:
        low, high = high, 2 * high
    for _ in range(8):
        middle = (low + high) / 2
        low, high = (middle, high) if price(middle) <= limit.epsilon_max else (low, middle)
    return low


def _repeated(event: SampledGaussian, runs: float) -> JointRelease:
    """Returns an event so many times over; without sampling also a part of one."""
    if event.sampling_rate == 1:
        noise = event.noise_multiplier / math.sqrt(runs * event.steps)
        return JointRelease(noise_multiplier=noise, rates=(1.0,), steps=1)
    return JointRelease.of(replace(event, steps=max(1, round(runs * event.steps))))
