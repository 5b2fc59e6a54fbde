"""Older copies of a ledger: how one is recognised, and what it costs to go on with it.

A ledger that was restored from a backup lacks heads that this hospital's own
list (``listed_heads.py``) or others hold. They may be *written off*: they stand in
the row that books what was lost, and so count as known.

What a lost part has spent is not known. Its filter has admitted no more than the
capacity, of which it shared with this copy what was sent before the two forked:
so it has spent at most the rest, beside all that this copy has spent. Where they
forked is read from the hospital's own list, whose lines followed each other. A
lost head that the list does not hold may stand for a part of its own that
forked before the first entry: nothing signed says otherwise.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from operator import attrgetter

from compliance.ledger.chain import Chain, broken, require_budget, verified
from compliance.ledger.entries import UNOPENED, Entry, Partition, Rho, State
from compliance.ledger.listed_heads import Heads, LedgerHead
from protocol.encoding import canonical, parse_canonical
from protocol.errors import LedgerBroken, MessageRefused, StoreBroken

_UPPER: Callable[[Rho], int] = attrgetter("upper")
_LOWER: Callable[[Rho], int] = attrgetter("lower")
#: The kind of rounds of a plan that books what lost parts can have spent; no study has it.
WRITTEN_OFF = "written off"


@contextmanager
def listing() -> Iterator[None]:
    """Lets what is wrong with the ledger's list be told as the ledger's."""
    try:
        yield
    except StoreBroken as error:
        raise LedgerBroken(str(error)) from error


def require_newest(chain: Chain, heads: Heads) -> None:
    """Refuses a ledger that lacks the newest head that the hospital has listed outside it.

    Raises:
        LedgerBroken: it is an older copy, or the list is missing or was changed.
    """
    with listing():
        newest = heads.newest()
    entry = chain.entry(newest.number) if newest.number else None
    if newest.number and (entry is None or entry.hash != newest.hash):
        require_known(chain, [newest.hash])


def require_known(chain: Chain, remembered: Iterable[str]) -> None:
    """Refuses a ledger that lacks a head which somebody holds of it.

    Raises:
        LedgerBroken: the ledger is an older copy, or damaged.
    """
    missing = missing_heads(chain, remembered)
    if missing:
        raise LedgerBroken(
            f"the ledger went back in time: it once had the head {missing[0][:16]}, which is "
            "not on its chain. Restore the newest copy before any further release; if there is "
            "none: collegium silo ledger write-off"
        )


def missing_heads(chain: Chain, remembered: Iterable[str]) -> list[str]:
    """Returns the heads that an intact ledger neither holds nor has written off, each once."""
    entries = verified_or_empty(chain)
    known = {UNOPENED, *(entry.hash for entry in entries)}
    if chain.budget() is not None:
        known.add(require_budget(chain).hash)
    for entry in entries:
        if (entry.state, entry.round_kind) == (State.RESERVED, WRITTEN_OFF):
            known |= set(_lost_heads(entry))
    return [head for head in dict.fromkeys(remembered) if head not in known]


def verified_or_empty(chain: Chain) -> Sequence[Entry]:
    """Returns all entries of an intact ledger; none before its budget was opened."""
    if chain.budget() is None and chain.last() is None:
        return ()
    return verified(chain)


def forks_of(
    entries: Sequence[Entry], missing: Collection[str], listed: Sequence[LedgerHead]
) -> tuple[int, ...]:
    """Returns, for each part that was lost, the number of the newest entry it surely shared.

    Args:
        entries: this copy's.
        missing: the heads that were lost.
        listed: the hospital's own list, oldest first.
    """
    numbers = {entry.hash: entry.number for entry in entries}
    forks: list[int] = []
    shared, within = 0, False
    for head in listed:
        if head.hash in numbers:
            shared, within = numbers[head.hash], False
        elif head.hash in missing and not within:
            forks.append(shared)
            within = True
    return (*forks, *(0 for head in missing if head not in {line.hash for line in listed}))


def lost_at_most(
    entries: Sequence[Entry], partition: Partition, capacity: Rho, forks: Iterable[int]
) -> Rho:
    """Returns what lost parts can have spent beside what this copy has spent.

    A lost part has kept within the capacity at one of the two orders, and nobody knows
    at which. So both are charged until they show the larger of the two parts. Several lost
    parts may have kept within different orders; each is then a whole budget of its own.
    """
    paid = (partition, "both")
    sent = [e for e in entries if e.state is State.SENT and e.partition in paid]
    places = tuple(forks)

    def spent(rho_of: Callable[[Rho], int], until: int | None = None) -> int:
        return sum(rho_of(e.rho) for e in sent if until is None or e.number <= until)

    def together(rho_of: Callable[[Rho], int]) -> Fraction:
        held = rho_of(capacity)
        lost = sum(max(0, held - spent(rho_of, fork)) for fork in places)
        return Fraction(spent(rho_of) + lost, held) if held else Fraction(0)

    part = max(together(_UPPER), together(_LOWER))
    return Rho(
        max(0, math.ceil(part * capacity.upper) - spent(_UPPER)),
        max(0, math.ceil(part * capacity.lower) - spent(_LOWER)),
    )


def written_off(partition: Partition, rho: Rho, heads: Sequence[str], signed_by: str) -> Entry:
    """Returns the plan that books what lost parts can have spent of a partition."""
    said = {"heads": list(heads), "signed_by": signed_by}
    return Entry(
        state=State.RESERVED,
        study="",
        run="",
        partition=partition,
        round_kind=WRITTEN_OFF,
        event_json=canonical(said).decode(),
        rho_upper=rho.upper,
        rho_lower=rho.lower,
    )


def _lost_heads(entry: Entry) -> list[str]:
    try:
        said = parse_canonical(entry.event_json.encode())
    except MessageRefused as error:
        raise broken(entry.number, "does not say what was written off") from error
    heads = said.get("heads") if isinstance(said, Mapping) else None
    if not isinstance(heads, Sequence):
        raise broken(entry.number, "does not say what was written off")
    return [str(head) for head in heads]
