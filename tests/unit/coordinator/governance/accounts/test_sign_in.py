"""Logins: one derivation and one sentence for everybody; codes once; waits outlive a restart."""

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from collegium.verification.bundle.export import export_bundle
from compliance.governance.access.lock_out import FREE_FAILURES, MAX_FAILURES
from compliance.governance.access.sealed_key import SealingCost, read_sealed_key
from compliance.governance.acts import ActRequest
from compliance.governance.people import same_name
from coordinator.audit.verification import verify_records
from coordinator.database.store import LogEntryRow, Store
from coordinator.database.workspace import Workspace
from coordinator.governance.accounts import AccountFolder, AccountRow, RefusedLoginRow
from coordinator.governance.accounts.log_entries import LOGGED_EVERY
from coordinator.runs.admin_socket.answering import controlling
from coordinator.runs.person_acts import perform
from coordinator.runs.service import Service
from coordinator.runs.sign_in import REFUSED, SignIn, accounts_of
from coordinator.views.views import open_views
from protocol.errors import FederationError, MessageRefused, PolicyRefused, StoreBroken
from tests.support.hospital.accounts import CHEAP, DAN, PASSWORD, Accounts
from tests.support.hospital.people import ADA, BEA, CLEO


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    made = Accounts(tmp_path / "c")
    made.set(ADA)
    return made


def acts(accounts: Accounts) -> list[tuple[str, str]]:
    with closing(open_views(accounts.root)) as views:
        return [(act.action, act.outcome) for act in views.acts()]


def refused(accounts: Accounts) -> list[tuple[str | None, int]]:
    with closing(Store.for_reading(Workspace.open(accounts.root).database)) as store:
        with store.read() as session:
            rows = session.scalars(select(RefusedLoginRow).order_by(RefusedLoginRow.id))
            return [(row.person, row.refused) for row in rows]


def verify(accounts: Accounts) -> None:
    workspace = Workspace.open(accounts.root)
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        verify_records(session, workspace.public_key())


def test_a_login_is_an_act_that_the_persons_own_key_signs(accounts: Accounts) -> None:
    done = accounts.log_in()
    assert done.person == ADA and done.public_key == accounts.people.key(ADA).public.hex()
    assert done.secrets.seed == accounts.people.key(ADA).to_bytes()
    assert acts(accounts)[-2:] == [("account.set", "done"), ("login", "done")]
    verify(accounts)


def test_whatever_was_wrong_costs_one_derivation_and_gets_one_sentence(
    accounts: Accounts,
) -> None:
    tries = [
        (ADA, "another horse, not this one", accounts.fresh_code(ADA)),
        (ADA, PASSWORD, "000000"),
        (CLEO, PASSWORD, "123456"),  # registered, without an account
        ("Nobody at all", PASSWORD, "123456"),
        ("", "", ""),
    ]
    accounts.derived.clear()
    for name, password, code in tries:
        with pytest.raises(PolicyRefused) as told:
            accounts.sign_in.log_in(name, password, code, "s-1")
        assert str(told.value) == REFUSED
    assert accounts.derived == [CHEAP] * len(tries)


def test_a_code_is_good_once_also_after_a_restart(accounts: Accounts) -> None:
    code = accounts.fresh_code(ADA)
    accounts.log_in(code=code)
    for again in (accounts.sign_in, SignIn(accounts.root, accounts.clock, CHEAP)):
        with pytest.raises(PolicyRefused, match="the code was used already"):
            again.log_in(ADA, PASSWORD, code, "s-2")
    accounts.log_in()


def test_an_approval_takes_a_code_of_its_own(accounts: Accounts) -> None:
    code = accounts.fresh_code(ADA)
    person = accounts.log_in(code=code)
    with pytest.raises(PolicyRefused, match="this code was used already"):
        accounts.sign_in.confirm_code(person, code)
    with pytest.raises(PolicyRefused, match="the code is wrong"):
        accounts.sign_in.confirm_code(person, "12345")
    accounts.sign_in.confirm_code(person, accounts.fresh_code(ADA))


def test_wrong_codes_of_an_approval_count_as_failures(accounts: Accounts) -> None:
    person = accounts.log_in()
    for _ in range(FREE_FAILURES):
        with pytest.raises(PolicyRefused, match="the code is wrong"):
            accounts.sign_in.confirm_code(person, "12345")
    with pytest.raises(PolicyRefused, match="the account waits"):
        accounts.sign_in.confirm_code(person, accounts.code(ADA))


def test_failures_make_an_account_wait_and_a_restart_does_not_end_it(accounts: Accounts) -> None:
    for _ in range(FREE_FAILURES):
        with pytest.raises(PolicyRefused):
            accounts.log_in(password="wrong, wrong, wrong")  # noqa: S106  (of a test)
    again = SignIn(accounts.root, accounts.clock, CHEAP)
    with pytest.raises(PolicyRefused, match="wrong"):
        again.log_in(ADA, PASSWORD, accounts.code(ADA), "s-1")
    (one,) = accounts_of(accounts.root, accounts.clock)
    assert one.failures == FREE_FAILURES and one.wait
    accounts.clock.move(seconds=60)
    accounts.log_in()
    (one,) = accounts_of(accounts.root, accounts.clock)
    assert (one.failures, one.wait) == (0, 0)


