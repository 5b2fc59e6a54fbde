"""Small counts: what may be said of a count of patients or rows that is below ten.

Rules:

1. A count from 1 to 9 is said as "fewer than 10", and so is a part of which all but 1 to 9 is said.
2. A count is not shown either where sums of shown counts would give a small one away.
3. Zero is shown: that nobody is there is nobody's secret.
"""

from collections.abc import Mapping, Sequence, Set
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.counted import counted

#: The smallest count that is shown.
LEAST = 10
FEWER: Literal["fewer than 10"] = "fewer than 10"
HIDDEN: Literal["not shown"] = "not shown"

#: A count as it is shown: the number, that it is small, or that it would give a small one away.
ShownCount: TypeAlias = int | Literal["fewer than 10", "not shown"]

#: A count that is the sum of others.
Sum: TypeAlias = tuple[str, Sequence[str]]


def is_small(count: int) -> bool:
    """Whether a count is one of those that are not shown.

    >>> [is_small(count) for count in (0, 1, 9, 10)]
    [False, True, True, False]
    """
    return 0 < count < LEAST


def few(count: int, noun: str) -> str:
    """Returns a count with its noun, or that it is small.

    >>> few(3, "patient"), few(10, "patient"), few(0, "patient")
    ('fewer than 10 patients', '10 patients', '0 patients')
    """
    return f"{FEWER} {noun}s" if is_small(count) else counted(count, noun)


def told(count: int) -> ShownCount:
    """Returns a count, or that it is small.

    >>> told(0), told(3), told(10)
    (0, 'fewer than 10', 10)
    """
    return FEWER if is_small(count) else count


def in_words(count: ShownCount) -> str:
    """Returns a count as it stands in a sentence.

    >>> in_words(told(9)), in_words(told(12345))
    ('fewer than 10', '12,345')
    """
    return f"{count:,}" if isinstance(count, int) else count


def part_of(part: int, whole: int) -> str:
    """Returns a part of a whole, which says nothing closer than ten about the part or the rest.

    >>> part_of(12, 40), part_of(3, 40), part_of(38, 40)
    ('12 of 40', 'fewer than 10 of 40', 'all but fewer than 10 of 40')
    >>> part_of(3, 5), part_of(40, 40)
    ('some of fewer than 10', '40 of 40')
    """
    if is_small(whole):
        return f"{'all' if part == whole else 'some'} of {FEWER}" if part else f"none of {FEWER}"
    if is_small(part):
        return f"{FEWER} of {whole}"
    return f"all but {FEWER} of {whole}" if is_small(whole - part) else f"{part} of {whole}"


def shown_part(part: int, whole: int) -> ShownCount:
    """Returns a part of a whole as it is shown where the whole is shown too.

    >>> shown_part(3, 40), shown_part(38, 40), shown_part(12, 40)
    ('fewer than 10', 'not shown', 12)
    """
    if is_small(part):
        return FEWER
    return HIDDEN if part and is_small(whole - part) else part


def share_of(part: int, whole: int) -> str:
    """Returns a part's share in brackets, or nothing where it would tell a small count.

    >>> share_of(12, 40), share_of(3, 40)
    (' (30.0%)', '')
    """
    hidden = not whole or is_small(part) or is_small(whole - part)
    return "" if hidden else f" ({part / whole:.1%})"


def shown(
    counts: Mapping[str, int],
    sums: Sequence[Sum] = (),
    implied: frozenset[str] = frozenset(),
    first: frozenset[str] = frozenset(),
) -> dict[str, ShownCount]:
    """Returns counts as they are shown.

    Args:
        counts: by name.
        sums: names whose count is the sum of others' counts.
        implied: names that are shown nowhere, and follow from others all the same.
        first: names that are hidden rather than others.

    Guarantee: no count from 1 to 9 is shown, nor is it fixed by the shown counts, the sums and that
    a small count is 1 to 9 and no count is negative.
    """
    small = {name for name, count in counts.items() if is_small(count)}
    hidden = small | implied
    among = [{total, *parts} for total, parts in sums]
    while (fixed := _fixed(counts, sums, small, hidden)) & small:
        unknown = hidden - (fixed - small)
        alone = [names for names in among if len(names & unknown) == 1 and names & small & fixed]
        choice = _all_of(alone) - hidden or _all_of(among) - hidden
        if not choice:
            break
        hidden = hidden | {min(choice, key=lambda name: (name not in first, not counts[name],
                                                         counts[name], name))}  # fmt: skip
    for name in sorted(hidden - small - implied - first, key=lambda name: -counts[name]):
        if not _fixed(counts, sums, small, hidden - {name}) & small:
            hidden = hidden - {name}
    return {
        name: FEWER if name in small else HIDDEN if name in hidden else count
        for name, count in counts.items()
        if name not in implied
    }


def _all_of(several: Sequence[set[str]]) -> set[str]:
    return {name for names in several for name in names}


def _fixed(
    counts: Mapping[str, int], sums: Sequence[Sum], small: set[str], hidden: Set[str]
) -> set[str]:
    """Returns the hidden counts that the shown ones fix."""
    unknown = sorted(hidden)
    if not unknown:
        return set()
    place = {name: number for number, name in enumerate(unknown)}
    rows = []
    for total, parts in sums:
        row = np.zeros(len(unknown))
        for name, sign in ((total, -1.0), *((part, 1.0) for part in parts)):
            if name in place:
                row[place[name]] += sign
        if row.any():
            rows.append(row)
    fixed = _fixed_by_equations(np.array(rows).reshape(-1, len(unknown)))
    fixed |= _fixed_by_bounds(counts, sums, small, place)
    return {name for name in unknown if place[name] in fixed}


def _fixed_by_equations(rows: NDArray[np.float64]) -> set[int]:
    """Returns the unknowns to which linear equations leave no freedom."""
    count = rows.shape[1]
    if not len(rows):
        return set()
    _, values, vectors = np.linalg.svd(rows, full_matrices=True)
    free = vectors[int((values > 1e-9).sum()) :]
    return {n for n in range(count) if not len(free) or np.abs(free[:, n]).max() < 1e-9}


def _fixed_by_bounds(
    counts: Mapping[str, int], sums: Sequence[Sum], small: set[str], place: Mapping[str, int]
) -> set[int]:
    """Returns the unknowns to which sums leave one number, given what everybody knows of each."""
    low = {n: (1 if n in small else 0) if n in place else c for n, c in counts.items()}
    most = max(counts.values(), default=0)
    high = {n: (LEAST - 1 if n in small else most) if n in place else c for n, c in counts.items()}
    for _ in range(len(counts)):
        before = dict(low), dict(high)
        for total, parts in sums:
            low[total] = max(low[total], sum(low[part] for part in parts))
            high[total] = min(high[total], sum(high[part] for part in parts))
            for part in parts:
                others = [other for other in parts if other != part]
                low[part] = max(low[part], low[total] - sum(high[other] for other in others))
                high[part] = min(high[part], high[total] - sum(low[other] for other in others))
        if before == (low, high):
            break
    return {number for name, number in place.items() if low[name] == high[name]}
