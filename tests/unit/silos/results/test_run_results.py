"""What comes back to a hospital: the model, the signed figures, and its own comparison."""

import json
import os
import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import torch

from compliance.reports.renderers import render_html
from coordinator.database.workspace import Workspace
from coordinator.views.views import open_views
from pipelines.evaluation.metrics import auroc
from pipelines.networks.networks import build, parameters_of
from pipelines.records import Records
from protocol.transport.run_announcement import ReleasedFigure, RunResult, sign_end
from protocol.vectors.tensors import decode_tensors, encode_tensors, model_digest
from silos.database.joined_runs import JoinedRun, RunState, told_state
from silos.isolation.own_comparison import compare
from silos.results.kept_models import keep_model, read_model
from silos.results.own_runs import own_run
from silos.results.results_page import results_page
from silos.results.run_results import NOT_PRIVATE, OwnResults, list_results
from tests.structure.floors import ROOT
from tests.support.networked.network import Network
from tests.support.simulated.federation import write_hospitals
from tests.support.simulated.studies import small_study
from tests.unit.collegium.cli.test_silo_commands import Person, person
from tests.unit.silos.results.test_own_folder import tampered

__all__ = ["person"]


@pytest.fixture
def home(run_once: tuple[Network, str], tmp_path: Path) -> Path:
    """A copy of east's folder: all that its data scientist has."""
    return Path(copytree(run_once[0].sites["east"].home, tmp_path / "copy"))


@pytest.fixture
def run(run_once: tuple[Network, str]) -> str:
    return run_once[1]


def model_at(home: Path, run: str) -> Path:
    return home / "results" / run / "model.safetensors"


def ended(network: Network, home: Path, run: str, result: RunResult) -> None:
    """Puts another outcome, signed with the coordinator's key, into a hospital's folder."""
    end = sign_end(run, Workspace(network.home).signing_key(), result)
    tampered(home, "UPDATE joined_run SET run_end = x'" + end.hex() + "'")  # noqa: S608


def test_the_final_model_and_the_released_figures_come_back(
    run_once: tuple[Network, str], home: Path, run: str, person: Person
) -> None:
    network, _ = run_once
    assert person.runs("silo", "results", "--home", home, "--json") == 0
    (told,) = json.loads(person.out)
    assert (told["run_id"], told["study"], told["state"]) == (run, "small", "finished")
    assert told["model_digest"] == network.row(run).model_digest
    assert told["model_is_announced"] is True
    with closing(open_views(network.home)) as views:
        released = views.dossier(run).headline
    assert released is not None
    said = told["announced"]["auroc_released"]
    assert said["note"] == released.note
    for name in ("value", "low", "high"):
        figure = getattr(released, name)
        assert said[name] == (None if figure is None else pytest.approx(figure, abs=1e-6))
    assert person.runs("silo", "results", "--home", home) == 0
    assert run in person.out and told["model_digest"][:16] in person.out and person.err == ""
    assert person.runs("silo", "status", "--home", home) == 0
    assert f"{run} finished at " in person.out


@pytest.mark.parametrize(
    ("state", "left_by", "has_result", "told"),
    [
        (RunState.JOINED, None, False, "joined"),
        (RunState.REFUSED, None, False, "refused"),
        (RunState.LEFT, None, True, "finished"),
        (RunState.LEFT, None, False, "ended"),
        (RunState.LEFT, "Dr. A. Officer", False, "left"),
    ],
)
def test_only_a_run_that_its_own_people_ended_was_left(
    state: RunState, left_by: str | None, has_result: bool, told: str
) -> None:
    run = JoinedRun(
        run_id="run-1", study="", state=state, notice=b"", joined_at="", changed_at="",
        left_by=left_by,
    )  # fmt: skip
    assert told_state(run, has_result=has_result) == told


def own_results(**more: Any) -> OwnResults:
    """Returns a finished run whose figures came in the order of their names."""
    figures = tuple(
        ReleasedFigure(name=name, value=700_000, low=600_000, high=800_000)
        for name in ("accuracy", "auroc")
    )
    return OwnResults(
        run_id="run-1", study="small", study_digest="", state="finished", joined_at="",
        changed_at="", announced=RunResult(model="0" * 64, figures=figures), model_file=None,
        model=None, **more,
    )  # fmt: skip


def test_the_headline_is_the_first_of_the_figures() -> None:
    found = own_results(task="binary_classification")
    assert [figure.name for figure in found.figures] == ["auroc", "accuracy"]
    assert [figure.name for figure in own_results().figures] == ["accuracy", "auroc"]
    assert replace(found, announced=None).figures == ()


def test_figures_of_own_models_are_said_to_be_of_these() -> None:
    assert "own model" not in own_results().about_figures
    found = own_results(has_own_models=True, personalised_file=Path("own.safetensors"))
    assert "each hospital's by its own model" in found.about_figures
    assert found.to_json()["figures_are_of_own_models"] is True
    assert "own.safetensors" in render_html(results_page("east", found, None, at="now"))


