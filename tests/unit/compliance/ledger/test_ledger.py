"""The ledger's rules, on a fake storage in memory and on the hospital's real database."""

import itertools
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.ledger.entries import (
    NOTHING,
    PICO,
    UNOPENED,
    Budget,
    Entry,
    Partition,
    Payers,
    PlannedRelease,
    Reservation,
    Rho,
    SentToken,
    State,
)
from compliance.ledger.ledger import Ledger, LedgerStorage
from compliance.privacy.divergences.renyi import rdp
from compliance.privacy.events import SampledGaussian
from protocol.errors import BudgetSpent, LedgerBroken, PolicyRefused, UpdateRefused
from silos.database.database import open_hospital
from tests.support.networked.memory_heads import MemoryHeads
from tests.support.simulated.bookings import HELD


class FakeStorage:
    """Rows in a list; what a transaction did is undone when it is left by an exception."""

    def __init__(self) -> None:
        self.rows: list[Entry] = []
        self.opened: Budget | None = None
        self.ledger_heads = MemoryHeads()
        self._lock = threading.Lock()
        self._clock = itertools.count()

    def now(self) -> str:
        return f"2026-01-01T00:00:{next(self._clock):06d}Z"

    @contextmanager
    def transaction(self) -> Iterator["FakeStorage"]:
        with self._lock:
            before = list(self.rows), self.opened
            try:
                yield self
            except BaseException:
                self.rows, self.opened = before
                raise

    def budget(self) -> Budget | None:
        return self.opened

    def save_budget(self, budget: Budget) -> None:
        self.opened = budget

    def last(self) -> Entry | None:
        return self.rows[-1] if self.rows else None

    def entries(self) -> Sequence[Entry]:
        return list(self.rows)

    def entry(self, number: int) -> Entry | None:
        return self.rows[number - 1] if number <= len(self.rows) else None

    def is_followed(self, head: str) -> bool:
        return any(row.prev_hash == head for row in self.rows)

    def booked(self, reservation: int, state: State) -> Rho:
        own = (row for row in self.rows if (row.parent, row.state) == (reservation, state))
        return sum((row.rho for row in own), NOTHING)

    def sent(self, context: str) -> Entry | None:
        found = [row for row in self.rows if row.state is State.SENT and row.context == context]
        return found[0] if found else None

    def released(self, reservation: int, content: str) -> bool:
        own = (row for row in self.rows if (row.parent, row.state) == (reservation, State.SENT))
        return any(row.content == content for row in own)

    def total(self, partition: Payers, state: State) -> Rho:
        same = (row for row in self.rows if (row.partition, row.state) == (partition, state))
        return sum((row.rho for row in same), NOTHING)

    def append(self, entry: Entry) -> None:
        self.rows.append(entry)


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LedgerStorage]:
    if request.param == "fake":
        yield FakeStorage()
        return
    place: Path | str = tmp_path / "north.db"
    if request.param == "postgresql":
        place = request.getfixturevalue("postgres").new_schema()
    hospital = open_hospital(place, site="north", blobs=tmp_path / "north-blobs")
    yield hospital
    hospital.close()


@pytest.fixture
def ledger(storage: LedgerStorage) -> Ledger:
    opened = Ledger(storage)
    opened.open_budget(epsilon_max=8.0, delta=2e-5, signed_by="data protection officer")
    return opened


def event(steps: int = 100, noise_multiplier: float = 10.0) -> SampledGaussian:
    """Books 0.02 rho a step at order 4 by default; the budget holds 4.912."""
    return SampledGaussian(noise_multiplier=noise_multiplier, sampling_rate=1.0, steps=steps)


def reserve(
    ledger: Ledger, steps: int = 100, run: str = "run-1", partition: Payers = "training"
) -> Reservation:
    return ledger.reserve(
        study="s" * 64, run=run, partition=partition, round_kind=partition, event=event(steps)
    )


