"""Leaks that an attack on membership shows: ``python -m tests.bench.membership_power``.

Scores are drawn: normal, those of members moved up. The advantage that a move gives is known.
"""

from statistics import NormalDist

import numpy as np

from pipelines.attacks.membership import measure

#: Training and test patients that are attacked; the largest advantage that a gate allows.
TRAIN, TEST, ALLOWED = 180, 60, 0.1
DRAWS = 100
_NORMAL = NormalDist()


def shown(advantage: float, random: np.random.Generator) -> float:
    """Returns the share of attacks whose interval lies above what is allowed.

    Args:
        advantage: the true one, at the best limit.
        random: draws the scores.
    """
    moved = 2 * _NORMAL.inv_cdf((1 + advantage) / 2)
    members = np.arange(TRAIN + TEST)[None] < TRAIN
    found = [
        measure("LOSS", random.normal(size=members.shape) + moved * members, members, random)
        for _ in range(DRAWS)
    ]
    return float(np.mean([one.advantage.low > ALLOWED for one in found]))


def best_own_limits(patients: int, random: np.random.Generator) -> np.ndarray:
    """Returns (1000,) advantages at the best limit of the judged scores, where there is no leak."""
    half = patients // 2
    found = []
    for _ in range(1000):
        scores = random.normal(size=patients)
        above = [np.sort(part) for part in (scores[:half], scores[half:])]
        shares = [1 - np.searchsorted(part, scores, side="right") / half for part in above]
        found.append(np.max(shares[0] - shares[1]))
    return np.array(found)


def main() -> None:
    """Prints the share of attacks that show an advantage, and what the best own limit finds."""
    random = np.random.default_rng(0)
    for advantage in (0.15, 0.2, 0.25, 0.3, 0.35, 0.4):
        print(
            f"advantage {advantage:.2f}, {TRAIN} training and {TEST} test patients: shown to be "
            f"above {ALLOWED:g} in {shown(advantage, random):.0%} of {DRAWS} attacks"
        )
    low, middle, high = np.quantile(best_own_limits(100, random), [0.05, 0.5, 0.95])
    print(
        f"no leak, 100 patients, the best limit of the judged scores: {middle:.2f} ({low:.2f} to "
        f"{high:.2f}) in 90 % of 1,000 draws"
    )


if __name__ == "__main__":
    main()
