"""Crates: what is in one, what never is, who may write one, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from collegium.cli import main as cli
from collegium.models.exports.exporting import ExportRequest, export_model
from collegium.models.exports.signed_files import digests_in
from collegium.models.publication.crate import (
    CrateRequest,
    CrateTerms,
    verify_crate,
    write_crate,
)
from collegium.reports.access_record import record_run_export
from coordinator.database.workspace import Workspace
from coordinator.views.views import open_views
from protocol.encoding import canonical, digest
from protocol.errors import MessageRefused, PolicyRefused, StoreBroken, WorkspaceRefused
from protocol.study.study_file import read_study
from protocol.vectors.tensors import decode_tensors, encode_tensors
from silos.training.counting.column_trainer import ColumnTrainer
from tests.support.hospital.people import CLEO, people_of
from tests.support.simulated.finished_run import RUN, make_finished
from tests.support.simulated.output_folder import change
from tests.support.simulated.preregistered import PREREGISTRATION
from tests.support.simulated.released import released_study
from tests.support.simulated.studies import STATISTICS_STUDY


def graph(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns the entities of a crate, by name."""
    said = json.loads((folder / "ro-crate-metadata.json").read_bytes())
    return {one["@id"]: one for one in said["@graph"]}


def named(value: Any) -> list[str]:
    """Returns the names of the entities that a property refers to."""
    return [one["@id"] for one in (value if isinstance(value, list) else [value])]


def test_every_file_is_described_with_its_digest_and_nothing_else_lies_there(crate: Path) -> None:
    entities = graph(crate)
    described = {name: one["sha256"] for name, one in entities.items() if one["@type"] == "File"}
    assert described == digests_in(crate, without="ro-crate-metadata.json")
    for name, one in entities.items():
        if one["@type"] == "File":
            assert int(one["contentSize"]) == (crate / name).stat().st_size
    assert {"study.json", "roster.json", "snapshot.json", "manifest.json", "figures.csv"} <= {
        *described
    }


def test_study_manifest_and_model_are_those_of_the_log(crate: Path, promised: Path) -> None:
    found = verify_crate(crate, Workspace(promised).public_key())
    assert found["study"] == released_study(PREREGISTRATION).digest
    assert found["proven"] == {
        "manifest": "manifest", "snapshot": "snapshot-signed", "run": "run-finished",
    }  # fmt: skip
    assert found["manifest"] == digest((crate / "manifest.json").read_bytes())
    assert json.loads((crate / "course.json").read_bytes())["model"] == found["model"]
    assert found["key_was_given"]


def test_the_run_is_one_action_of_software_on_records_and_a_plan_with_a_model(crate: Path) -> None:
    """What the Federated Learning profile asks for, which no validator ships."""
    entities = graph(crate)
    run = entities["#run"]
    assert run["@type"] == "CreateAction"
    (instrument,) = named(run["instrument"])
    assert entities[instrument]["@type"] == "SoftwareApplication"
    assert entities[instrument]["version"]
    records = {f"#records-of-hospital-{site}" for site in ("east", "north", "south", "west")}
    assert records | {"study.json", "manifest.json"} <= {*named(run["object"])}
    for name in records:
        assert entities[name]["@type"] == "Dataset" and entities[name]["license"]
    results = named(run["result"])
    assert results[0] == "snapshot.json" and "model-card.html" in results
    assert named(entities["snapshot.json"]["subjectOf"]) == ["model-card.html"]
    for name in results[1:]:
        if entities[name]["@type"] == "PropertyValue":
            assert entities[named(entities[name]["propertyID"])[0]]["@type"] == "DefinedTerm"
    profiles = named(entities["./"]["conformsTo"])
    assert profiles[0] == "https://w3id.org/ro/wfrun/process/0.5"
    assert "federated-learning" in profiles[1]


def test_each_round_is_an_action_of_the_hospitals_in_its_sum(crate: Path) -> None:
    entities = graph(crate)
    rounds = [one for name, one in entities.items() if name.startswith("#action-")]
    assert [one["name"] for one in rounds] == [
        "training round 1", "training round 2", "evaluation",
    ]  # fmt: skip
    for one in rounds:
        assert len(one["participant"]) == 4
        assert one["startTime"] <= one["endTime"]
        assert one["actionStatus"].endswith("CompletedActionStatus")
    assert {*named(entities["./"]["mentions"])} == {"#run", *(one["@id"] for one in rounds)}


