"""The register of members: votes, revocation, rotation, and all of it held to the log."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from shutil import copyfile

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from coordinator.audit.verification import verify_records
from coordinator.database.store import CoordinatorTable, Store, logged_tables
from coordinator.membership import tables as member_rows
from coordinator.membership.certificates import write_serial
from coordinator.membership.directory import open_members
from coordinator.membership.members import Members
from protocol.errors import MessageRefused, StoreBroken
from protocol.identity.roster import COORDINATOR, SigningKey, sign_roster
from protocol.transport.enrolment import (
    CertificateReply,
    RosterNews,
    change_key,
    parse,
    request_renewal,
    to_bytes,
)
from tests.support.hospital.consortium_home import ConsortiumHome, csr, leaf, serial
from tests.support.machine.postgres import Server
from tests.support.machine.short_form import short_form

FOUR = ("berlin", "lyon", "oslo", "turin")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[ConsortiumHome]:
    made = ConsortiumHome(tmp_path / "home")
    yield made
    made.verify()  # whatever a test did, the log still agrees
    made.store.close()


def test_first_roster_needs_every_member_that_it_names(home: ConsortiumHome) -> None:
    home.enrol(*FOUR)
    home.sign(*FOUR[:3])
    assert home.members.rosters.current() is None
    roster = home.sign(FOUR[3])
    current = home.members.rosters.current()
    assert current is not None
    assert current.roster == roster
    assert (roster.version, roster.previous, roster.sites) == (1, None, FOUR)


def test_following_roster_needs_a_quorum_of_the_members_before_it(home: ConsortiumHome) -> None:
    home.found(*FOUR)
    home.enrol("rome")
    roster = home.sign("berlin", "lyon")
    assert home.members.rosters.current() != home.members.rosters.proposed()
    assert home.members.rosters.sign("turin", sign_roster(roster, home.keys["turin"]))
    current = home.members.rosters.current()
    assert current is not None
    assert current.roster.sites == ("berlin", "lyon", "oslo", "rome", "turin")
    assert set(current.signatures) == {"berlin", "lyon", "turin"}


def test_stolen_token_gives_a_certificate_and_no_vote(home: ConsortiumHome) -> None:
    founded = home.found(*FOUR)
    thief = SigningKey.generate()
    reply = home.accept(home.invite("rome"), thief)
    assert home.members.certificate_allowed(serial(reply.chain), "rome")
    current = home.members.rosters.current()
    assert current is not None
    assert current.roster == founded
    roster = home.members.rosters.propose()
    with pytest.raises(MessageRefused, match="rome has no vote on roster 2"):
        home.members.rosters.sign("rome", sign_roster(roster, thief))
    status = home.members.listing()[3]
    assert (status.site, status.state, status.roster) == ("rome", "enrolled", None)


def test_stolen_token_of_a_member_is_worth_nothing_without_its_identity_key(
    home: ConsortiumHome,
) -> None:
    home.found(*FOUR)
    invitation = home.invite("lyon")
    with pytest.raises(MessageRefused, match="enrolled with another identity key"):
        home.accept(invitation, SigningKey.generate())
    home.accept(invitation, home.keys["lyon"])


def test_hospital_that_comes_again_keeps_its_vote_and_loses_its_old_certificate(
    home: ConsortiumHome,
) -> None:
    home.found("lyon")
    key = home.keys["lyon"]
    first = home.accept(home.invite("lyon"), key)
    second = home.accept(home.invite("lyon"), key)
    assert not home.members.certificate_allowed(serial(first.chain), "lyon")
    assert home.members.certificate_allowed(serial(second.chain), "lyon")
    assert home.members.listing()[0].roster == 1


def test_identity_key_of_another_site_is_refused(home: ConsortiumHome) -> None:
    home.enrol("lyon")
    with pytest.raises(MessageRefused, match="identity key was used before"):
        home.accept(home.invite("oslo"), home.keys["lyon"])


@pytest.mark.parametrize("site", [COORDINATOR, "Lyon", "a/b", ""])
def test_name_that_no_hospital_can_have_is_not_invited(home: ConsortiumHome, site: str) -> None:
    with pytest.raises(MessageRefused, match="no invitation can be made"):
        home.invite(site)
    assert home.members.listing() == []


def test_renewal_keeps_the_name_and_the_certificate_before_it(home: ConsortiumHome) -> None:
    home.enrol("lyon")
    home.clock.move(days=5)
    request = to_bytes(request_renewal("lyon", csr("oslo"), home.keys["lyon"]))
    reply = parse(CertificateReply, home.members.renew("lyon", request))
    assert "collegium://silo/lyon" in str(leaf(reply.chain).extensions)
    assert (leaf(reply.chain).not_valid_after_utc - home.clock.now).days == 7
    assert home.members.certificate_allowed(serial(reply.chain), "lyon")
    assert not home.members.certificate_allowed(serial(reply.chain), "oslo")


def test_renewal_with_another_identity_is_refused(home: ConsortiumHome) -> None:
    home.enrol("lyon", "oslo")
    of_oslo = to_bytes(request_renewal("oslo", csr("oslo"), home.keys["oslo"]))
    with pytest.raises(MessageRefused, match="lyon asks for a certificate of oslo"):
        home.members.renew("lyon", of_oslo)
    by_oslo = to_bytes(request_renewal("lyon", csr("lyon"), home.keys["oslo"]))
    with pytest.raises(MessageRefused, match="not valid for this key"):
        home.members.renew("lyon", by_oslo)
    with pytest.raises(MessageRefused, match="site 'rome' is not enrolled"):
        home.members.renew("rome", by_oslo)


def test_certificate_is_allowed_for_its_site_until_it_expires(home: ConsortiumHome) -> None:
    chain = home.accept(home.invite("lyon"), SigningKey.generate()).chain
    assert home.members.certificate_allowed(serial(chain), "lyon")
    assert not home.members.certificate_allowed(serial(chain), "oslo")
    assert not home.members.certificate_allowed("AB12", "lyon")
    server = write_serial(home.authority.own_certificates[2])
    assert not home.members.certificate_allowed(server, COORDINATOR)
    home.clock.move(days=7)
    assert not home.members.certificate_allowed(serial(chain), "lyon")


def test_revoked_site_is_refused_everywhere(home: ConsortiumHome) -> None:
    home.found(*FOUR)
    chain = home.accept(home.invite("lyon"), home.keys["lyon"]).chain
    open_one = home.invite("lyon")
    home.members.revoke("lyon", "the machine was stolen")
    assert not home.members.certificate_allowed(serial(chain), "lyon")
    assert home.members.identity_key("lyon") is None
    request = to_bytes(request_renewal("lyon", csr("lyon"), home.keys["lyon"]))
    with pytest.raises(MessageRefused, match="site 'lyon' is not enrolled"):
        home.members.renew("lyon", request)
    with pytest.raises(MessageRefused, match="unknown, used, expired"):
        home.accept(open_one, home.keys["lyon"])
    status = home.members.listing()[1]
    assert (status.state, status.reason) == ("revoked", "the machine was stolen")


def test_revoked_site_has_no_vote_and_the_others_sign_it_out(home: ConsortiumHome) -> None:
    home.found(*FOUR)
    home.members.revoke("lyon", "left")
    roster = home.members.rosters.propose()
    assert roster.sites == ("berlin", "oslo", "turin")
    with pytest.raises(MessageRefused, match="site 'lyon' is not enrolled"):
        home.members.rosters.sign("lyon", sign_roster(roster, home.keys["lyon"]))
    home.sign("berlin", "oslo", "turin")
    current = home.members.rosters.current()
    assert current is not None
    assert current.roster == roster


def test_revoked_identity_key_never_comes_back(home: ConsortiumHome) -> None:
    home.enrol("lyon")
    home.members.revoke("lyon", "key stolen")
    invitation = home.invite("lyon")
    with pytest.raises(MessageRefused, match="identity key was used before: make a new one"):
        home.accept(invitation, home.keys["lyon"])
    new = SigningKey.generate()
    home.accept(invitation, new)
    assert home.members.identity_key("lyon") == new.public


def test_member_that_lost_its_key_votes_again_only_when_the_others_have_signed(
    home: ConsortiumHome,
) -> None:
    home.found(*FOUR)
    home.members.revoke("lyon", "disk lost")
    home.enrol("lyon")
    roster = home.members.rosters.propose()
    with pytest.raises(MessageRefused, match="lyon has no vote on roster 2"):
        home.members.rosters.sign("lyon", sign_roster(roster, home.keys["lyon"]))


def test_invitation_that_nobody_used_lapses(home: ConsortiumHome) -> None:
    home.invite("lyon")
    assert home.members.listing()[0].state == "invited"
    home.clock.move(hours=72)
    assert home.members.listing()[0].state == "lapsed"


def test_renewed_server_certificate_is_recorded_once(home: ConsortiumHome) -> None:
    home.members.record_own_certificates()
    before = home.verify().size
    home.clock.move(days=61)
    assert home.authority.renew_server()
    home.members.record_own_certificates()
    home.members.record_own_certificates()
    assert home.verify().size == before + 1


def test_unknown_site_cannot_be_revoked(home: ConsortiumHome) -> None:
    with pytest.raises(MessageRefused, match="site 'lyon' is neither enrolled nor invited"):
        home.members.revoke("lyon", "no reason")


def test_rotated_key_counts_from_the_roster_that_names_it(home: ConsortiumHome) -> None:
    home.found(*FOUR)
    old, new = home.keys["lyon"], SigningKey.generate()
    home.members.announce_key("lyon", to_bytes(change_key("lyon", old, new)))
    assert home.members.identity_key("lyon") == old.public
    home.sign("berlin", "oslo")
    assert home.members.identity_key("lyon") == old.public
    roster = home.sign("lyon")
    assert roster.key_of("lyon") == new.public
    assert home.members.identity_key("lyon") == new.public


def test_roster_with_another_key_waits_for_the_old_keys_signature(home: ConsortiumHome) -> None:
    home.found(*FOUR)
    old, new = home.keys["lyon"], SigningKey.generate()
    home.members.announce_key("lyon", to_bytes(change_key("lyon", old, new)))
    roster = home.sign("berlin", "oslo", "turin")
    assert home.members.rosters.proposed() is not None
    with pytest.raises(MessageRefused, match="not valid for this key"):
        home.members.rosters.sign("lyon", sign_roster(roster, new))
    assert home.members.rosters.sign("lyon", sign_roster(roster, old))


def test_announcement_of_a_known_key_or_by_a_site_without_a_vote_is_refused(
    home: ConsortiumHome,
) -> None:
    home.found("berlin", "lyon")
    home.enrol("oslo")
    keys, new = home.keys, SigningKey.generate()
    with pytest.raises(MessageRefused, match="identity key was used before"):
        change = change_key("lyon", keys["lyon"], keys["berlin"])
        home.members.announce_key("lyon", to_bytes(change))
    with pytest.raises(MessageRefused, match="oslo is in no signed roster"):
        home.members.announce_key("oslo", to_bytes(change_key("oslo", keys["oslo"], new)))
    with pytest.raises(MessageRefused, match="must announce another key than its own"):
        home.members.announce_key("lyon", to_bytes(change_key("lyon", new, keys["oslo"])))


def test_newer_announcement_replaces_the_older(home: ConsortiumHome) -> None:
    home.found("lyon")
    old, first, second = home.keys["lyon"], SigningKey.generate(), SigningKey.generate()
    for new in (first, first, second):
        home.members.announce_key("lyon", to_bytes(change_key("lyon", old, new)))
    assert home.members.rosters.propose().key_of("lyon") == second.public


def test_roster_is_proposed_once_and_anew_when_members_change(home: ConsortiumHome) -> None:
    with pytest.raises(MessageRefused, match="no hospital is enrolled"):
        home.members.rosters.propose()
    home.enrol("lyon", "oslo")
    assert home.sign("lyon") == home.members.rosters.propose()
    first = home.members.rosters.proposed()
    assert first is not None
    assert set(first.signatures) == {"lyon"}
    home.enrol("turin")
    second = home.sign("lyon", "oslo", "turin")
    assert second.sites == ("lyon", "oslo", "turin")
    with pytest.raises(MessageRefused, match="names exactly the enrolled hospitals already"):
        home.members.rosters.propose()


def test_signature_under_another_roster_is_refused(home: ConsortiumHome) -> None:
    home.enrol("lyon", "oslo")
    with pytest.raises(MessageRefused, match="no roster is proposed"):
        home.members.rosters.sign("lyon", bytes(64))
    before = home.members.rosters.propose()
    home.enrol("turin")
    home.members.rosters.propose()
    with pytest.raises(MessageRefused, match="not valid for this key"):
        home.members.rosters.sign("lyon", sign_roster(before, home.keys["lyon"]))


def test_revocation_ends_the_roster_that_is_proposed(home: ConsortiumHome) -> None:
    home.enrol("lyon", "oslo")
    home.members.rosters.propose()
    home.members.revoke("oslo", "left")
    assert home.members.rosters.proposed() is None


def test_hospital_that_was_away_gets_every_roster_in_order(home: ConsortiumHome) -> None:
    home.found(*FOUR)
    home.enrol("rome")
    home.sign(*FOUR[:3])
    home.enrol("vienna")
    proposed = home.members.rosters.propose()
    news = parse(RosterNews, home.members.rosters.news(0))
    assert [signed.roster.version for signed in news.signed] == [1, 2]
    assert news.proposed is not None
    assert news.proposed.roster == proposed
    assert parse(RosterNews, home.members.rosters.news(2)).signed == ()


def test_what_one_process_revokes_another_sees(home: ConsortiumHome) -> None:
    home.enrol("lyon")
    store = Store(home.workspace.database)
    Members(store, home.authority, home.key).revoke("lyon", "by the command")
    store.close()
    assert home.members.identity_key("lyon") is None


def busy_home(root: Path, database: str | None = None) -> ConsortiumHome:
    """Returns a home in which everything happened once."""
    home = ConsortiumHome(root, database=database)
    home.found(*FOUR)
    old = home.keys["lyon"]
    new = SigningKey.generate()
    home.members.announce_key("lyon", to_bytes(change_key("lyon", old, new)))
    home.sign("berlin", "lyon", "oslo")
    home.invite("rome")
    home.members.revoke("turin", "left")
    home.members.rosters.propose()
    home.store.close()
    return home


def test_register_is_the_same_in_postgresql(tmp_path: Path, postgres: Server) -> None:
    home = busy_home(tmp_path / "home", postgres.new_database())
    with open_members(home.root, home.clock) as members:
        assert [status.state for status in members.listing()] == [
            "enrolled", "enrolled", "enrolled", "invited", "revoked",
        ]  # fmt: skip
    store = Store(home.workspace.database)
    with store.read() as session:
        assert verify_records(session, home.key.public).size > 20
    store.close()


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> ConsortiumHome:
    return busy_home(tmp_path_factory.mktemp("busy") / "home")


TABLES = [table for table in logged_tables() if table.__module__ == member_rows.__name__]


def cells() -> list[tuple[str, str]]:
    return [(table.__tablename__, column.name) for table in TABLES for column in table.__table__.c]


def other(value: object) -> list[object]:
    """Returns other values for a cell, of its own type and of another."""
    if value is None:
        return ["something", b"bytes"]
    if isinstance(value, int):
        return [value + 1, value - 1, "text"]
    if isinstance(value, bytes):
        return [value[:-1] + bytes([value[-1] ^ 1]), "text", None]
    return [f"{value}x", str(value)[:-1], b"bytes", None]


@pytest.mark.parametrize(("table", "column"), short_form(cells(), 5))
def test_no_cell_can_be_changed(
    busy: ConsortiumHome, tmp_path: Path, table: str, column: str
) -> None:
    original = busy.root / "collegium.db"
    query = f"SELECT rowid, {column} FROM {table}"  # noqa: S608
    with closing(sqlite3.connect(original)) as connection:
        found = {type(value): (row, value) for row, value in connection.execute(query)}
    assert found
    for number, (row, value) in enumerate(found.values()):
        for place, changed in enumerate(other(value)):
            path = tmp_path / f"{number}-{place}.db"
            copyfile(original, path)
            if write(path, f"UPDATE {table} SET {column} = ? WHERE rowid = {row}", changed):  # noqa: S608
                assert_broken(path, busy)


@pytest.mark.parametrize("table", [table.__tablename__ for table in TABLES])
def test_no_row_can_be_removed(busy: ConsortiumHome, tmp_path: Path, table: str) -> None:
    path = tmp_path / "changed.db"
    copyfile(busy.root / "collegium.db", path)
    assert write(path, f"DELETE FROM {table} WHERE rowid = 1")  # noqa: S608
    assert_broken(path, busy)


def test_revocation_cannot_be_undone_by_putting_the_row_back(tmp_path: Path) -> None:
    home = ConsortiumHome(tmp_path / "home")
    home.enrol("lyon")
    home.members.revoke("lyon", "stolen")
    home.store.close()
    path = home.root / "collegium.db"
    back = "UPDATE member SET state = 'enrolled', reason = NULL, revision = 1"
    assert write(path, back)
    assert_broken(path, home, "one was removed, added or put back")


def test_database_where_everything_happened_verifies(busy: ConsortiumHome) -> None:
    store = Store(busy.workspace.database)
    with store.read() as session:
        assert verify_records(session, busy.key.public).size > 20
    store.close()


def test_roster_that_its_members_did_not_sign_is_found_even_when_it_was_logged(
    tmp_path: Path,
) -> None:
    home = ConsortiumHome(tmp_path / "home")
    home.enrol("lyon", "oslo")
    home.sign("lyon")
    with home.members._acts() as acts:  # what a dishonest coordinator could write and log
        row = acts.proposal()
        assert row is not None
        row.state = "signed"
        acts.write("roster-signed", row)
    with pytest.raises(StoreBroken, match="roster 1 is not what its members signed"):
        home.verify()


def write(path: Path, query: str, *values: object) -> bool:
    """Changes a database; returns whether it let that happen."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            connection.execute(query, values)
        except sqlite3.IntegrityError:
            return False
        connection.commit()
    return True


def assert_broken(path: Path, home: ConsortiumHome, said: str | None = None) -> None:
    store = Store(path)
    try:
        with store.read() as session, pytest.raises(StoreBroken, match=said):
            verify_records(session, home.key.public)
            pytest.fail(f"{path.name} verifies")
    finally:
        store.close()


def test_migrations_make_the_tables_of_the_models(home: ConsortiumHome) -> None:
    mine = {table.__tablename__ for table in TABLES}
    options = {"include_object": lambda _, name, kind, *__: kind != "table" or name in mine}
    with home.store.read() as session:
        context = MigrationContext.configure(session.connection(), opts=options)
        assert compare_metadata(context, CoordinatorTable.metadata) == []