def send(
    ledger: Ledger, plan: Reservation, steps: int = 10, context: str = "c1", blob: str = "b1"
) -> SentToken:
    return ledger.mark_sent(plan, context=context, event=event(steps), blob=blob, content=context)


def test_budget_opens_once_for_life(ledger: Ledger) -> None:
    head = ledger.head
    again = ledger.open_budget(epsilon_max=8.0, delta=2e-5, signed_by="somebody else")
    assert (again.orders, round(HELD, 3), ledger.head) == ((4.0, 3.0), 4.912, head)
    with pytest.raises(PolicyRefused, match=r"for life with epsilon 8 .* cannot become epsilon 9"):
        ledger.open_budget(epsilon_max=9.0, delta=2e-5, signed_by="officer")


@pytest.mark.parametrize(
    ("epsilon_max", "delta", "signed_by", "message"),
    [
        (math.nan, 1e-5, "officer", "epsilon_max must be finite"),
        (8.0, 0.0, "officer", "delta must lie in"),
        (8.0, 1e-5, "  ", "signed_by must name"),
    ],
)
def test_budget_refuses_figures_that_are_none(
    storage: LedgerStorage, epsilon_max: float, delta: float, signed_by: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Ledger(storage).open_budget(epsilon_max=epsilon_max, delta=delta, signed_by=signed_by)
    assert Ledger(storage).head == UNOPENED


def test_nothing_is_reserved_without_a_budget(storage: LedgerStorage) -> None:
    with pytest.raises(PolicyRefused, match="has not opened a privacy budget"):
        reserve(Ledger(storage))
    assert Ledger(storage).verify() == UNOPENED


def test_reservation_books_the_whole_plan(ledger: Ledger) -> None:
    plan = reserve(ledger, steps=100)
    line = ledger.summary().of("training")
    assert plan.rho.upper == pytest.approx(2.0e12)
    assert (line.spent, line.reserved) == (0.0, pytest.approx(2.0 / HELD))
    assert line.remaining == pytest.approx(1 - 2.0 / HELD)


def test_study_over_budget_is_refused_and_books_nothing(ledger: Ledger) -> None:
    reserve(ledger, steps=200)
    head = ledger.head
    with pytest.raises(
        BudgetSpent, match=r"takes 41 % of it, 18 % is left \(epsilon 8 at delta 2e-05, for life\)"
    ):
        reserve(ledger, steps=100, run="run-2")
    assert ledger.head == head


def test_budget_is_spendable_to_its_last_step(ledger: Ledger) -> None:
    reserve(ledger, steps=245)  # 4.90 of 4.912
    with pytest.raises(BudgetSpent, match="is left"):
        reserve(ledger, steps=1, run="run-2")


def test_partitions_have_a_budget_each(ledger: Ledger) -> None:
    reserve(ledger, steps=200, partition="training")
    reserve(ledger, steps=100, partition="evaluation")
    summary = ledger.summary()
    assert summary.of("evaluation").reserved == pytest.approx(2.0 / HELD)
    assert summary.dearest == summary.of("training")
    assert summary.dearest.committed == pytest.approx(4.0 / HELD)
    assert not summary.together


def test_what_is_charged_to_both_adds_up_in_both(ledger: Ledger) -> None:
    reserve(ledger, steps=60, run="a", partition="both")
    reserve(ledger, steps=60, run="b", partition="both")
    summary = ledger.summary()
    assert summary.together
    assert summary.dearest.committed == pytest.approx(2.4 / HELD)
    reserve(ledger, steps=100, run="c", partition="training")
    with pytest.raises(BudgetSpent, match="the training patients' budget does not suffice"):
        reserve(ledger, steps=30, run="d", partition="both")
    reserve(ledger, steps=100, run="d", partition="evaluation")


def test_a_patient_who_may_be_tested_and_then_trained_on_pays_the_sum(ledger: Ledger) -> None:
    reserve(ledger, steps=200, run="tests on the patient", partition="both")
    with pytest.raises(BudgetSpent):
        reserve(ledger, steps=200, run="trains on the patient", partition="both")


def test_event_without_finite_price_is_refused(ledger: Ledger) -> None:
    with pytest.raises(BudgetSpent, match="no finite epsilon"):
        ledger.reserve(
            study="s", run="r", partition="training", round_kind="x", event=event(1, 0.0)
        )


def test_event_that_releases_nothing_is_a_mistake(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="releases nothing"):
        reserve(ledger, steps=0)
    with pytest.raises(ValueError, match="is no release"):
        send(ledger, reserve(ledger), steps=0)


def test_unknown_partition_is_a_mistake(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="partition must be one of training, evaluation"):
        reserve(ledger, partition="test")  # type: ignore[arg-type]


def test_restarted_run_finds_its_reservation_again(ledger: Ledger) -> None:
    assert reserve(ledger) == reserve(ledger)
    assert ledger.summary().num_entries == 1
    with pytest.raises(PolicyRefused, match="run-1 has another training plan open"):
        reserve(ledger, steps=99)


def test_sent_is_booked_and_chained(ledger: Ledger) -> None:
    token = send(ledger, reserve(ledger))
    assert (token.context, token.blob) == ("c1", "b1")
    assert token.head == token.entry_hash == ledger.head
    assert ledger.summary().of("training").spent == pytest.approx(0.2 / HELD)


def test_same_bytes_are_sent_again_without_a_charge(ledger: Ledger) -> None:
    plan = reserve(ledger)
    first = send(ledger, plan)
    send(ledger, plan, context="c2")
    assert send(ledger, plan) == first
    assert ledger.summary().of("training").spent == pytest.approx(0.4 / HELD)


def test_other_bytes_in_one_context_are_refused(ledger: Ledger) -> None:
    plan = reserve(ledger)
    send(ledger, plan)
    with pytest.raises(UpdateRefused, match="other bytes were sent in this round already"):
        send(ledger, plan, blob="b2")


def test_context_of_another_plan_is_refused(ledger: Ledger) -> None:
    send(ledger, reserve(ledger))
    with pytest.raises(UpdateRefused, match="other bytes were sent in this round already"):
        send(ledger, reserve(ledger, run="run-2"))


def test_shares_add_up_to_the_plan_exactly_and_no_further(ledger: Ledger) -> None:
    awkward = SampledGaussian(noise_multiplier=7.3, sampling_rate=0.31, steps=70)
    share = replace(awkward, steps=1)
    plan = ledger.reserve(study="s", run="r", partition="training", round_kind="t", event=awkward)
    for number in range(70):
        ledger.mark_sent(plan, context=f"c{number}", event=share, blob="b", content=f"c{number}")
    assert ledger.summary().of("training").reserved == 0.0
    with pytest.raises(BudgetSpent, match="does not hold this release"):
        ledger.mark_sent(plan, context="one more", event=share, blob="b", content="one more")


def test_booked_price_is_never_below_the_exact_one(ledger: Ledger) -> None:
    for number in range(20):
        plan = SampledGaussian(noise_multiplier=9 + number / 7, sampling_rate=0.31, steps=3)
        booked = ledger.reserve(
            study="s", run=f"{number}", partition="training", round_kind="t", event=plan
        ).rho
        for order, found in ((4.0, booked.upper), (3.0, booked.lower)):
            assert 0 < rdp(plan, order) * 1e12 <= found < rdp(plan, order) * 1e12 + 4


def test_dearer_share_than_planned_is_priced_as_it_is(ledger: Ledger) -> None:
    plan = reserve(ledger, steps=100)
    louder = event(1, noise_multiplier=1.001)  # as dear as 99.8 steps of the plan
    ledger.mark_sent(plan, context="c1", event=louder, blob="b", content="c1")
    with pytest.raises(BudgetSpent, match=r"needs 1.0 % of the plan, 0.1 % is left"):
        send(ledger, plan, steps=1, context="c2")


def test_settling_frees_the_rest_and_never_what_was_sent(ledger: Ledger) -> None:
    plan = reserve(ledger, steps=100)
    send(ledger, plan, steps=30)
    ledger.settle(plan)
    line = ledger.summary().of("training")
    assert line.spent == pytest.approx(0.6 / HELD) and line.reserved == 0.0
    reserve(ledger, steps=215, run="run-2")  # 0.6 + 4.3 of 4.912


def test_settling_twice_changes_nothing(ledger: Ledger) -> None:
    plan = reserve(ledger)
    send(ledger, plan)
    ledger.settle(plan)
    head = ledger.head
    ledger.settle(plan)
    assert ledger.head == head


def test_settled_plan_sends_no_more_but_re_sends(ledger: Ledger) -> None:
    plan = reserve(ledger)
    token = send(ledger, plan)
    ledger.settle(plan)
    assert send(ledger, plan) == token
    with pytest.raises(BudgetSpent, match="plan of run run-1 is settled"):
        send(ledger, plan, context="c2")


def test_plan_of_which_nothing_was_sent_is_released(ledger: Ledger) -> None:
    plan = reserve(ledger)
    ledger.settle(plan)
    assert ledger.summary().of("training").committed == 0.0
    assert reserve(ledger).number != plan.number


def test_reservation_that_was_not_booked_is_refused(ledger: Ledger) -> None:
    plan = reserve(ledger)
    with pytest.raises(LedgerBroken, match="entry 1 holds another plan"):
        send(ledger, replace(plan, rho=Rho(4, 4)))
    with pytest.raises(LedgerBroken, match="entry 7 is not a reservation"):
        send(ledger, replace(plan, number=7))


def test_sender_accepts_booked_tokens_only(ledger: Ledger) -> None:
    token = send(ledger, reserve(ledger))
    ledger.confirm(token)
    for forged in (replace(token, blob="b2"), replace(token, context="c2")):
        with pytest.raises(UpdateRefused, match="has not booked this release"):
            ledger.confirm(forged)


def test_forecast_books_nothing_and_gives_the_summary(ledger: Ledger) -> None:
    reserve(ledger, steps=100)
    head = ledger.head
    forecast = ledger.forecast([planned(event(50))])
    assert forecast.share == pytest.approx(1.0 / HELD) and forecast.fits and ledger.head == head
    assert forecast.remaining == pytest.approx(1 - 2.0 / HELD)
    assert forecast.runs == 2
    before = ledger.summary().of("training").committed
    reserve(ledger, steps=50, run="run-2")
    assert ledger.summary().of("training").committed - before == pytest.approx(forecast.share)
    assert ledger.share_of("run-2") == pytest.approx(forecast.share)
    reserve(ledger, steps=50, run="run-3")
    assert ledger.forecast([planned(event(50))]).runs == 0


def planned(plan: SampledGaussian, partition: Payers = "training") -> PlannedRelease:
    return PlannedRelease(partition=partition, round_kind=partition, event=plan)


@pytest.mark.parametrize("plan", [event(300), event(1, 0.0)])
def test_forecast_says_when_a_plan_does_not_fit(ledger: Ledger, plan: SampledGaussian) -> None:
    assert not ledger.forecast([planned(plan)]).fits


def test_forecast_of_plans_that_add_up_is_what_is_booked(ledger: Ledger) -> None:
    plans = [planned(event(60), "both"), planned(event(40, 8.0), "both")]
    forecast = ledger.forecast(plans)
    for number, plan in enumerate(plans):
        ledger.reserve(
            study="s", run="r", partition="both", round_kind=str(number), event=plan.event
        )
    assert ledger.summary().dearest.committed == pytest.approx(forecast.share)
    apart = [planned(event(60), "training"), planned(event(40, 8.0), "evaluation")]
    assert ledger.forecast(apart).runs >= ledger.forecast(plans).runs


def test_open_plans_are_shown_with_their_shares(ledger: Ledger) -> None:
    plan = reserve(ledger, steps=100)
    send(ledger, plan, steps=30)
    reserve(ledger, steps=10, run="run-2", partition="both")
    first, second = ledger.open_plans()
    assert (first.run, first.share_planned, first.share_sent) == (
        "run-1",
        pytest.approx(2.0 / HELD),
        pytest.approx(0.6 / HELD),
    )
    assert (second.run, second.partition, second.share_sent) == ("run-2", "both", 0.0)
    ledger.settle(plan)
    assert [found.run for found in ledger.open_plans()] == ["run-2"]


#: Small rate, little noise: above its order it is as dear as no sampling at all.
QUIET = SampledGaussian(noise_multiplier=0.72, sampling_rate=0.01, steps=100)


def test_a_study_that_one_order_cannot_price_is_admitted_by_the_other() -> None:
    ledger = Ledger(FakeStorage())
    limit = ledger.open_budget(epsilon_max=5.0, delta=1e-6, signed_by="officer")
    upper, lower = (rdp(QUIET, order) for order in limit.orders)
    assert upper > limit.capacities[0] and 0 < lower < limit.capacities[1]
    plan = ledger.reserve(study="s", run="r", partition="both", round_kind="t", event=QUIET)
    share = replace(QUIET, steps=1)
    for number in range(QUIET.steps):
        ledger.mark_sent(plan, context=f"c{number}", event=share, blob="b", content=f"c{number}")
    spent = ledger.summary().dearest.spent
    assert spent == pytest.approx(lower / limit.capacities[1])
    with pytest.raises(BudgetSpent):  # and neither order holds what comes after it
        reserve(ledger, steps=int(0.9 * 2 * 100 * limit.capacities[0] / limit.orders[0]))


def test_a_step_dearer_than_the_whole_at_one_order_closes_that_order() -> None:
    ledger = Ledger(FakeStorage())
    limit = ledger.open_budget(epsilon_max=10.0, delta=1e-6, signed_by="officer")
    loud = SampledGaussian(noise_multiplier=0.3, sampling_rate=1e-4, steps=1)
    assert rdp(loud, limit.orders[0]) > limit.capacities[0]
    plan = ledger.reserve(study="s", run="r", partition="both", round_kind="t", event=loud)
    assert plan.rho.upper == math.floor(limit.capacities[0] * 1e12) + 1
    assert plan.rho.lower < limit.capacities[1] * 1e12


def test_a_plan_that_a_database_cannot_add_up_is_refused(storage: LedgerStorage) -> None:
    """One order would admit it; at the other it costs more than 64 bits of picorho."""
    ledger = Ledger(storage)
    limit = ledger.open_budget(epsilon_max=4.0, delta=1e-6, signed_by="officer")
    endless = SampledGaussian(noise_multiplier=0.42, sampling_rate=1e-8, steps=10**8)
    upper, lower = (rdp(endless, order) for order in limit.orders)
    assert lower < limit.capacities[1] and upper * PICO > 2**63
    with pytest.raises(BudgetSpent, match="does not suffice"):
        ledger.reserve(study="s", run="r", partition="both", round_kind="t", event=endless)
    assert ledger.forecast([planned(endless, "both")]).runs == 0


def test_intact_chain_verifies_and_knows_its_earlier_heads(ledger: Ledger) -> None:
    heads = [UNOPENED, ledger.head]
    plan = reserve(ledger)
    heads += [ledger.head, send(ledger, plan).head]
    ledger.settle(plan)
    assert ledger.verify(remembered=heads) == ledger.head


def test_ledger_that_went_back_in_time_is_broken(ledger: Ledger) -> None:
    reserve(ledger)
    with pytest.raises(LedgerBroken, match="went back in time: it once had the head aaaaaaaa"):
        ledger.verify(remembered=["a" * 64])


def tampered(change: str) -> Ledger:
    storage = FakeStorage()
    ledger = Ledger(storage)
    ledger.open_budget(epsilon_max=8.0, delta=2e-5, signed_by="officer")
    plan = reserve(ledger)
    for number in range(3):
        send(ledger, plan, context=f"c{number}")
    rows = storage.rows
    if change == "edit":
        rows[1] = replace(rows[1], rho_upper=1)
    elif change == "edit and reseal":
        rows[1] = replace(rows[1], rho_upper=1)
        rows[1] = replace(rows[1], hash=rows[1].computed_hash)
    elif change == "remove":
        del rows[1]
    elif change == "swap":
        rows[1], rows[2] = rows[2], rows[1]
    elif change == "budget" and storage.opened:
        storage.opened = replace(storage.opened, upper_capacity=10**15)
    elif change == "no budget":
        storage.opened = None
    return ledger


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("edit", "entry 2 was changed"),
        ("edit and reseal", "entry 3 does not follow"),
        ("remove", "entry 2 is missing"),
        ("swap", "entry 2 is missing"),
        ("budget", "budget was changed"),
        ("no budget", "entries but no budget"),
    ],
)
def test_tampering_is_found_and_stops_new_work(change: str, message: str) -> None:
    ledger = tampered(change)
    with pytest.raises(LedgerBroken, match=message):
        ledger.verify()
    with pytest.raises(LedgerBroken, match=message):
        reserve(ledger, run="run-2")


