"""A bundle is verified like the folder that it was made of, by Collegium and without it."""

import json
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import inspect

from collegium.reports.export import export_report
from collegium.reports.request import ReportRequest
from collegium.verification.bundle import single_file
from collegium.verification.bundle.export import export_bundle
from collegium.verification.bundle.packing import MANIFEST, README_TEXT
from collegium.verification.bundle.restoring import restored
from collegium.verification.inputs import AuditInputs
from collegium.verification.verify import verify
from compliance.reports.declarations import declarations_template
from coordinator.audit.logged_rows import held_tables
from coordinator.database.workspace import Workspace
from protocol.encoding import digest
from protocol.errors import MessageRefused, StoreBroken, WorkspaceRefused
from tests.support.networked.network import Network
from tests.support.simulated.output_folder import RUNS, change
from tests.unit.collegium.verification.bundle.conftest import Evidence

QUIET = Console(quiet=True)
#: What an answer about a bundle may say otherwise than one about its folder.
_OWN = {"verified_at", "not_checked", "ledgers", "bundle", "unnamed_files"}


def repacked(bundle: Path, to: Path, **changed: bytes | None) -> Path:
    """Writes a bundle with other files, as ZIP programs do; its manifest stays as it was."""
    with zipfile.ZipFile(bundle) as source, zipfile.ZipFile(to, "w") as target:
        for name in source.namelist():
            data = changed.get(name, source.read(name))
            if data is not None:
                target.writestr(name, data)
    return to


def test_the_same_folder_gives_the_same_bundle(evidence: Evidence, tmp_path: Path) -> None:
    again = export_bundle(evidence.folder, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == evidence.bundle.read_bytes()
    assert again.digest == evidence.manifest.digest


def test_a_bundle_and_its_folder_are_verified_alike(evidence: Evidence) -> None:
    given = AuditInputs(key=evidence.key.hex(), checkpoints=[evidence.note])
    of_bundle = verify(evidence.bundle, given, QUIET)
    of_folder = verify(evidence.folder, given, QUIET)
    assert of_bundle["verified"] and of_bundle["bundle"] == evidence.manifest.digest
    assert {k: v for k, v in of_bundle.items() if k not in _OWN} == {
        k: v for k, v in of_folder.items() if k not in _OWN
    }


def test_a_report_is_held_to_a_bundle_with_the_declarations_it_was_made_with(
    evidence: Evidence, tmp_path: Path
) -> None:
    declared, report = tmp_path / "consortium.yaml", tmp_path / "report.json"
    declared.write_text(declarations_template())
    asked = ReportRequest(name=RUNS[0], declarations=declared)
    export_report(evidence.folder, asked, "json", report, QUIET)
    found = verify(evidence.bundle, AuditInputs(report=report, declarations=declared), QUIET)
    assert (found["faults"], found["report"]) == ([], f"run {RUNS[0]}")
    with pytest.raises(WorkspaceRefused, match="give it with --declarations"):
        verify(evidence.bundle, AuditInputs(report=report), QUIET)


def test_a_bundle_holds_no_secret_and_nothing_of_a_hospital(evidence: Evidence) -> None:
    names = {file.name.split("/")[0] for file in evidence.manifest.files}
    assert names == {"README.txt", "files", "log", "records"}
    secret = (evidence.folder / "coordinator.key").read_text().strip()
    data = evidence.bundle.read_bytes()
    assert secret.encode() not in data and bytes.fromhex(secret) not in data
    assert not [file.name for file in evidence.manifest.files if "silos" in file.name]


def test_a_bundle_of_records_alone_says_that_files_are_not_checked(
    evidence: Evidence, tmp_path: Path
) -> None:
    to = tmp_path / "records.zip"
    assert export_bundle(evidence.folder, to, records_only=True).scope == "records"
    found = verify(to, AuditInputs(), QUIET)
    assert found["verified"] and found["snapshots"] == 0
    assert any("left out of this bundle" in sentence for sentence in found["not_checked"])
    alone = single_file.verify(to, evidence.key)
    assert not alone.wrong
    assert any("left out of the bundle" in sentence for sentence in alone.not_checked)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE run SET simulation = 0", "its run record"),
        ("UPDATE release SET payload_json = replace(payload_json, '0.', '0.9')", "release record"),
        ("DELETE FROM round WHERE number = 1", "writes of rows"),
        ("DELETE FROM audit_entry WHERE idx > 60", "truncated"),
    ],
)
def test_what_was_changed_in_the_folder_is_found_in_its_bundle(
    evidence: Evidence, tmp_path: Path, statement: str, what: str
) -> None:
    folder = tmp_path / "out"
    shutil.copytree(evidence.folder, folder)
    change(folder, statement)
    to = tmp_path / "bundle.zip"
    export_bundle(folder, to)
    found = verify(to, AuditInputs(), QUIET)
    assert any(what in fault["what"] for fault in found["faults"])
    assert single_file.verify(to, evidence.key).wrong


