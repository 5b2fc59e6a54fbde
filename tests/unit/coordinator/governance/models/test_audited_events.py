"""Events of models under audit: what who holds the log's key alone can write, and what finds it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from compliance.audit.log import NewEntry
from compliance.governance.models.gates import GateRules
from coordinator.audit.faults import Faults
from coordinator.audit.verification import check_records
from coordinator.database.store import RunRow
from coordinator.governance.models.tables import ModelEventRow, ModelLineRow
from coordinator.rounds.run_records import RunRecord
from protocol.identity.roster import parse_roster
from tests.support.hospital.people import ADA
from tests.support.simulated.registered_models import RULES, Register
from tests.support.simulated.studies import small_study


@pytest.fixture
def register(two_runs: Path, tmp_path: Path) -> Iterator[Register]:
    made = Register(Path(shutil.copytree(two_runs, tmp_path / "registered")))
    yield made
    made.store.close()


def _faults(register: Register) -> list[str]:
    faults = Faults()
    with register.store.read() as session:
        check_records(session, register.workspace.public_key(), faults)
    return [one.what for one in faults.found if "model heart" in one.what]


def _rewritten(
    register: Register, table: type[ModelEventRow] | type[ModelLineRow], **said: str
) -> None:
    """Changes the newest row of a table, and logs it: who holds the log's key can."""
    store, key = register.store, register.workspace.signing_key()
    with store.transaction() as transaction:
        row = transaction.session.scalars(select(table)).all()[-1]
        for name, value in said.items():
            setattr(row, name, value)
        record = transaction.write(row)
        entry = NewEntry(type="note", run_id=None, payload=record, record=record)
        transaction.log([entry], key)


@pytest.mark.parametrize("simulation", [True, False])
def test_a_study_needs_a_persons_act_where_no_simulation_registers_it_as_it_begins(
    register: Register, simulation: bool
) -> None:
    store, key = register.store, register.workspace.signing_key()
    with store.read() as session:
        roster = parse_roster(session.get_one(RunRow, "run-1").roster_json.encode())
    another = small_study().model_copy(update={"title": "Another study"})
    record = RunRecord(store, key, roster, another, "run-3")
    record.begin(sweep=None, simulation=simulation, test_noise=False)
    faults = Faults()
    with store.read() as session:
        check_records(session, key.public, faults)
    told = [one.what for one in faults.found if "study-registered" in one.what]
    assert len(told) == (0 if simulation else 1)


@pytest.mark.parametrize(
    ("changed_to", "told"),
    [
        ({"version": "second"}, "of another version, hospital or name than act"),
        ({"by": ADA}, "is not what act"),
        ({"act": "0" * 64}, "has no act of a person that was carried out"),
        ({"act": "", "by": ""}, "has no act of a person that was carried out"),
        ({"kind": "named", "alias": "mine"}, "is not what act"),
    ],
)
def test_who_holds_the_logs_key_alone_promotes_nothing_else_than_two_people_signed(
    register: Register, changed_to: dict[str, str], told: str
) -> None:
    register.act("register", version=register.second, rules=RULES)
    register.to_production(register.first)
    assert not _faults(register)
    if changed_to.get("version") == "second":
        changed_to = {"version": register.second}
    _rewritten(register, ModelEventRow, **changed_to)
    assert any(told in fault for fault in _faults(register)), _faults(register)


def test_one_act_is_no_leave_to_do_the_same_again(register: Register) -> None:
    register.to_canary(register.first)
    act = register.act("end-canary", version=register.first)["act"]
    register.act("canary", version=register.first, sites=("east", "north"))
    register.act("end-canary", version=register.first)
    assert not _faults(register)
    _rewritten(register, ModelEventRow, act=str(act))
    assert any("is a second one of one act" in fault for fault in _faults(register))


def test_thresholds_that_nobody_asked_for_are_found(register: Register) -> None:
    register.to_canary(register.first)
    _rewritten(register, ModelLineRow, rules_json=json.dumps(GateRules(red_team=False).to_json()))
    assert any("other thresholds than Cleo Lead asked for" in one for one in _faults(register))


def test_a_model_that_was_promoted_without_being_a_canary_is_found(register: Register) -> None:
    register.act("register", version=register.first, rules=RULES)
    _rewritten(register, ModelEventRow, kind="promoted")
    assert any("does not follow: " in fault for fault in _faults(register))
