"""The commands of encrypted models: in a consortium's folder, in a hospital's, on a copy."""

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner, Result

from collegium.cli import main as cli
from collegium.models.weights import listing, open_weights
from collegium.models.weights import rewrap as rewrap_model
from collegium.models.weights import seal as seal_model
from collegium.models.weights_places import CopiedWeights, place_of
from compliance.governance.acts import ActRequest
from coordinator.audit.verification import verify_records
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.governance.models.weights_register import WeightsRegister, act_details, act_payload
from coordinator.governance.operations import Operations
from coordinator.runs.person_acts import perform
from coordinator.views.views import open_views
from protocol.errors import FederationError, MessageRefused, PolicyRefused, StoreBroken
from tests.support.hospital.hospital_home import make_east
from tests.support.hospital.people import ADA, BEA, CLEO, People
from tests.support.simulated.output_folder import RUNS


def collegium(*words: object) -> Result:
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def told(*words: object) -> Any:
    """What a command answers to a machine."""
    found = collegium("weights", *words, "--json")
    if found.exception is not None:
        raise found.exception
    return json.loads(found.stdout)


class Persons:
    """Files of recipients' identities, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.txt"

    def recipient(self, name: str) -> str:
        if not self.file(name).exists():
            told("keygen", self.file(name))
        key = next(line for line in self.file(name).read_text().split() if line[:4] == "age1")
        return f"{name}={key}"


@pytest.fixture
def persons(tmp_path: Path) -> Persons:
    (tmp_path / "keys").mkdir()
    return Persons(tmp_path / "keys")


@pytest.fixture
def people(folder: Path) -> Iterator[People]:
    """Three people of the consortium whose folder it is."""
    workspace = Workspace.open(folder)
    with closing(Store(workspace.database)) as store:
        key = workspace.signing_key()
        register = WeightsRegister(store, key, folder)
        found = People(Operations(store, key, weights=register))
        found.found()
        yield found


def key_file(people: People, name: str, folder: Path) -> Path:
    """The file of a person's key, as ``--as`` takes it."""
    key = Ed25519PrivateKey.from_private_bytes(people.key(name).to_bytes())
    path = folder / f"{name}.pem"
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def test_a_runs_model_is_sealed_re_wrapped_opened_and_retired(
    folder: Path, persons: Persons, tmp_path: Path
) -> None:
    alice, bob, carol = map(persons.recipient, ("Alice", "Bob", "Carol"))
    sealed = told("seal", RUNS[0], "--out", folder, "--to", alice, "--to", bob)
    model, plain = sealed["model"], tmp_path / "plain.safetensors"
    assert Path(sealed["payload"]).parent == folder / "weights"
    told("open", model[:8], "--out", folder, "--identity", persons.file("Bob"), "--to", plain)
    assert plain.read_bytes() == (folder / "snapshots" / f"{model}.safetensors").read_bytes()
    again = told(
        "rewrap", model[:8], "--out", folder, "--identity", persons.file("Alice"),
        "--add", carol, "--remove", "Bob", "--reason", "left",
    )  # fmt: skip
    assert again["generation"] == 2 and sorted(again["recipients"]) == ["Alice", "Carol"]
    plain.unlink()
    with pytest.raises(PolicyRefused, match="Bob was retired as a recipient at .*: left"):
        told("open", model[:8], "--out", folder, "--identity", persons.file("Bob"), "--to", plain)
    assert not plain.exists()
    told("retire", model[:8], "--out", folder, "--reason", "superseded")
    with pytest.raises(PolicyRefused, match="was retired at .*: superseded"):
        told("open", model[:8], "--out", folder, "--identity", persons.file("Carol"), "--to", plain)
    (one,) = told("list", "--out", folder)
    assert (one["state"], one["generation"]) == ("retired", 2)
    assert [(person["name"], person["state"]) for person in one["recipients"]] == [
        ("Alice", "retired"), ("Bob", "retired"), ("Carol", "retired"),
    ]  # fmt: skip
    kinds = [event["kind"] for event in one["events"]]
    assert kinds == ["sealed", "opened", "rewrapped", "refused", "retired", "refused"]
    assert all(event["signed"] for event in one["events"])