def test_other_accounts_do_not_wait(accounts: Accounts) -> None:
    accounts.set(DAN)
    for _ in range(FREE_FAILURES + 3):
        with pytest.raises(PolicyRefused):
            accounts.log_in(password="wrong, wrong, wrong")  # noqa: S106  (of a test)
    assert accounts.log_in(DAN).person == DAN


def test_after_a_hundred_failures_only_an_administrator_unlocks(accounts: Accounts) -> None:
    accounts.set(DAN)
    folder, key = AccountFolder(accounts.root), accounts.people.key(DAN).public.hex()
    with folder.attempts() as known:
        known[key] = replace(known[key], failures=MAX_FAILURES)
    accounts.clock.move(days=300)
    with pytest.raises(PolicyRefused):
        accounts.log_in(DAN)
    asked = ActRequest(action="account.unlock", subject_kind="person", subject=DAN)
    with pytest.raises(PolicyRefused, match="may not let a locked account try again"):
        perform(accounts.root, asked, accounts.people.key(BEA), clock=accounts.clock)
    perform(accounts.root, asked, accounts.people.key(ADA), clock=accounts.clock)
    assert accounts.log_in(DAN).person == DAN


def test_refused_logins_are_logged_and_cannot_flood_the_log(accounts: Accounts) -> None:
    for _ in range(30):
        with pytest.raises(PolicyRefused):
            accounts.log_in(password="wrong, wrong, wrong")  # noqa: S106  (of a test)
        with pytest.raises(PolicyRefused):
            accounts.sign_in.log_in("Mallory", "x", "1", "s-1")
    assert refused(accounts) == [(ADA, 1), (None, 1)]
    accounts.clock.move(seconds=LOGGED_EVERY)
    with pytest.raises(PolicyRefused):
        accounts.sign_in.log_in("Mallory", "x", "1", "s-1")
    accounts.log_in()  # says what came before it
    assert refused(accounts)[2:] == [(None, 30), (ADA, 29)]
    verify(accounts)


def test_nobody_sets_the_account_of_another(accounts: Accounts) -> None:
    folder = AccountFolder(accounts.root)
    with closing(Store.for_reading(Workspace.open(accounts.root).database)) as store:
        with store.read() as session:
            box = folder.get(session.scalars(select(AccountRow.box)).one())
    said = {"key": box.public_key, "box": box.digest}
    payload = {"box": box.to_bytes().decode()}
    for subject, who, why in ((ADA, CLEO, "sets their own"), (CLEO, CLEO, "is another person's")):
        asked = ActRequest(
            action="account.set", subject_kind="person", subject=subject, details=said
        )
        with pytest.raises(PolicyRefused, match=why):
            perform(accounts.root, asked, accounts.people.key(who), payload, accounts.clock)
    asked = ActRequest(action="account.set", subject_kind="person", subject=ADA, details=said)
    with pytest.raises(MessageRefused, match="is not the one whose digest"):
        changed = {"box": replace(box, nonce=b"0" * 12).to_bytes().decode()}
        perform(accounts.root, asked, accounts.people.key(ADA), changed, accounts.clock)
    verify(accounts)


def test_a_box_that_lies_in_another_accounts_place_opens_nothing(accounts: Accounts) -> None:
    accounts.set(DAN, "another horse, not this one")
    rows = {one.person: one for one in accounts_of(accounts.root, accounts.clock)}
    assert set(rows) == {ADA, DAN}
    files = {read_sealed_key(f.read_bytes()).person: f for f in boxes(accounts)}
    files[ADA].write_bytes(files[DAN].read_bytes())
    with pytest.raises(PolicyRefused):
        accounts.log_in(ADA, "another horse, not this one")
    assert accounts.log_in(DAN, "another horse, not this one").person == DAN


def boxes(accounts: Accounts) -> list[Path]:
    names = (accounts.root / "accounts").glob("*.json")
    return [file for file in names if file.name != "attempts.json"]


def test_an_account_is_removed_by_its_owner_or_an_administrator(accounts: Accounts) -> None:
    accounts.set(DAN)
    asked = ActRequest(action="account.remove", subject_kind="person", subject=ADA)
    with pytest.raises(PolicyRefused, match="an administrator, anybody's"):
        perform(accounts.root, asked, accounts.people.key(DAN), clock=accounts.clock)
    for who, whose in ((ADA, DAN), (ADA, ADA)):
        asked = replace(asked, subject=whose)
        perform(accounts.root, asked, accounts.people.key(who), clock=accounts.clock)
    assert accounts_of(accounts.root, accounts.clock) == () and not boxes(accounts)
    with pytest.raises(PolicyRefused):
        accounts.log_in(ADA)
    with pytest.raises(PolicyRefused, match="has no account"):
        perform(accounts.root, asked, accounts.people.key(ADA), clock=accounts.clock)
    verify(accounts)