def test_beside_the_model_stands_how_a_record_becomes_its_input(home: Path, run: str) -> None:
    path = model_at(home, run)
    about = json.loads(path.with_name("model.json").read_text())
    assert about["inputs"] == [
        {"column": "age", "kind": "number", "range": [0.0, 120.0], "centre": 50.0, "scale": 20.0,
         "outside": "refuse", "impute": None, "replace": {}},
        {"column": "ward", "equals": "B", "impute": None},
        {"column": "ward", "equals": "C", "impute": None},
    ]  # fmt: skip
    assert about["model_digest"] == model_digest(read_model(path))
    assert about["study"] == small_study().digest
    for file in (path, path.with_name("model.json")):
        assert os.stat(file).st_mode & 0o777 == 0o600


def test_another_model_in_its_place_is_told(home: Path, run: str, person: Person) -> None:
    model = decode_tensors(model_at(home, run).read_bytes())
    changed = {name: tensor + np.float32(1) for name, tensor in model.items()}
    model_at(home, run).write_bytes(encode_tensors(changed))
    assert person.runs("silo", "results", run, "--no-compare", "--home", home) == 0
    assert "NOT the model that the coordinator signed" in person.out
    assert person.runs("audit", "verify", "--home", home, "--json") == 2
    assert any("NOT the model" in fault for fault in json.loads(person.out)["faults"])
    model_at(home, run).write_bytes(b"nothing of a model")
    assert "is no model" in person.reads_refusal("silo", "results", "--home", home)


def test_an_end_that_no_coordinator_signed_is_told(home: Path, run: str, person: Person) -> None:
    tampered(home, "UPDATE joined_run SET run_end = x'00'")
    assert "has signed its end" in person.reads_refusal("silo", "results", run, "--home", home)


def test_a_model_that_did_not_come_is_taken_by_its_digest_alone(
    run_once: tuple[Network, str], run: str, tmp_path: Path, person: Person
) -> None:
    network, _ = run_once
    home = Path(copytree(network.sites["north"].home, tmp_path / "copy"))
    model_at(home, run).unlink()  # north was away while the others evaluated
    assert person.runs("silo", "results", run, "--home", home) == 0
    assert "not here, though this hospital evaluated it" in person.out
    final = Workspace(network.home).snapshots / f"{network.row(run).model_digest}.safetensors"
    given = "silo", "results", run, "--no-compare", "--home", home, "--model"
    first = tmp_path / "first.safetensors"
    first.write_bytes(encode_tensors({"w": np.zeros(2, dtype=np.float32)}))
    assert f"{first} is not the final model of run {run}" in person.reads_refusal(*given, first)
    assert person.runs(*given, final) == 0
    assert "its digest is the one that the coordinator signed" in person.out
    assert model_at(home, run).read_bytes() == final.read_bytes()


def test_the_hospitals_report_says_what_came_back(
    run_once: tuple[Network, str], home: Path, run: str, person: Person, tmp_path: Path
) -> None:
    digest = run_once[0].row(run).model_digest
    result = own_run(home, run).result
    assert result is not None and result.model == digest
    to = tmp_path / "report.html"
    assert person.runs("report", "export", run, "--home", home, "--to", to) == 0
    assert digest is not None and digest in to.read_text()


# --- the comparison -------------------------------------------------------------------------------


def drawn(count: int, seed: int) -> Records:
    """Patients of two records each; the ill are older."""
    random = np.random.default_rng(seed)
    ill = (random.random(count) < 0.4).astype(np.float32)
    features = random.normal(0, 1, (count, 3)).astype(np.float32)
    features[:, 0] += 1.5 * ill
    patients = np.repeat(np.arange(count, dtype=np.int64), 2)
    return Records(
        features=features[patients],
        labels=ill[patients],
        patients=patients,
        patient_keys=tuple(f"p{number}" for number in range(count)),
        rows=np.arange(2 * count, dtype=np.int64),
    )


def test_both_models_are_scored_on_the_same_test_patients() -> None:
    study, train, test = small_study(), drawn(60, 1), drawn(80, 2)
    module = build(study.task, study.cohort, 5)
    found = compare(study, "east", train, test, parameters_of(module))
    logits = module(torch.from_numpy(test.features))[:, 0].detach().numpy()
    exact = auroc(logits.reshape(-1, 2).mean(axis=1), test.labels[::2])
    federated, own = found["federated"]["auroc"], found["own"]["auroc"]
    assert federated["value"] == pytest.approx(exact, abs=1e-6)
    assert found["federated_less_own"]["value"] == pytest.approx(
        federated["value"] - own["value"], abs=1e-9
    )
    assert (found["test_patients"], found["test_positive"]) == (80, int(test.labels[::2].sum()))
    assert own["low"] < own["value"] < own["high"]
    assert own["value"] > 0.75  # it has learned what there is to learn: 0.856 at best
    trained = found["own"]["trained"]
    assert trained["patients"] == 60 and trained["epochs"] > 0
    other = compare(study, "east", train, drawn(40, 3), parameters_of(module))
    assert other["own"]["trained"] == trained  # seeded, and chosen without a test patient


