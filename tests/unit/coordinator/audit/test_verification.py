"""No cell and no row of the consortium's database can be changed, added, removed or put back.

The cases come from the tables themselves: a new table or column is tried too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from secrets import token_bytes
from typing import Any

import pytest
from sqlalchemy import Boolean, Table, UniqueConstraint, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from compliance.governance.access.linked_identity import LinkedIdentity
from compliance.governance.access.sealed_key import AccountSecrets, seal
from compliance.storage.engines.schema_check import schema_faults
from coordinator.alerts.deliveries import AlertDeliveries
from coordinator.alerts.judging import judged
from coordinator.alerts.register import AlertRegister
from coordinator.audit.verification import verify_records
from coordinator.database.baselines import keep_reference
from coordinator.database.store import MIGRATIONS, CoordinatorTable, logged_tables
from coordinator.governance.accounts import AccountFolder, AccountRegister
from coordinator.governance.operations import Operations
from coordinator.membership.tables import MemberRow
from protocol.errors import PolicyRefused, StoreBroken
from protocol.study.study import Study
from protocol.study.study_file import read_study
from tests.support.hospital.accounts import CHEAP
from tests.support.hospital.people import ADA, BEA, CLEO, People
from tests.support.machine.short_form import short_form
from tests.support.simulated.alert_facts import CALM, RULES, share
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import changed, small_study

TABLES: dict[str, Table] = dict(CoordinatorTable.metadata.tables)
#: Those of the members are tried in test_members, over everything that can happen to them.
OWN = sorted(
    name for name in TABLES if name not in ("member", "invitation", "certificate", "roster")
)
COLUMNS = [(name, column.name) for name in OWN for column in TABLES[name].columns]
#: Rows of these tables are only there after something went wrong; they are tried there.
MAY_BE_EMPTY = {"accusation"}
LOG = {"audit_entry", "audit_checkpoint"}


def other_study() -> Study:
    """Returns a study that only the reference asks."""
    return read_study(changed("hidden_channels: [4]", "hidden_channels: [5]"))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def finished(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Federation]:
    places = {}
    if request.param == "postgresql":
        places["consortium"] = request.getfixturevalue("postgres").new_schema()
    federation = Federation(tmp_path_factory.mktemp("run"), small_study(), addresses=places.get)
    federation.run()
    key = federation.workspace.signing_key()
    for number in (1, 2):
        study = other_study().with_seed(number)
        keep_reference(federation.store, key, f"sweep-1-00{number}", "sweep-1", study, {"auroc": 1})
    keep_alerts(federation)
    govern(federation)
    yield federation
    federation.close()


def keep_alerts(federation: Federation) -> None:
    """Raises alerts with messages, of which some were closed and one was acknowledged."""
    key, told = federation.workspace.signing_key(), {"budget-low": ("on-call",)}
    register = AlertRegister(federation.store, key)
    for shares in ((share("north", 0.9), share("south", 0.9)), (share("south", 0.9),)):
        facts = replace(CALM, shares=shares)
        register.settle(judged(facts, RULES), RULES.told | told)
    register.acknowledge(1, "Dr. A. Lead", "seen")
    AlertDeliveries(federation.store, key, federation.workspace.root).deliver(RULES)


def govern(federation: Federation) -> None:
    """Lets people act: alone, by two, refused, over incidents, holds and policies."""
    people = People.over(federation.store, federation.workspace.signing_key())
    people.found()
    for version in (2, 3):
        people.change_policy(version, confirm_hours=10 + version)
    with pytest.raises(PolicyRefused, match="may not place a legal hold"):
        people.add("Dan Scientist", "data-scientist", second=BEA)
        people.act("Dan Scientist", "hold.place", ("run", federation.run_id), {"reason": "x"})
    study = federation.study.digest
    people.act(BEA, "hold.place", ("run", federation.run_id), {"reason": "a complaint"})
    people.act(CLEO, "hold.place", ("study", study), {"reason": "a court"})
    people.together(BEA, ADA, "hold.lift", ("study", study))
    for title in ("A drill", "Another"):
        said = {"kind": "lost-key", "severity": "low", "drill": title == "A drill"}
        people.act(CLEO, "incident.open", ("incident", title), said)
    said = {"note": "a laptop is gone", "suspend": ("Dan Scientist",)}
    people.act(BEA, "incident.contain", ("incident", "2"), said)
    people.act(ADA, "person.retire", ("person", "Dan Scientist"))
    for model in ("first", "second"):
        said = {"version": federation.run_id}
        people.act(CLEO, "model.register", ("model", model), said)
        people.act(CLEO, "model.name", ("model", model), said | {"alias": "newest"})
    keep_accounts(federation, people)


def keep_accounts(federation: Federation, people: People) -> None:
    """Sets accounts, links identities and logs in by them, and refuses logins; ends one of each."""
    key = federation.workspace.signing_key()
    register = AccountRegister(federation.store, key, AccountFolder(federation.workspace.root))
    people.operations = Operations(federation.store, key, accounts=register)
    for name in (ADA, BEA, ADA):
        opened = AccountSecrets(seed=people.key(name).to_bytes(), one_time_secret=b"o" * 20)
        box = seal(opened, name, "of a test", token_bytes, CHEAP)
        said = {"key": box.public_key, "box": box.digest}
        beside = {"box": box.to_bytes().decode()}
        people.act(name, "account.set", ("person", name), said, beside)
    for name in (ADA, "Mallory"):
        register.refuse(name)
    for name in (BEA, CLEO):
        identity = LinkedIdentity(issuer="https://id.example.org", subject=name)
        said = {"issuer": identity.issuer, "subject": name, "key": people.key(name).public.hex()}
        waits = people.act(ADA, "account.link", ("person", name), said)
        people.confirm(CLEO if name == BEA else BEA, waits["change"])
        register.identify(identity, token_bytes(8).hex())
    people.act(BEA, "account.unlink", ("person", BEA))


@contextmanager
def unguarded(finished: Federation) -> Iterator[Session]:
    """A session of the database's owner, who removes the triggers; nothing of it is kept."""
    with Session(finished.store._engine) as session:
        if session.connection().dialect.name == "sqlite":
            session.execute(text("PRAGMA foreign_keys = OFF"))
            session.execute(text("PRAGMA defer_foreign_keys = ON"))
            named = "SELECT name, NULL FROM sqlite_master WHERE type = 'trigger'"
        else:
            named = (
                "SELECT tgname, relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
                "WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace"
            )
        for trigger, table in session.execute(text(named)).all():
            session.execute(text(f"DROP TRIGGER {trigger}" + (f" ON {table}" if table else "")))
        for index in ("uq_release_run_kind", "uq_alert_open"):
            session.execute(text(f"DROP INDEX IF EXISTS {index}"))
        yield session


