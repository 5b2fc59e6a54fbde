"""Sums over a ledger's entries: spent, reserved and left, by partition, run and study."""

from collections.abc import Sequence

from compliance.ledger.chain import Chain
from compliance.ledger.entries import (
    NOTHING,
    Budget,
    Entry,
    Forecast,
    Partition,
    PartitionSummary,
    Rho,
    State,
)


def committed_rho(chain: Chain, partition: Partition) -> Rho:
    """Returns what of a partition's budget is reserved and not given back."""
    return _total(chain, partition, State.RESERVED) - _total(chain, partition, State.FREED)


def _total(chain: Chain, partition: Partition, state: State) -> Rho:
    return chain.total(partition, state) + chain.total("both", state)


def summarised(chain: Chain, budget: Budget, partition: Partition) -> PartitionSummary:
    """Returns where a partition's budget stands."""
    committed = committed_rho(chain, partition)
    spent = budget.share(_total(chain, partition, State.SENT))
    return PartitionSummary(
        partition=partition,
        spent=spent,
        reserved=budget.share(committed) - spent,
        remaining=max(0.0, 1 - budget.share(committed)),
    )


def forecast(budget: Budget, committed: Rho, prices: Sequence[Rho | None]) -> Forecast:
    """Returns what plans at these prices would take; a price is None where nothing can pay it."""
    before = budget.share(committed)
    known = [price for price in prices if price is not None]
    if len(known) < len(prices):
        return Forecast(share=None, remaining=max(0.0, 1 - before), runs=0)
    price = sum(known, NOTHING)
    return Forecast(
        share=budget.share(committed + price) - before,
        remaining=max(0.0, 1 - before),
        runs=budget.times_left(committed, price),
    )


def booked_for(entries: Sequence[Entry], run: str, partition: Partition) -> Rho:
    """Returns what a run has reserved of a partition's budget and not given back."""
    own = [e for e in entries if e.run == run and e.partition in (partition, "both")]
    reserved = sum((e.rho for e in own if e.state is State.RESERVED), NOTHING)
    return reserved - sum((e.rho for e in own if e.state is State.FREED), NOTHING)


def runs_of(entries: Sequence[Entry], study: str) -> tuple[str, ...]:
    """Returns the runs of a study that count: under way here, or something of them was sent."""
    sent = {entry.parent for entry in entries if entry.state is State.SENT}
    running = {entry.number for entry in open_plans(entries)}
    plans = (e for e in entries if (e.state, e.study) == (State.RESERVED, study))
    return tuple(dict.fromkeys(plan.run for plan in plans if plan.number in sent | running))


def open_plans(entries: Sequence[Entry]) -> list[Entry]:
    """Returns the plans that are reserved and not settled, in the order reserved."""
    closed = {e.parent for e in entries if e.state in (State.SETTLED, State.FREED)}
    return [e for e in entries if e.state is State.RESERVED and e.number not in closed]


def is_closed(chain: Chain, parent: Entry) -> bool:
    """Whether a plan was settled."""
    return any(chain.booked(parent.number, end) for end in (State.SETTLED, State.FREED))
