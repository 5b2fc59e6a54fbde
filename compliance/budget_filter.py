"""The life-long filter: whether one more event fits into a budget, whatever was chosen before."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from compliance.accounting import SampledGaussian, rdp
from compliance.renyi import conversion


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
        if not 0 < self.delta < 1:
            raise ValueError(f"delta must lie in (0, 1): {self.delta}")
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
