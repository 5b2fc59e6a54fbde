"""Older copies of a hospital's database: refused by itself, and never written off too cheaply."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from compliance.ledger.entries import PARTITIONS, Reservation, SentToken, State
from compliance.ledger.ledger import Ledger
from compliance.ledger.listed_heads import FIRST, HeadKind, LedgerHead, ListedHeads
from compliance.privacy.budget_filter import Filter
from compliance.privacy.divergences.renyi import rdp
from compliance.privacy.events import SampledGaussian
from protocol.errors import BudgetSpent, LedgerBroken, PolicyRefused, StoreBroken
from silos.database.approvals import approvals_of
from silos.database.database import SiteDatabase, open_hospital
from tests.support.machine.databases import allow_updates, run_sql
from tests.support.networked.memory_heads import MemoryHeads
from tests.unit.compliance.ledger.test_ledger import QUIET, FakeStorage

OFFICER = "Dr. A. Officer"
SECRET = bytes(range(32))
BUDGET = Filter(epsilon_max=8.0, delta=2e-5)
STUDY = "a" * 64


def event(steps: int) -> SampledGaussian:
    """0.02 rho a step at the order of epsilon 8, which holds 4.912: 245 steps."""
    return SampledGaussian(noise_multiplier=10.0, sampling_rate=1.0, steps=steps)


def share(steps: int) -> float:
    """Which part of the budget so many steps take."""
    return BUDGET.share_of((event(steps),))


def reserve(ledger: Ledger, run: str, steps: int) -> Reservation:
    return ledger.reserve(
        study="s", run=run, partition="training", round_kind="training", event=event(steps)
    )


def send(ledger: Ledger, plan: Reservation, context: str, steps: int) -> SentToken:
    return ledger.mark_sent(
        plan, context=context, event=event(steps), blob=context, content=context
    )


def spend(ledger: Ledger, run: str, steps: int) -> SentToken:
    """A whole run of one release."""
    plan = reserve(ledger, run, steps)
    token = send(ledger, plan, run, steps)
    ledger.settle(plan)
    return token


# --- the list -------------------------------------------------------------------------------------


@pytest.fixture
def heads(tmp_path: Path) -> ListedHeads:
    log = ListedHeads(tmp_path / "heads" / "east.ledger", SECRET)
    log.begin()
    return log


def head(number: int, kind: HeadKind = HeadKind.BINDING) -> LedgerHead:
    return LedgerHead(number=number, hash=f"{number:064x}", kind=kind)


def test_a_new_list_asks_for_nothing(heads: ListedHeads) -> None:
    assert (heads.newest(), heads.all()) == (FIRST, (FIRST,))


def test_the_newest_binding_line_is_what_a_chain_must_hold(heads: ListedHeads) -> None:
    for line in (head(1, HeadKind.OTHER), head(2), head(3, HeadKind.OTHER)):
        heads.append(line)
    again = ListedHeads(heads.path, SECRET)
    assert again.newest() == head(2)
    assert again.all() == (FIRST, head(1, HeadKind.OTHER), head(2), head(3, HeadKind.OTHER))


def test_the_newest_binding_line_is_found_behind_any_number_of_others(heads: ListedHeads) -> None:
    heads.append(head(1))
    for number in range(2, 200):
        heads.append(head(number, HeadKind.OTHER))
    assert heads.newest() == head(1)


def test_an_older_line_changes_nothing(heads: ListedHeads) -> None:
    heads.append(head(5))
    heads.append(head(4))
    assert heads.all() == (FIRST, head(5))


def test_a_line_that_was_cut_off_counts_for_nothing_and_is_written_over(heads: ListedHeads) -> None:
    heads.append(head(1))
    whole = heads.path.read_bytes()
    heads.append(head(2))
    heads.path.write_bytes(heads.path.read_bytes()[:-7])
    assert heads.newest() == head(1)
    heads.append(head(3))
    assert heads.path.read_bytes().startswith(whole)
    assert heads.all() == (FIRST, head(1), head(3))


@pytest.mark.parametrize("place", [3, 10, 60, 100])
def test_a_changed_line_is_refused(heads: ListedHeads, place: int) -> None:
    heads.append(head(1))
    data = bytearray(heads.path.read_bytes())
    data[-place] ^= 1
    heads.path.write_bytes(bytes(data))
    for read in (heads.newest, heads.all):
        with pytest.raises(StoreBroken, match="was changed, or belongs to another database"):
            read()


@pytest.mark.parametrize("which", ["secret", "chain"])
def test_the_list_of_another_chain_is_refused(heads: ListedHeads, which: str) -> None:
    other = heads.path if which == "secret" else heads.path.rename(heads.path.with_suffix(".x"))
    with pytest.raises(StoreBroken, match="belongs to another database"):
        ListedHeads(other, bytes(32) if which == "secret" else SECRET).newest()


def test_a_list_that_is_missing_is_a_finding(heads: ListedHeads) -> None:
    heads.path.unlink()
    with pytest.raises(StoreBroken, match="is missing. Put it back .* collegium silo restored"):
        heads.newest()
    with pytest.raises(StoreBroken, match="is missing"):
        heads.append(head(1))
    assert heads.all() == ()


def test_a_list_that_cannot_be_read_is_set_aside_when_people_say_so(heads: ListedHeads) -> None:
    heads.append(head(1))
    heads.path.write_text("nonsense\n")
    heads.restart(head(7))
    assert heads.newest() == head(7, HeadKind.ANEW)
    assert heads.path.with_name("east.ledger.unreadable").read_text() == "nonsense\n"


def test_a_list_with_entries_is_not_begun_again(heads: ListedHeads) -> None:
    heads.begin()  # whoever began it before had not finished
    heads.append(head(1))
    with pytest.raises(StoreBroken, match="an earlier database of this hospital has sent"):
        heads.begin()


def test_a_full_disk_is_told_and_leaves_the_list_whole(
    heads: ListedHeads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int, _data: bytes, _place: int) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(StoreBroken, match="No space left on"):
        patch.setattr(os, "pwrite", full)
        heads.append(head(1))
    assert heads.newest() == FIRST


def test_backup_programs_are_told_to_leave_the_folder_out(heads: ListedHeads) -> None:
    tag = (heads.path.parent / "CACHEDIR.TAG").read_text()
    assert tag.startswith("Signature: 8a477f597d28d172789f06886806bc55")
    assert heads.path.parent.stat().st_mode & 0o777 == 0o700
    assert heads.path.stat().st_mode & 0o777 == 0o600


def test_writers_at_once_lose_no_line(heads: ListedHeads) -> None:
    def work() -> None:
        for number in range(1, 100):
            ListedHeads(heads.path, SECRET).append(head(number))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heads.all() == (FIRST, *(head(number) for number in range(1, 100)))


# --- the ledger -----------------------------------------------------------------------------------


@pytest.fixture
def place(place_of: Callable[[str], Path | str]) -> Path | str:
    return place_of("north")


@pytest.fixture
def north(place: Path | str, tmp_path: Path) -> Iterator[SiteDatabase]:
    hospital = open_hospital(place, site="north", blobs=tmp_path / "north-blobs")
    hospital.ledger.open_budget(epsilon_max=8.0, delta=2e-5, signed_by=OFFICER)
    yield hospital
    hospital.close()


def forget_entries_after(place: Path | str, number: int) -> None:
    """What a restored backup is to a process that keeps its connection, as to a server's client."""
    run_sql(
        place,
        {
            "sqlite": "DROP TRIGGER ledger_entry_no_delete",
            "postgresql": "DROP TRIGGER ledger_entry_append_only ON ledger_entry",
        },
    )
    run_sql(place, f"DELETE FROM ledger_entry WHERE number > {number}")  # noqa: S608