def test_another_key_is_told_by_both(evidence: Evidence) -> None:
    other = bytes(31) + b"\x01"
    found = verify(evidence.bundle, AuditInputs(key=other.hex()), QUIET)
    assert any("another key" in fault["what"] for fault in found["faults"])
    assert any("with the key that you gave" in one for one in
               single_file.verify(evidence.bundle, other).wrong)  # fmt: skip


def test_a_head_that_a_hospital_kept_is_compared_by_the_single_file(
    evidence: Evidence, tmp_path: Path
) -> None:
    found = single_file.verify(evidence.bundle, evidence.key, [evidence.note])
    assert not found.wrong
    assert any("that it was kept of" in sentence for sentence in found.checked)
    text, size = evidence.note.read_text(), evidence.manifest.size
    (tmp_path / "forged.note").write_text(text.replace(f"\n{size}\n", f"\n{size - 1}\n"))
    assert single_file.verify(evidence.bundle, evidence.key, [tmp_path / "forged.note"]).wrong


def test_a_witness_that_cosigned_nothing_is_told(evidence: Evidence) -> None:
    found = single_file.verify(evidence.bundle, evidence.key, witnesses={"w": bytes(32)})
    assert found.wrong == ["w has cosigned no head of this log with the key that you gave"]


def test_hospitals_that_cosigned_are_named_with_what_they_have_seen(evidence: Evidence) -> None:
    found = single_file.verify(evidence.bundle, evidence.key)
    for site in ("east", "north", "south", "west"):
        assert any(f"collegium/witness/v1/{site} has cosigned" in one for one in found.checked)
    assert any("a head that 4 or more hospitals have cosigned" in one for one in found.checked)


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "a//b", "log/../../x", ".hidden"])
def test_a_name_that_leads_out_of_the_folder_is_refused(
    evidence: Evidence, tmp_path: Path, name: str
) -> None:
    to = tmp_path / "in" / "hostile.zip"
    to.parent.mkdir()
    with zipfile.ZipFile(evidence.bundle) as source:
        manifest = json.loads(source.read(MANIFEST))
        files = {file["name"]: source.read(file["name"]) for file in manifest["files"]}
    manifest["files"].append({"name": name, "size": 1, "sha256": digest(b"x")})
    manifest["files"].sort(key=lambda file: file["name"])
    with zipfile.ZipFile(to, "w") as target:
        for file in manifest["files"]:
            target.writestr(file["name"], files.get(file["name"], b"x"))
        target.writestr(MANIFEST, json.dumps(manifest, sort_keys=True, separators=(",", ":")))
    with pytest.raises(StoreBroken):
        verify(to, AuditInputs(), QUIET)
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "hostile.zip"]