def test_people_read_what_the_commands_say(folder: Path, persons: Persons, tmp_path: Path) -> None:
    alice, bob = map(persons.recipient, ("Alice", "Bob"))
    said = collegium("weights", "list", "--out", folder)
    assert "no encrypted model here" in said.stderr
    said = collegium("weights", "seal", RUNS[0], "--out", folder, "--to", alice, "--to", bob)
    assert said.stdout.startswith("encrypted  ") and "for Alice, Bob" in said.stdout
    model = said.stdout.split()[1]
    said = collegium(
        "weights", "rewrap", model, "--out", folder, "--identity", persons.file("Alice"),
        "--remove", "Bob",
    )  # fmt: skip
    assert "generation 2" in said.stdout
    assert "A copy from before" in said.stderr and "stays readable" in said.stderr
    listed = collegium("weights", "list", model, "--out", folder).stdout
    assert "retired  Bob, since" in listed and "active   Alice" in listed
    assert " sealed" in listed and " rewrapped" in listed


def test_a_copy_is_opened_under_the_key_of_whoever_sealed_it(
    folder: Path, persons: Persons, tmp_path: Path
) -> None:
    sealed = told("seal", RUNS[0], "--out", folder, "--to", persons.recipient("Alice"))
    copy, public = tmp_path / "copy-of-weights", folder / "coordinator.pub"
    shutil.copytree(folder / "weights", copy)
    mine = ("--copy", copy, "--identity", persons.file("Alice"), "--to", tmp_path / "mine")
    with pytest.raises(PolicyRefused, match="without it nobody's signature counts"):
        told("open", sealed["model"], *mine)
    with pytest.raises(MessageRefused, match="not the one that is trusted here"):
        told("open", sealed["model"], *mine, "--key", "ab" * 32)
    told("open", sealed["model"], *mine, "--key", public)
    (one,) = told("list", "--copy", copy, "--key", public)
    assert [(event["kind"], event["signed"]) for event in one["events"]] == [
        ("sealed", True), ("opened", False),
    ]  # fmt: skip
    (theirs,) = told("list", "--out", folder)
    assert len(theirs["events"]) == 1  # nobody is told what is done with a copy
    for both in ((), ("--copy", copy, "--out", folder)):
        with pytest.raises(PolicyRefused, match="name a folder of runs"):
            told("list", *both, "--key", public)
    place = CopiedWeights(copy, bytes.fromhex(public.read_text().strip()))
    for decide in (lambda: place.retire(sealed["model"], "why"), lambda: place.model_of_run("x")):
        with pytest.raises(PolicyRefused, match="only whoever sealed a model decides"):
            decide()


def test_a_hospital_seals_what_it_keeps_under_its_own_key(
    tmp_path: Path, genuine: Path, persons: Persons
) -> None:
    home = make_east(tmp_path)
    snapshot = next((genuine / "snapshots").glob("*.safetensors"))
    sealed = told("seal", snapshot, "--out", home, "--to", persons.recipient("Alice"))
    assert sealed["model"] == snapshot.stem and sealed["act"] is None
    plain = tmp_path / "plain"
    told("open", snapshot.stem, "--out", home, "--identity", persons.file("Alice"), "--to", plain)
    assert plain.read_bytes() == snapshot.read_bytes()
    told(
        "rewrap", snapshot.stem, "--out", home, "--identity", persons.file("Alice"),
        "--add", persons.recipient("Bob"),
    )  # fmt: skip
    told("retire", snapshot.stem, "--out", home, "--reason", "done")
    (one,) = listing(place_of(home), snapshot.stem[:5])
    kinds = [event["kind"] for event in one["events"]]
    assert kinds == ["sealed", "opened", "rewrapped", "retired"]
    with pytest.raises(FederationError, match="run"):
        told("seal", "no-such-run", "--out", home, "--to", persons.recipient("Alice"))