def test_what_guards_the_rows_is_told_where_it_is_gone(finished: Federation) -> None:
    with finished.store.read() as session:
        assert schema_faults(session.connection(), MIGRATIONS) == []
    with unguarded(finished) as session:
        told = schema_faults(session.connection(), MIGRATIONS)
        session.rollback()
    assert "the database has no index uq_release_run_kind" in told
    assert sum(fault.startswith("the database has no trigger audit_entry_") for fault in told)


def rows_of(session: Session, name: str) -> list[dict[str, Any]]:
    """Returns some rows of a table: the first and the last."""
    columns = ", ".join(f'"{column.name}"' for column in TABLES[name].columns)
    keys = ", ".join(f'"{key.name}"' for key in TABLES[name].primary_key)
    query = text(f'SELECT {columns} FROM "{name}" ORDER BY {keys}')  # noqa: S608
    rows = [dict(row._mapping) for row in session.execute(query)]
    assert rows or name in MAY_BE_EMPTY, f"nothing to try in {name}"
    return [rows[place] for place in sorted({0, len(rows) - 1}) if rows]


def others(value: object) -> list[object]:
    """Returns other values for a cell: near ones, and such of another type."""
    if value is None:
        return ["2030-01-01T00:00:00.000Z", 7]
    if isinstance(value, int | float):
        return [value + 1, -1, "text"]
    if isinstance(value, bytes):
        return [value[:-1] + bytes([value[-1] ^ 1]), b"", "text"]
    return [f"{value}x", b"bytes", 7, None]


def tried(session: Session, finished: Federation, *statements: tuple[str, dict[str, Any]]) -> bool:
    """Makes changes and verifies; returns whether the database let them happen at all."""
    before = session.begin_nested()
    try:
        try:
            for statement, values in statements:
                session.execute(text(statement), values)
            session.flush()
        except DBAPIError:
            return False
        session.expunge_all()
        with pytest.raises(StoreBroken):
            verify_records(session, finished.workspace.public_key())
            pytest.fail(f"it verifies: {statements}")
        return True
    finally:
        before.rollback()
        session.expunge_all()


