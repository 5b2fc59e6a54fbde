"""One booking: whether it is allowed, what it costs, the entry, and what proves it.

``ledger.py`` has the rules.
"""

from collections.abc import Sequence
from dataclasses import replace

from compliance.ledger.balances import committed_rho, is_closed, open_plans, runs_of
from compliance.ledger.chain import Chain, broken
from compliance.ledger.entries import (
    PARTITIONS,
    PAYERS,
    Budget,
    Entry,
    Partition,
    Payers,
    Reservation,
    Rho,
    SentToken,
    State,
)
from compliance.privacy.events import SampledGaussian
from compliance.privacy.rounding import percent, percent_left
from protocol.encoding import canonical, parse_canonical
from protocol.errors import (
    BudgetSpent,
    MessageRefused,
    PolicyRefused,
    UpdateRefused,
)


def require_payers(partition: str) -> None:
    """Refuses a partition that names no payers.

    Raises:
        ValueError: it does not.
    """
    if partition not in PAYERS:
        raise ValueError(f"partition must be one of {', '.join(PAYERS)}: {partition!r}")


def admitted_price(chain: Chain, budget: Budget, payers: Payers, event: SampledGaussian) -> Rho:
    """Returns the price of a plan that fits; the filter's decision."""
    if event.is_nothing:
        raise ValueError("a plan without steps or without patients releases nothing")
    price = budget.price(event)
    if price is None:
        raise BudgetSpent("the plan protects patients with no finite epsilon: raise its noise")
    for partition in PARTITIONS if payers == "both" else (payers,):
        _require_held(budget, partition, committed_rho(chain, partition), price)
    return price


def _require_held(budget: Budget, partition: Partition, committed: Rho, price: Rho) -> None:
    if not budget.holds(committed + price):
        before = budget.share(committed)
        raise BudgetSpent(
            f"the {partition} patients' budget does not suffice: this plan takes "
            f"{percent(budget.share(committed + price) - before)} of it, "
            f"{percent_left(max(0.0, 1 - before))} is left (epsilon {budget.epsilon_max:g} at "
            f"delta {budget.delta:g}, for life). Ask for a smaller epsilon or fewer rounds (in a "
            "simulation: a new --out with a larger --budget)"
        )


def require_approved(entries: Sequence[Entry], study: str, run: str, max_runs: int | None) -> None:
    """Refuses a run beyond those that people have approved.

    Raises:
        PolicyRefused: the others have used them.
    """
    others = [other for other in runs_of(entries, study) if other != run]
    if max_runs is not None and len(others) >= max_runs:
        raise PolicyRefused(
            f"{len(others)} of {max_runs} approved runs of study {study[:16]} are used here "
            f"({', '.join(others)}): another run needs another approval: collegium silo approve"
        )


def open_reservation(entries: Sequence[Entry], owner: tuple[str, str, Payers, str]) -> Entry | None:
    """Returns the open plan of a study, run, payers and kind of rounds, if any."""
    for entry in open_plans(entries):
        if (entry.study, entry.run, entry.partition, entry.round_kind) == owner:
            return entry
    return None


def require_reservation(chain: Chain, reservation: Reservation) -> Entry:
    """Returns the reservation's own row, after checking that it says the same."""
    row = chain.entry(reservation.number)
    if row is None or row.state is not State.RESERVED:
        raise broken(reservation.number, "is not a reservation")
    if row.hash != row.computed_hash:
        raise broken(row.number, "was changed")
    if reservation_of(row) != reservation:
        raise broken(row.number, "holds another plan than the one at hand")
    return row


def reservation_of(entry: Entry) -> Reservation:
    """Returns the reservation that an entry is."""
    return Reservation(
        number=entry.number,
        study=entry.study,
        run=entry.run,
        partition=entry.partition,
        round_kind=entry.round_kind,
        event=stored_event(entry),
        rho=entry.rho,
    )


def child_of(parent: Entry, state: State, rho: Rho) -> Entry:
    """Returns a draft of what follows from a plan, at a price."""
    return replace(
        parent,
        state=state,
        parent=parent.number,
        rho_upper=rho.upper,
        rho_lower=rho.lower,
        event_json="",
    )


def price_of_share(budget: Budget, parent: Entry, event: SampledGaussian) -> Rho:
    """Returns what one release of a plan costs.

    Raises:
        BudgetSpent: it has no finite epsilon.
        ValueError: it releases nothing.
    """
    if event.is_nothing:
        raise ValueError("a release without steps or without patients is no release")
    plan = stored_event(parent)
    if replace(plan, steps=event.steps) == event:  # a part of the plan costs exactly its part
        step = Rho(parent.rho_upper // plan.steps, parent.rho_lower // plan.steps)
        return step.times(event.steps)
    price = budget.price(event)
    if price is None:
        raise BudgetSpent("this release has no finite epsilon: it must not be sent")
    return price


def require_room(chain: Chain, parent: Entry, price: Rho) -> None:
    """Refuses a release that its plan does not hold.

    Raises:
        BudgetSpent: says what is left.
    """
    if is_closed(chain, parent):
        raise BudgetSpent(f"the plan of run {parent.run} is settled: reserve a new one")
    rest = parent.rho - chain.booked(parent.number, State.SENT)
    if not price.fits_into(rest):
        raise BudgetSpent(
            f"the plan of run {parent.run} does not hold this release: it needs "
            f"{percent(price.upper / parent.rho_upper)} of the plan, "
            f"{percent_left(rest.upper / parent.rho_upper)} is left. Reserve what is missing first"
        )


def require_same_bytes(before: Entry, parent: Entry, blob: str) -> None:
    """Refuses other bytes than those that were sent in this context.

    Raises:
        UpdateRefused: they are others.
        LedgerBroken: the entry was changed.
    """
    if before.hash != before.computed_hash:
        raise broken(before.number, "was changed")
    if before.parent != parent.number or before.blob != blob:
        raise UpdateRefused("other bytes were sent in this round already: sit this round out")


def token_of(entry: Entry) -> SentToken:
    """Returns what the sender of a booked release demands."""
    return SentToken(
        number=entry.number,
        context=entry.context,
        blob=entry.blob,
        entry_hash=entry.hash,
    )


def event_text(event: SampledGaussian) -> str:
    """Returns an event as an entry keeps it."""
    return canonical(event.to_json()).decode()


def stored_event(entry: Entry) -> SampledGaussian:
    """Returns the event that an entry keeps.

    Raises:
        LedgerBroken: it cannot be read.
    """
    try:
        return SampledGaussian.from_json(parse_canonical(entry.event_json.encode()))
    except MessageRefused as error:
        raise broken(entry.number, "holds an unreadable event") from error