def test_a_file_that_unpacks_to_more_than_the_manifest_says_is_refused_at_once(
    evidence: Evidence, tmp_path: Path
) -> None:
    to = tmp_path / "bomb.zip"
    with zipfile.ZipFile(evidence.bundle) as source:
        with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as target:
            for name in source.namelist():
                bomb = name == "log/entries.jsonl"
                target.writestr(name, bytes(1 << 26) if bomb else source.read(name))
    assert to.stat().st_size < 1 << 20
    with pytest.raises(StoreBroken, match="something in it is compressed"):
        verify(to, AuditInputs(), QUIET)
    assert single_file.verify(to, evidence.key).wrong


def test_a_repacked_bundle_with_the_same_files_is_not_the_same(
    evidence: Evidence, tmp_path: Path
) -> None:
    same = repacked(evidence.bundle, tmp_path / "same.zip")
    with pytest.raises(StoreBroken, match="not those of its files"):
        verify(same, AuditInputs(), QUIET)


def test_what_is_no_bundle_is_told_as_such(evidence: Evidence, tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no bundle")
    with pytest.raises(StoreBroken, match="it is no evidence bundle, or it is damaged"):
        verify(tmp_path / "text.zip", AuditInputs(), QUIET)
    with pytest.raises(WorkspaceRefused, match="cannot be unpacked"):
        with restored(tmp_path / "nowhere.zip"):
            pass


def test_a_bundle_of_another_form_is_refused_with_both_forms(
    evidence: Evidence, tmp_path: Path
) -> None:
    other = b'{"form":"collegium-evidence/2"}'
    to = repacked(evidence.bundle, tmp_path / "2.zip", **{MANIFEST: other})
    with pytest.raises(MessageRefused, match="form collegium-evidence/2, this software reads"):
        verify(to, AuditInputs(), QUIET)


def test_the_single_file_runs_without_collegium(evidence: Evidence, tmp_path: Path) -> None:
    program = tmp_path / "verify_bundle.py"
    shutil.copy(single_file.__file__, program)
    given = [evidence.bundle, "--key", evidence.key.hex(), "--checkpoint", evidence.note]
    done = subprocess.run(
        [sys.executable, "-I", program, *given], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "verified: all that was checked is as it should be"
    done = subprocess.run([sys.executable, "-I", program, evidence.bundle, "--key", "00"],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 64


def test_the_single_file_imports_nothing_but_the_library_and_cryptography() -> None:
    text = Path(single_file.__file__).read_text()
    imported = {
        line.split()[1].split(".")[0]
        for line in text.splitlines()
        if line.startswith(("import ", "from "))
    }
    assert imported - {"cryptography"} <= sys.stdlib_module_names
    assert "cryptography" in imported
    assert digest(README_TEXT.encode()) == single_file.README_SHA256
    assert runpy.run_path(single_file.__file__)["FORM"] == "collegium-evidence/1"


def test_a_bundle_that_cannot_be_written_leaves_nothing(evidence: Evidence, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceRefused, match="cannot be written"):
        export_bundle(evidence.folder, tmp_path / "none" / "bundle.zip")
    assert not list(tmp_path.iterdir())


def test_the_single_file_knows_key_and_run_of_every_table() -> None:
    assert {table.__tablename__ for table in held_tables()} == set(single_file.TABLES)
    for table in held_tables():
        name = table.__tablename__
        (key,) = inspect(table).primary_key
        assert single_file.KEY_COLUMN.get(name, "id") == key.name
        row = table(**{column.name: f"<{column.name}>" for column in table.__table__.columns})
        run = row.place.get("run")
        assert (run and run[1:-1]) == single_file.RUN_COLUMN.get(name)


def test_a_network_is_of_hospitals_that_signed_its_roster(
    run_once: tuple[Network, str], tmp_path: Path
) -> None:
    bundle, home = tmp_path / "network.zip", run_once[0].home
    export_bundle(home, bundle)
    assert verify(bundle, AuditInputs(), QUIET)["verified"]
    found = single_file.verify(bundle, Workspace.open(home).public_key())
    assert not found.wrong
    assert any("1 rosters follow from each other" in one for one in found.checked)
