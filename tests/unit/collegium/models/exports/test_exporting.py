"""Exports: who may, under which key, and that a folder is whole or not there at all."""

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from collegium.cli import main as cli
from collegium.models.exports.exporting import ExportRequest, export_model
from collegium.models.exports.verifying import verify_export
from compliance.governance.acts import ActRequest
from coordinator.audit.verification import verify_records
from coordinator.database.store import Store, logged_entries
from coordinator.database.workspace import Workspace
from coordinator.governance.models.release_key import RELEASE_KEY
from coordinator.governance.operations import Operations
from coordinator.runs.person_acts import perform
from coordinator.views.views import open_views
from protocol.encoding import digest, digest_json
from protocol.errors import (
    MessageRefused,
    PolicyRefused,
    QuorumLost,
    StoreBroken,
    StudyRefused,
    WorkspaceRefused,
)
from protocol.transport.steps import SNAPSHOT
from tests.support.hospital.people import ADA, CLEO, People, people_of, write_key_file
from tests.support.simulated.federation import Federation
from tests.support.simulated.output_folder import change
from tests.support.simulated.released import NetworkTrainer, released_study
from tests.support.simulated.studies import TABLE_STUDY


@pytest.fixture
def runs(two_runs: Path, tmp_path: Path) -> Path:
    """A copy of a folder of two runs, from which nothing was exported yet."""
    copy = Path(shutil.copytree(two_runs, tmp_path / "runs"))
    for name in ("release.key", "release.pub"):
        (copy / name).unlink(missing_ok=True)
    return copy


@pytest.fixture
def people(runs: Path) -> Iterator[People]:
    with people_of(runs) as found:
        yield found


def _plain(to: Path, version: str = "run-1") -> ExportRequest:
    return ExportRequest(version=version, to=to, forms=())


def _logged(runs: Path, kind: str) -> list[str]:
    with closing(Store(Workspace.open(runs).database)) as store, store.read() as session:
        entries = [entry.content for entry in logged_entries(session)]
    return [entry.payload for entry in entries if entry.type == kind]


def test_the_release_key_is_made_once_and_its_digest_is_in_the_log(
    runs: Path, tmp_path: Path
) -> None:
    export_model(runs, _plain(tmp_path / "first"))
    key = (runs / "release.key").read_bytes()
    export_model(runs, _plain(tmp_path / "second", "run-2"))
    assert (runs / "release.key").stat().st_mode & 0o777 == 0o600
    assert (runs / "release.key").read_bytes() == key
    public = (runs / "release.pub").read_bytes()
    assert public == (tmp_path / "second" / "release.pub").read_bytes()
    assert digest(public) in _logged(runs, RELEASE_KEY)


def test_a_release_key_that_is_gone_is_not_silently_another(runs: Path, tmp_path: Path) -> None:
    export_model(runs, _plain(tmp_path / "first"))
    (runs / "release.key").unlink()
    with pytest.raises(StoreBroken, match=r"release\.key is missing: restore it"):
        export_model(runs, _plain(tmp_path / "second"))
    (runs / "release.key").write_bytes(b"no key")
    with pytest.raises(StoreBroken, match=r"release\.key is damaged"):
        export_model(runs, _plain(tmp_path / "second"))
    for name in ("release.key", "release.pub"):
        (runs / name).unlink()
    export_model(runs, _plain(tmp_path / "second"))
    public = Workspace(runs).public_key()
    found = [verify_export(tmp_path / name, public) for name in ("first", "second")]
    assert found[0]["release_key"] != found[1]["release_key"]