def test_every_release_is_listed_outside_the_database(north: SiteDatabase) -> None:
    plan = reserve(north.ledger, "run-1", 100)
    tokens = [send(north.ledger, plan, f"c{number}", 10) for number in range(3)]
    north.ledger.settle(plan)
    listed = north.ledger_heads.all()
    assert [line.hash for line in listed if line.kind is HeadKind.BINDING] == [
        t.head for t in tokens
    ]
    assert listed[-1].hash == north.ledger.head


def test_a_ledger_set_back_in_mid_run_sends_and_reserves_nothing(
    north: SiteDatabase, place: Path | str
) -> None:
    plan = reserve(north.ledger, "run-1", 100)
    send(north.ledger, plan, "round 0", 10)
    newest = send(north.ledger, plan, "round 1", 10)
    forget_entries_after(place, 2)
    north.ledger.verify()  # the chain alone is whole
    for work in (
        lambda: send(north.ledger, plan, "round 2", 10),
        lambda: send(north.ledger, plan, "round 0", 10),
        lambda: reserve(north.ledger, "run-1", 100),
        lambda: reserve(north.ledger, "run-2", 1),
        north.ledger.require_newest,
    ):
        with pytest.raises(LedgerBroken, match=f"once had the head {newest.head[:16]}"):
            work()