def test_the_comparison_is_made_in_the_hospital_and_says_that_it_must_stay(
    home: Path, run: str, person: Person
) -> None:
    """With the process that trains; the test's own network is not the study's, so one is put in."""
    study = small_study()
    keep_model(home, run, study, parameters_of(build(study.task, study.cohort, 5)))
    before = sorted(path.name for path in home.rglob("*"))
    assert person.runs("silo", "results", run, "--home", home, "--json") == 0
    found = json.loads(person.out)["comparison"]
    assert found["note"] == NOT_PRIVATE and NOT_PRIVATE in person.err
    assert "must not leave" in person.err and "federated less local" in person.err
    assert found["own"]["trained"]["patients"] + found["test_patients"] == 40
    assert sorted(path.name for path in home.rglob("*")) == before
    assert [result.run_id for result in list_results(home)] == [run]


def test_a_kept_model_scores_once_the_coordinator_signed_that_it_is_the_runs_last(
    run_once: tuple[Network, str], home: Path, run: str, person: Person, tmp_path: Path
) -> None:
    """The test's own network is not the study's, so one is put in, and signed."""
    network, study = run_once[0], small_study()
    write_hospitals(tmp_path, study)
    words = (tmp_path / "east.csv", "--home", home, "--run", run, "--to", tmp_path / "scores.csv")
    model = parameters_of(build(study.task, study.cohort, 5))
    keep_model(home, run, study, model)
    assert "its model scores nobody" in person.reads_refusal("infer", *words)
    tampered(home, "DELETE FROM signing_record WHERE slot LIKE 'model/evaluation/%'")
    ended(network, home, run, RunResult(model=model_digest(model), figures=()))
    assert person.runs("infer", *words, "--json") == 0, person.err
    told = json.loads(person.out)
    assert told["model"] == model_digest(model) and told["snapshot"] is None
    assert told["records"] == 40 and told["is_logged"] is True
    assert "the coordinator signed at the run's end" in person.err
    assert "no model of this hospital's own" in person.reads_refusal("infer", *words, "--own")


@pytest.mark.parametrize("note", ["[/red] too few patients", "[bold red]0.99[/]"])
def test_a_note_that_the_coordinator_signed_is_shown_as_it_stands(
    home: Path, run: str, person: Person, run_once: tuple[Network, str], note: str
) -> None:
    figure = ReleasedFigure(name="auroc", value=None, low=None, high=None, note=note)
    digest = model_digest(read_model(model_at(home, run)))
    ended(run_once[0], home, run, RunResult(model=digest, figures=(figure,)))
    assert person.runs("silo", "results", "--home", home) == 0
    assert note in person.out


def test_the_page_of_a_run_stays_in_the_hospital_and_its_owner_alone_reads_it(
    home: Path, run: str, person: Person, tmp_path: Path
) -> None:
    page, study = tmp_path / "results.html", small_study()
    keep_model(home, run, study, parameters_of(build(study.task, study.cohort, 5)))
    assert person.runs("silo", "results", "--home", home, run, "--html", page, "--json") == 0
    compared, said = json.loads(person.out)["comparison"], page.read_text()
    assert os.stat(page).st_mode & 0o777 == 0o600
    assert NOT_PRIVATE in said and "It stays here." in said and run in said
    reached = compared["federated"][compared["headline"]]["value"]
    assert f"{reached:.3f}" in said and "On our own patients" in said
    assert "http://" not in said.replace("http://www.w3.org", "") and "<script" not in said
    assert person.runs("silo", "results", "--home", home, run, "--no-compare", "--html", page) == 0
    assert "On our own patients" not in page.read_text() and NOT_PRIVATE not in page.read_text()
    assert person.runs("silo", "results", "--home", home, "--html", page) == 2
    assert "name the run that the page is to be about" in person.err


def test_new_patients_are_scored_as_the_page_says(
    home: Path, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = model_at(home, run).with_name("personalised-model.safetensors")
    model = build(small_study().task, small_study().cohort, seed=8)
    own.write_bytes(encode_tensors(parameters_of(model)))
    page = (ROOT / "docs" / "hospital.md").read_text()
    (block,) = (code for code in re.findall(r"```python\n(.*?)```", page, re.S) if "risk" in code)
    monkeypatch.chdir(tmp_path)
    Path("new-patients.csv").write_text("age,ward\n70,C\n50,A\n")
    names: dict[str, Any] = {}
    here = block.replace('"cleveland/', f'"{home}/').replace("RUN", run)
    exec(here, names)  # noqa: S102 -- our own page
    with torch.no_grad():
        by_hand = torch.sigmoid(model(torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])))
    assert torch.equal(names["risk"], by_hand)
