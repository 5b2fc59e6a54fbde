"""``collegium infer served`` and ``statement``: what this hospital served, by its own log."""

from pathlib import Path
from typing import Annotated, Any

import typer

from collegium.cli.models.options import At
from collegium.cli.options import AsJson, Key
from collegium.extras import needs
from collegium.output.console import answer, emit, say
from protocol.counted import counted

app = typer.Typer()
Home = Annotated[Path, typer.Option("--home", metavar="HOSPITAL", help="The hospital's folder.")]


@app.command()
@needs("silo")
def served(
    home: Home,
    at: At,
    as_json: AsJson = False,
) -> None:
    """Says which models were loaded to score here."""
    from collegium.models.inference.served_here import served_here

    found = served_here(home, at)
    tell = answer(as_json)
    for one in found["periods"]:
        tell(_told(one))
        tell(f"  {one['use']} from {one['source']}, run {one['run']}, model {one['model'][:12]}")
    if not found["periods"]:
        since = found["logged_since"]
        log = f"the log begins at {since}" if since else "nothing was ever loaded here"
        tell(f"nothing was loaded to score; {log}")
    emit(found, as_json)


@app.command()
@needs("silo")
def statement(
    home: Home,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="Where it is written.")],
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="From when. Default: the last one's end."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Write the newest statement anew.")
    ] = False,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Writes a signed statement of what was served, for the register.

    The coordinator's people take it with collegium models confirm-served.
    """
    from collegium.models.inference.served_here import write_statement
    from collegium.verification.inputs import read_key

    trusted = None if key is None else read_key(key)
    made = write_statement(home, to, since=since, again=again, key=trusted)
    say(f"statement  {made['number']} of {made['site']}: {made['since']} to {made['until']}")
    periods = counted(len(made["periods"]), "period")
    say(f"wrote      {to}: {periods}; collegium models confirm-served {to} takes it")
    emit(made, as_json)


def _told(one: dict[str, Any]) -> str:
    snapshot = one["snapshot"] or "no snapshot names it"
    ends = {
        "recorded": f"to {one['until']}",
        "running": "still loaded",
        "unrecorded": f"to {one['until']} at least: its end was not written down",
    }
    return f"{snapshot}  {one['since']} {ends[one['end']]}"