def test_what_never_left_may_be_lost(north: SiteDatabase, place: Path | str) -> None:
    """A backup from after a run's last release is no older copy, though its settling is lost."""
    spend(north.ledger, "run-1", 10)
    forget_entries_after(place, 2)
    north.ledger.require_newest()
    assert reserve(north.ledger, "run-1", 10).number == 1


@pytest.mark.parametrize("lost", ["removed", "another hospital's"])
def test_a_ledger_without_its_list_books_nothing_until_people_say_so(
    north: SiteDatabase, lost: str
) -> None:
    plan = reserve(north.ledger, "run-1", 100)
    token = send(north.ledger, plan, "round 0", 10)
    if lost == "removed":
        north.ledger_heads.path.unlink()
    else:
        ListedHeads(north.ledger_heads.path, bytes(32)).restart(head(9))
    for work in (
        lambda: send(north.ledger, plan, "round 1", 10),
        lambda: reserve(north.ledger, "run-2", 1),
        lambda: north.ledger.confirm(token),
    ):
        with pytest.raises(LedgerBroken, match="collegium silo restored"):
            work()
    with pytest.raises(LedgerBroken, match="went back in time"):
        north.ledger.accept_copy(["f" * 64])
    north.ledger.accept_copy([token.head])
    send(north.ledger, plan, "round 1", 10)


def test_an_older_copy_is_not_accepted_while_the_list_is_there(
    north: SiteDatabase, place: Path | str
) -> None:
    spend(north.ledger, "run-1", 10)
    forget_entries_after(place, 1)
    with pytest.raises(LedgerBroken, match="went back in time"):
        north.ledger.accept_copy([])


def test_a_new_database_does_not_take_the_place_of_one_that_has_spent(tmp_path: Path) -> None:
    path = tmp_path / "north.db"
    with closing(open_hospital(path, site="north")) as hospital:
        hospital.ledger.open_budget(epsilon_max=8.0, delta=2e-5, signed_by=OFFICER)
        spend(hospital.ledger, "run-1", 10)
    for file in tmp_path.glob("north.db*"):
        file.unlink()
    shutil.rmtree(tmp_path / "north-keys")
    with pytest.raises(LedgerBroken, match="an earlier database of this hospital has sent"):
        open_hospital(path, site="north")


def test_a_crash_between_booking_and_listing_is_made_good(north: SiteDatabase) -> None:
    plan = reserve(north.ledger, "run-1", 100)
    before = north.ledger_heads.path.read_bytes()
    token = send(north.ledger, plan, "round 0", 10)
    north.ledger_heads.path.write_bytes(before)  # killed before the list was written
    with pytest.raises(LedgerBroken, match="not listed outside the database: send nothing"):
        north.ledger.confirm(token)
    assert send(north.ledger, plan, "round 0", 10) == token
    north.ledger.confirm(token)
    assert north.ledger.summary().of("training").spent == pytest.approx(share(10))