def where(name: str, row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    keys = [key.name for key in TABLES[name].primary_key]
    return " AND ".join(f'"{key}" = :old_{key}' for key in keys), {
        f"old_{key}": row[key] for key in keys
    }


@pytest.mark.parametrize(("name", "column"), short_form(COLUMNS, 8))
def test_no_cell_can_be_changed(finished: Federation, name: str, column: str) -> None:
    found = 0
    with unguarded(finished) as session:
        for row in rows_of(session, name)[-1:]:
            named, values = where(name, row)
            is_flag = isinstance(TABLES[name].columns[column].type, Boolean)
            for value in [not row[column]] if is_flag else others(row[column]):
                statement = f'UPDATE "{name}" SET "{column}" = :value WHERE {named}'  # noqa: S608
                if is_same(session, name, column, row, value):
                    continue
                tried(session, finished, (statement, {"value": value, **values}))
                found += 1  # found, or refused by the database itself
    assert found or name in MAY_BE_EMPTY


def is_same(session: Session, name: str, column: str, row: dict[str, Any], value: object) -> bool:
    """Whether the database makes of a value what stands there already (1 for true, say)."""
    named, values = where(name, row)
    before = session.begin_nested()
    try:
        statement = f'UPDATE "{name}" SET "{column}" = :value WHERE {named}'  # noqa: S608
        statement += f' RETURNING "{column}"'
        made = session.execute(text(statement), {"value": value, **values}).scalar()
        return bool(made == row[column])
    except DBAPIError:
        return False
    finally:
        before.rollback()


@pytest.mark.parametrize("name", OWN)
def test_no_row_can_be_removed(finished: Federation, name: str) -> None:
    with unguarded(finished) as session:
        rows = rows_of(session, name)
        # An old head says nothing that newer ones do not; one that a round names is missed.
        for row in rows[-1:] if name == "audit_checkpoint" else rows:
            named, values = where(name, row)
            tried(session, finished, (f'DELETE FROM "{name}" WHERE {named}', values))  # noqa: S608


@pytest.mark.parametrize("name", short_form(OWN, 2))
def test_no_row_can_be_added(finished: Federation, name: str) -> None:
    """A copy under another key, and under other numbers where the database wants one only."""
    keys = {key.name for key in TABLES[name].primary_key}
    single = {
        c.name for k in TABLES[name].constraints if isinstance(k, UniqueConstraint) for c in k
    }
    added = []
    with unguarded(finished) as session:
        for row in rows_of(session, name):
            copied = {
                column: _another(value) if column in keys or column in single else value
                for column, value in row.items()
            }
            columns = ", ".join(f'"{column}"' for column in copied)
            values = ", ".join(f":{column}" for column in copied)
            statement = f'INSERT INTO "{name}" ({columns}) VALUES ({values})'  # noqa: S608
            added.append(tried(session, finished, (statement, copied)))
    assert any(added) or name in MAY_BE_EMPTY, "the database let none be added"


def _another(key: object) -> object:
    return key + 1000 if isinstance(key, int) else f"{key}"[:-1] + "x"


@pytest.mark.parametrize("name", short_form(OWN, 2))
def test_no_two_rows_can_be_swapped(finished: Federation, name: str) -> None:
    table = TABLES[name]
    told = [column.name for column in table.columns if not column.primary_key]
    with unguarded(finished) as session:
        rows = rows_of(session, name)
        if len(rows) < 2 or all(rows[0][column] == rows[-1][column] for column in told):
            return
        statements = []
        for own, other in ((rows[0], rows[-1]), (rows[-1], rows[0])):
            named, values = where(name, own)
            cells = ", ".join(f'"{column}" = :{column}' for column in told)
            new = {column: other[column] for column in told}
            statements.append((f'UPDATE "{name}" SET {cells} WHERE {named}', new | values))  # noqa: S608
        tried(session, finished, *statements)


def test_a_row_that_is_put_back_to_what_was_logged_before_is_found(finished: Federation) -> None:
    """Every state that a row ever had is in the log; only the newest is true."""
    row = "UPDATE round SET state = 'open', revision = 1, survivors_json = '[]', "
    row += "dropped_json = '[]', conduct_json = '{}', model_digest = NULL, closed_at = NULL "
    with unguarded(finished) as session:
        assert tried(session, finished, (row + "WHERE number = 0", {}))


def test_a_run_can_be_removed_neither_in_part_nor_whole(finished: Federation) -> None:
    tables = [name for name in OWN if "run_id" in TABLES[name].columns and name not in LOG]
    rows = [(f"DELETE FROM \"{name}\" WHERE run_id = 'run-1'", {}) for name in tables]  # noqa: S608
    run = ("DELETE FROM run WHERE id = 'run-1'", {})
    with unguarded(finished) as session:
        assert tried(session, finished, *rows, run)
        entries = ("DELETE FROM audit_entry WHERE run_id = 'run-1'", {})
        assert tried(session, finished, *rows, run, entries)


def test_the_untouched_database_verifies(finished: Federation) -> None:
    with finished.store.read() as session:
        found = verify_records(session, finished.workspace.public_key())
    assert (found.runs, found.references, found.studies) == (("run-1",), 2, 3)
    assert found.size == max(found.heads)


def test_every_table_but_the_logs_own_is_held_to_the_log() -> None:
    held = {table.__tablename__ for table in logged_tables()}
    assert MemberRow.__tablename__ in held
    assert set(TABLES) == held | LOG
