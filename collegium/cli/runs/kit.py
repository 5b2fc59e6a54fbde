"""``collegium kit``: a recorded simulation that a third party runs again."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from collegium.cli.coordinator.persons import As, read_key_file
from collegium.cli.options import AsJson, Data, Key
from collegium.cli.runs.reproducing import Against, Keep, tell_answer
from collegium.output.console import console, emit, say

app = typer.Typer(no_args_is_help=True, help="Kits: a run on public records, to be done again.")


@app.command("make")
def make(
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="The new folder.")],
    study: Annotated[
        str, typer.Option("--study", help="A bundled study, which is simulated first.")
    ] = "heart-disease",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="A recorded simulation's folder, instead of simulating one."),
    ] = None,
    run: Annotated[str | None, typer.Option("--run", help="Its run. Default: the newest.")] = None,
    data: Data = None,
    lock: Annotated[
        list[Path] | None,
        typer.Option("--lock", metavar="FILE", help="Locked versions that go with it."),
    ] = None,
    wheel: Annotated[
        Path | None, typer.Option("--wheel", metavar="FILE", help="The package that goes with it.")
    ] = None,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Writes a kit: study, public records, what the run came to.

    The records are handed out with it. No privacy is claimed of its run.
    """
    from collegium.models.publication.kit import KitRequest, make_kit
    from collegium.output.progress import on_screen

    asked = KitRequest(
        to=to, study=study, out=out, run=run, data=data, locks=tuple(lock or ()), wheel=wheel
    )
    record = None
    if out is not None:
        from collegium.reports.access_record import record_run_export

        record = record_run_export(out, None if as_key is None else read_key_file(as_key))
    with redirect_stdout(sys.stderr):  # Ray prints what it likes
        told = make_kit(asked, on_screen(console()), record)
    say(
        f"wrote      {to}: run {told['run']}, {len(told['records'])} files of records; "
        f"python {to / 'check.py'}",
        f"kit        {told['kit']}",
        f"key        {told['key']}: hand it out by another way, for kit check --key",
    )
    emit(told, as_json)


@app.command("check")
def check(
    kit: Annotated[Path, typer.Argument(metavar="KIT", help="What kit make wrote.")],
    keep: Keep = None,
    against: Against = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Runs a kit's study again, and says whether it comes to the same.

    Exit codes: 0 identical or within tolerance; 1 different; 2 something has to be mended first.
    """
    from collegium.models.publication.kit import KitCheck, check_kit
    from collegium.output.progress import on_screen
    from collegium.verification.inputs import read_key

    trusted = None if key is None else read_key(key)
    asked = KitCheck(kit=kit, keep=keep, against=against, public=trusted)
    with redirect_stdout(sys.stderr):
        found = check_kit(asked, on_screen(console()), say)
    tell_answer(found, as_json)
