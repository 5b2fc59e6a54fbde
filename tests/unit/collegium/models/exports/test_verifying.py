"""The check of an exported folder: each tampering has its sentence, whoever did it.

Some of them are signed anew with the real release key: what a thief of that key can do.
"""

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from typer.testing import CliRunner

from collegium.cli import main as cli
from collegium.models.exports.exporting import ExportRequest, export_model
from collegium.models.exports.signed_files import digests_in
from collegium.models.exports.verifying import verify_export
from collegium.models.inference.scoring_place import ModelPlace, scoring_place
from compliance.governance.models.release_signature import (
    PUBLIC_KEY,
    SIGNATURE,
    public_pem,
    release_statement,
    signed_release,
)
from coordinator.database.workspace import Workspace
from coordinator.governance.models.release_key import KEY_PROOF
from protocol.errors import MessageRefused, QuorumLost, WorkspaceRefused
from protocol.identity.roster import SigningKey
from protocol.transport.snapshot import SignedSnapshot, cosign_snapshot, parse_snapshot
from protocol.vectors.tensors import decode_tensors, encode_tensors
from silos.database.database import open_hospital


def _sign_anew(folder: Path, key: ec.EllipticCurvePrivateKey) -> None:
    statement = release_statement("m", digests_in(folder, without=SIGNATURE))
    (folder / SIGNATURE).write_bytes(signed_release(statement, key))


