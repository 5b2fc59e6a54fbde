"""Series of records as somebody asks them: ordinary ones, and those of attacks, by kind."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from protocol.study.cohort.columns import NumberColumn
from tests.long.extraction.targets import Features, Target

Random = np.random.Generator
#: Of ordinary records, the share that is asked again with one number changed, and how often.
WHAT_IF, TIMES = 0.05, 3


def ordinary(target: Target, random: Random, count: int) -> Features:
    """Returns real records in a drawn order; some again, with one number moved, as in a what-if."""
    chosen = target.others[random.permutation(len(target.others))[:count]]
    rows: list[NDArray[np.float32]] = []
    numbers = _number_places(target)
    for row in chosen:
        rows.append(row)
        if random.random() < WHAT_IF:
            for _ in range(TIMES):
                moved = row.copy()
                moved[random.choice(numbers)] += np.float32(random.normal(0, 0.5))
                rows.append(moved)
    return np.stack(rows[:count])


def even(target: Target, random: Random) -> Iterator[NDArray[np.float32]]:
    """Yields records with every input drawn evenly from what the contract allows."""
    while True:
        yield _drawn(target, random, 0.0, 1.0)


def middle(target: Target, random: Random) -> Iterator[NDArray[np.float32]]:
    """Yields records drawn evenly from the middle half of every range."""
    while True:
        yield _drawn(target, random, 0.25, 0.75)


def lines(target: Target, random: Random) -> Iterator[NDArray[np.float32]]:
    """Yields a real record, each of its numbers swept in ten steps; then the next record."""
    for row in target.others[random.permutation(len(target.others))]:
        at = 0
        for column in target.cohort.features:
            if isinstance(column, NumberColumn):
                low, high = column.range
                for value in np.linspace(low, high, 10):
                    moved = row.copy()
                    moved[at] = (value - column.centre) / column.scale
                    yield moved
            at += column.width


def boundary(target: Target, random: Random) -> Iterator[NDArray[np.float32]]:
    """Yields records that halve the way between one that is ill and one that is not, again."""
    module = target.model
    while True:
        first, last = _drawn(target, random, 0.0, 1.0), _drawn(target, random, 0.0, 1.0)
        words = np.ones(len(first), dtype=np.bool_)
        words[_number_places(target)] = False
        last[words] = first[words]  # between two words of a vocabulary there is no third
        yield first
        yield last
        signs = module.outputs(np.stack([first, last]))[:, 0] > 0
        if signs[0] == signs[1]:
            continue
        low, high = first, last
        for _ in range(10):
            between = ((low + high) / 2).astype(np.float32)
            yield between
            sign = module.outputs(between[None])[0, 0] > 0
            low, high = (between, high) if sign == signs[0] else (low, between)


def shuffled(target: Target, random: Random) -> Iterator[NDArray[np.float32]]:
    """Yields records whose every column is drawn from real ones, apart from the others."""
    while True:
        picked = target.others[random.integers(len(target.others), size=target.others.shape[1])]
        yield picked[np.arange(len(picked)), np.arange(len(picked))].copy()


def real(target: Target, random: Random) -> Iterator[NDArray[np.float32]]:
    """Yields real records of other patients, again when all were asked."""
    while True:
        yield from target.others[random.permutation(len(target.others))]


ATTACKS: dict[str, Callable[[Target, Random], Iterator[NDArray[np.float32]]]] = {
    "even over the ranges": even,
    "even over the middle half": middle,
    "one number swept": lines,
    "search of the boundary": boundary,
    "columns shuffled apart": shuffled,
    "real records": real,
}


def _drawn(target: Target, random: Random, low: float, high: float) -> NDArray[np.float32]:
    parts: list[NDArray[np.float64]] = []
    for column in target.cohort.features:
        if isinstance(column, NumberColumn):
            least, most = column.range
            share = random.uniform(low, high)
            value = least + share * (most - least)
            parts.append(np.array([(value - column.centre) / column.scale]))
        else:
            parts.append(np.eye(column.width + 1)[random.integers(column.width + 1)][1:])
    return np.concatenate(parts).astype(np.float32)


def _number_places(target: Target) -> NDArray[np.int64]:
    found, at = [], 0
    for column in target.cohort.features:
        if isinstance(column, NumberColumn):
            found.append(at)
        at += column.width
    return np.array(found)
