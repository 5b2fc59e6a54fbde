"""Runs in an MLflow, read back by MLflow's own client: once, true to the dossier, by a person."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from rich.console import Console

from collegium.reports.mlflow_export import _address, export_runs
from collegium.reports.mlflow_facts import STATUSES, mlflow_run
from compliance.estimates.interval import Interval
from compliance.facts.dossier import Dossier
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.views.views import open_views
from protocol.errors import MessageRefused, PolicyRefused, WorkspaceRefused
from tests.support.hospital.people import BEA, People
from tests.support.machine.commands import ask
from tests.support.simulated.output_folder import RUNS

QUIET = Console(quiet=True)
EXPERIMENT = "collegium/small"
#: MLflow's own mappers; what the export does is silent by itself.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


def client_of(to: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{to / 'mlflow.db'}")


def runs_in(to: Path) -> dict[str, Run]:
    """Returns every run that MLflow has, by the name of ours."""
    client = client_of(to)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found = client.search_runs([experiment.experiment_id])
    by_name = {run.data.tags["collegium.run_id"]: run for run in found}
    assert len(by_name) == len(found)
    return by_name


def dossier_of(folder: Path, run: str = RUNS[0]) -> Dossier:
    with closing(open_views(folder)) as views:
        return views.dossier(run)


@pytest.fixture(scope="module")
def exported(genuine: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """All runs of a folder, exported twice."""
    to = tmp_path_factory.mktemp("mlflow")
    first = export_runs(genuine, None, str(to), QUIET)
    again = export_runs(genuine, None, str(to), QUIET)
    assert [one["created"] for one in first["runs"]] == [True, True]
    assert [one["created"] for one in again["runs"]] == [False, False]
    assert [one["mlflow_run"] for one in again["runs"]] == [
        one["mlflow_run"] for one in first["runs"]
    ]
    return to


def test_a_second_export_updates_and_doubles_nothing(exported: Path) -> None:
    client, runs = client_of(exported), runs_in(exported)
    assert runs.keys() == set(RUNS)
    for run in runs.values():
        for name in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, name)
            points = [(one.step, one.timestamp) for one in history]
            assert len(points) == len(set(points)), name
            assert name.startswith("round.") or len(points) == 1, name


def test_the_settings_are_the_studys(genuine: Path, exported: Path) -> None:
    dossier, run = dossier_of(genuine), runs_in(exported)[RUNS[0]]
    said = run.data.params
    assert said["seed"] == str(dossier.seed)
    assert said["study.training.rounds"] == str(dossier.study["training"]["rounds"])
    assert said["study.privacy.epsilon"] == json.dumps(dossier.study["privacy"]["epsilon"])
    for site in dossier.study["sites"]:
        assert said[f"study.sites.{site['name']}.patients"] == str(site["patients"])


def test_tags_say_which_run_it_was_and_what_it_protects(genuine: Path, exported: Path) -> None:
    dossier, run = dossier_of(genuine), runs_in(exported)[RUNS[0]]
    tags = run.data.tags
    assert tags["collegium.study_digest"] == dossier.study_digest
    assert tags["collegium.privacy_claim"] == dossier.claim
    assert tags["collegium.state"] == "finished" and run.info.status == "FINISHED"
    assert tags["collegium.simulation"] == "true"
    assert tags["collegium.model_digest"] == dossier.model_digest
    assert dossier.claim in tags["mlflow.note.content"]
    for name, said in dossier.environment.items():
        assert said in tags.values(), name


def test_released_and_exact_figures_are_apart_and_whole(genuine: Path, exported: Path) -> None:
    dossier, metrics = dossier_of(genuine), runs_in(exported)[RUNS[0]].data.metrics
    shown = {name: one for name, one in dossier.released.items() if one.value is not None}
    for name, figure in shown.items():
        assert metrics[f"released.{name}"] == figure.value
        assert metrics[f"released.{name}.low"] == figure.low
        assert metrics[f"released.{name}.high"] == figure.high
    for site in dossier.sites:
        for name, figure in site.released.items():
            assert metrics.get(f"released.site.{site.site}.{name}") == figure.value
        assert metrics[f"privacy.site.{site.site}.epsilon"] == site.privacy.epsilon
    for name, value in dossier.exact.items():
        assert metrics[f"exact_simulation_only.{name}"] == value
    beside = {n for n in metrics if not n.startswith(("released.", "exact_simulation_only."))}
    assert {name.split(".")[0] for name in beside} == {"privacy", "round"}


def test_rounds_are_steps(genuine: Path, exported: Path) -> None:
    dossier, run = dossier_of(genuine), runs_in(exported)[RUNS[0]]
    history = client_of(exported).get_metric_history(run.info.run_id, "round.bytes_up")
    trained = [one for one in dossier.rounds if one.round_kind == "training"]
    assert {one.step: one.value for one in history} == {one.number: one.bytes_up for one in trained}


def test_the_study_and_the_record_are_kept_and_the_model_only_when_asked_for(
    genuine: Path, exported: Path, tmp_path: Path
) -> None:
    client, run = client_of(exported), runs_in(exported)[RUNS[0]]
    files = {one.path for one in client.list_artifacts(run.info.run_id)}
    assert files == {"study.json", "run.json", "model-digest.txt"}
    study = Path(client.download_artifacts(run.info.run_id, "study.json", str(tmp_path)))
    assert json.loads(study.read_text()) == dossier_of(genuine).study
    to = tmp_path / "with-model"
    (told,) = export_runs(genuine, [RUNS[0]], str(to), QUIET, with_model=True)["runs"]
    digest = dossier_of(genuine).model_digest
    (model,) = client_of(to).list_artifacts(told["mlflow_run"], "model")
    assert model.path == f"model/{digest}.safetensors"
    sent = client_of(to).download_artifacts(told["mlflow_run"], model.path, str(tmp_path))
    kept = Workspace.open(genuine).snapshots / f"{digest}.safetensors"
    assert Path(sent).read_bytes() == kept.read_bytes()


# --- what a run is told as, of any dossier ---


def test_a_real_run_has_no_exact_figure_whatever_its_record_holds(genuine: Path) -> None:
    real = mlflow_run(replace(dossier_of(genuine), simulation=False))
    assert not [one.name for one in real.metrics if "exact" in one.name]
    assert "exact" not in real.tags["mlflow.note.content"]


def test_a_figure_that_was_withheld_is_a_reason_and_no_number(genuine: Path) -> None:
    withheld = {"auroc": Interval.withheld("too few patients for this epsilon")}
    told = mlflow_run(replace(dossier_of(genuine), released=withheld))
    assert told.tags["collegium.withheld.auroc"] == "too few patients for this epsilon"
    assert not [one for one in told.metrics if one.name.startswith("released.auroc")]


@pytest.mark.parametrize("state", STATUSES)
def test_every_state_of_a_run_is_one_of_mlflows(genuine: Path, state: str) -> None:
    from mlflow.entities import RunStatus

    told = mlflow_run(replace(dossier_of(genuine), state=state))
    assert told.status in RunStatus.all_status() or RunStatus.from_string(told.status)
    assert told.tags["collegium.state"] == state


# --- where to, and by whom ---


@pytest.mark.parametrize("to", ["ftp://example.org", "databricks://x", "s3://bucket"])
def test_another_kind_of_address_is_refused(genuine: Path, to: str) -> None:
    with pytest.raises(MessageRefused, match="a folder, or an address of http"):
        export_runs(genuine, [RUNS[0]], to, QUIET)


def test_no_password_of_an_address_is_told() -> None:
    told = [_address(to)[1] for to in ("https://ann:secret@x.org/a?token=secret", "sqlite:///x.db")]
    assert told[0] == "https://x.org/a"
    assert not any("secret" in one for one in told)


def test_an_mlflow_that_does_not_answer_is_said_in_one_line(
    genuine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(WorkspaceRefused, match=r"MLflow at http://127.0.0.1:9 does not take it"):
        export_runs(genuine, [RUNS[0]], "http://127.0.0.1:9", QUIET)


def test_where_people_are_registered_an_export_is_a_persons_act(
    folder: Path, tmp_path: Path
) -> None:
    store = Store(folder / "collegium.db")
    people = People.over(store, Workspace.open(folder).signing_key())
    people.found()
    store.close()
    to = tmp_path / "mlflow"
    with pytest.raises(PolicyRefused, match="needs a person here"):
        export_runs(folder, [RUNS[0]], str(to), QUIET)
    assert not (to / "mlflow.db").exists()
    told = export_runs(folder, [RUNS[0]], str(to), QUIET, key=people.key(BEA))
    with closing(open_views(folder)) as views:
        (act,) = views.acts(run=RUNS[0])
    assert (act.person, act.action, act.digest) == (BEA, "report.export", told["act"])
    assert act.details["format"] == "mlflow"


def test_the_command_tells_an_mlflow(genuine: Path, tmp_path: Path) -> None:
    to = tmp_path / "mlflow"
    done = ask("runs", "export-mlflow", RUNS[1], "--out", genuine, "--to", to, "--json")
    assert done.returncode == 0, done.stderr
    assert [one["run_id"] for one in json.loads(done.stdout)["runs"]] == [RUNS[1]]
    assert runs_in(to).keys() == {RUNS[1]}
    for words in ((), (RUNS[0], "--all")):
        refused = ask("runs", "export-mlflow", *words, "--out", genuine, "--to", to)
        assert refused.returncode == 2 and "name one run, or say --all" in refused.stderr
