"""The life-long filter: whether one more event fits into a budget, whatever was chosen before.

Rules:

1. rho, the Rényi divergence of an event, is counted at two orders that follow from the
   budget alone. At each order the budget holds a capacity that is enough for its
   epsilon at *half* its delta.
2. An event fits if the sum with it stays within the capacity at *either* order.

Why two. The upper order is where plain Gaussians are priced best. A sampled Gaussian
with little noise has an order above which sampling protects nothing, and that may lie
below the upper one: the lower order is for such studies. A budget is for life, and
what kinds of study will come is not known at its start
(``docs/adr/0016-the-filter-counts-at-two-orders.md``).

Why it is sound. Stop a sequence of events, however each was chosen, before the sum at
order a would pass its capacity: what was released has Rényi divergence of order a
within the capacity (Feldman & Zrnic 2021, section 4; concurrently, Haney et al. 2023),
so its hockey-stick divergence at the budget's epsilon is at most delta / 2. Of a
sequence that this filter admits, every outcome is also an outcome of the sequence
stopped at one order or of that stopped at the other. The hockey-stick divergence is a
sum over outcomes of terms that are never negative, so it is at most the sum of the two:
delta.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from compliance.privacy.divergences.renyi import conversion, rdp
from compliance.privacy.events import SampledGaussian

#: How far above 1 the lower order lies, as a part of the upper one: measured, see the ADR.
_LOWER = 2 / 3


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A budget's two orders, and what it holds at each.

    >>> budget = Filter(epsilon_max=8.0, delta=2e-5)
    >>> budget.orders, [round(capacity, 3) for capacity in budget.capacities]
    ((4.0, 3.0), [4.912, 3.198])

    Raises:
        ValueError: epsilon_max not finite and above zero, delta not in (0, 1),
            or a budget so small that no order up to 4096 holds it.
    """

    epsilon_max: float
    delta: float

    def __post_init__(self) -> None:
        if not 0 < self.epsilon_max < math.inf:
            raise ValueError(f"epsilon_max must be finite and above zero: {self.epsilon_max}")
        if not 0 < self.delta < 1:
            raise ValueError(f"delta must lie in (0, 1): {self.delta}")
        if not self.capacities[0] > 0:
            raise ValueError(
                f"a budget of epsilon {self.epsilon_max:g} at delta {self.delta:g} is too small"
            )

    @cached_property
    def orders(self) -> tuple[float, float]:
        """The upper and the lower order, multiples of 1/4.

        The upper one is where a plain Gaussian that exhausts the budget is priced best.
        """
        orders = np.arange(5, 4 * 4096 + 1) / 4
        half = math.log(self.delta / 2)
        added = np.log1p(-1 / orders) - (half + np.log(orders)) / (orders - 1)
        upper = float(orders[np.argmax((self.epsilon_max - added) / orders)])
        return upper, math.ceil(4 * (1 + (upper - 1) * _LOWER)) / 4

    @cached_property
    def capacities(self) -> tuple[float, float]:
        """The rho that the budget holds at either order; 0 where nothing can be promised."""
        upper, lower = (
            max(0.0, self.epsilon_max - conversion(order, self.delta / 2)) for order in self.orders
        )
        return upper, lower

    def share_of(self, events: tuple[SampledGaussian, ...]) -> float:
        """Returns the part of the budget that events take together; above 1 it does not suffice."""
        return min(
            sum(rdp(event, order) for event in events) / capacity if capacity else math.inf
            for order, capacity in zip(self.orders, self.capacities, strict=True)
        )