def test_the_same_release_has_the_same_evidence_again(runs: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        export_model(runs, _plain(tmp_path / name))
    same = ("snapshot.json", "roster.json", "study.json", "model.safetensors", "MODEL_CARD.md")
    for name in same:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_where_people_are_registered_an_export_is_a_persons_act(
    runs: Path, people: People, tmp_path: Path
) -> None:
    with pytest.raises(PolicyRefused, match="needs a person here"):
        export_model(runs, _plain(tmp_path / "nobodys"))
    with pytest.raises(PolicyRefused, match="may not export a model"):
        export_model(runs, _plain(tmp_path / "admins"), people.key(ADA))
    told = export_model(runs, _plain(tmp_path / "leads"), people.key(CLEO))
    assert told["person"] == CLEO and len(told["act"]) == 64
    assert not (tmp_path / "nobodys").exists() and not (tmp_path / "admins").exists()
    with closing(open_views(runs)) as views:
        acts = [(act.action, act.outcome) for act in views.acts()]
    assert acts[-2:] == [("model.export", "refused"), ("model.export", "done")]
    with closing(Store(Workspace.open(runs).database)) as store, store.read() as session:
        verify_records(session, Workspace.open(runs).public_key())


def test_only_files_that_the_act_names_are_signed(runs: Path, people: People) -> None:
    with closing(open_views(runs)) as views:
        whole = views.snapshot("run-1").snapshot.digest
    files = {"a": "11" * 32}

    def ask(subject: str, named: object, beside: object) -> None:
        details = {"files": digest_json(named)}  # type: ignore[arg-type]
        request = ActRequest(
            action="model.export", subject_kind="snapshot", subject=subject, details=details
        )
        perform(runs, request, people.key(CLEO), {"files": beside})

    for beside in (None, {}, {"../a": "11" * 32}, {"a": "1"}, {"a": "zz" * 32}):
        with pytest.raises(MessageRefused, match="no files to sign|no file of an|no SHA-256"):
            ask(whole, files, beside)
    with pytest.raises(MessageRefused, match="not those whose digest the act names"):
        ask(whole, files, {"a": "22" * 32})
    with pytest.raises(MessageRefused, match="by the whole digest"):
        ask(whole[:12], files, files)
    with pytest.raises(PolicyRefused, match="no signed snapshot|there is no"):
        ask("f" * 64, files, files)


def test_without_a_folder_nothing_is_exported(runs: Path) -> None:
    with closing(Store(Workspace.open(runs).database)) as store:
        operations = Operations(store, Workspace.open(runs).signing_key())
        request = ActRequest(action="model.export", subject_kind="snapshot", subject="f" * 64)
        with pytest.raises(PolicyRefused, match="there is none here"):
            operations.perform({"request": request.to_json()})


def test_a_place_that_is_taken_and_a_form_that_is_none_are_refused(
    runs: Path, tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    export_model(runs, _plain(taken))  # an empty folder is free
    with pytest.raises(WorkspaceRefused, match="is there already"):
        export_model(runs, _plain(taken))
    with pytest.raises(WorkspaceRefused, match="cannot be written"):
        export_model(runs, _plain(taken / "model.sig" / "export"))
    with pytest.raises(PolicyRefused, match="no form 'keras': bundle, torch, onnx, int8"):
        export_model(runs, ExportRequest(version="run-1", to=tmp_path / "new", forms=("keras",)))
    with pytest.raises(PolicyRefused, match="no-such-run"):
        export_model(runs, _plain(tmp_path / "new", "no-such-run"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "taken"]


def test_changed_parameters_and_another_study_are_not_exported(runs: Path, tmp_path: Path) -> None:
    other = tmp_path / "study.yaml"
    other.write_text(TABLE_STUDY)
    asked = ExportRequest(version="run-1", to=tmp_path / "new", forms=(), study_file=other)
    with pytest.raises(StudyRefused, match="is not the study of run run-1"):
        export_model(runs, asked)
    with closing(open_views(runs)) as views:
        model = views.snapshot("run-1").snapshot.model
    path = runs / "snapshots" / f"{model}.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + bytes(4))
    with pytest.raises(StoreBroken, match="was changed"):
        export_model(runs, _plain(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_snapshot_without_a_quorum_is_not_exported(tmp_path: Path) -> None:
    federation = Federation(tmp_path, released_study(), trainer=NetworkTrainer)
    federation.link.lost = lambda site, request: request.step == SNAPSHOT and site != "east"
    federation.run()
    federation.close()
    with pytest.raises(QuorumLost, match="1 of 4 hospitals have signed"):
        export_model(federation.workspace.root, _plain(tmp_path / "new"))


def test_the_command_exports_as_a_person_and_tells_a_machine(
    runs: Path, people: People, tmp_path: Path
) -> None:
    key = write_key_file(people.key(CLEO), tmp_path / "cleo.pem")
    words = ["models", "export", "run-1", "--to", tmp_path / "new", "--out", runs, "--as", key]
    said = CliRunner().invoke(cli.app, [*map(str, words), "--forms", "none", "--json"])
    told = json.loads(said.stdout)
    assert told["forms"] == {} and told["person"] == CLEO
    assert "signed by 4 of 4" in said.stderr and "exported   " in said.stderr
    assert verify_export(tmp_path / "new", Workspace(runs).public_key())["verified"]


def test_no_card_is_signed_of_figures_that_were_changed_in_the_database(
    runs: Path, tmp_path: Path
) -> None:
    change(runs, "UPDATE release SET payload_json = payload_json || ' '")
    with pytest.raises(StoreBroken, match="its release record is not what was logged"):
        export_model(runs, _plain(tmp_path / "export"))
    assert not (tmp_path / "export").exists()
