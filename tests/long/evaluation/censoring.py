"""The table of uneven censoring: how often a life table's intervals hold, patients leaving at once.

Times of exponential hazards as in ``outcomes``; patients enter evenly over eight units of time.
Those who are censored within an interval of time leave anywhere in it, or in a part of it only.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from compliance.estimates.interval import Interval
from compliance.estimates.outcomes.event_free import event_free_shares, usual_counts

Floats = NDArray[np.float64]
#: In which part of an interval of time the censored leave, from one end to the other.
LEAVE: Mapping[str, tuple[float, float]] = {
    "anywhere": (0.0, 1.0),
    "in the first half": (0.0, 0.5),
    "in the last half": (0.5, 1.0),
    "at the beginning": (0.0, 0.01),
    "at the end": (0.99, 1.0),
}
TIMES = (1.0, 2.0, 4.0)
EIGHT = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
_LAST, _MANY = 8.0, 1_000_000


@lru_cache(maxsize=4)
def truth_at(times: tuple[float, ...]) -> Floats:
    """Returns the share of the population without the event at each time."""
    came = _events(np.random.default_rng(1), _MANY)
    return np.array([(came >= time).mean() for time in times])


def counts_of(
    random: np.random.Generator,
    number: int,
    times: tuple[float, ...] = TIMES,
    leave: tuple[float, float] = (0.0, 1.0),
) -> Floats:
    """Returns the (2, intervals) counts of so many patients, the censored first."""
    came, left = _events(random, number), random.uniform(0, _LAST, number)
    edges = np.array([0.0, *times, _LAST])
    place = np.searchsorted(edges, left, side="right") - 1
    begin, wide = edges[place], edges[place + 1] - edges[place]
    left = begin + wide * leave[0] + (leave[1] - leave[0]) * (left - begin)
    within = np.searchsorted(times, np.minimum(came, left), side="right")
    return np.stack(
        [
            np.bincount(within[some], minlength=len(edges) - 1)
            for some in (came >= left, came < left)
        ]
    ).astype(np.float64)


def _events(random: np.random.Generator, number: int) -> Floats:
    return random.exponential(4 * np.exp(-0.8 * random.normal(size=number)))


def shares_of(
    random: np.random.Generator,
    number: int,
    noise: float = 0.0,
    times: tuple[float, ...] = TIMES,
    leave: tuple[float, float] = (0.0, 1.0),
) -> tuple[Interval, ...]:
    """Returns the released shares of so many patients; the tables' sizes have no noise."""
    counts = counts_of(random, number, times, leave)
    falls = np.r_[-np.diff(np.exp(-np.array([0.0, *times]) / 4)), 0.0]
    censored, events = map(float, counts.sum(axis=1))
    noised = counts + random.normal(0, noise, counts.shape)
    return event_free_shares(noised, noise, usual_counts(censored, events, falls / falls.sum()))


def held(
    number: int, draws: int, leave: tuple[float, float], times: tuple[float, ...] = TIMES
) -> list[float]:
    """Returns at each time the share of drawings without noise whose interval holds the truth."""
    random, truth = np.random.default_rng(2), truth_at(times)
    found = [shares_of(random, number, times=times, leave=leave) for _ in range(draws)]
    return [
        float(np.mean([(one.low or 0.0) <= share <= (one.high or 0.0) for one in ones]))
        for ones, share in zip(zip(*found, strict=True), truth, strict=True)
    ]


def censoring_lines(draws: int = 500) -> Iterator[str]:
    """Yields a line of the table for each manner to leave and each number of patients."""
    for name, leave in LEAVE.items():
        for number in (300, 1000, 5000):
            cells = " | ".join(f"{share:.3f}" for share in held(number, draws, leave))
            eight = held(number, draws, leave, EIGHT)[-1]
            yield f"| {name} | {number:,} | {cells} | {eight:.3f} |"