def test_nothing_is_appended_to_a_changed_row() -> None:
    storage = FakeStorage()
    ledger = Ledger(storage)
    ledger.open_budget(epsilon_max=8.0, delta=2e-5, signed_by="officer")
    plan = reserve(ledger)
    send(ledger, plan)
    storage.rows[-1] = replace(storage.rows[-1], rho_upper=0)
    with pytest.raises(LedgerBroken, match="entry 2 was changed"):
        send(ledger, plan, context="c2")


def test_filter_and_order_are_read_not_recomputed() -> None:
    opened = FakeStorage()
    Ledger(opened).open_budget(epsilon_max=8.0, delta=2e-5, signed_by="officer")
    budget = opened.opened
    assert budget is not None
    shifted = replace(budget, upper_order=5.0, upper_capacity=1, lower_capacity=0)
    opened.opened = replace(shifted, hash=shifted.computed_hash)
    with pytest.raises(BudgetSpent, match="is left"):
        reserve(Ledger(opened), steps=1)


STEPS = st.integers(1, 120)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(1, 4), STEPS),
        st.tuples(st.just("send"), st.integers(1, 4), STEPS),
        st.tuples(st.just("settle"), st.integers(1, 4), st.just(0)),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(ACTIONS, st.sampled_from(["training", "evaluation"]))
def test_no_order_of_work_overruns_or_refunds(
    actions: list[tuple[str, int, int]], partition: Partition
) -> None:
    ledger = Ledger(FakeStorage())
    ledger.open_budget(epsilon_max=8.0, delta=2e-5, signed_by="officer")
    plans: dict[int, Reservation] = {}
    released = 0.0
    for number, (verb, run, steps) in enumerate(actions):
        try:
            if verb == "reserve":
                plans[run] = reserve(ledger, steps, f"run-{run}", partition)
            elif verb == "send" and run in plans:
                send(ledger, plans[run], steps, context=f"c{number}")
                released += 0.02 * steps
            elif verb == "settle" and run in plans:
                ledger.settle(plans[run])
        except (BudgetSpent, PolicyRefused):
            pass
        line = ledger.summary().of(partition)
        assert line.spent == pytest.approx(released / HELD) and line.committed <= 1
        assert line.spent <= line.committed + 1e-12
    ledger.verify()