def test_nothing_is_sealed_that_is_no_released_model(
    folder: Path, persons: Persons, tmp_path: Path
) -> None:
    alice = persons.recipient("Alice")
    with pytest.raises(FederationError, match="no run"):
        told("seal", "nothing", "--out", folder, "--to", alice)
    with pytest.raises(PolicyRefused, match="two recipients have the same key"):
        same = f"Other={alice.split('=')[1]}"
        told("seal", RUNS[0], "--out", folder, "--to", alice, "--to", same)
    (tmp_path / "pickle.bin").write_bytes(b"\x80\x04" + bytes(60))
    with pytest.raises(MessageRefused, match="not safetensors"):
        told("seal", tmp_path / "pickle.bin", "--out", folder, "--to", alice)
    changed = Path(told("seal", RUNS[0], "--out", folder, "--to", alice)["model"])
    snapshot = folder / "snapshots" / f"{changed}.safetensors"
    shutil.rmtree(folder / "weights")
    data = bytearray(snapshot.read_bytes())
    data[-1] ^= 1
    snapshot.write_bytes(data)
    with pytest.raises(MessageRefused, match="it was changed"):
        told("seal", RUNS[0], "--out", folder, "--to", alice)
    with pytest.raises(FederationError, match="no folder of runs"):
        told("seal", RUNS[0], "--out", tmp_path, "--to", alice)


def test_in_a_consortium_with_people_each_decision_and_opening_is_a_persons_act(
    folder: Path, persons: Persons, people: People, tmp_path: Path
) -> None:
    lead = ("--out", folder, "--as", key_file(people, CLEO, tmp_path))
    officer = ("--out", folder, "--as", key_file(people, BEA, tmp_path))
    admin = ("--out", folder, "--as", key_file(people, ADA, tmp_path))
    alice, bob = map(persons.recipient, ("Alice", "Bob"))
    with pytest.raises(PolicyRefused, match="needs a person here"):
        told("seal", RUNS[0], "--out", folder, "--to", alice)
    with pytest.raises(PolicyRefused, match="may not encrypt a model"):
        told("seal", RUNS[0], *admin, "--to", alice)
    sealed = told("seal", RUNS[0], *lead, "--to", alice, "--to", bob)
    assert sealed["person"] == CLEO and len(sealed["act"]) == 64
    model = sealed["model"]
    opening = ("open", model, "--identity", persons.file("Alice"), "--to")
    with pytest.raises(PolicyRefused, match="may not open an encrypted model"):
        told(*opening, tmp_path / "admins", *admin)
    told(*opening, tmp_path / "officers", *officer)
    own = ("rewrap", model, "--identity", persons.file("Alice"), "--reason", "left the project")
    assert told(*own, "--remove", "Bob", *officer)["person"] == BEA
    waits = told("retire", model, "--reason", "superseded", *officer)
    assert waits["waits"] is True and (folder / "weights" / f"{model}.age-header").exists()
    people.confirm(CLEO, waits["change"])
    assert not (folder / "weights" / f"{model}.age-header").exists()
    (one,) = told("list", "--out", folder)
    assert [(event["kind"], event["by"]) for event in one["events"]] == [
        ("sealed", CLEO), ("refused", ""), ("opened", BEA), ("rewrapped", BEA),
        ("retired", f"{BEA}, confirmed by {CLEO}"),
    ]  # fmt: skip
    with closing(open_views(folder)) as views:
        acts = [(act.action, act.outcome) for act in views.acts()]
    assert [act for act in acts if act[0].startswith("weights.")] == [
        ("weights.seal", "refused"), ("weights.seal", "done"), ("weights.open", "refused"),
        ("weights.open", "done"), ("weights.rewrap", "done"), ("weights.retire", "proposed"),
    ]  # fmt: skip
    with closing(Store(Workspace.open(folder).database)) as store, store.read() as session:
        verify_records(session, Workspace.open(folder).signing_key().public)


