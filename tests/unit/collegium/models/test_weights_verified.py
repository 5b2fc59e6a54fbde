"""``audit verify`` over encrypted models: files, records and the acts that the log holds."""

import shutil
from pathlib import Path

import pytest
from rich.console import Console

from collegium.models.weights_places import place_of
from collegium.verification.inputs import AuditInputs
from collegium.verification.verify import verify_folder
from compliance.storage.encryption.folder import WeightsFolder
from compliance.storage.encryption.writer import WeightsDecision, WeightsOpening, WeightsWriter
from coordinator.database.workspace import Workspace
from silos.operations.own_check import check_own
from tests.support.hospital.hospital_home import make_east
from tests.support.hospital.people import BEA, CLEO, People
from tests.support.simulated.output_folder import RUNS
from tests.unit.collegium.models.test_weights import Persons, key_file, people, persons, told

__all__ = ["people", "persons"]

QUIET = Console(quiet=True)


def faults(folder: Path) -> list[str]:
    answer = verify_folder(folder, AuditInputs(), QUIET)
    assert not [name for name in answer["unnamed_files"] if name.startswith("weights")]
    return [fault["what"] for fault in answer["faults"]]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_encrypted_models_of_a_simulations_folder_are_checked(
    folder: Path, persons: Persons
) -> None:
    model = told("seal", RUNS[0], "--out", folder, "--to", persons.recipient("Alice"))["model"]
    answer = verify_folder(folder, AuditInputs(), QUIET)
    assert answer["verified"] and answer["encrypted_models"] == 1
    assert any("whether an encrypted model was removed whole" in s for s in answer["not_checked"])
    flip(folder / "weights" / f"{model}.age-payload")
    (folder / "weights" / f"{model}.age-header").unlink()
    payload, header = sorted(faults(folder), reverse=True)
    assert model[:12] in payload and "payload" in payload and "header" in header


def test_where_there_are_people_every_event_of_a_record_is_an_act_and_every_act_an_event(
    folder: Path, persons: Persons, people: People, tmp_path: Path
) -> None:
    lead = ("--out", folder, "--as", key_file(people, CLEO, tmp_path))
    alice, bob = map(persons.recipient, ("Alice", "Bob"))
    model = told("seal", RUNS[0], *lead, "--to", alice, "--to", bob)["model"]
    shutil.copytree(folder / "weights", tmp_path / "sealed")
    own = ("--identity", persons.file("Alice"))
    told("open", model, *own, "--to", tmp_path / "plain", *lead)
    told("rewrap", model, *own, "--remove", "Bob", *lead)
    shutil.copytree(folder / "weights", tmp_path / "wrapped")
    people.confirm(BEA, told("retire", model, "--reason", "old", *lead)["change"])
    assert faults(folder) == []

    def put_back(state: str | None) -> list[str]:
        shutil.rmtree(folder / "weights")
        if state is not None:
            shutil.copytree(tmp_path / state, folder / "weights")
        return faults(folder)

    (retired,) = put_back("wrapped")
    assert f"an act weights.retire of {BEA}" in retired
    assert len(put_back("sealed")) == 2
    lost = put_back(None)
    assert len(lost) == 3 and all("no whole record of it is here" in fault for fault in lost)


@pytest.mark.parametrize("kind", ["decision", "opening"])
def test_what_the_logs_key_alone_wrote_into_a_record_is_no_act(
    folder: Path, persons: Persons, people: People, kind: str
) -> None:
    place = place_of(folder, people.key(CLEO))
    key = Workspace.open(folder).signing_key()
    writer = WeightsWriter(WeightsFolder(folder / "weights", {key.public}))
    model = told("seal", RUNS[0], "--out", folder, "--to", persons.recipient("Alice"),
                 "--as", key_file(people, CLEO, folder.parent))["model"]  # fmt: skip
    (person,) = place.folder.history(model).manifest.recipients
    at = "2099-01-01T00:00:00.000Z"
    if kind == "decision":
        writer.retire(model, WeightsDecision(at=at, key=key, by=BEA, reason="forged"))
    else:
        writer.note_opening(model, WeightsOpening(recipient=person.key, at=at, by=BEA), key)
    (fault,) = faults(folder)
    assert f"is no act of {BEA} in the log" in fault


def test_a_hospitals_own_check_looks_at_the_models_that_it_sealed(
    tmp_path: Path, genuine: Path, persons: Persons
) -> None:
    home = make_east(tmp_path)
    snapshot = next((genuine / "snapshots").glob("*.safetensors"))
    told("seal", snapshot, "--out", home, "--to", persons.recipient("Alice"))
    found = check_own(home)
    assert found.faults == () and "1 encrypted model" in found.holds["weights"]
    assert not [name for name in found.unnamed if name.startswith("weights")]
    flip(home / "weights" / f"{snapshot.stem}.age-payload")
    (fault,) = check_own(home).faults
    assert fault.startswith("weights: encrypted model") and "payload" in fault
