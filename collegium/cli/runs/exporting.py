"""``collegium runs export-mlflow``: runs told to an MLflow of one's own."""

from typing import Annotated

import typer

from collegium.cli.coordinator.persons import As, read_key_file
from collegium.cli.options import AsJson, Records, known_runs
from collegium.extras import needs
from collegium.output.console import console, emit
from protocol.errors import MessageRefused
from silos.config.folder import is_hospital

app = typer.Typer()


@app.command("export-mlflow")
@needs("mlflow")
def export_mlflow(
    out: Records,
    to: Annotated[
        str, typer.Option("--to", metavar="DIR|URI", help="A folder, or an MLflow's address.")
    ],
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help="A run's name, or its beginning.", autocompletion=known_runs
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All runs of the folder.")] = False,
    model: Annotated[bool, typer.Option("--model", help="Send the model's file too.")] = False,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Tells an MLflow about a run, or about all: settings, figures.

    A second export updates what the first one made.
    """
    if (run is None) is not every:
        raise MessageRefused("name one run, or say --all")
    if is_hospital(out):
        raise MessageRefused(
            f"{out} is a hospital's own folder: export from a coordinator's or a simulation's"
        )
    from collegium.reports.mlflow_export import export_runs

    key = None if as_key is None else read_key_file(as_key)
    names = None if run is None else [run]
    emit(export_runs(out, names, to, console(), key=key, with_model=model), as_json)
