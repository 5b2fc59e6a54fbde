"""How a row is measured, and what a row is.

Ours and its floors take turns, so that a busy machine slows all of them alike.
A value is the median over the turns; a ratio is the median of the ratios
within a turn, not the ratio of two medians.

What runs on one thread and touches no disk is measured in this process' CPU
time: on an idle machine that is the wall clock, on a busy one it still is.
Rows with threads or a disk use the wall clock and say so.
"""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Work = Callable[[], object]
Clock = Callable[[], float]

CPU: Clock = time.process_time
WALL: Clock = time.perf_counter

#: A turn repeats what is short until it lasts this long, in seconds.
_MIN_TURN = 0.004
OURS = "ours"


@dataclass(frozen=True, kw_only=True)
class Target:
    """What ``performance.md`` asks: a ratio to a floor, or a value when ``against`` is None."""

    most: float
    against: str | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    ``ours`` and ``floors`` are in ``unit``; ``ratios`` are ours over each
    floor; ``spread`` is the lowest and the highest value of ours; ``parts``
    says where the time goes, in ``unit``.
    """

    area: str
    what: str
    case: str
    unit: str
    ours: float
    floors: Mapping[str, float]
    ratios: Mapping[str, float]
    spread: tuple[float, float]
    turns: int
    clock: str = "cpu"
    target: Target | None = None
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_met(self) -> bool | None:
        """True when the target is reached; None when there is none."""
        if self.target is None:
            return None
        found = self.ours if self.target.against is None else self.ratios[self.target.against]
        return found <= self.target.most


def take_turns(works: Mapping[str, Work], turns: int, clock: Clock = CPU) -> dict[str, list[float]]:
    """Returns the milliseconds of each work in each turn, after two calls that are not counted."""
    counts = {name: _count(work, clock) for name, work in works.items()}
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(turns):
        for name, work in works.items():
            taken[name].append(milliseconds(work, counts[name], clock))
    return taken


def milliseconds(work: Work, count: int = 1, clock: Clock = CPU) -> float:
    """Returns how long one call takes, as the mean of ``count``; garbage waits (as in timeit)."""
    collects = gc.isenabled()
    gc.disable()
    try:
        started = clock()
        for _ in range(count):
            work()
        return (clock() - started) * 1000 / count
    finally:
        if collects:
            gc.enable()


def row_of(
    area: str,
    what: str,
    case: str,
    taken: Mapping[str, Sequence[float]],
    *,
    target: Target | None = None,
    parts: Mapping[str, float] | None = None,
    unit: str = "ms",
    scale: float = 1.0,
    clock: str = "cpu",
) -> Row:
    """Returns the row of what was taken in turns; one entry must be ``OURS``.

    ``scale`` makes ``unit`` of milliseconds.
    """
    ours = [value * scale for value in taken[OURS]]
    floors = {
        name: [value * scale for value in values] for name, values in taken.items() if name != OURS
    }
    return Row(
        area=area,
        what=what,
        case=case,
        unit=unit,
        ours=statistics.median(ours),
        floors={name: statistics.median(values) for name, values in floors.items()},
        ratios={
            name: statistics.median(o / f for o, f in zip(ours, values, strict=True))
            for name, values in floors.items()
        },
        spread=(min(ours), max(ours)),
        turns=len(ours),
        clock=clock,
        target=target,
        parts=dict(parts or {}),
    )


def _count(work: Work, clock: Clock) -> int:
    work()
    return max(1, round(_MIN_TURN / max(milliseconds(work, clock=clock) / 1000, 1e-6)))
