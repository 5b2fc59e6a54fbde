"""The hospital's privacy ledger: reserve before work, SENT before the first byte leaves.

Rules:

1. One budget for the hospital's population, for life. It cannot be changed.
2. A run reserves its whole plan before anything is computed. What is reserved
   and not released counts as spent, so two runs cannot jointly overrun.
3. A plan is charged to training patients, to test patients, or to both. Only a
   hospital that keeps every patient on one side for life charges one of the two
   alone: a patient then pays the larger, else the sum.
4. A release is durably SENT before its first byte leaves, and then it is paid
   for, whatever happens next. SENT shares never exceed their reservation. The
   same noised vector under another mask is the same release: paid once.
5. State changes are new rows: RESERVED, SENT, then SETTLED and RELEASED.
   Nothing is updated or deleted. Each row holds the hash of the row before it;
   the first holds the hash of the budget.
6. rho is booked at the budget's two orders, as whole numbers of picorho, each step
   rounded up and the capacity down, so that shares of a plan add up to the plan
   exactly. A plan fits that keeps within the capacity at either order.
7. The head after each SENT is listed outside the database too, durably, before
   the booking returns (``listed_heads.py``). A ledger that lacks the newest listed
   head, or one that others hold, is an older copy: it books nothing.
8. Such a ledger may be written off: what the lost parts can have spent is booked
   beside what this copy has spent, beyond the capacity where it must be, so that
   the figure is never too low (``rollback.py``).

This file decides; ``silos/database`` keeps the rows and makes a transaction durable.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from compliance.ledger.balances import (
    booked_for,
    committed_rho,
    forecast,
    is_closed,
    open_plans,
    runs_of,
    summarised,
)
from compliance.ledger.bookings import (
    admitted_price,
    child_of,
    event_text,
    open_reservation,
    price_of_share,
    require_approved,
    require_payers,
    require_reservation,
    require_room,
    require_same_bytes,
    reservation_of,
    stored_event,
    token_of,
)
from compliance.ledger.chain import (
    Chain,
    append_to,
    head_of,
    require_budget,
    verified,
)
from compliance.ledger.entries import (
    NOTHING,
    PARTITIONS,
    Budget,
    Entry,
    Forecast,
    LedgerSummary,
    OpenPlan,
    Payers,
    PlannedRelease,
    Reservation,
    SentToken,
    State,
)
from compliance.ledger.listed_heads import FIRST, HeadKind, Heads, LedgerHead
from compliance.ledger.rollback import (
    forks_of,
    listing,
    lost_at_most,
    missing_heads,
    require_known,
    require_newest,
    written_off,
)
from compliance.privacy.budget_filter import Filter
from compliance.privacy.events import SampledGaussian
from protocol.errors import (
    LedgerBroken,
    PolicyRefused,
    StoreBroken,
    UpdateRefused,
)


class LedgerStorage(Protocol):
    """The storage of the rows: the hospital's database, or a test's fake."""

    @property
    def ledger_heads(self) -> Heads:
        """The ledger's heads, listed outside the database."""

    def transaction(self) -> AbstractContextManager[Chain]:
        """Returns a transaction that excludes every other one from its start.

        Left normally it is durable; left by an exception nothing happened.
        """

    def now(self) -> str:
        """Returns the time as text, for the record only: no rule reads it."""


