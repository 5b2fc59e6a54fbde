"""A hospital's identity key is replaced, and its ledger is not; a coordinator may be lost."""

import json
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from compliance.ledger import ledger
from compliance.ledger.entries import PARTITIONS, State
from protocol.errors import (
    BudgetSpent,
    LedgerBroken,
    LinkLost,
    MessageRefused,
    PolicyRefused,
    StoreBroken,
)
from protocol.identity.roster import Member, Roster, SignedRoster, SigningKey, sign_roster
from protocol.transport.enrolment import RosterNews, parse, to_bytes
from protocol.transport.privacy_summary import SignedSummary, Summary, sign_summary
from silos.database import trusted_rosters
from silos.database.approvals import approvals_of
from silos.database.database import MIGRATIONS, SiteDatabase, open_hospital
from silos.database.identity_keys import IdentityKeys
from silos.database.joined_runs import JoinedRuns, RunState
from silos.database.private_keys import PrivateKeys
from silos.database.trusted_rosters import TrustedRosters
from silos.operations.keys import leave_chain, rotate_over
from silos.operations.restoring import accept_restored_over, write_off_over
from silos.operations.roster import refresh, sign_over, trust_over
from silos.rounds.openings.rollback_evidence import SignedLedgerHeads
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.hospital.rosters import roster_with
from tests.support.machine.databases import REFUSED, allow_updates, run_sql
from tests.support.networked.memory_line import MemoryLine
from tests.support.simulated.bookings import HELD_BELOW, reserve, send

OFFICER, STUDY = "Dr. A. Officer", "a" * 64
OTHERS = ("north", "south", "west")


@pytest.fixture
def place(place_of: Callable[[str], Path | str]) -> Path | str:
    return place_of("east")


@pytest.fixture
def east(place: Path | str, tmp_path: Path) -> Iterator[SiteDatabase]:
    hospital = open_hospital(place, site="east", blobs=tmp_path / "blobs")
    hospital.ledger.open_budget(epsilon_max=8.0, delta=2e-5, signed_by=OFFICER)
    yield hospital
    hospital.close()


def consortium_with(east: SiteDatabase, folder: Path) -> ConsortiumHome:
    """Four hospitals, east among them, that have founded a consortium which east trusts."""
    home = ConsortiumHome(folder)
    home.enrol(*OTHERS)
    home.keys["east"] = IdentityKeys(east).own
    home.accept(home.invite("east"), home.keys["east"])
    home.sign("east", *OTHERS)
    refresh(east, MemoryLine(home, east))
    return home


@pytest.fixture
def home(east: SiteDatabase, tmp_path: Path) -> Iterator[ConsortiumHome]:
    opened = consortium_with(east, tmp_path / "coordinator")
    yield opened
    opened.store.close()


@pytest.fixture
def line(home: ConsortiumHome, east: SiteDatabase) -> MemoryLine:
    return MemoryLine(home, east)


def others_sign(home: ConsortiumHome, *sites: str) -> Roster:
    return home.sign(*(sites or OTHERS))


def rotated(home: ConsortiumHome, line: MemoryLine, east: SiteDatabase) -> SigningKey:
    """East's new key, after a whole rotation."""
    rotate_over(east, line)
    proposed = home.members.rosters.propose()
    sign_over(east, line, proposed.digest, home.authority.identity)
    others_sign(home, "north", "south")
    refresh(east, line)
    return IdentityKeys(east).own


def trusted(east: SiteDatabase) -> Roster:
    roster = TrustedRosters(east).newest()
    assert roster is not None
    return roster


# --- rotation -------------------------------------------------------------------------------------


def test_next_key_counts_once_a_quorum_has_signed_a_roster_that_names_it(
    home: ConsortiumHome, line: MemoryLine, east: SiteDatabase
) -> None:
    before = IdentityKeys(east).own
    view = rotate_over(east, line)
    assert view.own == before.public.hex()
    roster = home.members.rosters.propose()
    assert sign_over(east, line, roster.digest, home.authority.identity) == (roster, False)
    assert IdentityKeys(east).own.public == before.public
    others_sign(home, "north", "south")
    assert refresh(east, line).trusted == roster
    keys = IdentityKeys(east)
    assert (keys.own.public.hex(), keys.next, keys.former()) == (view.next, None, (view.own,))
    assert home.members.identity_key("east") == keys.own.public


