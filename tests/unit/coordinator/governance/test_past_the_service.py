"""What is done past the service, with the log's own key, is held to what people signed."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compliance.audit.log import NewEntry
from compliance.governance.incidents.course import IncidentState
from compliance.governance.people import FIRST_POLICY, AccessPolicy, Role
from coordinator.governance import governance as service
from coordinator.governance.incident_register import IncidentRegister
from coordinator.governance.operations import Operations
from coordinator.governance.people_register import PeopleWriter
from coordinator.governance.tables import ChangeRow
from protocol.encoding import canonical
from protocol.errors import MessageRefused, PolicyRefused, StoreBroken
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.hospital.people import ADA, BEA, CLEO, People
from tests.unit.coordinator.governance.test_governance import LYON, URL, Governed, wish

ADMINISTRATOR = frozenset({Role.ADMINISTRATOR})
NEW = PeopleWriter._new


@pytest.fixture
def governed(tmp_path: Path) -> Iterator[Governed]:
    home = ConsortiumHome(tmp_path / "home")
    operations = Operations(home.store, home.key, home.members, clock=home.clock)
    made = Governed(home, People(operations, home.clock))
    with closing(home.store):
        made.people.found()
        yield made


def test_other_roles_than_were_signed_are_found(
    governed: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def more(self: Any, name: str, key: str, roles: frozenset[Role], *rest: str) -> None:
        NEW(self, name, key, roles | ADMINISTRATOR, *rest)

    monkeypatch.setattr(PeopleWriter, "_new", more)
    governed.people.add("Dan", "auditor")
    with pytest.raises(StoreBroken, match="its name, key or roles are not what was signed"):
        governed.verify()


def test_a_person_who_comes_with_another_one_is_found(
    governed: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two(self: Any, name: str, key: str, roles: frozenset[Role], *rest: str) -> None:
        NEW(self, name, key, roles, *rest)
        NEW(self, "Eve", "ab" * 32, ADMINISTRATOR, *rest)

    monkeypatch.setattr(PeopleWriter, "_new", two)
    governed.people.add("Dan", "auditor")
    with pytest.raises(StoreBroken, match="it was made without an act of its own"):
        governed.verify()


def test_a_policy_that_was_not_signed_is_found(
    governed: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = PeopleWriter.change_policy

    def other(self: PeopleWriter, policy: AccessPolicy) -> None:
        true(self, replace(policy, change_hours=720))

    monkeypatch.setattr(PeopleWriter, "change_policy", other)
    governed.people.change_policy(2, change_hours=24)
    with pytest.raises(StoreBroken, match="version 2 of the access policy is none that was signed"):
        governed.verify()


def test_a_confirmation_of_something_else_is_found(governed: Governed) -> None:
    home, people = governed.home, governed.people
    change = people.act(CLEO, "hospital.invite", LYON, URL)["change"]
    other = people.act(CLEO, "hospital.invite", ("hospital", "other"), URL)["change"]
    people.confirm(BEA, change)
    with home.store.transaction() as transaction:
        row = transaction.session.get_one(ChangeRow, change)
        said = transaction.session.get_one(ChangeRow, other)
        row.request_json, row.request_digest = said.request_json, said.request_digest
        record = transaction.write(row)
        entry = NewEntry(type="change-confirmed", run_id=None, payload=record, record=record)
        transaction.log([entry], home.key)
    with pytest.raises(StoreBroken, match="what Dr. Bea Officer confirmed is not what the change"):
        governed.verify()


def test_a_confirmation_of_ones_own_roles_is_found(
    governed: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def anybody(*_: object) -> Role:
        return Role.COMPLIANCE_OFFICER

    monkeypatch.setattr(service, "require_second", anybody)
    governed.people.together(ADA, BEA, "person.roles", ("person", BEA), roles=("administrator",))
    with pytest.raises(StoreBroken, match="the change is about Dr. Bea Officer: another person"):
        governed.verify()


@pytest.mark.parametrize("state", ["closed", "notified", "contained"])
def test_an_incident_that_went_on_without_a_step_is_found(
    governed: Governed, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    true = IncidentRegister._written

    def further(self: Any, transaction: Any, row: Any, made: Any, **more: Any) -> Any:
        return true(self, transaction, row, replace(made, state=IncidentState(state)), **more)

    monkeypatch.setattr(IncidentRegister, "_written", further)
    said = {"kind": "other", "severity": "low"}
    governed.people.act(CLEO, "incident.open", ("incident", "lost"), said)
    with pytest.raises(StoreBroken, match=f"incident 1 is {state}, its steps do not say so"):
        governed.verify()


def test_a_step_that_nobody_signed_is_found(
    governed: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = IncidentRegister._step

    def other(self: Any, taken: Any, step: str, *more: Any) -> Any:
        return replace(true(self, taken, step, *more), note="we told everybody")

    monkeypatch.setattr(IncidentRegister, "_step", other)
    said = {"kind": "other", "severity": "low", "note": "lost"}
    governed.people.act(CLEO, "incident.open", ("incident", "lost"), said)
    with pytest.raises(StoreBroken, match=r"a step \(open\) is not what was signed"):
        governed.verify()


def test_what_people_did_in_the_service_is_what_they_signed(governed: Governed) -> None:
    people = governed.people
    people.together(ADA, CLEO, "person.roles", ("person", BEA), roles=("auditor", "lead"))
    people.change_policy(2, change_hours=24)
    people.keys.pop(CLEO)
    people.add(CLEO, "lead", second=BEA)
    said = {"kind": "other", "severity": "low", "drill": True}
    people.act(CLEO, "incident.open", ("incident", " lost "), said)
    people.act(ADA, "incident.contain", ("incident", "1"), {"note": "x", "suspend": (BEA,)})
    people.act(CLEO, "incident.notify", ("incident", "1"), {"note": "nobody is told"})
    people.act(ADA, "incident.contain", ("incident", "1"), {"note": "again"})
    people.act(CLEO, "incident.close", ("incident", "1"), {"note": "nothing was learned"})
    people.together(ADA, CLEO, "person.retire", ("person", BEA))
    assert governed.verify() == len(governed.acts())


@pytest.mark.parametrize("action", ["person.add", "person.retire", "policy.change"])
def test_nobody_registers_people_without_a_signature(tmp_path: Path, action: str) -> None:
    home = ConsortiumHome(tmp_path / "home")
    with closing(home.store):
        operations = Operations(home.store, home.key, home.members, clock=home.clock)
        text = canonical(FIRST_POLICY.to_json()).decode()
        asked = wish(action, ("person", "Eve"), key="ab" * 32, roles=("auditor",), policy=text)
        with pytest.raises(PolicyRefused, match="the first administrator registers before"):
            operations.perform({"request": asked.to_json()})


@pytest.mark.parametrize("person", [5, None, {"a": 1}, ["x"], "a\nb"])
def test_an_act_names_a_person(governed: Governed, person: object) -> None:
    asked = governed.people.signed(CLEO, wish("hospital.invite", LYON, **URL))
    act = json.loads(asked["signed"]["act"]) | {"person": person}
    asked["signed"]["act"] = canonical(act).decode()
    with pytest.raises(MessageRefused, match="an act names no person"):
        governed.people.operations.perform(asked)
