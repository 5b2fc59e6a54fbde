"""Linked identities: by two, for one key, ended by one; logins by them are logged, and held to."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from compliance.governance.access.linked_identity import LinkedIdentity, is_secure_address
from coordinator.audit.verification import verify_records
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.governance.accounts import IdentityLoginRow, RefusedLoginRow
from coordinator.governance.accounts.log_entries import LOGGED_EVERY
from coordinator.runs.admin_socket.answering import controlling
from coordinator.runs.service import Service
from coordinator.runs.sign_in import links_of
from protocol.errors import FederationError, MessageRefused, PolicyRefused
from tests.support.hospital.accounts import DAN, Accounts
from tests.support.hospital.people import ADA, BEA, CLEO

ISSUER = "https://id.example.org/realms/h"
OF_DAN = LinkedIdentity(issuer=ISSUER, subject="d-1")
HANDLE = "0123456789abcdef"


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    return Accounts(tmp_path / "c")


def linked(accounts: Accounts, name: str = DAN, identity: LinkedIdentity = OF_DAN) -> None:
    accounts.link(name, identity)


def logged(accounts: Accounts) -> list[tuple[str, str, int]]:
    with closing(Store.for_reading(Workspace.open(accounts.root).database)) as store:
        with store.read() as session:
            rows = session.scalars(select(IdentityLoginRow).order_by(IdentityLoginRow.id))
            return [(row.person, row.session, row.logins) for row in rows]


def verify(accounts: Accounts) -> None:
    workspace = Workspace.open(accounts.root)
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        verify_records(session, workspace.public_key())


def test_two_people_link_an_identity_and_one_ends_it(accounts: Accounts) -> None:
    said = {"issuer": ISSUER, "subject": "d-1", "key": accounts.people.key(DAN).public.hex()}
    told = accounts.people.act(ADA, "account.link", ("person", DAN), said)
    assert told["waits"] and links_of(accounts.root) == ()
    for name in (ADA, DAN):
        with pytest.raises(PolicyRefused):
            accounts.people.confirm(name, told["change"])
    accounts.people.confirm(BEA, told["change"])
    (link,) = links_of(accounts.root)
    assert (link.person, link.issuer, link.subject) == (DAN, ISSUER, "d-1")
    with pytest.raises(PolicyRefused, match="may not let a person log in"):
        accounts.people.act(DAN, "account.link", ("person", DAN), said)
    with pytest.raises(PolicyRefused, match="ends their own login"):
        accounts.people.act(DAN, "account.unlink", ("person", BEA))
    verify(accounts)
    accounts.people.act(DAN, "account.unlink", ("person", DAN))
    assert links_of(accounts.root) == ()
    with pytest.raises(PolicyRefused, match="has no linked login"):
        accounts.people.act(ADA, "account.unlink", ("person", DAN))
    verify(accounts)


def test_nobody_confirms_their_own_link(accounts: Accounts) -> None:
    key = accounts.people.key(BEA).public.hex()
    said = {"issuer": ISSUER, "subject": "b", "key": key}
    told = accounts.people.act(ADA, "account.link", ("person", BEA), said)
    with pytest.raises(PolicyRefused, match="the change is about Dr. Bea Officer"):
        accounts.people.confirm(BEA, told["change"])
    accounts.people.confirm(CLEO, told["change"])


@pytest.mark.parametrize(
    ("name", "identity", "told"),
    [
        (CLEO, OF_DAN, "this identity is Dan Scientist's"),
        (DAN, LinkedIdentity(issuer=ISSUER, subject="d-2"), "is linked at this issuer"),
        ("Nobody", LinkedIdentity(issuer=ISSUER, subject="n"), "has no such key"),
    ],
)
def test_an_identity_has_one_person_and_a_person_one_at_an_issuer(
    accounts: Accounts, name: str, identity: LinkedIdentity, told: str
) -> None:
    linked(accounts)
    with pytest.raises(PolicyRefused, match=told):
        linked(accounts, name, identity)
    verify(accounts)


def test_a_login_by_a_link_lets_look_for_as_long_as_the_person_may(accounts: Accounts) -> None:
    linked(accounts)
    found = accounts.sign_in.identify(OF_DAN, HANDLE)
    assert (found.person, found.public_key) == (DAN, accounts.people.key(DAN).public.hex())
    other = LinkedIdentity(issuer="https://id.example.org/realms/other", subject="d-1")
    for unknown in (other, LinkedIdentity(issuer=ISSUER, subject="D-1")):
        with pytest.raises(PolicyRefused, match="nobody is linked"):
            accounts.sign_in.identify(unknown, HANDLE)
    with pytest.raises(MessageRefused, match="16 hexadecimal"):
        accounts.sign_in.identify(OF_DAN, "x" * 16)
    accounts.people.together(ADA, BEA, "person.retire", ("person", DAN))
    with pytest.raises(PolicyRefused, match="no longer"):
        accounts.sign_in.identify(OF_DAN, HANDLE)
    verify(accounts)


def test_another_key_needs_another_link(accounts: Accounts) -> None:
    linked(accounts)
    accounts.people.keys.pop(DAN)
    accounts.people.add(DAN, "data-scientist", second=BEA)
    with pytest.raises(PolicyRefused, match="no longer"):
        accounts.sign_in.identify(OF_DAN, HANDLE)


def test_logins_are_logged_at_once_then_by_the_hour(accounts: Accounts) -> None:
    linked(accounts)
    for number in range(5):
        accounts.sign_in.identify(OF_DAN, f"{number:016x}")
    assert logged(accounts) == [(DAN, f"{0:016x}", 1)]
    accounts.clock.move(seconds=LOGGED_EVERY)
    accounts.sign_in.identify(OF_DAN, HANDLE)
    assert logged(accounts)[1:] == [(DAN, HANDLE, 5)]
    verify(accounts)


def test_refused_ones_are_logged_with_the_refused_logins(accounts: Accounts) -> None:
    for _ in range(3):
        with pytest.raises(PolicyRefused):
            accounts.sign_in.identify(OF_DAN, HANDLE)
    with closing(Store.for_reading(Workspace.open(accounts.root).database)) as store:
        with store.read() as session:
            rows = session.scalars(select(RefusedLoginRow)).all()
            assert [(row.person, row.refused) for row in rows] == [(None, 1)]


def test_a_running_service_answers_the_same(accounts: Accounts) -> None:
    linked(accounts)
    service = Service(accounts.root)
    try:
        with controlling(service, accounts.root):
            assert accounts.sign_in.identify(OF_DAN, HANDLE).person == DAN
            with pytest.raises(PolicyRefused, match="nobody is linked"):
                accounts.sign_in.identify(LinkedIdentity(issuer=ISSUER, subject="x"), HANDLE)
    finally:
        service.close()


@pytest.mark.parametrize(
    ("table", "change", "told"),
    [
        ("identity_link", "subject = 'evil'", "is none that was signed"),
        ("identity_link", "person = 'Cleo Lead'", "is none that was signed"),
        ("identity_login", "person = 'Cleo Lead'", "had no such linked identity"),
        ("identity_login", "link = 9", "had no such linked identity"),
    ],
)
def test_a_changed_link_or_login_does_not_verify(
    accounts: Accounts, table: str, change: str, told: str
) -> None:
    linked(accounts)
    accounts.sign_in.identify(OF_DAN, HANDLE)
    verify(accounts)
    with closing(sqlite3.connect(accounts.root / "collegium.db")) as base:
        base.execute(f"UPDATE {table} SET {change}")  # noqa: S608  (of this test)
        base.commit()
    with pytest.raises(FederationError, match=told):
        verify(accounts)


@pytest.mark.parametrize(
    "issuer", ["http://id.example.org", "https://", "id.example.org", "https://a b.example",
               "https://id.example.org/?x=1", "https://id.example.org/#x", "ftp://127.0.0.1",
               "https://a@b.example", "https://id.example.org:x", "https://" + "x" * 300, ""]
)  # fmt: skip
def test_an_issuer_is_an_address_of_https(issuer: str) -> None:
    with pytest.raises(PolicyRefused, match="is no issuer"):
        LinkedIdentity(issuer=issuer, subject="s")
    assert is_secure_address("http://127.0.0.1:1") and is_secure_address("http://[::1]:1")


@pytest.mark.parametrize("subject", ["", "x" * 256, "ä", "a\nb"])
def test_a_subject_is_plain(subject: str) -> None:
    with pytest.raises(PolicyRefused, match="a subject has"):
        LinkedIdentity(issuer=ISSUER, subject=subject)