def test_last_signature_of_a_rotation_makes_the_next_key_the_own_one_at_once(
    home: ConsortiumHome, line: MemoryLine, east: SiteDatabase
) -> None:
    view = rotate_over(east, line)
    roster = others_sign(home, "north", "south")
    assert sign_over(east, line, roster.digest, home.authority.identity) == (roster, True)
    assert IdentityKeys(east).own.public.hex() == view.next


def test_quorum_without_this_hospitals_own_signature_replaces_no_key(
    home: ConsortiumHome, line: MemoryLine, east: SiteDatabase
) -> None:
    before = rotate_over(east, line).own
    others_sign(home)
    assert home.members.rosters.proposed() is not None
    assert refresh(east, line).trusted == trusted(east)
    assert IdentityKeys(east).own.public.hex() == before


def test_a_roster_with_a_key_that_is_neither_own_nor_next_is_not_signed(
    home: ConsortiumHome, line: MemoryLine, east: SiteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotate_over(east, line)
    home.members.rosters.propose()
    other = SigningKey.generate()
    monkeypatch.setattr(IdentityKeys, "next", property(lambda _self: other))
    roster = home.members.rosters.proposed()
    assert roster is not None
    with pytest.raises(PolicyRefused, match="names another key for hospital east.*do not sign it"):
        sign_over(east, line, roster.roster.digest, home.authority.identity)


def test_a_first_roster_replaces_no_key(east: SiteDatabase, tmp_path: Path) -> None:
    coming = IdentityKeys(east).make_next()
    home = ConsortiumHome(tmp_path / "new")
    home.accept(home.invite("east"), coming)
    roster = home.members.rosters.propose()
    with pytest.raises(PolicyRefused, match="names another key for hospital east"):
        sign_over(east, MemoryLine(home, east), roster.digest, home.authority.identity)
    signed = SignedRoster(roster=roster, signatures={"east": sign_roster(roster, coming)})
    with pytest.raises(PolicyRefused, match="names another key for hospital east"):
        TrustedRosters(east).keep(signed)
    home.store.close()


def test_announcing_again_announces_the_same_key(line: MemoryLine, east: SiteDatabase) -> None:
    line.fails = "key-change"
    with pytest.raises(LinkLost, match="the line was cut"):
        rotate_over(east, line)
    kept = IdentityKeys(east).next
    line.fails = ""
    assert kept is not None
    assert rotate_over(east, line).next == rotate_over(east, line).next == kept.public.hex()


def test_a_key_in_no_trusted_roster_is_not_rotated(east: SiteDatabase, tmp_path: Path) -> None:
    home = ConsortiumHome(tmp_path / "new")
    with pytest.raises(PolicyRefused, match="no roster that this hospital trusts names its ident"):
        rotate_over(east, MemoryLine(home, east))
    assert IdentityKeys(east).next is None
    home.store.close()


@pytest.mark.parametrize("step", ["_row", "replace_key"])
def test_rotation_that_is_cut_off_while_the_roster_is_kept_goes_on_later(
    home: ConsortiumHome,
    line: MemoryLine,
    east: SiteDatabase,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    def cut(*_words: object) -> None:
        raise StoreBroken("the power went")

    view = rotate_over(east, line)
    roster = others_sign(home, "north", "south")
    with monkeypatch.context() as patch, pytest.raises(StoreBroken, match="the power went"):
        patch.setattr(trusted_rosters, step, cut)
        sign_over(east, line, roster.digest, home.authority.identity)
    assert home.members.identity_key("east") == bytes.fromhex(str(view.next))
    assert (trusted(east).version, IdentityKeys(east).own.public.hex()) == (1, view.own)
    assert refresh(east, line).trusted == roster
    assert IdentityKeys(east).own.public.hex() == view.next


def test_a_lost_signature_leaves_the_key_before_at_work(
    home: ConsortiumHome, line: MemoryLine, east: SiteDatabase
) -> None:
    view = rotate_over(east, line)
    roster = home.members.rosters.propose()
    line.fails = "roster-signature"
    with pytest.raises(LinkLost, match="the line was cut"):
        sign_over(east, line, roster.digest, home.authority.identity)
    line.fails = ""
    assert IdentityKeys(east).own.public.hex() == view.own
    others_sign(home, "north", "south")
    assert sign_over(east, line, roster.digest, home.authority.identity) == (roster, True)


def test_decisions_under_the_key_before_still_count(
    home: ConsortiumHome, line: MemoryLine, east: SiteDatabase
) -> None:
    approvals_of(east).approve(STUDY, approver=OFFICER, approvers=[OFFICER])
    rotated(home, line, east)
    assert len(approvals_of(east).standing(STUDY)) == 1
    approvals_of(east).withdraw(STUDY, approver=OFFICER)
    assert approvals_of(east).standing(STUDY) == ()


def test_key_before_is_kept_for_open_runs_and_forgotten_after_them(
    home: ConsortiumHome, line: MemoryLine, east: SiteDatabase
) -> None:
    keys, before, runs = IdentityKeys(east), IdentityKeys(east).own.public, JoinedRuns(east)
    runs.record("run-1", study=STUDY, state=RunState.JOINED)
    now = rotated(home, line, east).public
    keys.forget_former()
    assert (keys.of_run(before).public, keys.of_run(now).public) == (before, now)
    with pytest.raises(PolicyRefused, match="a run that began with the key before this one is st"):
        rotate_over(east, line)
    runs.record("run-1", study=STUDY, state=RunState.LEFT)
    keys.forget_former()
    with pytest.raises(PolicyRefused, match="names a key that this hospital does not have"):
        keys.of_run(before)
    assert rotate_over(east, line).next is not None


@pytest.mark.parametrize("table", ["former_key", "departure", "trusted_roster"])
def test_the_database_only_adds_keys_departures_and_rosters(
    home: ConsortiumHome, line: MemoryLine, east: SiteDatabase, place: Path | str, table: str
) -> None:
    rotated(home, line, east)
    TrustedRosters(east).leave("a trial")
    with pytest.raises(REFUSED, match=f"{table} is append-only"):
        run_sql(place, f"DELETE FROM {table}")  # noqa: S608


# --- leaving --------------------------------------------------------------------------------------


def test_leaving_keeps_what_patients_have_paid_and_what_was_approved(
    home: ConsortiumHome, east: SiteDatabase
) -> None:
    token, split_key = send(east, reserve(east)), east.split_key
    approvals_of(east).approve(STUDY, approver=OFFICER, approvers=[OFFICER])
    spent = east.ledger.summary().of("training").spent
    leave_chain(east, "the coordinator was lost")
    assert TrustedRosters(east).newest() is None
    assert (east.ledger.summary().of("training").spent, east.split_key) == (spent, split_key)
    assert east.ledger.verify(remembered=[token.head])
    assert len(approvals_of(east).standing(STUDY)) == 1


def test_open_runs_end_when_the_chain_is_left(home: ConsortiumHome, east: SiteDatabase) -> None:
    plan = reserve(east)
    send(east, plan)
    JoinedRuns(east).record(plan.run, study=plan.study, state=RunState.JOINED)
    leave_chain(east, "the coordinator was lost")
    assert JoinedRuns(east).open() == ()
    summary = east.ledger.summary().of("training")
    assert summary.spent > 0
    assert summary.reserved == 0
    with pytest.raises(BudgetSpent, match="is settled"):
        send(east, plan, "another round")


def test_old_chain_is_not_trusted_again(home: ConsortiumHome, east: SiteDatabase) -> None:
    founding, line = home.members.rosters.current(), MemoryLine(home, east)
    assert founding is not None
    home.members.revoke("east", "its laptop was stolen")
    second = others_sign(home)
    leave_chain(east, "our laptop was stolen")
    with pytest.raises(PolicyRefused, match="names another key for hospital east"):
        TrustedRosters(east).keep(founding, compared=founding.roster.digest)
    view = refresh(east, line)
    assert (view.trusted, view.first.roster if view.first else None) == (None, second)
    assert view.first is not None
    with pytest.raises(PolicyRefused, match="does not name hospital east"):
        TrustedRosters(east).keep(view.first, compared=second.digest)
    with pytest.raises(PolicyRefused, match="not one that this hospital has trusted"):
        TrustedRosters(east).kept(founding.roster.digest)


def test_hospital_whose_key_was_stolen_returns_with_its_ledger(
    home: ConsortiumHome, east: SiteDatabase
) -> None:
    home.members.revoke("east", "its laptop was stolen")
    others_sign(home)
    leave_chain(east, "our laptop was stolen")
    home.keys["east"] = IdentityKeys(east).own
    home.accept(home.invite("east"), home.keys["east"])
    third = others_sign(home)
    view = refresh(east, MemoryLine(home, east))
    assert view.first is not None
    with pytest.raises(PolicyRefused, match="compare its fingerprint with other members"):
        TrustedRosters(east).keep(view.first)
    assert TrustedRosters(east).keep(view.first, compared=third.digest) == trusted(east)


def test_hospital_restored_from_before_a_rotation_knows_its_lost_keys_words(
    home: ConsortiumHome, line: MemoryLine, east: SiteDatabase, tmp_path: Path
) -> None:
    before = IdentityKeys(east).own
    lost = rotated(home, line, east)
    line.signed_summaries = {"run-1": word(LOST, lost)}
    restored = open_hospital(tmp_path / "restored.db", site="east", simulated=False)
    assert before.public.hex() not in IdentityKeys(restored).public()
    home.members.revoke("east", "its database was lost")
    others_sign(home)
    home.keys["east"] = IdentityKeys(restored).own
    home.accept(home.invite("east"), home.keys["east"])
    roster = others_sign(home)
    back = MemoryLine(home, restored)
    assert trust_over(restored, back, roster.digest, home.authority.identity) == trusted(restored)
    assert set(IdentityKeys(restored).former()) == {before.public.hex(), lost.public.hex()}
    heads = SignedLedgerHeads(summaries=tuple(line.signed_summaries.values())).ledger_heads(
        "east", IdentityKeys(restored).public()
    )
    assert heads == (LOST,)
    restored.close()


def test_first_roster_whose_chain_is_not_shown_is_not_trusted(
    home: ConsortiumHome, east: SiteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.members.revoke("east", "its laptop was stolen")
    others_sign(home)
    leave_chain(east, "our laptop was stolen")
    home.keys["east"] = IdentityKeys(east).own
    home.accept(home.invite("east"), home.keys["east"])
    roster, line = others_sign(home), MemoryLine(home, east)
    whole = parse(RosterNews, home.members.rosters.news(0))
    gap = to_bytes(replace(whole, signed=(whole.signed[0], whole.signed[2])))
    monkeypatch.setattr(home.members.rosters, "news", lambda _after: gap)
    with pytest.raises(PolicyRefused, match="does not show every roster before roster 3: nothing"):
        trust_over(east, line, roster.digest, home.authority.identity)
    assert TrustedRosters(east).newest() is None


def test_hospital_follows_a_new_coordinator_and_its_ledger_goes_on(
    home: ConsortiumHome, east: SiteDatabase, tmp_path: Path
) -> None:
    token = send(east, reserve(east))
    old = trusted(east)
    leave_chain(east, "the coordinator was lost without a backup")
    new = consortium_with(east, tmp_path / "new")
    assert trusted(east).version == 1
    assert trusted(east).digest != old.digest
    assert east.ledger.verify(remembered=[token.head])
    assert east.ledger.summary().of("training").spent > 0
    rotated(new, MemoryLine(new, east), east)
    assert trusted(east).version == 2
    new.store.close()


def test_what_followed_in_the_old_chain_follows_nothing_in_the_new(
    home: ConsortiumHome, east: SiteDatabase, tmp_path: Path
) -> None:
    home.enrol("late")
    others_sign(home, "north", "south", "west")
    later = home.members.rosters.current()
    leave_chain(east, "the coordinator was lost")
    new = consortium_with(east, tmp_path / "new")
    assert later is not None
    with pytest.raises(MessageRefused, match="roster 2 does not follow roster 1"):
        TrustedRosters(east).keep(later)
    new.store.close()


@pytest.mark.parametrize(("reason", "said"), [(" ", "say why"), ("x" * 2001, "at most 2000")])
def test_leaving_asks_for_a_reason(
    home: ConsortiumHome, east: SiteDatabase, reason: str, said: str
) -> None:
    before = IdentityKeys(east).own.public
    with pytest.raises(PolicyRefused, match=said):
        leave_chain(east, reason)
    assert (trusted(east).version, IdentityKeys(east).own.public) == (1, before)


def test_leaving_that_is_cut_off_can_be_said_again(
    home: ConsortiumHome, east: SiteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_words: object) -> None:
        raise StoreBroken("the power went")

    JoinedRuns(east).record("run-1", study=STUDY, state=RunState.JOINED)
    with monkeypatch.context() as patch, pytest.raises(StoreBroken, match="the power went"):
        patch.setattr(trusted_rosters, "replace_key", cut)
        leave_chain(east, "lost")
    assert trusted(east).version == 1
    leave_chain(east, "lost")
    assert TrustedRosters(east).newest() is None
    assert len(IdentityKeys(east).former()) == 1


def test_rosters_of_a_database_before_rotation_stay_trusted(tmp_path: Path) -> None:
    path, own = tmp_path / "old.db", SigningKey.from_bytes(bytes(32))
    roster = roster_with((Member(site="east", public_key=own.public.hex()),))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "hospital_0003")
        keys = PrivateKeys(tmp_path / "old-keys")
        keys.keep_identity(own)
        row = {"split": keys.keep_split_key(bytes(32)), "own": own.public.hex()}
        connection.execute(
            text("INSERT INTO hospital VALUES (1, 'east', :split, :own, '2000-01-01', 0)"), row
        )
        signatures = f'{{"east": "{sign_roster(roster, own).hex()}"}}'
        connection.execute(
            text("INSERT INTO roster VALUES (1, :document, :signatures, '')"),
            {"document": roster.canonical_bytes, "signatures": signatures},
        )
    engine.dispose()
    hospital = open_hospital(path, site="east")
    assert TrustedRosters(hospital).newest() == roster
    hospital.close()


# --- writing off ----------------------------------------------------------------------------------


LOST = "f" * 64


def word(head: str, key: SigningKey) -> SignedSummary:
    """What a hospital once signed about its ledger."""
    figures = {f.name: None for f in fields(Summary) if f.type == (float | None)}
    texts = {f.name: "" for f in fields(Summary) if f.type is str}
    texts |= {"unit": "patient", "patient": "key", "sides": "together"}
    texts |= {"mode": "none", "noise": "none"}
    counts = {f.name: 0 for f in fields(Summary) if f.type is int}
    rest = counts | {"sampling_rate": 1.0, "ledger_head": head}
    return sign_summary(Summary(**figures | texts | rest), key)  # type: ignore[arg-type]


def test_ledger_that_lost_rows_goes_on_with_nothing_left_to_spend(
    line: MemoryLine, east: SiteDatabase
) -> None:
    plan = reserve(east)
    send(east, plan)
    line.signed_summaries = {"run-1": word(LOST, IdentityKeys(east).own)}
    with pytest.raises(LedgerBroken, match="the ledger went back in time"):
        east.ledger.verify(remembered=[LOST])
    assert write_off_over(east, line, OFFICER).lost == 1
    assert east.ledger.verify(remembered=[LOST]) == east.ledger.head
    summary = east.ledger.summary()  # whether the lost part had shared what was sent is not known
    assert summary.of("training").spent == pytest.approx(1 + 0.15 / HELD_BELOW)
    assert summary.of("evaluation").spent == pytest.approx(1.0)
    assert [summary.of(part).remaining for part in PARTITIONS] == [0.0, 0.0]
    with pytest.raises(BudgetSpent, match="the plan of run run-1 is settled"):
        send(east, plan, "another round")
    with pytest.raises(BudgetSpent, match="the training patients' budget does not suffice"):
        reserve(east)


def test_written_off_budget_says_who_signed_and_which_heads_were_lost(
    line: MemoryLine, east: SiteDatabase
) -> None:
    line.signed_summaries = {"run-1": word(LOST, IdentityKeys(east).own)}
    write_off_over(east, line, OFFICER)
    with east.transaction() as guard:
        rows = [row for row in guard.entries() if row.round_kind == "written off"]
    assert [row.state for row in rows] == 2 * [State.RESERVED, State.SENT, State.SETTLED]
    assert json.loads(rows[0].event_json) == {"heads": [LOST], "signed_by": OFFICER}


def test_ledger_that_is_whole_is_not_written_off(line: MemoryLine, east: SiteDatabase) -> None:
    token = send(east, reserve(east))
    stranger = SigningKey.generate()
    line.signed_summaries = {
        "run-1": word(token.head, IdentityKeys(east).own),
        "run-2": word(LOST, stranger),
    }
    with pytest.raises(PolicyRefused, match="holds every head that is known of it: nothing is"):
        write_off_over(east, line, OFFICER)
    assert east.ledger.head == token.head


def test_a_head_that_turns_up_later_is_written_off_too(
    line: MemoryLine, east: SiteDatabase
) -> None:
    key = IdentityKeys(east).own
    line.signed_summaries = {"run-1": word(LOST, key)}
    write_off_over(east, line, OFFICER)
    line.signed_summaries = {"run-1": word(LOST, key), "run-2": word("e" * 64, key)}
    with pytest.raises(LedgerBroken, match="it once had the head eeee"):
        east.ledger.verify(remembered=[LOST, "e" * 64])
    assert write_off_over(east, line, OFFICER).lost == 1
    assert east.ledger.verify(remembered=[LOST, "e" * 64])
    summary = east.ledger.summary()  # they may be of two lost parts: each had a whole budget
    assert summary.of("training").spent == pytest.approx(2.0)


def test_a_copy_is_accepted_against_what_the_coordinator_knows(
    line: MemoryLine, east: SiteDatabase
) -> None:
    approvals_of(east).approve(STUDY, approver=OFFICER, approvers=[OFFICER])
    token = send(east, reserve(east))
    east.ledger_heads.path.unlink()
    key = IdentityKeys(east).own
    line.signed_summaries = {"run-1": word(token.head, key), "run-2": word(LOST, key)}
    with pytest.raises(LedgerBroken, match="it once had the head ffff"):
        accept_restored_over(east, line, OFFICER)
    with pytest.raises(LedgerBroken, match="is missing"):
        east.ledger.require_newest()
    line.signed_summaries = {"run-1": word(token.head, key)}
    found = accept_restored_over(east, line, OFFICER)
    assert (found.withdrawn, found.were_good) == ((STUDY,), False)
    east.ledger.require_newest()
    assert approvals_of(east).standing(STUDY) == ()


def test_words_under_the_key_before_find_a_ledger_that_went_back(
    home: ConsortiumHome, line: MemoryLine, east: SiteDatabase
) -> None:
    signed_summaries = SignedLedgerHeads(summaries=(word(LOST, IdentityKeys(east).own),))
    rotated(home, line, east)
    heads = signed_summaries.ledger_heads("east", IdentityKeys(east).public())
    assert heads == (LOST,)
    assert signed_summaries.ledger_heads("east", [IdentityKeys(east).own.public.hex()]) == ()


def test_writing_off_that_is_cut_off_has_written_nothing(
    line: MemoryLine, east: SiteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve(east)
    before = east.ledger.head
    line.signed_summaries = {"run-1": word(LOST, IdentityKeys(east).own)}
    with monkeypatch.context() as patch, pytest.raises(OSError, match="the power went"):
        patch.setattr(ledger, "written_off", Mock(side_effect=OSError("the power went")))
        write_off_over(east, line, OFFICER)
    assert east.ledger.head == before
    assert east.ledger.summary().of("training").spent == 0


def test_what_a_changed_row_says_is_written_off_is_not_believed(
    line: MemoryLine, east: SiteDatabase, place: Path | str
) -> None:
    line.signed_summaries = {"run-1": word(LOST, IdentityKeys(east).own)}
    write_off_over(east, line, OFFICER)
    allow_updates(place, "ledger_entry")
    run_sql(place, "UPDATE ledger_entry SET event_json = '{}' WHERE number = 1")
    with pytest.raises(LedgerBroken, match="ledger entry 1 was changed"):
        east.ledger.verify(remembered=[LOST])
