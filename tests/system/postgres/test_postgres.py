"""A hospital and a consortium in PostgreSQL: what differs from a file."""

import re
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.orm import DeclarativeBase

from compliance.storage import transactions
from compliance.storage.database import without_password
from compliance.storage.engines.postgres import parsed
from coordinator.audit.verification import verify_records
from coordinator.database.store import CoordinatorTable, Store, logged_tables
from coordinator.database.workspace import Workspace
from coordinator.membership import tables as member_rows
from pipelines.sources.description import SourceDescription
from protocol.errors import LedgerBroken, StoreBroken, WorkspaceRefused
from protocol.secagg.log_proof import SignedHead
from silos.database.database import SiteDatabase, open_hospital, read_hospital
from silos.database.identity_keys import IdentityKeys
from silos.database.patient_sides import remember_sides
from silos.database.tables import SiteTable as HospitalBase
from silos.database.trusted_rosters import TrustedRosters
from silos.patients.cohort_list import CohortList
from silos.patients.frozen_cohorts import FrozenCohorts
from silos.patients.marks import as_marks
from silos.patients.retention import delete_old
from silos.rounds.openings.log_heads import LogHeads
from tests import ROOT
from tests.support.machine.databases import run_sql
from tests.support.machine.postgres import Server, started_server
from tests.support.simulated.bookings import north, require_spent, reserve, send
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import small_study

DOCUMENT = ROOT / "docs" / "databases.md"


@pytest.fixture
def hospital(postgres: Server, tmp_path: Path) -> Iterator[SiteDatabase]:
    opened = north(postgres.new_schema(), tmp_path / "blobs")
    yield opened
    opened.close()


def test_machine_without_a_server_skips_with_the_reason_unless_one_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.support.machine.postgres.programs", lambda: None)
    monkeypatch.delenv("COLLEGIUM_REQUIRE_POSTGRES", raising=False)
    with pytest.raises(pytest.skip.Exception, match="make postgres installs it"):
        next(started_server())
    monkeypatch.setenv("COLLEGIUM_REQUIRE_POSTGRES", "1")
    with pytest.raises(pytest.fail.Exception, match="make postgres installs it"):
        next(started_server())


# --- somebody else's lock -------------------------------------------------------------------------