def test_what_came_of_the_preregistration_is_a_result_of_the_run(crate: Path) -> None:
    assert "preregistration.json" in named(graph(crate)["#run"]["result"])
    said = json.loads((crate / "preregistration.json").read_bytes())
    assert {one["name"] for one in said["hypotheses"]} == {"discriminates", "alike"}


def test_a_promise_is_told_for_each_hospital_with_what_epsilon_is(crate: Path) -> None:
    entities = graph(crate)
    promise = entities["#epsilon-hospital-east"]
    assert 0 < promise["value"] <= 4
    assert named(promise["propertyID"]) == ["#epsilon"]


def test_no_exact_figure_count_or_secret_is_in_a_crate(crate: Path, promised: Path) -> None:
    """A simulation knows exact figures and counts of patients: 0.9 and 28 in this one."""
    figures = json.loads((crate / "figures.json").read_bytes())
    assert figures["figures"] and "exact" not in json.dumps(figures)
    held = b"".join(path.read_bytes() for path in crate.iterdir() if path.is_file())
    for word in (b"train_patients", b"test_patients", b"auroc_exact"):
        assert word not in held
    secret = (promised / "coordinator.key").read_text().strip()
    assert secret.encode() not in held and str(promised).encode() not in held


def test_two_crates_of_one_run_are_equal_byte_by_byte(
    crate: Path, promised: Path, tmp_path: Path
) -> None:
    write_crate(
        promised, CrateRequest(run="run", to=tmp_path / "again"), record_run_export(promised, None)
    )
    assert digests_in(crate) == digests_in(tmp_path / "again")


def test_no_crate_is_made_of_an_altered_folder(promised: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(promised, tmp_path / "copy"))
    change(copy, "UPDATE run SET exact_json = replace(exact_json, '0.9', '0.8')")
    with pytest.raises(StoreBroken, match="run-1"):
        write_crate(
            copy, CrateRequest(run=RUN, to=tmp_path / "crate"), record_run_export(copy, None)
        )
    assert not (tmp_path / "crate").exists()


def _change(crate: Path) -> str:
    (crate / "figures.csv").write_text("better\n")
    return r"figures\.csv was changed after the crate was written"


def _add(crate: Path) -> str:
    (crate / "more.txt").write_text("x")
    return r"more\.txt was added"


def _remove(crate: Path) -> str:
    (crate / "roster.json").unlink()
    return r"roster\.json is missing"


def _redescribe(crate: Path, name: str, data: bytes) -> None:
    """Changes a file and the digest that the description has of it."""
    said = (crate / "ro-crate-metadata.json").read_text()
    before = digest((crate / name).read_bytes())
    (crate / name).write_bytes(data)
    (crate / "ro-crate-metadata.json").write_text(said.replace(before, digest(data)))


def _another_study(crate: Path) -> str:
    data = (crate / "study.json").read_bytes().replace(b"A small study", b"A large study")
    _redescribe(crate, "study.json", data)
    return "is not the study that the snapshot names"


def _another_manifest(crate: Path) -> str:
    data = (crate / "manifest.json").read_bytes().replace(b'"threads":1', b'"threads":2')
    _redescribe(crate, "manifest.json", data)
    return r"manifest\.tlog is the proof of another manifest"


def _another_model(crate: Path) -> str:
    course = json.loads((crate / "course.json").read_bytes()) | {"model": "0" * 64}
    _redescribe(crate, "course.json", json.dumps(course).encode())
    return "names another model than the run's end in the log"


def _another_promise(crate: Path) -> str:
    data = (crate / "snapshot.json").read_bytes().replace(b'"unit":"patient"', b'"unit":"record"')
    _redescribe(crate, "snapshot.json", data)
    return r"snapshot\.json: "


