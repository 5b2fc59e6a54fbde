"""Other units: a column whose numbers, most or some, make sense in another unit than is said.

Rules:

1. It is found and named, and nothing is converted by it: a hospital says in which unit its numbers
   are, and a study names what it converts.
2. What is said holds ranges, units and shares of at least ten numbers, never a number.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.inspection.thresholds import FEW, MANY, MOST
from pipelines.sources.cell_patterns import is_missing_number
from pipelines.sources.cells import Cells
from pipelines.sources.column_cells import CellProblem
from pipelines.sources.faults.small_counts import is_small
from protocol.study.cohort.columns import NumberColumn
from protocol.study.cohort.units import UNCHANGED, Conversion, everyday_unit, well_known
from protocol.study.cohort.vocabulary import NUMERAL

#: From this part of the numbers inside the range, read in another unit, that unit is named.
_NEARLY_ALL = 0.9
#: A part of fewer different numbers is not looked at for itself: codes for missing are few.
_DIFFERENT = 3


@dataclass(frozen=True, kw_only=True)
class OtherUnit(CellProblem):
    """A finding of one column: what shows it, and what to do.

    ``how`` makes the column's unit of the one that was found.
    """

    how: Conversion


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    unit: str
    how: Conversion
    is_converted: bool


def other_unit(
    cells: Cells, column: NumberColumn, missing: frozenset[str], now: Conversion = UNCHANGED
) -> OtherUnit | None:
    """Returns in which unit a column's numbers, or some of them, seem to be; or None.

    None where they fit, and where nothing fits.

    Args:
        cells: the column's.
        column: its contract, with a unit; of a column without one nothing is known.
        missing: the spellings that mean missing.
        now: the conversion by which the numbers are read.
    """
    if column.unit is None:
        return None
    spelled = [
        (float(text), count)
        for text, count in zip(
            cells.spellings, np.bincount(cells.codes, minlength=len(cells.spellings)), strict=True
        )
        if text not in missing and text not in column.replace and NUMERAL.fullmatch(text)
    ]
    numbers, counts = np.array([n for n, _ in spelled]), np.array([c for _, c in spelled])
    total = int(counts.sum())
    if total < FEW:
        return None
    outside = ~_inside(numbers, column, now)

    def fitting(among: NDArray[np.bool_]) -> list[tuple[float, _Candidate]]:
        own, of_each = numbers[among], counts[among]
        shares = [
            (float(of_each[_inside(own, column, c.how)].sum() / of_each.sum()), c)
            for c in _candidates(column)
            if c.how != now
        ]
        return [one for one in shares if one[0] >= _NEARLY_ALL]

    share_outside = float(counts[outside].sum() / total)
    if share_outside > MOST:
        whole = fitting(np.ones_like(outside))
        if whole:
            share, found = max(whole, key=lambda one: one[0])
            what = _said(column, share_outside, share, found.unit)
            return OtherUnit(name="wrong-unit", what=what, remedy=_do(column, found), how=found.how)
    odd = outside & ~np.array([is_missing_number(number) for number in numbers.tolist()])
    some = int(counts[odd].sum())
    if some < max(FEW, MANY * total) or odd.sum() < _DIFFERENT:
        return None
    middle = _median(numbers[~outside], counts[~outside], now)
    others = [one for _, one in fitting(odd)]
    if not others:
        return None
    found = min(others, key=lambda c: abs(_median(numbers[odd], counts[odd], c.how) - middle))
    explained = int(counts[outside & _inside(numbers, column, found.how)].sum())
    return _partly(column, explained, total, found) if explained >= FEW else None


def _inside(
    numbers: NDArray[np.float64], column: NumberColumn, how: Conversion
) -> NDArray[np.bool_]:
    """Returns which numbers are in a column's range once they are converted."""
    converted = numbers * how.scale + how.offset
    low, high = column.range
    return np.asarray((low <= converted) & (converted <= high))


def _median(numbers: NDArray[np.float64], counts: NDArray[np.int64], how: Conversion) -> float:
    """Returns the median of numbers once they are converted, each counted; 0 of none."""
    return how.of(float(np.median(np.repeat(numbers, counts)))) if len(numbers) else 0.0


def _candidates(column: NumberColumn) -> Iterable[_Candidate]:
    """Yields the contract's units, then those that everybody converts alike."""
    unit = str(column.unit)
    yield _Candidate(unit=unit, how=UNCHANGED, is_converted=True)
    for name, how in column.conversions.items():
        yield _Candidate(unit=name, how=how, is_converted=True)
    for name, how in well_known(unit).items():
        if column.conversion(name) is None:
            yield _Candidate(unit=everyday_unit(name), how=how, is_converted=False)


def _said(column: NumberColumn, outside: float, inside: float, unit: str) -> str:
    low, high = column.range
    return (
        f"{outside:.0%} of the cells are outside [{low:g}, {high:g}], and {inside:.0%} are inside "
        f"as {unit}"
    )


def _partly(column: NumberColumn, count: int, total: int, found: _Candidate) -> OtherUnit:
    low, high = column.range
    share = "nearly all" if is_small(total - count) else f"{count / total:.0%}"
    return OtherUnit(
        name="some-in-another-unit",
        what=f"{share} of the cells are outside [{low:g}, {high:g}] and would be inside as "
        f"{found.unit}",
        remedy=f"are they in {found.unit}? Then export the whole column in {column.unit}; else ask "
        "for a wider range",
        how=found.how,
    )


def _do(column: NumberColumn, found: _Candidate) -> str:
    if found.is_converted:
        return f"write units: {{{column.name}: {found.unit}}} under data in the site file"
    how = f"{found.how.scale:.12g}"
    if found.how.offset:
        how = f"{{scale: {how}, offset: {found.how.offset:.12g}}}"
    return (
        f"convert the column to {column.unit}, or ask the study's author to write units: "
        f"{{{found.unit}: {how}}} for it"
    )
