"""The ledger's rows and records: what is written, and the hash that seals it.

A row's hash covers every other field and the hash of the row before it, so the
rows are a chain; the budget is the link it hangs from.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, TypeAlias, get_args

from compliance.accounting import Filter, SampledGaussian, enforced_epsilon, rdp
from protocol.encoding import digest_json

Partition: TypeAlias = Literal["training", "evaluation"]
PARTITIONS: tuple[Partition, ...] = get_args(Partition)
PICO = 10**12
#: The head of a ledger whose budget was never opened.
UNOPENED = "0" * 64


class State(StrEnum):
    """What a row of the ledger says."""

    RESERVED = "RESERVED"
    SENT = "SENT"
    SETTLED = "SETTLED"
    RELEASED = "RELEASED"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a hospital allows each of its patients, for life; adjacency: add or remove one.

    ``unit`` is ``patient``, or ``record`` at a hospital that protects records only.

    ``order`` and ``capacity`` (picorho) are computed once, when it is opened,
    and then read, so that no later version of a library can shift them.
    """

    epsilon_max: float
    delta: float
    order: float
    capacity: int
    signed_by: str
    opened_at: str
    unit: str = "patient"
    hash: str = ""

    @classmethod
    def of(
        cls, filter: Filter, *, signed_by: str, opened_at: str, unit: str = "patient"
    ) -> "Budget":
        """Returns the sealed budget that a filter enforces."""
        budget = cls(
            epsilon_max=filter.epsilon_max,
            delta=filter.delta,
            order=filter.order,
            capacity=math.floor(filter.capacity * PICO),
            signed_by=signed_by,
            opened_at=opened_at,
            unit=unit,
        )
        return replace(budget, hash=budget.computed_hash)

    def price(self, event: SampledGaussian) -> int | None:
        """Returns what the event books in picorho, or None when it has no finite price."""
        if event.is_nothing:
            return 0
        step = rdp(replace(event, steps=1), self.order)
        return math.ceil(step * PICO) * event.steps if math.isfinite(step) else None

    def epsilon_of(self, picorho: float) -> float:
        """Returns the enforced epsilon of what is booked."""
        return enforced_epsilon(picorho / PICO, self.order, self.delta)

    @property
    def computed_hash(self) -> str:
        """What ``hash`` must be; the first entry follows it."""
        return digest_json(
            {
                "v": 1,
                "unit": self.unit,
                "adjacency": "add-or-remove",
                "epsilon_max": repr(self.epsilon_max),
                "delta": repr(self.delta),
                "order": repr(self.order),
                "capacity": str(self.capacity),
                "signed_by": self.signed_by,
                "opened_at": self.opened_at,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row. ``parent`` is the reservation it belongs to; ``rho`` counts picorho.

    ``context``, ``blob`` and ``content`` name the round in which something was
    sent, the masked bytes, and the noised vector under the mask; they are empty
    otherwise. ``version`` says which fields the row's hash covers: an old row is
    never re-interpreted.
    """

    state: State
    study: str
    run: str
    partition: Partition
    purpose: str
    event_json: str
    rho: int
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
    def computed_hash(self) -> str:
        """What ``hash`` must be: SHA-256 over every other field."""
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
                "purpose": self.purpose,
                "context": self.context,
                "event": self.event_json,
                "rho": str(self.rho),
                "created_at": self.created_at,
                "prev_hash": self.prev_hash,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """A plan that was admitted; ``rho`` is what it booked at the filter's order."""

    number: int
    study: str
    run: str
    partition: Partition
    purpose: str
    event: SampledGaussian
    rho: float


@dataclass(frozen=True, kw_only=True)
class SentToken:
    """Proof that a release was booked; who sends bytes demands it first."""

    number: int
    context: str
    blob: str
    entry_hash: str

    @property
    def head(self) -> str:
        """The ledger's head right after the booking, for the signed message (ruling 18)."""
        return self.entry_hash


@dataclass(frozen=True, kw_only=True)
class PartitionSummary:
    """One partition's rho and enforced epsilon; ``committed`` is spent plus reserved.

    After lost rows were written off, what is spent may exceed the capacity.
    """

    partition: Partition
    spent: float
    reserved: float
    remaining: float
    epsilon_spent: float
    epsilon_committed: float

    @property
    def committed(self) -> float:
        """rho that new work can no longer have."""
        return self.spent + self.reserved


@dataclass(frozen=True, kw_only=True)
class LedgerSummary:
    """Where the budget stands, for people and reports."""

    epsilon_max: float
    delta: float
    order: float
    capacity: float
    head: str
    num_entries: int
    partitions: tuple[PartitionSummary, ...]

    @property
    def epsilon_spent(self) -> float:
        """Enforced epsilon of what was sent: the larger of the disjoint partitions."""
        return max(part.epsilon_spent for part in self.partitions)

    @property
    def enforced_epsilon(self) -> float:
        """Enforced epsilon of all that is booked: what is reserved counts as spent."""
        return max(part.epsilon_committed for part in self.partitions)

    def of(self, partition: Partition) -> PartitionSummary:
        """Returns one partition's line."""
        return {part.partition: part for part in self.partitions}[partition]


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a plan would cost, and what the budget would look like afterwards."""

    rho: float
    remaining: float
    epsilon_before: float
    epsilon_after: float
    fits: bool