def _another_run(crate: Path) -> str:
    course = json.loads((crate / "course.json").read_bytes()) | {"run": "run-2"}
    _redescribe(crate, "course.json", json.dumps(course).encode())
    return "run.tlog is not the proof of this run's end"


def _another_end(crate: Path) -> str:
    _redescribe(crate, "run.tlog", (crate / "manifest.tlog").read_bytes())
    return "run.tlog is not the proof of this run's end"


@pytest.mark.parametrize(
    "tamper",
    [
        _change, _add, _remove, _another_study, _another_manifest, _another_model, _another_promise,
        _another_run, _another_end,
    ],
)  # fmt: skip
def test_a_crate_that_was_tampered_with_is_refused(
    crate: Path, promised: Path, tamper: Callable[[Path], str]
) -> None:
    said = tamper(crate)
    with pytest.raises(MessageRefused, match=said):
        verify_crate(crate, Workspace(promised).public_key())


def _without(crate: Path, *names: str) -> None:
    """Takes files out of a crate, and what describes them."""
    path = crate / "ro-crate-metadata.json"
    said = json.loads(path.read_bytes())
    said["@graph"] = [one for one in said["@graph"] if one["@id"] not in names]
    path.write_text(json.dumps(said))
    for name in names:
        (crate / name).unlink()


def _no_end(crate: Path) -> str:
    _without(crate, "run.tlog")
    return r"run\.tlog is missing"


def _nothing_proven(crate: Path) -> str:
    _without(
        crate, *(f"{one}.{kind}" for one in ("snapshot", "manifest") for kind in ("json", "tlog"))
    )
    _another_study(crate)
    return "nothing proves the study"


def _no_proof_of_the_snapshot(crate: Path) -> str:
    _without(crate, "snapshot.tlog")
    return r"snapshot\.tlog is missing"


def _no_manifest(crate: Path) -> str:
    _without(crate, "manifest.json", "manifest.tlog")
    return "is not the manifest that the snapshot names"


def _another_run(crate: Path) -> str:
    course = json.loads((crate / "course.json").read_bytes()) | {"run": "run-2"}
    _redescribe(crate, "course.json", json.dumps(course).encode())
    return "is not the proof of this run's end"


def _another_end(crate: Path) -> str:
    _redescribe(crate, "run.tlog", (crate / "manifest.tlog").read_bytes())
    return "is not the proof of this run's end"


def _model_of_the_log_alone(crate: Path) -> str:
    _without(crate, "snapshot.json", "snapshot.tlog")
    _another_model(crate)
    return "names another model than the run's end in the log"


def _wrong_signature_of_too_few(crate: Path) -> str:
    said = json.loads((crate / "snapshot.json").read_bytes())
    said["signatures"] = {"east": said["signatures"]["north"]}
    _redescribe(crate, "snapshot.json", canonical(said))
    return "east did not sign this snapshot"


@pytest.mark.parametrize(
    "downgrade",
    [
        _no_end, _nothing_proven, _no_proof_of_the_snapshot, _no_manifest, _another_run,
        _another_end, _model_of_the_log_alone, _wrong_signature_of_too_few,
    ],
)  # fmt: skip
def test_a_crate_from_which_evidence_was_taken_is_refused(
    crate: Path, promised: Path, downgrade: Callable[[Path], str]
) -> None:
    said = downgrade(crate)
    with pytest.raises(MessageRefused, match=said):
        verify_crate(crate, Workspace(promised).public_key())


def test_too_few_signatures_of_hospitals_are_told(crate: Path, promised: Path) -> None:
    said = json.loads((crate / "snapshot.json").read_bytes()) | {"signatures": {}}
    _redescribe(crate, "snapshot.json", canonical(said))
    found = verify_crate(crate, Workspace(promised).public_key())
    assert (found["signed_by"], found["quorum"]) == ([], 3)
    key = str(promised / "coordinator.pub")
    done = CliRunner().invoke(cli.app, ["runs", "verify-crate", str(crate), "--key", key])
    assert "signed by  0 hospitals, 3 must: TOO FEW" in done.stdout


def test_a_crate_of_another_log_is_refused(crate: Path, seeded: Path) -> None:
    with pytest.raises(MessageRefused, match="proves nothing in the log whose key begins"):
        verify_crate(crate, Workspace(seeded / "out").public_key())


