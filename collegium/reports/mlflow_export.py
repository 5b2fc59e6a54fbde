"""Tells an MLflow of a team's own about runs; a second export updates what the first one made.

Nothing is sent to anybody else: MLflow's own telemetry is switched off before it is imported.
"""

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rich.console import Console

from collegium.extras import require_extra
from collegium.reports.access_record import record_export
from collegium.reports.mlflow_facts import RUN_TAG, STUDY_TAG, MlflowRun, mlflow_run
from coordinator.database.workspace import Workspace
from coordinator.views.views import open_views
from protocol.errors import MessageRefused, StoreBroken, WorkspaceRefused
from protocol.identity.roster import SigningKey

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

#: Where an MLflow can be reached; a folder is an SQLite database in it.
SCHEMES = ("http", "https", "sqlite", "postgresql")
#: So many parameters or tags, and so many metrics, go in one request.
_BATCH, _METRICS = 100, 1000


def export_runs(
    out: Path,
    names: Sequence[str] | None,
    to: str,
    console: Console,
    *,
    key: SigningKey | None = None,
    with_model: bool = False,
) -> dict[str, Any]:
    """Tells MLflow about runs; returns what ``--json`` shows.

    Args:
        out: the folder of runs.
        names: which runs; all of the folder when None.
        to: a folder, or an MLflow's address.
        console: where people read what was done.
        key: of the person who exports; None where nobody says who they are.
        with_model: send the model's file too, where the run has one.

    Raises:
        PolicyRefused: people are registered here, and none of them exports.
        WorkspaceRefused: the extra is missing, there is no such run, or MLflow does not take it.
        StoreBroken: a kept model is missing or was changed.
    """
    require_extra("mlflow")
    with closing(open_views(out)) as views:
        wanted = [run.run_id for run in views.runs()] if names is None else list(names)
        runs = [mlflow_run(views.dossier(name)) for name in wanted]
    if not runs:
        raise WorkspaceRefused(f"{out} holds no run that could be exported")
    models = {run.run_id: _model_of(out, run) for run in runs} if with_model else {}
    uri, place = _address(to)
    subject = ("run", runs[0].run_id) if names is not None else ("runs", "all")
    said: dict[str, str | bool | None] = {
        "format": "mlflow",
        "to": place,
        "model": with_model,
        "runs": str(len(runs)),
    }
    recorded = record_export(out, key, subject, said)
    told = _tell_all(runs, models, uri, place)
    new = sum(one["created"] for one in told)
    console.print(
        f"exported {len(told)} to MLflow at {place}: {new} new, {len(told) - new} updated",
        markup=False,
        soft_wrap=True,
    )
    console.print(recorded.note, markup=False, soft_wrap=True)
    return {"to": place, "runs": told, "act": recorded.act, "access": recorded.note}


def _tell_all(
    runs: Sequence[MlflowRun], models: Mapping[str, Path | None], uri: str, place: str
) -> list[dict[str, Any]]:
    with _silence():
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        try:
            client = MlflowClient(tracking_uri=uri)
            return [_tell(client, run, models.get(run.run_id), uri) for run in runs]
        except MlflowException as error:
            reason = str(error).split("\n")[0].replace(uri, place)[:300]
            raise WorkspaceRefused(f"MLflow at {place} does not take it: {reason}") from error


def _address(to: str) -> tuple[str, str]:
    """Returns the address as MLflow takes it, and as people are told it: without a password.

    Raises:
        MessageRefused: it is of another kind.
        WorkspaceRefused: the folder cannot be made.
    """
    if "://" not in to:
        folder = Path(to).absolute()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise WorkspaceRefused(f"--to {to} cannot be made: {error.strerror}") from error
        return f"sqlite:///{folder / 'mlflow.db'}", str(folder)
    parts = urlsplit(to)
    if parts.scheme.split("+")[0] not in SCHEMES:
        raise MessageRefused(
            f"--to {parts.scheme}://...: a folder, or an address of {', '.join(SCHEMES)}"
        )
    return to, parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


@contextmanager
def _silence() -> Iterator[None]:
    """Switches off what MLflow would tell its makers, and its words about itself."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _tell(client: "MlflowClient", run: MlflowRun, model: Path | None, uri: str) -> dict[str, Any]:
    """Creates or updates one run; returns what is told of it."""
    experiment = _experiment(client, run.experiment, uri)
    known = _found(client, experiment, run)
    own = known or client.create_run(experiment, start_time=run.started, tags=dict(run.tags))
    name = own.info.run_id
    _log(client, name, run)
    with tempfile.TemporaryDirectory() as folder:
        for file, content in run.artifacts.items():
            path = Path(folder, file)
            path.write_text(content, encoding="utf-8")
            client.log_artifact(name, str(path))
    if model is not None:
        client.log_artifact(name, str(model), "model")
    if run.status == "RUNNING":
        client.update_run(name, status=run.status)
    else:
        client.set_terminated(name, status=run.status, end_time=run.ended)
    return {"run_id": run.run_id, "mlflow_run": name, "created": known is None}


def _experiment(client: "MlflowClient", name: str, uri: str) -> str:
    """Returns the number of an experiment, made if it is new.

    In a folder of one's own artifacts lie beside the database.
    """
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = None
    if uri.startswith("sqlite:///"):
        beside = Path(uri.removeprefix("sqlite:///")).parent / "artifacts"
        location = (beside / name).as_uri()
    return str(client.create_experiment(name, artifact_location=location))


def _found(client: "MlflowClient", experiment: str, run: MlflowRun) -> Any:
    """Returns the run as an earlier export has left it, if any."""
    wanted = f"tags.`{RUN_TAG}` = '{run.run_id}' and tags.`{STUDY_TAG}` = '{run.tags[STUDY_TAG]}'"
    found = client.search_runs([experiment], wanted, max_results=1)
    return found[0] if found else None


def _log(client: "MlflowClient", name: str, run: MlflowRun) -> None:
    """Writes parameters, tags and metrics in batches; what is there already stays as it is."""
    from mlflow.entities import Metric, Param, RunTag

    parameters = [Param(key, value) for key, value in run.parameters.items()]
    tags = [RunTag(key, value) for key, value in run.tags.items()]
    for part in _batches(parameters, _BATCH):
        client.log_batch(name, params=part)
    for part in _batches(tags, _BATCH):
        client.log_batch(name, tags=part)
    # A point that is there already, by its time and step, is not written again by MLflow's stores.
    points = [Metric(one.name, one.value, one.time, one.step) for one in run.metrics]
    for part in _batches(points, _METRICS):
        client.log_batch(name, metrics=part)


def _batches(items: list[Any], most: int) -> Iterator[list[Any]]:
    for begin in range(0, len(items), most):
        yield items[begin : begin + most]


def _model_of(out: Path, run: MlflowRun) -> Path | None:
    """Returns the file of a run's model, checked against its name; None where there is none."""
    name = run.tags.get("collegium.model_digest")
    if not name:
        return None
    workspace = Workspace.open(out)
    workspace.read_snapshot(name)
    path = workspace.snapshots / f"{name}.safetensors"
    if not path.is_file():
        raise StoreBroken(f"snapshot {name[:12]} is missing: restore it")
    return path
