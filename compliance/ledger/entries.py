"""The ledger's rows and records: what is written, and the hash that seals it.

A row's hash covers every other field and the hash of the row before it, so the
rows are a chain; the budget is the link it hangs from.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, TypeAlias, get_args

from compliance.privacy.budget_filter import Filter
from compliance.privacy.divergences.renyi import rdp
from compliance.privacy.events import SampledGaussian
from protocol.encoding import digest_json

#: Test and training patients: a patient is in one of the two, or may be in both.
Partition: TypeAlias = Literal["training", "evaluation"]
PARTITIONS: tuple[Partition, ...] = get_args(Partition)
#: Whose budget a plan is charged to; "both" where a patient may have changed sides.
Payers: TypeAlias = Literal["training", "evaluation", "both"]
PAYERS: tuple[Payers, ...] = get_args(Payers)
PICO = 10**12
#: Sums beyond this are refused, whatever the other order holds: databases add up in 64 bits.
_LARGEST_SUM = 2**62
#: The head of a ledger whose budget was never opened.
UNOPENED = "0" * 64


class State(StrEnum):
    """The state that a row of the ledger records."""

    RESERVED = "RESERVED"
    SENT = "SENT"
    SETTLED = "SETTLED"
    FREED = "FREED"


@dataclass(frozen=True)
class Rho:
    """A booked amount, in whole picorho, at the budget's upper and at its lower order."""

    upper: int
    lower: int

    def __add__(self, other: "Rho") -> "Rho":
        return Rho(self.upper + other.upper, self.lower + other.lower)

    def __sub__(self, other: "Rho") -> "Rho":
        return Rho(self.upper - other.upper, self.lower - other.lower)

    def __bool__(self) -> bool:
        return self != NOTHING

    def times(self, count: int) -> "Rho":
        """Returns this, so many times."""
        return Rho(self.upper * count, self.lower * count)

    def fits_into(self, rest: "Rho") -> bool:
        """Whether it is no more than the rest at either order, as a share is of its own plan."""
        return self.upper <= rest.upper and self.lower <= rest.lower