class Ledger:
    """The rules over a storage. Several processes may hold a ledger on one storage."""

    def __init__(self, storage: LedgerStorage) -> None:
        self._storage = storage

    def open_budget(
        self, *, epsilon_max: float, delta: float, signed_by: str, unit: str = "patient"
    ) -> Filter:
        """Opens the budget of this hospital's patients, for life; returns its filter.

        ``unit`` is what the budget counts for: each patient, or each record.

        Opening it again with the same figures changes nothing.

        Raises:
            PolicyRefused: it was opened with other figures.
            ValueError: figures that no filter accepts, or nobody signed.
        """
        if not signed_by.strip():
            raise ValueError("signed_by must name who opens the budget")
        wanted = Filter(epsilon_max=float(epsilon_max), delta=float(delta))
        with self._storage.transaction() as chain:
            if chain.budget() is None and chain.last() is None:
                chain.save_budget(
                    Budget.of(wanted, signed_by=signed_by, opened_at=self._storage.now(), unit=unit)
                )
            budget = require_budget(chain)
        if (budget.epsilon_max, budget.delta) != (wanted.epsilon_max, wanted.delta):
            raise PolicyRefused(
                f"this hospital's budget was opened for life with epsilon {budget.epsilon_max:g} "
                f"at delta {budget.delta:g}; it cannot become epsilon {wanted.epsilon_max:g} at "
                f"delta {wanted.delta:g}: leave the budget as it is (in a simulation also: take "
                "a new --out)"
            )
        if budget.unit != unit:
            raise PolicyRefused(
                f"this hospital's budget was opened for life for each {budget.unit}; it cannot "
                f"become one for each {unit}"
            )
        return wanted

    def reserve(
        self,
        *,
        study: str,
        run: str,
        partition: Payers,
        round_kind: str,
        event: SampledGaussian,
        max_runs: int | None = None,
    ) -> Reservation:
        """Books a whole plan, or refuses it; to be called before any work.

        Asking again for what this run has open returns the same reservation,
        so that a restarted hospital does not pay twice.

        Args:
            study, run: whose plan it is.
            partition: whose patients pay, see rule 3.
            round_kind: the rounds that it pays for, "training" or "evaluation".
            event: the whole plan.
            max_runs: how many runs of the study its people have approved in
                all; None where nobody has to.

        Raises:
            BudgetSpent: the filter has no room; nothing was booked.
            PolicyRefused: no budget was opened, the run has another plan open,
                or the study has had the runs that were approved.
            LedgerBroken: the chain is damaged, or the ledger is an older copy.
            ValueError: unknown partition, or an event that releases nothing.
        """
        require_payers(partition)
        with self._storage.transaction() as chain:
            budget = require_budget(chain)
            entries = verified(chain)
            require_newest(chain, self._storage.ledger_heads)
            require_approved(entries, study, run, max_runs)
            same = open_reservation(entries, (study, run, partition, round_kind))
            if same is not None:
                if stored_event(same) != event:
                    raise PolicyRefused(f"run {run} has another {round_kind} plan open: settle it")
                return reservation_of(same)
            price = admitted_price(chain, budget, partition, event)
            plan = Entry(
                state=State.RESERVED,
                study=study,
                run=run,
                partition=partition,
                round_kind=round_kind,
                event_json=event_text(event),
                rho_upper=price.upper,
                rho_lower=price.lower,
            )
            entry = self._append(chain, plan)
        self._list(entry)
        return reservation_of(entry)

    def mark_sent(
        self,
        reservation: Reservation,
        *,
        context: str,
        event: SampledGaussian,
        blob: str,
        content: str,
        run: str | None = None,
    ) -> SentToken:
        """Books one release of a reservation, durably; returns what the sender demands.

        Args:
            reservation: the run's plan.
            context: digest of the round's context; one release for each.
            event: this release's share of the plan.
            blob: digest of the masked bytes that will leave.
            content: digest of the noised vector under the mask.
            run: the run that sends it, where the plan is of several runs; the plan's own, if None.

        Guarantee: when it returns, a crash, a power cut or a database restored from
        a backup cannot undo the booking unnoticed.
        The same context with the same bytes is booked once: bytes may be re-sent.
        The same content in another context is booked at no cost.

        Raises:
            UpdateRefused: other bytes were sent in this context.
            BudgetSpent: the reservation does not hold this share, or is settled.
            LedgerBroken: the reservation or the newest entry is not as booked, or the
                ledger is an older copy.
            ValueError: a share that releases nothing.
        """
        with self._storage.transaction() as chain:
            budget = require_budget(chain)
            require_newest(chain, self._storage.ledger_heads)
            parent = require_reservation(chain, reservation)
            entry = chain.sent(context)
            if entry is not None:
                require_same_bytes(entry, parent, blob)
            else:
                again = chain.released(parent.number, content)
                rho = NOTHING if again else price_of_share(budget, parent, event)
                require_room(chain, parent, rho)
                release = replace(
                    child_of(parent, State.SENT, rho),
                    run=run or parent.run,
                    context=context,
                    blob=blob,
                    content=content,
                    event_json=event_text(event),
                )
                entry = self._append(chain, release)
        self._list(entry)  # also of a booking before a crash, which may have come between the two
        return token_of(entry)

    def confirm(self, token: SentToken) -> None:
        """Checks that a token is this ledger's; senders call it before the first byte.

        Raises:
            UpdateRefused: this ledger has not booked what the token says.
            LedgerBroken: it is not listed outside the database.
        """
        with self._storage.transaction() as chain:
            entry = chain.sent(token.context)
            if entry is None or token_of(entry) != token:
                raise UpdateRefused("the ledger has not booked this release: it must not be sent")
        with listing():
            newest = self._storage.ledger_heads.newest()
        if newest.number < token.number:
            raise LedgerBroken("the release is not listed outside the database: send nothing")

    def settle(self, reservation: Reservation) -> None:
        """Closes a plan: what was sent stays paid, the unused rest becomes free again.

        Nothing that was SENT is refunded, even if its round failed. Settling
        twice changes nothing.

        Raises:
            LedgerBroken: the reservation is not as booked.
        """
        with self._storage.transaction() as chain:
            parent = require_reservation(chain, reservation)
            closed = None if is_closed(chain, parent) else self._close(chain, parent)
        if closed is not None:
            self._list(closed)

    def settle_run(self, run: str) -> None:
        """Closes every plan of a run that cannot go on here; see ``settle``."""
        with self._storage.transaction() as chain:
            rows = [e for e in verified(chain) if (e.state, e.run) == (State.RESERVED, run)]
        for row in rows:
            self.settle(reservation_of(row))

    def forecast(self, plans: Sequence[PlannedRelease]) -> Forecast:
        """Returns what a study's plans would take of the budget; books nothing.

        Raises:
            PolicyRefused: no budget was opened.
        """
        with self._storage.transaction() as chain:
            budget = require_budget(chain)
            committed = {partition: committed_rho(chain, partition) for partition in PARTITIONS}
        prices = [(plan.partition, budget.price(plan.event)) for plan in plans]
        found = []
        for partition, before in committed.items():
            own = [price for payers, price in prices if payers in (partition, "both")]
            if own:
                found.append(forecast(budget, before, own))
        return min(found, key=lambda one: (one.runs, one.remaining))

    def share_of(self, run: str) -> float:
        """Returns the part of the budget that is booked for one run, beside all others.

        Raises:
            PolicyRefused: no budget was opened.
        """
        with self._storage.transaction() as chain:
            budget, entries = require_budget(chain), chain.entries()
            booked = {
                partition: (committed_rho(chain, partition), booked_for(entries, run, partition))
                for partition in PARTITIONS
            }
        return max(budget.share(all_) - budget.share(all_ - own) for all_, own in booked.values())

    def open_plans(self) -> tuple[OpenPlan, ...]:
        """Returns the plans that are reserved and not settled, in the order reserved.

        Raises:
            PolicyRefused: no budget was opened.
        """
        with self._storage.transaction() as chain:
            budget = require_budget(chain)
            plans = open_plans(chain.entries())
            sent = {plan.number: chain.booked(plan.number, State.SENT) for plan in plans}
        return tuple(
            OpenPlan(
                study=plan.study,
                run=plan.run,
                partition=plan.partition,
                round_kind=plan.round_kind,
                reserved_at=plan.created_at,
                share_planned=budget.share(plan.rho),
                share_sent=budget.share(sent[plan.number]),
            )
            for plan in plans
        )

    def runs_of(self, study: str) -> tuple[str, ...]:
        """Returns the runs of a study that count: under way here, or something of them was sent."""
        with self._storage.transaction() as chain:
            return runs_of(chain.entries(), study)

    def require_unit(self, unit: str) -> None:
        """Refuses a study that protects something else than this budget counts for.

        Raises:
            PolicyRefused: the unit is another one, or no budget was opened.
        """
        with self._storage.transaction() as chain:
            budget = require_budget(chain)
        if budget.unit != unit:
            raise PolicyRefused(
                f"the study protects each {unit}, this hospital's budget each {budget.unit}: a "
                "study of another unit cannot be charged to it"
            )

    @property
    def head(self) -> str:
        """The hash of the newest entry; of the budget, when there is none; else ``UNOPENED``."""
        with self._storage.transaction() as chain:
            return head_of(chain)

    def summary(self) -> LedgerSummary:
        """Returns spent, reserved and remaining, for each partition.

        Raises:
            PolicyRefused: no budget was opened.
        """
        with self._storage.transaction() as chain:
            budget = require_budget(chain)
            last = chain.last()
            return LedgerSummary(
                epsilon_max=budget.epsilon_max,
                delta=budget.delta,
                head=head_of(chain),
                num_entries=last.number if last else 0,
                partitions=tuple(summarised(chain, budget, part) for part in PARTITIONS),
            )

    def verify(self, *, remembered: Iterable[str] = ()) -> str:
        """Checks the whole chain; returns its head.

        Args:
            remembered: heads that others hold of this ledger (the consortium's
                log, signed messages); each must lie on the chain.

        Raises:
            LedgerBroken: names the first entry that was changed, removed,
                inserted or moved, or says that the ledger went back in time.
        """
        with self._storage.transaction() as chain:
            require_known(chain, remembered)
            return head_of(chain)

    def require_held(self, head: str) -> None:
        """Refuses a ledger that lacks a head; see ``verify``, which looks at the whole chain.

        Raises:
            LedgerBroken: it is an older copy.
        """
        with self._storage.transaction() as chain:
            last = chain.last()
            if (last is None or last.hash != head) and not chain.is_followed(head):
                require_known(chain, [head])

    def require_newest(self) -> None:
        """Refuses to work with a ledger that is an older copy by the hospital's own list.

        Raises:
            LedgerBroken: it is, or the list is missing or was changed.
        """
        with self._storage.transaction() as chain:
            require_newest(chain, self._storage.ledger_heads)

    def accept_copy(self, remembered: Iterable[str]) -> None:
        """Lets a ledger go on whose list was lost, from where it is; the hospital's people say so.

        Args:
            remembered: heads that others hold of this ledger.

        Raises:
            LedgerBroken: it lacks one of them, or one of the list: it is an older copy.
        """
        try:
            listed = self._storage.ledger_heads.all()
        except StoreBroken:
            listed = ()  # it cannot be read: as good as lost
        with self._storage.transaction() as chain:
            require_known(chain, [*(head.hash for head in listed if head.binds), *remembered])
            last = chain.last()
        with listing():
            self._storage.ledger_heads.restart(
                LedgerHead(number=last.number, hash=last.hash) if last else FIRST
            )

    def write_off(self, remembered: Iterable[str], *, signed_by: str) -> int:
        """Lets an older copy of the ledger go on, with nothing left to spend.

        Plans that are open are closed, for what they had sent may be lost. Then
        what the lost parts can have spent is booked in both partitions, in one
        transaction with the heads that are missing. ``verify`` knows them then.

        Args:
            remembered: heads that others hold of this ledger.
            signed_by: who answers for it.

        Returns:
            How many heads were missing.

        Raises:
            PolicyRefused: none is missing, or no budget was opened.
            LedgerBroken: what there is of the ledger, or of its list, is damaged itself.
        """
        with listing():
            listed = self._storage.ledger_heads.all()
        others = list(remembered)
        with self._storage.transaction() as chain:
            budget = require_budget(chain)
            if not missing_heads(chain, [*(h.hash for h in listed if h.binds), *others]):
                raise PolicyRefused(
                    "the ledger holds every head that is known of it: nothing is written off"
                )
            missing = missing_heads(chain, [*(head.hash for head in listed), *others])
            entries = chain.entries()
            forks = forks_of(entries, missing, listed)
            for entry in open_plans(entries):
                self._close(chain, entry)
            for partition in PARTITIONS:
                rest = lost_at_most(entries, partition, budget.capacity, forks)
                plan = self._append(chain, written_off(partition, rest, missing, signed_by))
                spent = replace(child_of(plan, State.SENT, rest), context=plan.hash)
                self._append(chain, spent)
                last = self._append(chain, child_of(plan, State.SETTLED, rest))
        with listing():
            self._storage.ledger_heads.restart(LedgerHead(number=last.number, hash=last.hash))
        return len(missing)

    def _close(self, chain: Chain, plan: Entry) -> Entry:
        """Settles what a plan has sent, and releases the rest; returns the last row."""
        sent = chain.booked(plan.number, State.SENT)
        last = plan
        if sent:
            last = self._append(chain, child_of(plan, State.SETTLED, sent))
        if plan.rho != sent or not sent:
            last = self._append(chain, child_of(plan, State.FREED, plan.rho - sent))
        return last

    def _append(self, chain: Chain, draft: Entry) -> Entry:
        return append_to(chain, draft, self._storage.now())

    def _list(self, entry: Entry) -> None:
        """Lists an entry's head outside the database; that of a SENT binds, durably."""
        kind = HeadKind.BINDING if entry.state is State.SENT else HeadKind.OTHER
        with listing():
            self._storage.ledger_heads.append(
                LedgerHead(number=entry.number, hash=entry.hash, kind=kind)
            )