def _stolen(runs: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key((runs / "release.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


@pytest.fixture(scope="session")
def other_export(two_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of the other run."""
    to = tmp_path_factory.mktemp("other") / "export"
    export_model(two_runs, ExportRequest(version="run-2", to=to, forms=()))
    return to


def test_a_whole_folder_is_verified_by_the_logs_key_alone(exported: Path, two_runs: Path) -> None:
    public = Workspace(two_runs).public_key()
    found = verify_export(exported, public)
    assert found["verified"] and found["key_was_given"]
    assert found["signed_by"] == ["east", "north", "south", "west"]
    assert found["files"] == len([path for path in exported.rglob("*") if path.is_file()])
    assert not verify_export(exported)["key_was_given"]


def _change_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "snapshot.json", "roster.json", "study.json", "proof.tlog",
     "MODEL_CARD.md", "mlbom.json", "fidelity.json", KEY_PROOF],
)  # fmt: skip
def test_a_changed_a_truncated_and_a_missing_file_are_named(exported: Path, name: str) -> None:
    path, whole = exported / name, (exported / name).read_bytes()
    _change_a_byte(path)
    with pytest.raises(MessageRefused, match=f"{name} was changed after it was signed"):
        verify_export(exported)
    path.write_bytes(whole[:-3])
    with pytest.raises(MessageRefused, match=f"{name} was changed after it was signed"):
        verify_export(exported)
    path.unlink()
    with pytest.raises(MessageRefused, match=f"{name} is missing"):
        verify_export(exported)


def test_an_added_file_and_a_link_are_refused(exported: Path) -> None:
    added = exported / "models" / "more.pt"
    added.parent.mkdir()
    added.write_bytes(b"")
    with pytest.raises(MessageRefused, match="models/more.pt was added"):
        verify_export(exported)
    added.unlink()
    added.symlink_to(exported / "study.json")
    with pytest.raises(MessageRefused, match="links are not taken"):
        verify_export(exported)


@pytest.mark.parametrize("name", [SIGNATURE, PUBLIC_KEY])
def test_without_signature_or_key_it_is_no_export(exported: Path, name: str) -> None:
    (exported / name).unlink()
    with pytest.raises(MessageRefused, match=f"{name} is missing"):
        verify_export(exported)
    with pytest.raises(WorkspaceRefused, match="is no folder"):
        verify_export(exported / "nowhere")


def test_a_folder_that_a_stranger_signed_is_refused(exported: Path, two_runs: Path) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(MessageRefused, match="names another key"):
        _sign_anew(exported, stranger)
        verify_export(exported)
    (exported / PUBLIC_KEY).write_bytes(public_pem(stranger.public_key()))
    _sign_anew(exported, stranger)
    with pytest.raises(MessageRefused, match=f"{KEY_PROOF} is the proof of another entry"):
        verify_export(exported)


def test_a_file_larger_than_any_is_refused_before_it_is_read(exported: Path) -> None:
    with (exported / "models.bin").open("wb") as file:
        file.truncate(1 << 42)  # four tebibytes that take no room
    with pytest.raises(MessageRefused, match=r"models\.bin is larger than any file"):
        verify_export(exported)


def test_a_signature_nested_without_end_is_refused(exported: Path) -> None:
    (exported / SIGNATURE).write_bytes(b"[" * 100_000)
    with pytest.raises(MessageRefused, match="is no signature of a release"):
        verify_export(exported)


def test_changed_weights_are_found_by_the_snapshot_even_where_the_release_key_was_stolen(
    exported: Path, two_runs: Path
) -> None:
    path = exported / "model.safetensors"
    model = {name: value + 1 for name, value in decode_tensors(path.read_bytes()).items()}
    path.write_bytes(encode_tensors(model))
    _sign_anew(exported, _stolen(two_runs))
    with pytest.raises(MessageRefused, match="holds other parameters than the snapshot names"):
        verify_export(exported)


def test_another_snapshot_is_found_by_parameters_and_proof(
    exported: Path, other_export: Path, two_runs: Path
) -> None:
    shutil.copy(other_export / "snapshot.json", exported)
    _sign_anew(exported, _stolen(two_runs))
    with pytest.raises(MessageRefused, match=r"proof\.tlog is the proof of another entry"):
        verify_export(exported)
    shutil.copy(other_export / "proof.tlog", exported)
    _sign_anew(exported, _stolen(two_runs))
    with pytest.raises(MessageRefused, match="holds other parameters than the snapshot names"):
        verify_export(exported)


def test_a_coordinator_with_one_hospital_makes_no_snapshot_that_asks_for_one_signature(
    exported: Path, two_runs: Path
) -> None:
    signed = parse_snapshot((exported / "snapshot.json").read_bytes())
    site = signed.snapshot.sites[0]
    with closing(open_hospital(two_runs / "silos" / site / "hospital.db", site=site)) as hospital:
        key = SigningKey.from_bytes(hospital.identity_key)
    made = replace(signed.snapshot, quorum=1)
    forged = SignedSnapshot(
        snapshot=made,
        coordinator_signature=cosign_snapshot(made, Workspace(two_runs).signing_key()),
        signatures={site: cosign_snapshot(made, key)},
    )
    (exported / "snapshot.json").write_bytes(forged.to_bytes())
    _sign_anew(exported, _stolen(two_runs))
    with pytest.raises(MessageRefused, match="asks for 1 signatures, and its study for 3"):
        verify_export(exported)
    with pytest.raises(MessageRefused, match="asks for 1 signatures, and its study for 3"):
        place = ModelPlace(folder=exported, key=Workspace(two_runs).public_key())
        scoring_place(place)


def _drop_signatures(folder: Path) -> None:
    signed = parse_snapshot((folder / "snapshot.json").read_bytes())
    few = SignedSnapshot(
        snapshot=signed.snapshot,
        coordinator_signature=signed.coordinator_signature,
        signatures={"east": signed.signatures["east"]},
    )
    (folder / "snapshot.json").write_bytes(few.to_bytes())


def _swap_signatures(folder: Path) -> None:
    signed = parse_snapshot((folder / "snapshot.json").read_bytes())
    swapped = SignedSnapshot(
        snapshot=signed.snapshot,
        coordinator_signature=signed.coordinator_signature,
        signatures={**signed.signatures, "east": signed.signatures["west"]},
    )
    (folder / "snapshot.json").write_bytes(swapped.to_bytes())


def _another_roster(folder: Path) -> None:
    said = json.loads((folder / "roster.json").read_bytes())
    said["members"][0]["public_key"] = SigningKey.generate().public.hex()
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    (folder / "roster.json").write_text(text)


def _another_study(folder: Path) -> None:
    path = folder / "study.json"
    path.write_text(path.read_text().replace("To be tested.", "To be sold."))


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        (_drop_signatures, QuorumLost, "1 of 4 hospitals have signed the snapshot, 3 must"),
        (_swap_signatures, MessageRefused, "east did not sign this snapshot"),
        (_another_roster, MessageRefused, "the snapshot names another roster"),
        (_another_study, MessageRefused, "not the study that the snapshot names"),
    ],
)
def test_what_a_thief_of_the_release_key_changes_is_found_by_hospitals_and_log(
    exported: Path,
    two_runs: Path,
    change: Callable[[Path], None],
    error: type[Exception],
    told: str,
) -> None:
    change(exported)
    _sign_anew(exported, _stolen(two_runs))
    with pytest.raises(error, match=told):
        verify_export(exported)


def test_another_logs_key_is_refused(exported: Path) -> None:
    with pytest.raises(MessageRefused, match="the snapshot is of another coordinator"):
        verify_export(exported, SigningKey.generate().public)


def test_the_command_says_what_it_checked_and_what_nobody_vouches_for(
    exported: Path, two_runs: Path
) -> None:
    runner, key = CliRunner(), str(two_runs / "coordinator.pub")
    said = runner.invoke(cli.app, ["models", "verify", str(exported), "--key", key])
    assert "files are as they were signed" in said.stdout and not said.stderr
    assert "Research on hospitals that do not exist." in said.stdout
    alone = runner.invoke(cli.app, ["models", "verify", str(exported), "--json"])
    assert json.loads(alone.stdout)["verified"] is True
    assert "Give --key, from somewhere you trust" in alone.stderr
    _change_a_byte(exported / "model.safetensors")
    refused = runner.invoke(cli.app, ["models", "verify", str(exported), "--key", key])
    assert isinstance(refused.exception, MessageRefused)


def test_an_exported_folder_scores_records_under_the_key_that_signed_it(
    exported: Path, two_runs: Path
) -> None:
    public = Workspace(two_runs).public_key()
    found = scoring_place(ModelPlace(folder=exported, key=public)).model
    assert found.digest == verify_export(exported, public)["model"]
    assert found.snapshot == verify_export(exported, public)["snapshot"]
    assert "4 of 4 hospitals signed" in found.vouched
