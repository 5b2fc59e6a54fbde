"""People act on the running service by its socket, or over its folder where none runs."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collegium.models.weights import listing, open_weights, retire, seal
from collegium.models.weights_places import place_of
from compliance.governance.acts import ActRequest
from compliance.storage.encryption.age_keys import new_identity_file
from coordinator.database.store import Store, logged_entries
from coordinator.governance.incident_register import holds_in
from coordinator.runs.admin_socket.answering import controlling
from coordinator.runs.admin_socket.asking import ask
from coordinator.runs.person_acts import governance_of, perform, record_act, signed_request
from coordinator.runs.service import Service
from coordinator.views.views import open_views
from protocol.errors import MessageRefused, PolicyRefused
from protocol.identity.roster import SigningKey
from protocol.vectors.tensors import encode_tensors
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.hospital.people import ADA, BEA, CLEO, People
from tests.support.simulated.studies import TABLE_STUDY, small_study
from tests.unit.collegium.cli.test_cli import refused, run


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = ConsortiumHome(tmp_path / "c")
    made.store.close()
    return made.root


@pytest.fixture
def service(home: Path) -> Iterator[Service]:
    made = Service(home)
    with closing(made), controlling(made, home):
        yield made


def wish(action: str, kind: str = "page", subject: str = "x", **details: Any) -> ActRequest:
    return ActRequest(action=action, subject_kind=kind, subject=subject, details=details)


def test_refusals_of_the_service_reach_whoever_asked(home: Path, service: Service) -> None:
    people = People(service.operations)
    people.found()
    with pytest.raises(PolicyRefused, match="needs a person here"):
        perform(home, wish("run.start", "study", small_study().digest), None)
    with pytest.raises(PolicyRefused, match="may not begin a run: that takes data-scientist or"):
        perform(home, wish("run.start", "study", small_study().digest), people.key(ADA))
    with pytest.raises(PolicyRefused, match="nobody is registered under this key"):
        perform(home, wish("login"), SigningKey.generate())
    with pytest.raises(PolicyRefused, match="run r is not at work"):
        perform(home, wish("run.stop", "run", "r"), people.key(CLEO))
    signed = {"signed": signed_request(governance_of(home), wish("login"), people.key(CLEO))}
    assert ask(home, "POST", "/acts", signed)["person"] == CLEO
    with pytest.raises(MessageRefused, match="was done before: it is good once"):
        ask(home, "POST", "/acts", signed)
    with closing(open_views(home)) as views:
        ends = [(act.action, act.outcome) for act in views.acts()][-4:]
    assert ends == [
        ("run.start", "refused"), ("run.stop", "failed"), ("login", "done"), ("login", "refused")
    ]  # fmt: skip


def test_a_run_begun_by_a_person_is_theirs(home: Path, service: Service, tmp_path: Path) -> None:
    people = People(service.operations)
    people.found()
    study = small_study()
    document = {"document": study.canonical_bytes.decode()}
    told = perform(home, wish("study.register", "study", study.digest), people.key(CLEO), document)
    assert told["new"] is True
    with pytest.raises(MessageRefused, match="is not the one whose digest the act names"):
        perform(home, wish("study.register", "study", "0" * 64), people.key(CLEO), document)
    with pytest.raises(PolicyRefused, match="no roster is signed yet"):
        perform(home, wish("run.start", "study", study.digest), people.key(CLEO))
    with closing(open_views(home)) as views:
        assert [act.outcome for act in views.acts(study=study.digest)] == ["done", "failed"]


def test_an_export_is_written_down_where_it_can_be(home: Path, tmp_path: Path) -> None:
    exported = wish("report.export", "report", "run-1", format="pdf", sha256="0" * 64, run="run-1")
    assert record_act(home, exported, None).act is None
    for nobody in (None, SigningKey.generate()):
        assert "no person is registered" in record_act(home, exported, nobody).note
    with closing(Store(home / "collegium.db")) as store:
        key = SigningKey.from_bytes(bytes.fromhex((home / "coordinator.key").read_text().strip()))
        people = People.over(store, key)
        people.found()
    told = record_act(home, exported, people.key(BEA))
    with closing(open_views(home)) as views:
        (act,) = views.acts(run="run-1")
    assert (act.person, act.role, act.digest) == (BEA, "auditor", told.act)
    with pytest.raises(PolicyRefused, match="needs a person here"):
        record_act(home, exported, None)
    (home / "coordinator.key").unlink()
    assert "this is a copy" in record_act(home, exported, people.key(BEA)).note


def test_decisions_about_an_encrypted_model_are_taken_by_the_service(
    home: Path, service: Service, tmp_path: Path
) -> None:
    people = People(service.operations)
    people.found()
    new_identity_file(tmp_path / "alice.txt")
    key = (tmp_path / "alice.txt").read_text().split()[-2]
    (tmp_path / "model").write_bytes(encode_tensors({"w": np.ones(2, np.float32)}))
    place = place_of(home, people.key(CLEO))
    made = seal(place, str(tmp_path / "model"), [f"Alice={key}"])
    assert made["person"] == CLEO
    open_weights(place, made["model"], tmp_path / "alice.txt", tmp_path / "plain")
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "model").read_bytes()
    people.confirm(BEA, retire(place, made["model"], "superseded")["change"])
    by = [event["by"] for event in listing(place)[0]["events"]]
    assert by == [CLEO, CLEO, f"{CLEO}, confirmed by {BEA}"]


def test_a_legal_hold_is_of_a_run_or_study_that_is_there(home: Path, service: Service) -> None:
    people = People(service.operations)
    people.found()
    study = small_study()
    document = {"document": study.canonical_bytes.decode()}
    perform(home, wish("study.register", "study", study.digest), people.key(CLEO), document)
    for kind, subject, told in (("run", "r", "there is no run r"), ("page", "x", "there is no")):
        with pytest.raises(PolicyRefused, match=told):
            perform(home, wish("hold.place", kind, subject, reason="a court"), people.key(BEA))
    with pytest.raises(PolicyRefused, match="a legal hold needs a reason"):
        perform(home, wish("hold.place", "study", study.digest), people.key(BEA))
    held = wish("hold.place", "study", study.digest, reason="a court")
    perform(home, held, people.key(BEA))
    with pytest.raises(PolicyRefused, match="is held already"):
        perform(home, held, people.key(CLEO))
    people.together(BEA, CLEO, "hold.lift", ("study", study.digest))
    with closing(Store(home / "collegium.db")) as store, store.read() as session:
        (hold,) = holds_in(session)
    assert hold.placed_by == BEA and hold.lifted_at is not None


def test_a_drill_goes_from_open_to_close_by_command_and_leaves_its_record(
    home: Path,
    service: Service,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = ("--home", home)
    files = {name: tmp_path / f"{name}.key" for name in ("ada", "bea")}
    monkeypatch.setenv("COLLEGIUM_PERSON_PASSPHRASE", "correct horse")
    for file in files.values():
        assert run(monkeypatch, "people", "key", "--to", file, "--json") == 0
        assert file.stat().st_mode & 0o077 == 0 and b"ENCRYPTED" in file.read_bytes()
    public = json.loads(capsys.readouterr().out.split("}\n")[1] + "}")["public_key"]
    ada, bea = (("--as", file) for file in files.values())
    assert run(monkeypatch, "people", "found", ADA, *where, *ada) == 0
    add = ("people", "propose", BEA, "--key", public, "--role", "compliance-officer")
    assert run(monkeypatch, *add, *where, *ada) == 0
    before = len(entries(home))
    drill = ("incident", "open", "A laptop is gone", "--kind", "lost-key", "--drill")
    assert run(monkeypatch, *drill, *where, *bea) == 0
    contain = ("incident", "contain", "1", "--suspend", ADA, "--pause", "run-1", "--note", "drill")
    assert run(monkeypatch, *contain, *where, *ada) == 0
    told = capsys.readouterr().err
    assert "would be done" in told and "72 h left to notify" in told
    assert run(monkeypatch, "coordinator", "status", *where) == 0
    assert "incident   1 DRILL, high, contained: A laptop is gone; 7" in capsys.readouterr().out
    notify = ("incident", "notify", "1", "--to", "nobody: a drill", "--note", "took 4 minutes")
    assert run(monkeypatch, *notify, *where, *bea) == 0
    assert run(monkeypatch, "incident", "close", "1", "--note", "x", *where, *bea) == 0
    capsys.readouterr()
    assert run(monkeypatch, "incident", "show", "1", *where, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [step["step"] for step in found["steps"]] == ["open", "contain", "notify", "close"]
    assert (found["state"], found["drill"], found["unconfirmed"]) == ("closed", True, 0)
    assert [step["person"] for step in found["steps"]] == [BEA, ADA, BEA, BEA]
    assert not any(one["suspended"] for one in governance_of(home)["people"])
    types = [kind for kind in entries(home)[before:] if not kind.startswith("act-")]
    assert types == [f"drill-{state}" for state in ("opened", "contained", "notified", "closed")]
    assert run(monkeypatch, "audit", "verify", "--out", home) == 0
    assert "acts, signed by who had the right to each" in capsys.readouterr().out
    monkeypatch.setenv("COLLEGIUM_PERSON_PASSPHRASE", "wrong")
    assert "or the passphrase is wrong" in refused(monkeypatch, capsys, *drill, *where, *bea)


def test_commands_of_people_by_two(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no service runs: invite by two, a change of policy, a review, and what is refused."""
    where, to = ("--home", home), tmp_path / "lyon.invitation"
    keys = {}
    for name in ("ada", "bea"):
        file = tmp_path / f"{name}.key"
        run(monkeypatch, "people", "key", "--to", file, "--no-passphrase", "--json")
        keys[name] = (json.loads(capsys.readouterr().out)["public_key"], ("--as", file))
    (_, ada), (public, bea) = keys["ada"], keys["bea"]
    run(monkeypatch, "people", "found", ADA, *where, *ada)
    add = ("people", "propose", BEA, "--key", public, "--role", "lead", "--role", "auditor")
    assert run(monkeypatch, *add, *where, *ada) == 0
    assert f"registered {BEA}: lead, auditor; nobody else" in capsys.readouterr().err
    invite = ("coordinator", "invite", "lyon", "--to", to)
    capsys.readouterr()
    assert "needs a person here" in refused(monkeypatch, capsys, *invite, *where)
    assert run(monkeypatch, *invite, *where, *bea) == 0
    assert "another person confirms it" in capsys.readouterr().err and not to.exists()
    confirm = ("people", "confirm", "1", "--to", to, *where)
    assert "proposed it" in refused(monkeypatch, capsys, *confirm, *bea)
    assert not to.exists()
    assert run(monkeypatch, *confirm, *ada, "--json") == 0
    told = capsys.readouterr()
    assert to.stat().st_size and "token" not in told.out + told.err
    run(monkeypatch, "people", "policy", *where, "--json")
    policy = json.loads(capsys.readouterr().out) | {"version": 2, "confirm_hours": 8}
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    assert run(monkeypatch, "people", "change-policy", tmp_path / "policy.json", *where, *ada) == 0
    assert run(monkeypatch, "people", "confirm", "2", *where, *bea) == 0
    run(monkeypatch, "people", "retire", BEA, *where, *ada)
    assert run(monkeypatch, "people", "withdraw", "3", *where, *bea) == 0
    assert run(monkeypatch, "people", "review", "--sign", "--note", "fine", *where, *bea) == 0
    capsys.readouterr()
    run(monkeypatch, "people", "review", *where)
    assert f"by {BEA}" in capsys.readouterr().out
    run(monkeypatch, "people", "acts", *where)
    assert "change.confirm 1  done" in capsys.readouterr().out
    run(monkeypatch, "people", "list", "--all", *where)
    assert "withdrawn, proposed by Dr. Ada Admin" in capsys.readouterr().out
    study = tmp_path / "study.yaml"
    study.write_text(TABLE_STUDY)
    assert run(monkeypatch, "study", "register", study, *where, *bea) == 0
    hold = ("coordinator", "hold", "place", "--study", "small", "--reason", "a court asks")
    assert run(monkeypatch, *hold, *where, *bea) == 0
    assert run(monkeypatch, "coordinator", "hold", "lift", "--study", "small", *where, *bea) == 2
    capsys.readouterr()
    assert run(monkeypatch, "coordinator", "hold", "list", *where) == 0
    assert "a court asks, placed by Dr. Bea Officer" in capsys.readouterr().out
    (tmp_path / "bea.key").chmod(0o644)
    assert "can be read by others" in refused(monkeypatch, capsys, *hold, *where, *bea)
    assert run(monkeypatch, "audit", "verify", "--out", home) == 0


def entries(home: Path) -> list[str]:
    with closing(Store.for_reading(home / "collegium.db")) as store, store.read() as session:
        return [entry.content.type for entry in logged_entries(session)]
