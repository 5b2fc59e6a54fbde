"""Acts over a consortium's database: taken, refused and written down; found where done past it."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from compliance.audit.log import NewEntry
from compliance.governance.acts import ActRequest
from compliance.governance.people import FIRST_POLICY
from coordinator.audit.verification import verify_records
from coordinator.database.store import logged_entries
from coordinator.governance.operations import Operations
from coordinator.governance.people_register import policy_in
from coordinator.governance.tables import ActRow, ChangeRow
from coordinator.views.governance import RecordedAct, acts_in, governance_in
from protocol.errors import FederationError, MessageRefused, PolicyRefused, StoreBroken
from protocol.identity.roster import SigningKey
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.hospital.people import ADA, BEA, CLEO, People

URL = {"url": "https://localhost:8443"}
LYON = ("hospital", "lyon")


@dataclass
class Governed:
    """A coordinator's folder, its people, and a clock that both go by."""

    home: ConsortiumHome
    people: People

    def acts(self) -> tuple[RecordedAct, ...]:
        with self.home.store.read() as session:
            return acts_in(session)

    def verify(self) -> int:
        with self.home.store.read() as session:
            return verify_records(session, self.home.key.public).acts


@pytest.fixture
def governed(tmp_path: Path) -> Iterator[Governed]:
    home = ConsortiumHome(tmp_path / "home")
    operations = Operations(home.store, home.key, home.members, clock=home.clock)
    made = Governed(home, People(operations, home.clock))
    with closing(home.store):
        yield made


def wish(action: str, subject: tuple[str, str], **details: Any) -> ActRequest:
    return ActRequest(action=action, subject_kind=subject[0], subject=subject[1], details=details)


def test_a_consortium_without_people_works_and_is_attributed_to_nobody(governed: Governed) -> None:
    operations = governed.people.operations
    told = operations.perform({"request": wish("hospital.invite", LYON, **URL).to_json()})
    assert told["attributed"] is False and told["waits"] is False and told["invitation"]
    with governed.home.store.read() as session:
        view = governance_in(session, governed.home.clock())
    assert not view.governed and view.notice is not None and "NOBODY" in view.notice
    assert governed.acts() == () and governed.verify() == 0


def test_from_the_first_administrator_on_every_act_needs_a_person(governed: Governed) -> None:
    governed.people.found_first()
    asked = {"request": wish("hospital.invite", LYON, **URL).to_json()}
    with pytest.raises(PolicyRefused, match="needs a person here: --as KEYFILE"):
        governed.people.operations.perform(asked)
    with pytest.raises(PolicyRefused, match="the consortium has people already"):
        governed.people.found_first("Eve")
    assert [act.outcome for act in governed.acts()] == ["done", "refused"]
    governed.verify()


def test_the_founder_adds_alone_until_there_is_somebody_who_confirms(governed: Governed) -> None:
    people = governed.people
    people.found()
    kinds = [(act.action, act.outcome, act.reason) for act in governed.acts()]
    assert kinds == [
        ("person.found", "done", None),
        ("person.add", "done", "nobody else could confirm it"),
        ("person.add", "proposed", None),
        ("change.confirm", "done", None),
    ]
    assert governed.acts()[-1].effects == "person.add"
    governed.verify()


def test_a_hospital_is_invited_and_revoked_by_two(governed: Governed) -> None:
    people = governed.people
    people.found()
    told = people.act(CLEO, "hospital.invite", LYON, URL)
    assert told["waits"] and not governed.home.members.listing()
    with pytest.raises(PolicyRefused, match=f"change {told['change']} says the same, proposed by"):
        people.act(ADA, "hospital.invite", LYON, URL)
    with pytest.raises(PolicyRefused, match="proposed it: another person confirms"):
        people.confirm(CLEO, told["change"])
    assert people.confirm(ADA, told["change"])["invitation"]
    with pytest.raises(PolicyRefused, match="the change is done already"):
        people.confirm(BEA, told["change"])
    assert [one.state for one in governed.home.members.listing()] == ["invited"]
    people.together(ADA, BEA, "hospital.revoke", LYON, reason="moved")
    assert [one.state for one in governed.home.members.listing()] == ["revoked"]
    taken = [act for act in governed.acts() if act.outcome != "refused"]
    assert 0 < governed.verify() == len(taken) < len(governed.acts())