NOTHING = Rho(0, 0)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The privacy budget of each of a hospital's patients, for life; adjacency: add or remove one.

    ``unit`` is ``patient``, or ``record`` at a hospital that protects records only.

    Orders and capacities (picorho) are computed once, when it is opened, and then
    read, so that no later version of a library can shift them (``budget_filter.py``).
    """

    epsilon_max: float
    delta: float
    upper_order: float
    lower_order: float
    upper_capacity: int
    lower_capacity: int
    signed_by: str
    opened_at: str
    unit: str = "patient"
    hash: str = ""

    @classmethod
    def of(
        cls, filter: Filter, *, signed_by: str, opened_at: str, unit: str = "patient"
    ) -> "Budget":
        """Returns the sealed budget that a filter enforces."""
        upper, lower = (math.floor(capacity * PICO) for capacity in filter.capacities)
        budget = cls(
            epsilon_max=filter.epsilon_max,
            delta=filter.delta,
            upper_order=filter.orders[0],
            lower_order=filter.orders[1],
            upper_capacity=upper,
            lower_capacity=lower,
            signed_by=signed_by,
            opened_at=opened_at,
            unit=unit,
        )
        return replace(budget, hash=budget.computed_hash)

    @property
    def capacity(self) -> Rho:
        """The capacity at its two orders."""
        return Rho(self.upper_capacity, self.lower_capacity)

    def price(self, event: SampledGaussian) -> Rho | None:
        """Returns what the event books, or None when it has no finite price at either order.

        Where it has one at one order only, a single step of it is booked as more than
        the whole capacity at the other.
        """
        if event.is_nothing:
            return NOTHING
        step = replace(event, steps=1)
        exact = rdp(step, self.upper_order), rdp(step, self.lower_order)
        if all(math.isinf(price) for price in exact):
            return None
        held = self.upper_capacity, self.lower_capacity
        upper, lower = (
            capacity + 1 if price * PICO > capacity else math.ceil(price * PICO)
            for price, capacity in zip(exact, held, strict=True)
        )
        return Rho(upper, lower).times(event.steps)

    def times_left(self, committed: Rho, price: Rho) -> int:
        """Returns how many times a price that is not nothing still fits beside what is booked."""
        if not self.holds(committed + price):
            return 0
        rest = self.capacity - committed
        pairs = ((rest.upper, price.upper), (rest.lower, price.lower))
        return max(0, *(left // cost for left, cost in pairs if cost > 0))

    def holds(self, rho: Rho) -> bool:
        """Whether it holds what is booked: at one of its orders."""
        if max(rho.upper, rho.lower) > _LARGEST_SUM:
            return False
        return rho.upper <= self.upper_capacity or rho.lower <= self.lower_capacity

    def share(self, rho: Rho) -> float:
        """Returns which part of it is booked: the smaller of the parts at its two orders.

        Above 1 where more is booked than it holds.
        """
        parts = (
            (rho.upper, self.upper_capacity),
            (rho.lower, self.lower_capacity),
        )
        return min(booked / capacity for booked, capacity in parts if capacity > 0)

    @property
    def computed_hash(self) -> str:
        """The right value of ``hash``; the first entry follows it."""
        return digest_json(
            {
                "v": 1,
                "unit": self.unit,
                "adjacency": "add-or-remove",
                "epsilon_max": repr(self.epsilon_max),
                "delta": repr(self.delta),
                "orders": [repr(self.upper_order), repr(self.lower_order)],
                "capacities": [str(self.upper_capacity), str(self.lower_capacity)],
                "signed_by": self.signed_by,
                "opened_at": self.opened_at,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row. ``parent`` is the reservation it belongs to; ``rho`` is what it books.

    ``context``, ``blob`` and ``content`` name the round in which something was
    sent, the masked bytes, and the noised vector under the mask; they are empty
    otherwise. ``version`` says which fields the row's hash covers: an old row is
    never re-interpreted.
    """

    state: State
    study: str
    run: str
    partition: Payers
    round_kind: str
    event_json: str
    rho_upper: int
    rho_lower: int
    parent: int | None = None
    context: str = ""
    blob: str = ""
    content: str = ""
    version: int = 2
    number: int = 0
    created_at: str = ""
    prev_hash: str = ""
    hash: str = ""

    @property
    def rho(self) -> Rho:
        """The booked amount, at both orders."""
        return Rho(self.rho_upper, self.rho_lower)

    @property
    def computed_hash(self) -> str:
        """The right value of ``hash``: SHA-256 over every other field."""
        sent = (
            {"blob_sha256": self.blob}
            if self.version == 1
            else {"blob": self.blob, "content": self.content}
        )
        return digest_json(
            {
                "v": self.version,
                **sent,
                "number": self.number,
                "state": self.state.value,
                "parent": self.parent,
                "study": self.study,
                "run": self.run,
                "partition": self.partition,
                "round_kind": self.round_kind,
                "context": self.context,
                "event": self.event_json,
                "rho": [str(self.rho_upper), str(self.rho_lower)],
                "created_at": self.created_at,
                "prev_hash": self.prev_hash,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """A plan that was admitted; ``rho`` is what it booked."""

    number: int
    study: str
    run: str
    partition: Payers
    round_kind: str
    event: SampledGaussian
    rho: Rho


@dataclass(frozen=True, kw_only=True)
class SentToken:
    """Proof that a release was booked; who sends bytes demands it first."""

    number: int
    context: str
    blob: str
    entry_hash: str

    @property
    def head(self) -> str:
        """The ledger's head right after the booking, for the signed message."""
        return self.entry_hash


@dataclass(frozen=True, kw_only=True)
class PartitionSummary:
    """The spent, reserved and remaining parts of the budget of one partition's patients.

    What is charged to both counts in each. ``remaining`` is never negative; ``spent``
    is above 1 where more was written off than the budget holds.
    """

    partition: Partition
    spent: float
    reserved: float
    remaining: float

    @property
    def committed(self) -> float:
        """The part that new work can no longer have."""
        return self.spent + self.reserved


@dataclass(frozen=True, kw_only=True)
class LedgerSummary:
    """The balance of the budget, for people and reports."""

    epsilon_max: float
    delta: float
    head: str
    num_entries: int
    partitions: tuple[PartitionSummary, ...]

    @property
    def dearest(self) -> PartitionSummary:
        """The partition of which the least is left: what any patient has paid at most."""
        return max(self.partitions, key=lambda part: part.committed)

    @property
    def together(self) -> bool:
        """True while training and test patients have paid the same."""
        first, second = ((part.spent, part.reserved) for part in self.partitions)
        return first == second

    def of(self, partition: Partition) -> PartitionSummary:
        """Returns one partition's line."""
        return {part.partition: part for part in self.partitions}[partition]


@dataclass(frozen=True, kw_only=True)
class OpenPlan:
    """A plan that is reserved and not settled; shares are parts of the budget."""

    study: str
    run: str
    partition: Payers
    round_kind: str
    reserved_at: str
    share_planned: float
    share_sent: float


@dataclass(frozen=True, kw_only=True)
class PlannedRelease:
    """One plan of a study: whose patients pay for it, what for, and what it is."""

    partition: Payers
    round_kind: str
    event: SampledGaussian


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The forecast cost of a study's plans, in the partition that pays most.

    ``share`` and ``remaining`` are parts of the budget; ``share`` is None where the
    price is not finite. ``runs`` is how many such runs still fit.
    """

    share: float | None
    remaining: float
    runs: int

    @property
    def fits(self) -> bool:
        """Whether one run fits."""
        return self.runs > 0
