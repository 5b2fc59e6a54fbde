"""The chain of a ledger's rows: each follows the one before it, and none is missing.

``ledger.py`` decides what is booked; this file says whether what was booked is
still whole.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from compliance.ledger.entries import UNOPENED, Budget, Entry, Payers, Rho, State
from protocol.errors import LedgerBroken, PolicyRefused


class Chain(Protocol):
    """The rows, inside one transaction."""

    def budget(self) -> Budget | None:
        """Returns the budget, or None before it was opened."""

    def save_budget(self, budget: Budget) -> None:
        """Writes the budget."""

    def last(self) -> Entry | None:
        """Returns the newest entry."""

    def entries(self) -> Sequence[Entry]:
        """Returns all entries in order."""

    def entry(self, number: int) -> Entry | None:
        """Returns one entry."""

    def is_followed(self, head: str) -> bool:
        """Whether an entry follows the entry, or the budget, with this hash."""

    def booked(self, reservation: int, state: State) -> Rho:
        """Returns the sum of rho over a reservation's own entries in a state."""

    def sent(self, context: str) -> Entry | None:
        """Returns the SENT entry of a context."""

    def released(self, reservation: int, content: str) -> bool:
        """Whether a reservation holds a SENT entry of this noised vector."""

    def total(self, partition: Payers, state: State) -> Rho:
        """Returns the sum of rho over a partition's entries in a state."""

    def append(self, entry: Entry) -> None:
        """Writes an entry."""


def require_budget(chain: Chain) -> Budget:
    """Returns the budget, after checking that it is as it was opened.

    Raises:
        PolicyRefused: none was opened.
        LedgerBroken: it was lost or changed.
    """
    budget = chain.budget()
    if budget is None and chain.last() is not None:
        raise LedgerBroken("the ledger has entries but no budget: restore it from a backup")
    if budget is None:
        raise PolicyRefused("this hospital has not opened a privacy budget: open one first")
    if budget.hash != budget.computed_hash:
        raise LedgerBroken("the budget was changed after it was opened: restore it from a backup")
    return budget


def head_of(chain: Chain) -> str:
    """Returns the newest entry's hash; of the budget, when there is none; else ``UNOPENED``."""
    last = chain.last()
    if last is not None:
        return last.hash
    return UNOPENED if chain.budget() is None else require_budget(chain).hash


def append_to(chain: Chain, draft: Entry, now: str) -> Entry:
    """Numbers, dates, chains and writes a row; the row before must be intact."""
    last = chain.last()
    if last is not None and last.hash != last.computed_hash:
        raise broken(last.number, "was changed")
    unsealed = replace(
        draft,
        number=last.number + 1 if last else 1,
        created_at=now,
        prev_hash=head_of(chain),
    )
    entry = replace(unsealed, hash=unsealed.computed_hash)
    chain.append(entry)
    return entry


def broken(number: int, what: str) -> LedgerBroken:
    """Returns the refusal of a ledger in which an entry is not as it was booked."""
    return LedgerBroken(
        f"ledger entry {number} {what}: nothing may be released on it. Restore the newest intact "
        "copy"
    )


def verified(chain: Chain) -> Sequence[Entry]:
    """Returns all entries, after checking that each follows the one before.

    Raises:
        LedgerBroken: names the first that does not.
    """
    previous = require_budget(chain).hash
    entries = chain.entries()
    for place, entry in enumerate(entries, start=1):
        if entry.number != place:
            raise broken(place, "is missing")
        if entry.hash != entry.computed_hash:
            raise broken(place, "was changed")
        if entry.prev_hash != previous:
            raise broken(place, "does not follow the entry before it")
        previous = entry.hash
    return entries