def test_a_release_that_cannot_be_listed_does_not_leave_and_is_paid_once(
    north: SiteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = reserve(north.ledger, "run-1", 100)

    def full(_file: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch, pytest.raises(LedgerBroken, match="Input/output error"):
        patch.setattr("compliance.ledger.listed_heads.os.fsync", full)
        send(north.ledger, plan, "round 0", 10)
    send(north.ledger, plan, "round 0", 10)
    assert north.ledger.summary().of("training").spent == pytest.approx(share(10))


# --- what is written off --------------------------------------------------------------------------


def test_a_copy_that_was_put_to_work_is_written_off_with_what_both_have_spent(
    tmp_path: Path,
) -> None:
    """Two lives of one budget: what patients have paid is more than the budget, and it is said."""
    with closing(open_hospital(tmp_path / "h.db", site="n")) as first:
        first.ledger.open_budget(epsilon_max=8.0, delta=2e-5, signed_by=OFFICER)
        first.close()
        shutil.copy(tmp_path / "h.db", tmp_path / "backup.db")
        shutil.copytree(tmp_path / "h-keys", tmp_path / "backup-keys")
        lost = spend(first.ledger, "run-a", 240)
    with closing(open_hospital(tmp_path / "backup.db", site="n")) as copy:
        with pytest.raises(LedgerBroken, match="is missing"):
            spend(copy.ledger, "run-b", 240)
        copy.ledger.accept_copy([])  # its people insist, and nobody shows them what was sent
        spend(copy.ledger, "run-b", 240)
        assert copy.ledger.write_off([lost.head], signed_by=OFFICER) == 1
        summary = copy.ledger.summary()
        copy.ledger.verify(remembered=[lost.head])
    line = summary.of("training")
    # Nobody knows at which order the lost part kept within the budget: the dearer counts.
    own = max(rdp(event(240), order) / held for order, held in both(BUDGET))
    assert line.spent == pytest.approx(1 + own)
    assert share(480) <= line.spent
    assert line.remaining == 0
    assert summary.of("evaluation").spent == pytest.approx(1.0)


def both(limit: Filter) -> Iterator[tuple[float, float]]:
    """A budget's two orders with what it holds at each."""
    return zip(limit.orders, limit.capacities, strict=True)


def test_a_lost_part_is_charged_at_the_order_at_which_it_costs_more(tmp_path: Path) -> None:
    """This copy is cheap at the lower order, the lost part may have been cheap at the upper."""
    with closing(open_hospital(tmp_path / "h.db", site="n")) as north:
        limit = north.ledger.open_budget(epsilon_max=5.0, delta=1e-6, signed_by=OFFICER)
        plan = north.ledger.reserve(
            study="s", run="r", partition="both", round_kind="training", event=QUIET
        )
        north.ledger.mark_sent(plan, context="c", event=QUIET, blob="b", content="c")
        assert north.ledger.summary().dearest.spent < 1
        north.ledger.write_off(["e" * 64], signed_by=OFFICER)
        summary = north.ledger.summary()
    worst = max(rdp(QUIET, order) / held for order, held in both(limit))
    assert worst > 1
    for partition in PARTITIONS:
        assert summary.of(partition).spent == pytest.approx(1 + worst)


def test_a_copy_that_was_stopped_by_its_list_is_written_off_at_the_whole_budget(
    north: SiteDatabase, place: Path | str
) -> None:
    """Nothing was spent since the fork, so nothing is counted beyond the budget."""
    spend(north.ledger, "run-1", 60)
    heads = [spend(north.ledger, f"run-{n}", 30).head for n in (2, 3)] + [north.ledger.head]
    forget_entries_after(place, 3)
    assert north.ledger.write_off(heads, signed_by=OFFICER) > 2
    summary = north.ledger.summary()
    for partition in PARTITIONS:
        assert summary.of(partition).spent == pytest.approx(1.0)
    north.ledger.verify(remembered=heads)
    with pytest.raises(BudgetSpent, match="does not suffice"):
        reserve(north.ledger, "run-4", 1)
    with pytest.raises(PolicyRefused, match="nothing is written off"):
        north.ledger.write_off(heads, signed_by=OFFICER)


def test_two_lost_parts_are_counted_twice() -> None:
    storage = FakeStorage()
    ledger = Ledger(storage)
    ledger.open_budget(epsilon_max=8.0, delta=2e-5, signed_by=OFFICER)
    lost = []
    for life in "abc":
        storage.rows, storage.ledger_heads = [], MemoryHeads()
        lost.append(spend(ledger, f"run-{life}", 240).head)
    assert ledger.write_off(lost, signed_by=OFFICER) == 2
    assert ledger.summary().of("training").spent > share(3 * 240)


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("spend"), st.integers(1, 120)),
        st.tuples(st.just("back up"), st.just(0)),
        st.tuples(st.just("restore"), st.integers(0, 3)),
        st.tuples(st.just("restore with the list"), st.integers(0, 3)),
        st.tuples(st.just("lose the list"), st.just(0)),
        st.tuples(st.just("write off"), st.just(0)),
    ),
    max_size=25,
)


#: A copy with rows that the list, restored from an earlier day, has never seen.
TWICE = [("spend", 120), ("spend", 120)]
OTHER_ROWS = [*TWICE, ("back up", 0), ("restore with the list", 0), *TWICE, ("restore", 1)]
#: Both restored, so that nothing objects, three times over.
LIVES = 3 * [("restore with the list", 0), *TWICE]