@pytest.fixture
def held(place_of: Callable[[str], Path | str]) -> Iterator[Store]:
    """A consortium's store while another program's writing transaction does not end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transactions, "WAIT_SECONDS", 1)
        store, other = Store(place_of("consortium")), Store(place_of("consortium"))
    with other.transaction():
        yield store
    other.close()
    store.close()


def test_writer_waits_for_another_for_a_while_and_then_says_so(held: Store) -> None:
    with pytest.raises(StoreBroken, match=r"held by another program .*Wait for that program"):
        with held.transaction() as transaction:
            transaction.register(small_study())


def test_reader_waits_for_no_writer(held: Store) -> None:
    assert not held.is_used()


def test_opening_waits_for_a_writer_for_a_while_and_then_says_so(
    held: Store, place_of: Callable[[str], Path | str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "WAIT_SECONDS", 1)
    with pytest.raises(WorkspaceRefused, match="is held by another program"):
        Store(place_of("consortium"))


# --- what the database must be --------------------------------------------------------------------


def test_writers_see_each_other_whatever_isolation_the_database_prefers(
    postgres: Server, tmp_path: Path
) -> None:
    """With a snapshot taken before the wait, two reservations would jointly overrun."""
    address = postgres.new_database()
    name = parsed(address).database
    run_sql(address, f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    hospitals = [north(address, tmp_path / "blobs") for _ in range(2)]
    plan, arrived = reserve(hospitals[0]), threading.Event()

    def wait_and_send() -> None:
        arrived.set()
        send(hospitals[1], plan, "second")

    second = threading.Thread(target=wait_and_send)
    with hospitals[0].transaction() as guard:
        second.start()
        arrived.wait()
        assert guard.last() is not None
        second.join(0.3)
        assert second.is_alive()
    send(hospitals[0], plan, "first")
    second.join()
    require_spent(hospitals[0], 2)
    for opened in hospitals:
        opened.close()


def test_server_without_durability_is_refused(postgres: Server) -> None:
    address = postgres.new_schema()
    postgres.stop()
    postgres.start("fsync=off")
    try:
        with pytest.raises(WorkspaceRefused, match="has fsync=off, and a ledger needs on"):
            Store(address)
    finally:
        postgres.stop()
        postgres.start()


def test_every_connection_commits_durably_whatever_the_server_prefers(postgres: Server) -> None:
    address = postgres.new_database()
    run_sql(address, f"ALTER DATABASE {parsed(address).database} SET synchronous_commit = off")
    store = Store(address)
    with store.read() as session:
        found = session.connection().exec_driver_sql("SHOW synchronous_commit").scalar()
    store.close()
    assert found == "on"


def test_database_of_a_hospital_is_none_of_a_consortium(postgres: Server, tmp_path: Path) -> None:
    address = postgres.new_schema()
    north(address, tmp_path / "blobs").close()
    with pytest.raises(StoreBroken, match="other or newer software.* name another database"):
        Store(address)


def test_consortiums_new_database_has_the_tables_of_the_models(
    place_of: Callable[[str], Path | str],
) -> None:
    store = Store(place_of("consortium"))
    with store.read() as session:
        found = compare_metadata(
            MigrationContext.configure(session.connection()), CoordinatorTable.metadata
        )
    store.close()
    assert member_rows.MemberRow in logged_tables()
    assert found == []


@pytest.mark.parametrize("table", ["budget", "ledger_entry", "signing_record"])
def test_rows_cannot_be_truncated_nor_changed_by_a_replica(
    postgres: Server, tmp_path: Path, table: str
) -> None:
    address = postgres.new_schema()
    north(address, tmp_path / "blobs").close()
    for statement in (
        f"TRUNCATE {table} CASCADE",
        f"SET session_replication_role = replica; DELETE FROM {table}",  # noqa: S608
    ):
        with pytest.raises(psycopg.errors.RaiseException, match="is append-only"):
            run_sql(address, statement)


def test_hospital_opened_for_reading_can_change_nothing(postgres: Server, tmp_path: Path) -> None:
    address = postgres.new_schema()
    written = north(address, tmp_path / "blobs")
    plan = reserve(written)
    reader = read_hospital(address, site="north", blobs=tmp_path / "blobs")
    assert reader.ledger.summary().num_entries == 1
    with pytest.raises(LedgerBroken, match="read-only transaction"):
        send(reader, plan)
    for opened in (written, reader):
        opened.close()


def test_hospital_in_postgresql_must_name_the_folder_of_its_blobs() -> None:
    with pytest.raises(ValueError, match="needs a folder for its masked blobs"):
        open_hospital("postgresql:///north", site="north")


# --- addresses and passwords ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("postgresql://me:top@secret@db/north", "cannot be read: it has the form"),
        ("postgresql://me:topsecret@db:port/north", "cannot be read"),
        ("postgresql://me:topsecret@db", "names no database"),
    ],
)
def test_address_that_cannot_be_read_is_refused_without_showing_it(
    address: str, message: str
) -> None:
    with pytest.raises(WorkspaceRefused, match=message) as refused:
        Store(address)
    shown = f"{refused.value} {refused.value.__cause__} {refused.value.__context__}"
    assert "secret" not in shown and "top" not in shown


def test_address_is_written_down_without_any_password() -> None:
    whole = "postgresql://me:pw1@db:5433/north?password=pw2&sslpassword=pw3&sslmode=require"
    assert without_password(whole) == "postgresql://me@db:5433/north?sslmode=require"


@pytest.mark.parametrize(
    ("address", "mode"),
    [
        ("postgresql://me@db.example/north", "verify-full"),
        ("postgresql://me@/north?host=db.example", "verify-full"),
        ("postgresql://me@db.example/north?sslmode=require", "require"),
        ("postgresql://me@localhost/north", None),
        ("postgresql:///north?host=/run/postgresql", None),
    ],
)
def test_distant_server_is_spoken_to_over_verified_tls(
    address: str, mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGSSLMODE", raising=False)
    monkeypatch.delenv("PGHOST", raising=False)
    assert parsed(address).query.get("sslmode") == mode


@pytest.fixture
def guarded(postgres: Server) -> Iterator[str]:
    """The address of a database whose user needs a password: ``right``."""
    address = postgres.new_database()
    name = str(parsed(address).database)
    run_sql(address, "CREATE ROLE guarded LOGIN PASSWORD 'right'")
    run_sql(address, f"ALTER DATABASE {name} OWNER TO guarded")
    run_sql(address, "ALTER SCHEMA public OWNER TO guarded")
    yield postgres.address(name, "guarded")
    run_sql(
        address, f"REASSIGN OWNED BY guarded TO postgres; ALTER DATABASE {name} OWNER TO postgres"
    )
    run_sql(address, "DROP ROLE guarded")


def test_wrong_password_is_refused_and_shown_nowhere(guarded: str) -> None:
    with pytest.raises(WorkspaceRefused, match="password authentication failed") as refused:
        Store(guarded.replace("guarded@", "guarded:wrongword@"))
    assert "wrongword" not in f"{refused.value} {refused.value.__cause__}"


def test_workspace_remembers_its_database_without_the_password(
    guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    Workspace.create(out, database=guarded.replace("guarded@", "guarded:right@"))
    written = (out / "database.url").read_text().strip()
    assert "right" not in written and parsed(written) == parsed(guarded)
    with pytest.raises(WorkspaceRefused, match=r"no password supplied.*in ~/\.pgpass"):
        Store(Workspace.open(out).database)
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    passwords.write_text("*:*:*:guarded:right\n")
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    store = Store(Workspace.open(out).database)
    assert not store.is_used()
    store.close()


def test_new_workspace_refuses_a_database_that_holds_another_log(
    postgres: Server, tmp_path: Path
) -> None:
    address = postgres.new_schema()
    store = Store(address)
    with store.transaction() as transaction:
        transaction.register(small_study())
    store.close()
    with pytest.raises(WorkspaceRefused, match="already holds a consortium's rows"):
        Workspace.create(tmp_path / "out", database=address)
    assert not (tmp_path / "out").exists()


# --- backups and rights, as docs/databases.md says ------------------------------------------------


def test_restored_backup_of_a_ledger_is_found_out_by_what_was_signed_since(
    postgres: Server, tmp_path: Path
) -> None:
    address = postgres.new_database()
    hospital = north(address, tmp_path / "blobs")
    plan = reserve(hospital)
    first = send(hospital, plan, "first")
    backup = postgres.dump(str(parsed(address).database))
    second = send(hospital, plan, "second")
    hospital.close()
    restored = north(postgres.restore(backup), tmp_path / "blobs")
    assert restored.ledger.verify(remembered=[first.head]) == first.head
    with pytest.raises(LedgerBroken, match="went back in time"):
        restored.ledger.verify(remembered=[second.head])
    with pytest.raises(psycopg.errors.RaiseException, match="ledger_entry is append-only"):
        run_sql(str(restored._engine.url.set(drivername="postgresql")), "DELETE FROM ledger_entry")
    restored.close()


def documented_rights(heading: str) -> str:
    """The SQL that the document gives under a heading."""
    section = DOCUMENT.read_text().split(f"### {heading}\n")[1]
    found = re.search(r"```sql\n(.*?)```", section, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def rights(postgres: Server, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Applies the document's SQL to a database; returns the address for the lesser role."""
    owned = []

    def apply(heading: str) -> str:
        address = postgres.new_database()
        owned.append(address)
        name = str(parsed(address).database)
        if heading == "Hospital":
            north(address, tmp_path / "blobs").close()
        else:
            Store(address).close()
        sql = documented_rights(heading)
        role = re.findall(r"CREATE ROLE (\w+)", sql)[0]
        run_sql(address, sql.replace("DATABASE north", f"DATABASE {name}").replace(
            "DATABASE consortium", f"DATABASE {name}"))  # fmt: skip
        owned.append(role)
        return postgres.address(name, role)

    yield apply
    for address, role in zip(owned[::2], owned[1::2], strict=True):
        run_sql(address, f"DROP OWNED BY {role}; DROP ROLE {role}")


