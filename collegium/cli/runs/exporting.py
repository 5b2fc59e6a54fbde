"""``collegium runs export-mlflow`` and ``crate``: runs for other software, and a crate's check."""

from pathlib import Path
from typing import Annotated, Any

import typer

from collegium.cli.coordinator.persons import As, read_key_file
from collegium.cli.options import AsJson, Key, Records, Run, known_runs
from collegium.extras import needs
from collegium.output.console import answer, console, emit, say
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
    """Tells an MLflow about a run, or about all of them.

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


@app.command("crate")
def crate(
    run: Run,
    out: Records,
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="The new folder.")],
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="FOLDER", help="An export of its model, taken in whole."),
    ] = None,
    url: Annotated[
        list[str] | None,
        typer.Option(
            "--url",
            metavar="NAME=URL",
            help="The web address of a hospital, or of consortium or collegium.",
        ),
    ] = None,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Writes a run as an RO-Crate, described for others.

    The folder is verified first. Nothing is written of one that was altered.
    """
    from collegium.models.publication.crate import CrateRequest, CrateTerms, write_crate
    from collegium.reports.access_record import record_run_export

    if is_hospital(out):
        raise MessageRefused(
            f"{out} is a hospital's own folder: a crate is made from a coordinator's or a "
            "simulation's"
        )
    terms = CrateTerms(urls=_addresses(url or []))
    key = None if as_key is None else read_key_file(as_key)
    asked = CrateRequest(run=run, to=to, model=model, terms=terms)
    told = write_crate(out, asked, record_run_export(out, key))
    say(
        f"wrote      {to}: {told['files']} files of run {told['run']}; collegium runs verify-crate "
        f"{to} --key {out / 'coordinator.pub'}",
        told["access"],
    )
    emit(told, as_json)


@app.command("verify-crate")
def verify(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What was written.")],
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Checks files, signatures and proofs of an RO-Crate."""
    from collegium.models.publication.crate import verify_crate
    from collegium.verification.inputs import read_key

    found = verify_crate(folder, None if key is None else read_key(key))
    answer(as_json)(
        f"verified   {found['files']} files are as they are described",
        f"study      {found['study'][:16]}",
        f"in the log {', '.join(sorted(found['proven']))}",
        *_signatures(found),
    )
    if not found["key_was_given"]:
        say(
            "only       with itself does the folder agree: the log's key is the one in it "
            f"({found['trusted_key'][:16]}...). Give --key, from somewhere you trust"
        )
    emit(found, as_json)


def _signatures(found: dict[str, Any]) -> list[str]:
    """Returns how many hospitals signed the snapshot, in a line; none of a crate without one."""
    if found["quorum"] is None:
        return []
    count, least = len(found["signed_by"]), found["quorum"]
    short = "" if count >= least else ": TOO FEW, so no candidate for a register and no export"
    return [f"signed by  {count} hospitals, {least} must{short}"]


def _addresses(given: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in given:
        name, is_pair, url = each.partition("=")
        if not is_pair:
            raise MessageRefused(f"--url {each}: write NAME=URL")
        found[name] = url
    return found