def test_a_folder_of_weights_that_was_put_back_is_found_by_the_consortiums_log(
    folder: Path, persons: Persons, people: People, tmp_path: Path
) -> None:
    lead = ("--out", folder, "--as", key_file(people, CLEO, tmp_path))
    alice, bob = map(persons.recipient, ("Alice", "Bob"))
    model = told("seal", RUNS[0], *lead, "--to", alice, "--to", bob)["model"]
    weights = folder / "weights"

    def opened_by(name: str) -> None:
        own = ("--identity", persons.file(name), "--to", tmp_path / "plain")
        told("open", model, *own, *lead)

    def put_back(older: str) -> None:
        shutil.rmtree(weights)
        shutil.copytree(tmp_path / older, weights)

    shutil.copytree(weights, tmp_path / "with Bob")
    told("rewrap", model, "--identity", persons.file("Alice"), "--remove", "Bob", *lead)
    shutil.copytree(weights, tmp_path / "in use")
    people.confirm(BEA, told("retire", model, "--reason", "superseded", *lead)["change"])
    put_back("in use")
    with pytest.raises(StoreBroken, match="older than the log, which knows that it was retired"):
        opened_by("Alice")
    put_back("with Bob")
    with pytest.raises(StoreBroken, match="older than the log"):
        opened_by("Bob")
    assert not (tmp_path / "plain").exists()


def test_an_older_generation_that_was_put_back_is_found_by_the_consortiums_log(
    folder: Path, persons: Persons, people: People, tmp_path: Path
) -> None:
    place = place_of(folder, people.key(CLEO))
    made = seal_model(place, RUNS[0], [persons.recipient("Alice"), persons.recipient("Bob")])
    shutil.copytree(folder / "weights", tmp_path / "older")
    rewrap_model(place, made["model"], persons.file("Alice"), (), ["Bob"], "left")
    shutil.rmtree(folder / "weights")
    shutil.copytree(tmp_path / "older", folder / "weights")
    with pytest.raises(StoreBroken, match="older than the log, which knows generation 2"):
        open_weights(place, made["model"], persons.file("Bob"), tmp_path / "plain")
    assert not (tmp_path / "plain").exists()


def test_an_act_that_names_no_generation_or_another_header_decides_nothing(
    folder: Path, persons: Persons, people: People
) -> None:
    place = place_of(folder, people.key(CLEO))
    made = seal_model(place, RUNS[0], [persons.recipient("Alice")])
    history = place.folder.history(made["model"])
    details = act_details(history.manifest)

    def ask(action: str, subject: str, details: Any, beside: Any = None) -> None:
        request = ActRequest(action=action, subject_kind="model", subject=subject, details=details)
        perform(folder, request, people.key(CLEO), beside)

    for wrong in ({}, {**details, "recipients": ("Alice",)}, {**details, "generation": 0}):
        with pytest.raises(MessageRefused, match="names no generation of a model"):
            ask("weights.rewrap", made["model"], wrong)
    with pytest.raises(MessageRefused, match="base64"):
        ask("weights.rewrap", made["model"], {**details, "generation": 2})
    with pytest.raises(PolicyRefused, match="at generation 1, so the next is 2, not 3"):
        beside = act_payload(place.folder.header(history))
        ask("weights.rewrap", made["model"], {**details, "generation": 3}, beside)
    with pytest.raises(PolicyRefused, match="named by its digest"):
        ask("weights.open", "../../etc", {"recipient": "x"})
    assert place.folder.history(made["model"]).manifest.generation == 1
