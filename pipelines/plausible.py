"""Faults of a whole cohort that every single cell hides: wrong units, doubled rows, a key per stay.

Rules:

1. What is said names columns, ranges of the contract and counts, never a value.
2. Most numbers of a column outside its range are a wrong unit, and most rows
   written twice are a file joined to itself: both are refused. Less is a remark.
3. With ``patient_key: row`` two patients may be alike, so equal rows are a remark.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Records
from protocol.contract import Cohort, NumberColumn, TableCohort
from protocol.errors import CohortRefused

#: Above this part of a column's measured numbers a remark becomes a warning.
MANY_CLIPPED = 0.05
#: Above this part the records are refused.
MOST = 0.5
#: Of fewer measured numbers, or rows, no part means anything: nothing is refused.
FEW = 10


@dataclass(frozen=True, kw_only=True)
class Remark:
    """One thing that was counted; ``remedy`` is empty where it is as it should be."""

    what: str
    found: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Clipped:
    """A number column of which cells were clipped to its range.

    ``cells`` of the ``measured`` ones, which are those that were not imputed.
    """

    column: NumberColumn
    cells: int
    measured: int

    @property
    def share(self) -> float:
        """The part of the measured numbers that was clipped."""
        return self.cells / self.measured

    def __str__(self) -> str:
        low, high = self.column.range
        return (
            f"column {self.column.name!r}: {self.cells} of {self.measured} numbers lie outside the "
            f"range [{low:g}, {high:g}] and are clipped to it"
        )


def clipped(*parts: Records, cohort: Cohort) -> tuple[Clipped, ...]:
    """Returns the columns of which numbers were clipped, in the contract's order."""
    if not isinstance(cohort, TableCohort):
        return ()
    rows = _rows(parts)
    noted = parts[0].noted
    found = []
    for column in cohort.features:
        if isinstance(column, NumberColumn) and column.name in noted.clipped:
            cells = int(np.isin(rows, noted.clipped[column.name]).sum())
            imputed = noted.imputed.get(column.name, np.array([], dtype=np.int64))
            measured = len(rows) - int(np.isin(rows, imputed).sum())
            if cells:
                found.append(Clipped(column=column, cells=cells, measured=measured))
    return tuple(found)


def repeated_rows(*parts: Records) -> int:
    """Returns how many rows stand in the file more than once, equal in every cell."""
    return int(np.isin(_rows(parts), parts[0].noted.repeated).sum())


def some_patient_returns(records: Records) -> bool:
    """Returns whether any patient has a second record."""
    return records.num_patients < len(records)


def require_plausible(*parts: Records, cohort: Cohort, site: str) -> None:
    """Refuses records of which most are in another unit, or written twice.

    Raises:
        CohortRefused: the first such column and its range, or the count of equal rows.
    """
    for column in clipped(*parts, cohort=cohort):
        if column.measured >= FEW and column.share > MOST:
            raise CohortRefused(
                f"site {site}: {column}; are they in the study's unit? Convert the column, or ask "
                "for a wider range"
            )
    rows, repeated = sum(len(part) for part in parts), repeated_rows(*parts)
    if cohort.patient_key != "row" and rows >= FEW and repeated > MOST * rows:
        raise CohortRefused(f"site {site}: {_repeated_words(repeated, rows)}; {_WRITE_ONCE}")


def remarks(records: Records, cohort: Cohort) -> Iterator[Remark]:
    """Yields what was counted of one hospital's records."""
    for column in clipped(records, cohort=cohort):
        many = column.share > MANY_CLIPPED
        yield Remark(
            what="clipped",
            found=f"{column} ({column.share:.1%})",
            remedy="compare the column's unit and its codes for missing with the study's"
            if many
            else "",
        )
    repeated = repeated_rows(records)
    if repeated:
        yield Remark(
            what="equal rows",
            found=_repeated_words(repeated, len(records)),
            remedy=_ONE_PATIENT if cohort.patient_key == "row" else _WRITE_ONCE,
        )


def nobody_returns(records: Records, cohort: Cohort) -> Remark | None:
    """Returns the remark that no patient has a second record where the study has room for more."""
    if cohort.patient_key == "row" or cohort.max_records_per_patient < 2:
        return None
    if not len(records) or some_patient_returns(records):
        return None
    return Remark(
        what="patient key",
        found=f"no patient has a second record: {len(records)} records, as many patients; the "
        f"study has room for {cohort.max_records_per_patient} of each",
        remedy=f"if column {cohort.patient_key!r} is a key per stay, put the patient's own key "
        "there: privacy by patient cannot be kept otherwise",
    )


_ONE_PATIENT = (
    "if two of them are one patient's, write one: every row counts as a patient, and one written "
    "twice is protected half as well"
)
_WRITE_ONCE = (
    "write each record once; where they are records of their own, add a column that tells them "
    "apart (a date, a stay's number), which the study does not read"
)


def _repeated_words(repeated: int, rows: int) -> str:
    return f"{repeated} of {rows} rows are equal to another row in every cell"


def _rows(parts: tuple[Records, ...]) -> NDArray[np.int64]:
    return np.concatenate([part.rows for part in parts])
