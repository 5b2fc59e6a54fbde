"""``collegium models export`` and ``verify``: signed folders of released models, and checks."""

from pathlib import Path
from typing import Annotated

import typer

from collegium.cli.coordinator.persons import As, read_key_file
from collegium.cli.models.options import Version
from collegium.cli.options import AsJson, Key, Records
from collegium.output.console import answer, emit, say

app = typer.Typer()


@app.command()
def export(
    snapshot: Version,
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="The new folder.")],
    out: Records,
    forms: Annotated[
        str | None,
        typer.Option(
            "--forms",
            metavar="NAMES",
            help="Of bundle, torch, onnx, int8, with commas, or none. Default: all that it has.",
        ),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(
            "--study",
            metavar="FILE",
            help="The study's file, where it starts from pretrained parameters or has a recipe.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="A simulation's records: then what each form costs its test patients is measured.",
        ),
    ] = None,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Writes a released model as one signed folder."""
    from collegium.models.exports.exporting import ExportRequest, export_model

    named = None if forms is None else tuple(name.strip() for name in forms.split(","))
    if named == ("none",):
        named = ()
    asked = ExportRequest(version=snapshot, to=to, forms=named, study_file=study, data=data)
    key = None if as_key is None else read_key_file(as_key)
    told = export_model(out, asked, key, say)
    answer(as_json)(
        f"exported   {to}: {told['checked']['files']} files; collegium models verify {to} "
        f"--key {out / 'coordinator.pub'}"
    )
    emit(told, as_json)


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What was exported.")],
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Checks an exported folder: signatures, log, parameters."""
    from collegium.models.exports.verifying import verify_export
    from collegium.verification.inputs import read_key

    found = verify_export(folder, None if key is None else read_key(key))
    answer(as_json)(
        f"verified   {found['files']} files are as they were signed",
        f"snapshot   {found['snapshot'][:16]} of run {found['run']}, signed by "
        f"{', '.join(found['signed_by'])} ({found['quorum']} must)",
        f"model      {found['model'][:16]}, in the log as entry {found['log_entry']}",
        f"use        {found['permitted_use'] or 'none declared'}",
    )
    if not found["key_was_given"]:
        say(
            "only       with itself does the folder agree: the log's key is the one that it names "
            f"({found['trusted_key'][:16]}...). Give --key, from somewhere you trust"
        )
    emit(found, as_json)