def test_an_exported_model_goes_in_whole_and_only_of_the_same_run(
    promised: Path, seeded: Path, tmp_path: Path
) -> None:
    runs = Path(shutil.copytree(promised, tmp_path / "runs"))
    export_model(runs, ExportRequest(version=RUN, to=tmp_path / "export", forms=()))
    asked = CrateRequest(run=RUN, to=tmp_path / "crate", model=tmp_path / "export")
    write_crate(runs, asked, record_run_export(runs, None))
    entities = graph(tmp_path / "crate")
    assert named(entities["#run"]["result"])[0] == "model/model.safetensors"
    assert "model/mlbom.json" in named(entities["model/model.safetensors"]["subjectOf"])
    weights = tmp_path / "crate" / "model" / "model.safetensors"
    others = {name: value + 1 for name, value in decode_tensors(weights.read_bytes()).items()}
    _redescribe(tmp_path / "crate", "model/model.safetensors", encode_tensors(others))
    with pytest.raises(MessageRefused, match=r"model\.safetensors was changed after it was signed"):
        verify_crate(tmp_path / "crate", Workspace(runs).public_key())
    other = CrateRequest(run=RUN, to=tmp_path / "other", model=tmp_path / "export")
    with pytest.raises(MessageRefused):
        write_crate(seeded / "out", other, record_run_export(seeded / "out", None))


def test_where_people_are_registered_a_crate_is_a_persons_act(
    promised: Path, tmp_path: Path
) -> None:
    runs = Path(shutil.copytree(promised, tmp_path / "runs"))
    with people_of(runs) as people:
        with pytest.raises(PolicyRefused):
            write_crate(
                runs, CrateRequest(run=RUN, to=tmp_path / "nobodys"), record_run_export(runs, None)
            )
        told = write_crate(
            runs,
            CrateRequest(run=RUN, to=tmp_path / "hers"),
            record_run_export(runs, people.key(CLEO)),
        )
    assert told["act"] is not None and not (tmp_path / "nobodys").exists()
    views = open_views(runs)
    assert [act.action for act in views.acts()][-1] == "report.export"
    views.close()


@pytest.mark.long
def test_addresses_are_of_whom_the_run_knows(promised: Path, tmp_path: Path) -> None:
    for name, url, said in (
        ("nowhere", "https://example.org", "name one of"),
        ("east", "ftp://x", "is no web address"),
    ):
        asked = CrateRequest(run=RUN, to=tmp_path / "crate", terms=CrateTerms(urls={name: url}))
        with pytest.raises(WorkspaceRefused, match=said):
            write_crate(promised, asked, record_run_export(promised, None))


@pytest.mark.long
def test_a_study_that_counts_columns_claims_no_learning(tmp_path: Path) -> None:
    out = make_finished(tmp_path / "counted", read_study(STATISTICS_STUDY), trainer=ColumnTrainer)
    write_crate(out, CrateRequest(run=RUN, to=tmp_path / "crate"), record_run_export(out, None))
    entities = graph(tmp_path / "crate")
    assert named(entities["./"]["conformsTo"]) == ["https://w3id.org/ro/wfrun/process/0.5"]
    assert json.loads((tmp_path / "crate" / "figures.json").read_bytes())["columns"]


def test_the_commands_write_a_crate_and_check_it(promised: Path, tmp_path: Path) -> None:
    to = tmp_path / "crate"
    asked = ["runs", "crate", RUN, "--out", str(promised), "--to", str(to), "--json"]
    made = CliRunner().invoke(cli.app, [*asked, "--url", "east=https://east.example.org"])
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["checked"]["verified"] is True
    assert graph(to)["#hospital-east"]["url"] == "https://east.example.org"
    key = str(promised / "coordinator.pub")
    done = CliRunner().invoke(cli.app, ["runs", "verify-crate", str(to), "--key", key])
    assert done.exit_code == 0 and "manifest, run, snapshot" in done.stdout
    assert isinstance(CliRunner().invoke(cli.app, asked).exception, WorkspaceRefused)