def test_a_new_password_ends_the_old_one_and_its_box(accounts: Accounts) -> None:
    (old,) = boxes(accounts)
    accounts.set(ADA, "another horse, not this one")
    assert not old.exists() and len(boxes(accounts)) == 1
    with pytest.raises(PolicyRefused):
        accounts.log_in(ADA, PASSWORD)
    accounts.log_in(ADA, "another horse, not this one")
    verify(accounts)


def test_somebody_retired_logs_in_no_longer(accounts: Accounts) -> None:
    accounts.set(DAN)
    accounts.people.clock = accounts.clock
    accounts.people.together(ADA, BEA, "person.retire", ("person", DAN))
    with pytest.raises(PolicyRefused, match="wrong"):
        accounts.log_in(DAN)


def test_a_box_that_costs_too_little_is_sealed_anew_at_the_next_login(accounts: Accounts) -> None:
    dearer = SealingCost(memory_kib=16, passes=1, lanes=1)
    (old,) = boxes(accounts)
    later = SignIn(accounts.root, accounts.clock, dearer)
    later.log_in(ADA, PASSWORD, accounts.fresh_code(ADA), "s-1")
    (new,) = boxes(accounts)
    assert new != old and read_sealed_key(new.read_bytes()).cost == dearer
    later.log_in(ADA, PASSWORD, accounts.fresh_code(ADA), "s-2")
    verify(accounts)


def test_no_bundle_holds_a_sealed_key(accounts: Accounts, tmp_path: Path) -> None:
    (box,) = boxes(accounts)
    sealed = read_sealed_key(box.read_bytes())
    export_bundle(accounts.root, tmp_path / "bundle.zip")
    data = (tmp_path / "bundle.zip").read_bytes()
    database = (accounts.root / "collegium.db").read_bytes()
    for kept in (data, database):
        assert sealed.digest.encode() in kept  # what was logged
        for secret in (sealed.sealed, sealed.salt, sealed.nonce):
            assert secret not in kept and secret.hex().encode() not in kept


def test_an_account_that_was_written_past_the_service_is_found(accounts: Accounts) -> None:
    workspace = Workspace.open(accounts.root)
    with closing(Store(workspace.database)) as store:
        with store.transaction() as transaction:
            row = transaction.session.scalars(select(AccountRow)).one()
            row.box = "0" * 64
            from compliance.audit.log import NewEntry

            record = transaction.write(row)
            entry = NewEntry(type="account-set", run_id=None, payload=record, record=record)
            transaction.log([entry], workspace.signing_key())
    with pytest.raises(StoreBroken, match=r"none that they set|no act of a person"):
        verify(accounts)


def test_a_damaged_file_of_attempts_lets_nobody_in(accounts: Accounts) -> None:
    (accounts.root / "accounts" / "attempts.json").write_text("[]")
    with pytest.raises(FederationError, match="is damaged"):
        accounts.log_in()


def test_with_a_service_the_same_happens_at_its_socket(accounts: Accounts) -> None:
    accounts.clock.now = accounts.clock.now.__class__.now(accounts.clock.now.tzinfo)
    service = Service(accounts.root)
    with closing(service), controlling(service, accounts.root):
        assert accounts.log_in(code=accounts.code(ADA)).person == ADA
        with pytest.raises(PolicyRefused, match="was used already"):
            accounts.log_in(code=accounts.code(ADA))
    verify(accounts)


def test_a_name_is_known_however_it_is_spelled(accounts: Accounts) -> None:
    spelled = "dr.  ADA admin"
    assert same_name(spelled) == same_name(ADA)
    accounts.one_time[spelled] = accounts.one_time[ADA]
    assert accounts.log_in(spelled).person == ADA


def test_the_password_stands_nowhere(accounts: Accounts) -> None:
    accounts.log_in()
    for file in accounts.root.rglob("*"):
        if file.is_file():
            assert PASSWORD.encode() not in file.read_bytes(), file
    json.dumps([one.to_json() for one in accounts_of(accounts.root, accounts.clock)])


def test_an_account_needs_a_good_password_and_somebody_registered(accounts: Accounts) -> None:
    with pytest.raises(PolicyRefused, match="at least 15 letters"):
        accounts.set(DAN, "short")
    with pytest.raises(PolicyRefused, match="nobody is registered under this key"):
        accounts.set("Eve")
    with closing(Store.for_reading(Workspace.open(accounts.root).database)) as store:
        with store.read() as session:
            assert session.scalar(select(func.count()).select_from(LogEntryRow))
