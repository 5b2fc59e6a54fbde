"""Utility against privacy: what one run achieved, and what several runs say together.

Kept apart from the charts, so that the coordinator can hand these facts out
without a charting library in its process.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

EXACT = "exact (simulation only)"
RELEASED = "released"


@dataclass(frozen=True, kw_only=True)
class UtilityPoint:
    """The AUROC that one run reached on its test patients.

    ``epsilon`` is the claim for one patient, None when the run trained without
    privacy; ``kind`` is ``EXACT`` or ``RELEASED``. ``low`` and ``high`` are the
    95 % interval of a released figure, None for an exact one.

    Raises:
        ValueError: a figure is not a finite number, or the kind is unknown.
    """

    epsilon: float | None
    seed: int
    auroc: float
    kind: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.epsilon is not None and not 0 < self.epsilon < math.inf:
            raise ValueError(f"epsilon must be finite and positive, got {self.epsilon!r}")
        if not math.isfinite(self.auroc):
            raise ValueError(f"an AUROC is a finite number, got {self.auroc!r}")
        if self.kind not in (EXACT, RELEASED):
            raise ValueError(f"kind must be {EXACT!r} or {RELEASED!r}, got {self.kind!r}")


@dataclass(frozen=True, kw_only=True)
class UtilityLevel:
    """All runs of one kind at one epsilon: mean, and the range over seeds."""

    epsilon: float | None
    kind: str
    mean: float
    low: float
    high: float
    num_runs: int


def utility_levels(points: Sequence[UtilityPoint]) -> tuple[UtilityLevel, ...]:
    """Returns one level for each kind and epsilon, by kind, then by rising epsilon.

    Runs without privacy come last of their kind: no privacy is epsilon without bound.

    >>> figures = enumerate([0.8, 0.9])
    >>> runs = [UtilityPoint(epsilon=1.0, seed=s, auroc=a, kind=EXACT) for s, a in figures]
    >>> [(level.epsilon, round(level.mean, 3), level.num_runs) for level in utility_levels(runs)]
    [(1.0, 0.85, 2)]
    """
    groups: dict[tuple[str, float], list[float]] = {}
    for point in points:
        epsilon = math.inf if point.epsilon is None else point.epsilon
        groups.setdefault((point.kind, epsilon), []).append(point.auroc)
    return tuple(
        UtilityLevel(
            epsilon=None if math.isinf(epsilon) else epsilon,
            kind=kind,
            mean=statistics.fmean(reached),
            low=min(reached),
            high=max(reached),
            num_runs=len(reached),
        )
        for (kind, epsilon), reached in sorted(groups.items())
    )