def require_insert(address: str, base: type[DeclarativeBase], but: Collection[str] = ()) -> None:
    """Every table can be written to, but for those that are written once, by the owner."""
    for table in base.metadata.tables:
        ((may,),) = run_sql(address, f"SELECT has_table_privilege('{table}', 'INSERT')")
        assert may is (table not in but), table


def test_hospitals_role_works_and_may_not_change_what_is_kept(
    rights: Callable[[str], str], tmp_path: Path
) -> None:
    address = rights("Hospital")
    hospital = north(address, tmp_path / "blobs")
    plan = reserve(hospital)
    send(hospital, plan)
    hospital.signing_record().record(("context", "sign", "d"))
    hospital.keep_blob("context", b"masked", "name")
    hospital.drop_blob("context")
    hospital.ledger.settle(plan)
    IdentityKeys(hospital).make_next()
    heads = LogHeads(hospital, bytes(32))
    heads.keep(SignedHead(size=1, root=bytes(32), note=b"one"))
    other = SignedHead(size=1, root=b"x" * 32, note=b"other")
    heads.keep_fork(heads.all()[0], other, "run-1")
    remember_sides(hospital, {"a patient's number": "training"})
    TrustedRosters(hospital).leave("a trial")
    marks = as_marks([b"m" * 32])
    frozen = CohortList.of(marks, marks, np.ones(1, dtype=np.uint8))
    source = SourceDescription.of_text("query", "north.sql", "SELECT 1")
    cohorts = FrozenCohorts(hospital)
    cohort = cohorts.freeze(small_study(), frozen, records=1, source=source, by="a trial")
    assert cohorts.kept(cohort) is not None
    assert delete_old(hospital, 0, by="a trial").counts["cohort lists"] == 1
    hospital.close()
    require_insert(address, HospitalBase, {"hospital"})
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run_sql(address, "UPDATE hospital SET split_key_digest = identity_key")
    tables = ("hospital", "budget", "ledger_entry", "signing_record", "approval")
    later = ("trusted_roster", "signed_roster", "departure", "former_key")
    for table in (*tables, *later, "log_head", "log_fork", "patient_side", "patient_entry"):
        for statement in (f"DELETE FROM {table}", f"TRUNCATE {table}", f"DROP TABLE {table}",  # noqa: S608
                          f"ALTER TABLE {table} DISABLE TRIGGER ALL"):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                run_sql(address, statement)


def test_consortiums_role_works_and_may_not_change_the_log(
    rights: Callable[[str], str], tmp_path: Path
) -> None:
    address = rights("Consortium")
    federation = Federation(tmp_path, small_study(), addresses={"consortium": address}.get)
    federation.run()
    with federation.store.read() as session:
        assert verify_records(session, federation.workspace.public_key()).runs == ("run-1",)
    federation.close()
    require_insert(address, CoordinatorTable)
    for table in ("audit_entry", "audit_checkpoint"):
        for verb in ("DELETE FROM", "TRUNCATE", "DROP TABLE"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                run_sql(address, f"{verb} {table}")


def test_role_that_may_not_make_tables_is_told_who_may(postgres: Server) -> None:
    address = postgres.new_database()
    run_sql(address, "CREATE ROLE nobody_special LOGIN")
    try:
        with pytest.raises(WorkspaceRefused, match="does not let user nobody_special.* its owner"):
            Store(address.replace("postgres@", "nobody_special@"))
    finally:
        run_sql(address, "DROP ROLE nobody_special")