def test_what_is_confirmed_is_what_was_proposed(governed: Governed) -> None:
    people = governed.people
    people.found()
    change = people.act(CLEO, "hospital.invite", LYON, URL)["change"]
    with pytest.raises(PolicyRefused, match="what was confirmed is not what the change says"):
        people.act(ADA, "change.confirm", ("change", str(change)), {"digest": "0" * 64})
    for number in ("7", "-1", "x", "9" * 30):
        with pytest.raises(PolicyRefused, match="there is no change"):
            people.act(ADA, "change.confirm", ("change", number), {"digest": "0" * 64})
    people.act(BEA, "change.withdraw", ("change", str(change)))
    with pytest.raises(PolicyRefused, match="the change is withdrawn already"):
        people.confirm(ADA, change)
    governed.verify()


def test_a_change_lapses(governed: Governed) -> None:
    people = governed.people
    people.found()
    change = people.act(CLEO, "hospital.invite", LYON, URL)["change"]
    governed.home.clock.move(hours=FIRST_POLICY.change_hours)
    with pytest.raises(PolicyRefused, match="the change lapsed at"):
        people.confirm(ADA, change)
    people.together(CLEO, ADA, "hospital.invite", LYON, **URL)
    governed.verify()


def test_a_role_that_was_taken_away_meanwhile_counts_no_longer(governed: Governed) -> None:
    people = governed.people
    people.found()
    change = people.act(CLEO, "hospital.invite", LYON, URL)["change"]
    people.together(ADA, BEA, "person.roles", ("person", CLEO), roles=("auditor",))
    with pytest.raises(PolicyRefused, match="Cleo Lead .auditor. may not invite a hospital"):
        people.confirm(ADA, change)
    with pytest.raises(PolicyRefused, match="may not begin a run"):
        people.act(CLEO, "run.start", ("study", "0" * 64))
    governed.verify()


def test_nobody_changes_their_own_rights(governed: Governed) -> None:
    people = governed.people
    people.found()
    roles = {"roles": ("administrator", "lead")}
    with pytest.raises(PolicyRefused, match="proposes no change of their own key or roles"):
        people.act(CLEO, "person.roles", ("person", CLEO), roles)
    change = people.act(ADA, "person.roles", ("person", CLEO), roles)["change"]
    with pytest.raises(PolicyRefused, match="is about Cleo Lead: another person confirms"):
        people.confirm(CLEO, change)


def test_a_person_is_nobody_else_by_another_key_or_another_spelling(governed: Governed) -> None:
    people = governed.people
    people.found()
    people.keys["ADA's other"] = SigningKey.generate()
    for name, key, told in (
        ("dr.  ada ADMIN", people.keys["ADA's other"], "proposes no change of their own"),
        ("New Name", people.key(ADA), "this key is or was Dr. Ada Admin's"),
    ):
        said = {"key": key.public.hex(), "roles": ("lead",)}
        with pytest.raises(PolicyRefused, match=told):
            people.together(ADA, BEA, "person.add", ("person", name), **said)
    governed.verify()


def test_a_key_is_replaced_by_two_others_and_the_old_one_ends(governed: Governed) -> None:
    people = governed.people
    people.found()
    before = people.key(CLEO)
    people.keys[CLEO] = SigningKey.generate()
    people.add(CLEO, "lead", second=BEA)
    with pytest.raises(PolicyRefused, match="nobody is registered under this key"):
        people.keys["gone"] = before
        people.act("gone", "run.stop", ("run", "x"))
    said = {"key": before.public.hex(), "roles": ("lead",)}
    with pytest.raises(PolicyRefused, match="this key was used before and ended"):
        people.together(ADA, BEA, "person.add", ("person", CLEO), **said)
    people.act(CLEO, "incident.open", ("incident", "x"), {"kind": "other", "severity": "low"})
    governed.verify()


def test_a_key_that_expired_does_nothing_and_an_administrator_is_founded_again(
    governed: Governed,
) -> None:
    people = governed.people
    people.found()
    governed.home.clock.move(days=366)
    with pytest.raises(PolicyRefused, match="the key of Cleo Lead expired at"):
        people.act(CLEO, "login", ("page", "runs"))
    people.keys["Fay"] = SigningKey.generate()
    people.found_first("Fay")
    assert governed.acts()[-1].effects == "person.refound"
    people.add("Gus", "lead", by="Fay")
    governed.verify()


def test_the_last_administrator_stays(governed: Governed) -> None:
    people = governed.people
    people.found()
    with pytest.raises(PolicyRefused, match="is the last administrator: add another one first"):
        people.together(CLEO, BEA, "person.retire", ("person", ADA))
    with governed.home.store.read() as session:
        states = session.scalars(select(ChangeRow.state)).all()
    assert states[-1] == "failed"
    people.act(ADA, "login", ("page", "runs"))
    governed.verify()


