"""How many runs of one study a budget admits: one order, two orders, and PLD (ADR 16).

``python -m tests.bench.filter_orders`` writes the table, in about two minutes.
"""

import math
from dataclasses import replace

import numpy as np

from compliance.privacy.accounting import calibrate, joint_epsilon
from compliance.privacy.budget_filter import Filter
from compliance.privacy.divergences.renyi import conversion, rdp
from compliance.privacy.events import JointRelease, SampledGaussian

#: Sampling rate, steps and epsilon of a study; epsilon and delta of the budget.
STUDIES = (
    (0.032, 1000, 2.0, 8.0, 1e-6),
    (0.05, 200, 2.0, 8.0, 1e-6),
    (0.05, 200, 2.0, 10.0, 1e-6),
    (1.0, 8, 1.0, 4.0, 1e-4),
    (0.05, 110, 8.0, 10.0, 1e-5),
    (0.01, 500, 3.0, 4.0, 1e-6),
    (0.01, 500, 3.0, 5.0, 1e-6),
    (0.002, 1500, 2.0, 4.0, 1e-6),
)
LOWER = (1 / 2, 2 / 3, 3 / 4)


def runs_at(event: SampledGaussian, order: float, epsilon: float, delta: float) -> int:
    """Returns how often an event fits into what a budget holds at one order."""
    return math.floor(max(0.0, epsilon - conversion(order, delta)) / rdp(event, order))


def best_order(epsilon: float, delta: float) -> float:
    """Returns the order at which a plain Gaussian is priced best."""
    orders = np.arange(5, 4 * 4096 + 1) / 4
    added = np.array([conversion(order, delta) for order in orders])
    return float(orders[np.argmax((epsilon - added) / orders)])


def runs_by_pld(event: SampledGaussian, epsilon: float, delta: float) -> int:
    """Returns how many runs cost no more, each known beforehand."""
    runs = 0
    while _price(event, runs + 1, delta) <= epsilon:
        runs += 1
    return runs


def _price(event: SampledGaussian, runs: int, delta: float) -> float:
    together = replace(event, steps=event.steps * runs)
    return joint_epsilon([JointRelease.of(together)], delta)


def main() -> None:
    """Prints the table."""
    for rate, steps, promised, budget, delta in STUDIES:
        noise = calibrate(epsilon=promised, delta=delta, sampling_rate=rate, steps=steps)
        event = SampledGaussian(noise_multiplier=noise, sampling_rate=rate, steps=steps)
        counts = [runs_at(event, best_order(budget, delta), budget, delta)]
        upper = Filter(epsilon_max=budget, delta=delta).orders[0]
        for part in LOWER:
            lower = math.ceil(4 * (1 + (upper - 1) * part)) / 4
            counts.append(max(runs_at(event, o, budget, delta / 2) for o in (upper, lower)))
        cells = [*counts, runs_by_pld(event, budget, delta)]
        study = f"q {rate:g}, T {steps}, ε {promised:g}"
        print(f"| {study} | {budget:g}, {delta:g} | {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
