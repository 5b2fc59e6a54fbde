"""Other units: a column of which most numbers make sense in another unit than they are read in.

Rules:

1. It is found and named, and nothing is converted by it: a hospital says in which unit its numbers
   are, and a study names what it converts.
2. What is said holds ranges, units and shares of at least ten numbers, never a number.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipelines.sources.cells import Cells
from protocol.study.cohort.columns import NumberColumn
from protocol.study.cohort.units import UNCHANGED, Conversion, everyday_unit, well_known
from protocol.study.cohort.vocabulary import NUMERAL

#: Above this part of the numbers outside the range they are taken to be in another unit.
_MOST = 0.5
#: From this part of the numbers inside it a unit is named.
_NEARLY_ALL = 0.9
#: Of fewer numbers no part means anything.
_FEW = 10


@dataclass(frozen=True, kw_only=True)
class OtherUnit:
    """A finding of one column: what shows it, and what to do."""

    what: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    unit: str
    how: Conversion
    is_converted: bool


def other_unit(
    cells: Cells, column: NumberColumn, missing: frozenset[str], now: Conversion = UNCHANGED
) -> OtherUnit | None:
    """Returns in which unit a column's numbers seem to be, or None where they fit or nothing fits.

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
    if counts.sum() < _FEW:
        return None

    def share(how: Conversion) -> float:
        converted = numbers * how.scale + how.offset
        low, high = column.range
        return float(counts[(low <= converted) & (converted <= high)].sum() / counts.sum())

    inside = share(now)
    if 1 - inside <= _MOST:
        return None
    fitting = [(share(c.how), c) for c in _candidates(column) if c.how != now]
    best, found = max(fitting, key=lambda one: one[0], default=(0.0, None))
    if found is None or best < _NEARLY_ALL:
        return None
    return OtherUnit(what=_said(column, 1 - inside, best, found.unit), remedy=_do(column, found))


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