def test_a_policy_is_changed_by_two_and_binds_at_once(governed: Governed) -> None:
    people = governed.people
    people.found()
    before = people.signed(CLEO, wish("login", ("page", "runs")))
    people.change_policy(2, change_hours=1)
    with pytest.raises(PolicyRefused, match="signed under another access policy than version 2"):
        people.operations.perform(before)
    with pytest.raises(PolicyRefused, match="the next policy is version 3"):
        people.change_policy(9)
    with governed.home.store.read() as session:
        assert policy_in(session).change_hours == 1
    governed.verify()


@pytest.mark.parametrize("hours", [1, -1, 2])
def test_an_act_by_a_clock_that_is_off_is_refused_and_written_down(
    governed: Governed, hours: int
) -> None:
    people, clock = governed.people, governed.home.clock
    people.found()
    signed = people.signed(CLEO, wish("login", ("page", "runs")))
    clock.move(hours=hours)
    with pytest.raises(MessageRefused, match=f"a clock is {abs(hours)} h off"):
        people.operations.perform(signed)
    clock.move(hours=-hours)
    assert governed.acts()[-1].outcome == "refused"
    governed.verify()


def test_an_act_is_good_once_and_in_its_own_consortium(governed: Governed) -> None:
    people = governed.people
    people.found()
    signed = people.signed(CLEO, wish("login", ("page", "runs")))
    assert people.operations.perform(signed)["person"] == CLEO
    with pytest.raises(MessageRefused, match="was done before: it is good once"):
        people.operations.perform(signed)
    other = people.signed(CLEO, wish("login", ("page", "runs")), consortium="0" * 64)
    with pytest.raises(MessageRefused, match="of another consortium"):
        people.operations.perform(other)
    damaged = {"signed": signed["signed"] | {"signature": "00" * 64}}
    with pytest.raises(MessageRefused, match="is not signed by"):
        people.operations.perform(damaged)
    governed.verify()


def test_the_log_holds_a_digest_of_an_act_that_nobody_can_guess(governed: Governed) -> None:
    people = governed.people
    people.found()
    for _ in range(2):
        people.act(CLEO, "login", ("page", "runs"))
    first, second = governed.acts()[-2:]
    assert first.digest != second.digest
    with governed.home.store.read() as session:
        logged = [entry.content for entry in logged_entries(session)]
    assert [entry.payload for entry in logged if entry.type == "act-done"][-1] == second.digest
    assert logged[-1].record == second.record


def test_a_hospital_is_contained_at_once_and_confirmed_afterwards(governed: Governed) -> None:
    people, home = governed.people, governed.home
    people.found()
    people.together(CLEO, ADA, "hospital.invite", LYON, **URL)
    said = {"kind": "hospital-compromised", "severity": "critical"}
    people.act(CLEO, "incident.open", ("incident", "a machine was taken over"), said)
    note = {"note": "the police called", "revoke": ("lyon", "nowhere"), "suspend": (BEA,)}
    told = people.act(CLEO, "incident.contain", ("incident", "1"), note)
    results = {one["subject"]: one["result"] for one in told["steps"][-1]["measures"]}
    assert results["lyon"] == results[BEA] == "done"
    assert "failed: site 'nowhere' is neither enrolled nor invited" in results["nowhere"]
    assert [one.state for one in home.members.listing()] == ["revoked"]
    with pytest.raises(PolicyRefused, match="was suspended at .* by an incident's containment"):
        people.act(BEA, "login", ("page", "runs"))
    assert told["unconfirmed"] == 1
    with pytest.raises(PolicyRefused, match="contained it: another person confirms"):
        people.act(CLEO, "incident.confirm", ("incident", "1"))
    assert people.act(ADA, "incident.confirm", ("incident", "1"))["unconfirmed"] == 0
    people.act(CLEO, "incident.notify", ("incident", "1"), {"note": "told them", "to": "the DPA"})
    people.act(CLEO, "incident.close", ("incident", "1"), {"note": "disks are encrypted now"})
    with pytest.raises(PolicyRefused, match="the incident is closed"):
        people.act(ADA, "incident.contain", ("incident", "1"), {"note": "x", "suspend": (CLEO,)})
    assert people.act(CLEO, "login", ("page", "runs"))["person"] == CLEO
    governed.verify()


def test_suspending_the_others_makes_nobody_alone(governed: Governed) -> None:
    people = governed.people
    people.found()
    said = {"kind": "lost-key", "severity": "high"}
    people.act(ADA, "incident.open", ("incident", "x"), said)
    people.act(ADA, "incident.contain", ("incident", "1"), {"note": "x", "suspend": (BEA, CLEO)})
    added = {"key": SigningKey.generate().public.hex(), "roles": ("lead",)}
    assert people.act(ADA, "person.add", ("person", "Mate"), added)["waits"]