@settings(max_examples=300, deadline=None)
@given(ACTS)
@example(OTHER_ROWS)
@example(LIVES)
@example([("spend", 60), ("back up", 0), ("spend", 60), ("restore", 1), *LIVES, ("write off", 0)])
def test_no_history_of_copies_is_written_off_too_cheaply(acts: list[tuple[str, int]]) -> None:
    """Whatever was restored when: once all that left is shown, all that was paid is booked."""
    storage = FakeStorage()
    ledger = Ledger(storage)
    ledger.open_budget(epsilon_max=8.0, delta=2e-5, signed_by=OFFICER)
    copies = [(list(storage.rows), list(storage.ledger_heads.lines))]
    sent: list[str] = []
    paid = 0.0
    for number, (act, given_) in enumerate(acts):
        try:
            if act == "spend":
                sent.append(spend(ledger, f"run-{number}", given_).head)
                paid += share(given_)
            elif act == "back up":
                copies.append((list(storage.rows), list(storage.ledger_heads.lines)))
            elif act.startswith("restore"):
                rows, lines = copies[given_ % len(copies)]
                storage.rows = list(rows)
                if "list" in act:
                    storage.ledger_heads.lines = list(lines)
            elif act == "lose the list":
                storage.ledger_heads.lines = [FIRST]
                ledger.accept_copy([])
            else:
                ledger.write_off(sent, signed_by=OFFICER)
        except (BudgetSpent, LedgerBroken, PolicyRefused):
            pass
    try:
        ledger.write_off(sent, signed_by=OFFICER)
    except PolicyRefused:
        ledger.verify(remembered=sent)
    assert ledger.summary().of("training").spent >= paid - 1e-9
    ledger.verify(remembered=sent)


# --- approvals ------------------------------------------------------------------------------------


def test_a_withdrawal_that_is_removed_does_not_let_the_study_run_again(
    north: SiteDatabase, place: Path | str
) -> None:
    approvals = approvals_of(north)
    approvals.approve(STUDY, approver=OFFICER, approvers=[OFFICER])
    approvals.withdraw(STUDY, approver=OFFICER)
    run_sql(
        place,
        {
            "sqlite": "DROP TRIGGER approval_no_delete",
            "postgresql": "DROP TRIGGER approval_append_only ON approval",
        },
    )
    run_sql(place, "DELETE FROM approval WHERE number = 2")
    with pytest.raises(StoreBroken, match="approval 2, the newest decision, is not in the data"):
        approvals.require(STUDY, approvers=[OFFICER], needed=1)
    with pytest.raises(StoreBroken, match="approval 2, the newest decision"):
        approvals.approve(STUDY, approver=OFFICER, approvers=[OFFICER])


def test_decisions_that_may_have_been_lost_end_every_approval(north: SiteDatabase) -> None:
    approvals = approvals_of(north)
    for study in (STUDY, "b" * 64):
        approvals.approve(study, approver=OFFICER, approvers=[OFFICER])
    north.approval_heads.path.unlink()
    with pytest.raises(StoreBroken, match="is missing"):
        approvals.all()
    done = approvals.accept_copy(approver=OFFICER, reason="the disk was replaced")
    assert [entry.study for entry in done] == [STUDY, "b" * 64]
    assert approvals.standing(STUDY) == ()
    approvals.approve(STUDY, approver=OFFICER, approvers=[OFFICER])
    approvals.require(STUDY, approvers=[OFFICER], needed=1)


def test_decisions_and_releases_are_listed_apart(north: SiteDatabase) -> None:
    approvals_of(north).approve(STUDY, approver=OFFICER, approvers=[OFFICER])
    spend(north.ledger, "run-1", 10)
    assert north.approval_heads.newest().number == 1
    assert north.ledger_heads.newest().number == 2


def test_rows_that_were_changed_and_sealed_again_miss_the_listed_head(
    north: SiteDatabase, place: Path | str
) -> None:
    """Whoever owns the database can make a chain that agrees with itself, but not with the list."""
    spend(north.ledger, "run-1", 10)
    with north.transaction() as guard:
        rows = list(guard.entries())
    cheap = replace(rows[1], rho_upper=0)
    cheap = replace(cheap, hash=cheap.computed_hash)
    last = replace(rows[2], prev_hash=cheap.hash)
    allow_updates(place, "ledger_entry")
    if isinstance(place, str):
        run_sql(place, "DELETE FROM ledger_entry WHERE number > 1")
    else:
        forget_entries_after(place, 1)
    with north.transaction() as guard:
        for row in (cheap, replace(last, hash=last.computed_hash)):
            guard.append(row)
    assert [row.state for row in rows] == [State.RESERVED, State.SENT, State.SETTLED]
    north.ledger.verify()
    with pytest.raises(LedgerBroken, match="went back in time"):
        reserve(north.ledger, "run-2", 1)
