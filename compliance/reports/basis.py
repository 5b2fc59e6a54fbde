"""The basis of a statement: evidenced by entries of the log, declared by a person, or missing.

Rules:

1. A sentence of a report that says what is so stands in a ``ReportClaim``, and a claim has one
   basis.
2. Nothing is evidenced without an entry of the log. A statement of what a person says is
   declared, with the name and the day. What nobody has said is missing, with what to do.
3. The software's authors are a person in this sense: what holds of the method, whoever uses it,
   is declared by them for their version.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


@dataclass(frozen=True, kw_only=True)
class Evidenced:
    """Shown by entries of the audit log: their numbers, in order.

    Raises:
        ValueError: there is none, or they are out of order.
    """

    entries: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.entries or list(self.entries) != sorted(set(self.entries)):
            raise ValueError("evidence is at least one entry of the log, each once, in order")


@dataclass(frozen=True, kw_only=True)
class Declared:
    """Said by a person, or by the software's authors, on a day (or for a version)."""

    by: str
    on: str


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Not available: why, and what to do about it."""

    why: str
    remedy: str


Basis: TypeAlias = Evidenced | Declared | Missing

#: Mark and word of each basis; the mark has another form, not only another colour.
MARKS: dict[type, tuple[str, str]] = {
    Evidenced: ("●", "evidenced"),
    Declared: ("◆", "declared"),
    Missing: ("○", "missing"),
}


@dataclass(frozen=True, kw_only=True)
class ReportClaim:
    """One statement, what it is about, and its basis."""

    topic: str
    text: str
    basis: Basis


@dataclass(frozen=True, kw_only=True)
class Claims:
    """Statements under a title; without one they stand under that of their section."""

    title: str
    items: tuple[ReportClaim, ...]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The number of statements of each basis."""

    evidenced: int = 0
    declared: int = 0
    missing: int = 0

    def __str__(self) -> str:
        return f"{self.evidenced} evidenced, {self.declared} declared, {self.missing} missing"


class ControlState(Enum):
    """Whether a control of a text is shown by the log."""

    EVIDENCED = "evidenced"
    NOT_EVIDENCED = "not evidenced"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, kw_only=True)
class ControlResult:
    """One control of a text, and whether the log shows it: by which entries, or what is lacking."""

    control: str
    text: str
    asks: str
    state: ControlState
    entries: tuple[int, ...] = ()
    said: str = ""


@dataclass(frozen=True, kw_only=True)
class ReportRecipe:
    """All that a report was made of, so that it can be made again, byte for byte.

    ``until`` is the number of entries of the log that were looked at; ``declarations`` the digest
    of the consortium's declarations, empty where there were none.
    """

    kind: str
    scope: str
    name: str
    until: int
    declarations: str
    version: str


def counted_claims(claims: Iterable[ReportClaim]) -> Counts:
    """Returns how many statements have each basis.

    >>> one = ReportClaim(topic="", text="", basis=Evidenced(entries=(3,)))
    >>> str(counted_claims([one, one]))
    '2 evidenced, 0 declared, 0 missing'
    """
    kinds = [type(claim.basis) for claim in claims]
    return Counts(
        evidenced=kinds.count(Evidenced),
        declared=kinds.count(Declared),
        missing=kinds.count(Missing),
    )


def basis_text(basis: Basis) -> str:
    """Returns a basis in words.

    >>> basis_text(Evidenced(entries=(1, 2, 3, 7)))
    'evidenced: log entries 1 to 3, 7'
    >>> basis_text(Declared(by="Dr. Ada Moss", on="2026-11-02"))
    'declared by Dr. Ada Moss, 2026-11-02'
    """
    match basis:
        case Evidenced():
            noun = "entry" if len(basis.entries) == 1 else "entries"
            return f"evidenced: log {noun} {entry_ranges(basis.entries)}"
        case Declared():
            return f"declared by {basis.by}, {basis.on}"
        case Missing():
            return f"missing: {basis.why}. To do: {basis.remedy}"


#: Longer lists of ranges name the first and the last, and how many there are.
_MOST_RANGES = 12


def entry_ranges(entries: Sequence[int]) -> str:
    """Returns numbers of entries as ranges.

    >>> entry_ranges((0, 4, 5, 6, 9))
    '0, 4 to 6, 9'
    >>> entry_ranges(tuple(range(0, 60, 2)))
    '0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20 ... 58 (30 entries)'
    """
    ranges: list[list[int]] = []
    for entry in entries:
        if ranges and entry == ranges[-1][1] + 1:
            ranges[-1][1] = entry
        else:
            ranges.append([entry, entry])
    said = [str(low) if low == high else f"{low} to {high}" for low, high in ranges]
    if len(said) <= _MOST_RANGES:
        return ", ".join(said)
    return f"{', '.join(said[: _MOST_RANGES - 1])} ... {said[-1]} ({len(entries):,} entries)"