def rewritten(governed: Governed, row: ActRow) -> None:
    """Writes a row as whoever holds the log's key can: with a valid entry of the log."""
    with governed.home.store.transaction() as transaction:
        merged = transaction.session.merge(row)
        record = transaction.write(merged)
        entry = NewEntry(type=f"act-{row.outcome}", run_id=None, payload=row.digest, record=record)
        transaction.log([entry], governed.home.key)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("person", BEA, "is not what Cleo Lead signed"),
        ("action", "run.stop", "is not what Cleo Lead signed"),
        ("subject", "other", "is not what Cleo Lead signed"),
        ("details_json", '{"x":1}', "is not what Cleo Lead signed"),
        ("digest", "0" * 64, "has another digest than was logged"),
        ("role", "administrator", "was not administrator at"),
        ("signature", b"\0" * 64, "the signature is not valid"),
        ("at", "2020-01-01T00:00:00.000Z", "minutes ahead of"),
        ("document", b"{}", "an act has another form"),
    ],
)
def test_whoever_holds_the_logs_key_cannot_change_an_act(
    governed: Governed, column: str, value: object, told: str
) -> None:
    governed.people.found()
    governed.people.act(CLEO, "login", ("page", "runs"))
    governed.verify()
    with governed.home.store.read() as session:
        row = session.scalars(select(ActRow).order_by(ActRow.id.desc()).limit(1)).one()
        session.expunge(row)
    setattr(row, column, value)
    rewritten(governed, row)
    with pytest.raises(StoreBroken, match=told):
        governed.verify()


@pytest.mark.parametrize("document", [b"", b"{}", b"no JSON"])
def test_a_damaged_proposal_is_a_fault_and_not_an_error(
    governed: Governed, document: bytes
) -> None:
    governed.people.found()
    governed.people.act(CLEO, "hospital.invite", LYON, URL)
    with governed.home.store.read() as session:
        row = session.scalars(select(ActRow).filter_by(outcome="proposed")).all()[-1]
        session.expunge(row)
    row.document = document
    rewritten(governed, row)
    with pytest.raises(StoreBroken, match="signed no such proposal"):
        governed.verify()


def test_what_is_done_past_the_service_is_found(governed: Governed) -> None:
    home, people = governed.home, governed.people
    home.invite("early")
    people.found()
    governed.verify()
    home.invite("lyon")
    with pytest.raises(StoreBroken, match=r"\(invited\) has no act of a person: it was done past"):
        governed.verify()


def test_a_confirmation_by_one_person_alone_is_found(governed: Governed) -> None:
    home, people = governed.home, governed.people
    people.found()
    change = people.act(CLEO, "hospital.invite", LYON, URL)["change"]
    with home.store.transaction() as transaction:
        row = transaction.session.get_one(ChangeRow, change)
        row.state, row.decided_by, row.decided_at = "done", BEA, row.proposed_at
        record = transaction.write(row)
        entry = NewEntry(type="change-confirmed", run_id=None, payload=record, record=record)
        transaction.log([entry], home.key)
    with pytest.raises(StoreBroken, match="Dr. Bea Officer signed no confirmation"):
        governed.verify()


@pytest.mark.parametrize("asked", [{}, {"request": 5}, {"signed": {"act": 5}}, {"request": None}])
def test_what_is_no_act_is_refused_and_not_written_down(
    governed: Governed, asked: dict[str, Any]
) -> None:
    with pytest.raises(FederationError):
        governed.people.operations.perform(asked)
    assert governed.acts() == ()


class Away:
    """A database that does not answer."""

    def transaction(self) -> None:
        raise StoreBroken("the database does not answer")

    read = transaction


class Steered:
    """A service that keeps what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def steer(self, run_id: str, what: str) -> None:
        self.asked.append((run_id, what))

    def start_run(self, study_digest: str, **_given: bool) -> str:
        raise AssertionError(study_digest)


def test_stopping_waits_for_no_database(caplog: pytest.LogCaptureFixture) -> None:
    runs, store = Steered(), Away()
    operations = Operations(store, SigningKey.generate(), runs=runs)  # type: ignore[arg-type]
    for what in ("pause", "stop"):
        asked = {"request": wish(f"run.{what}", ("run", "run-1")).to_json()}
        assert operations.perform(asked)["attributed"] is False
    assert runs.asked == [("run-1", "pause"), ("run-1", "stop")]
    assert "run.stop of run run-1 is attributed to nobody: the database does" in caplog.text
    for action in ("run.resume", "run.start", "hospital.invite"):
        with pytest.raises(StoreBroken, match="the database does not answer"):
            operations.perform({"request": wish(action, ("run", "run-1")).to_json()})
