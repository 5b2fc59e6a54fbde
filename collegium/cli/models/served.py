"""``collegium models served`` and ``confirm-served``: which version was served, by whose word."""

from pathlib import Path
from typing import Annotated, Any

import typer

from collegium.cli.coordinator.persons import As
from collegium.cli.models.options import At, Name, disagreement_text, model_line
from collegium.cli.options import AsJson, Records
from collegium.output.console import answer, emit, say

app = typer.Typer()


@app.command()
def served(
    name: Name,
    site: Annotated[str, typer.Argument(help="The hospital.")],
    out: Records,
    at: At,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Where the proof is written.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Says which version a hospital was to serve, with proof."""
    from collegium.models.served import prove_served

    found = prove_served(out, name, site, at, to)
    tell = answer(as_json)
    if found["version"] is None:
        tell(f"none: no version of {name} was in production for {site} at {found['time']}")
    else:
        since = found["since"]
        tell(f"{found['version']}  {name} at {site}, {found['time']}")
        tell(f"  {since['kind']} at {since['time']}, entry {found['entry']} of the log")
    for said in _stated(found):
        tell(f"  {said}")
    if to is not None and found["entry"] is None:
        say("proof      none is written: of what was not served there is no entry")
    elif to is not None:
        say(f"proof      {to}: collegium audit verify-proof {to} --key KEY")
    emit(found, as_json)


@app.command("confirm-served")
def confirm_served(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="From collegium infer statement there.")
    ],
    out: Records,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Takes a hospital's signed statement of what it served."""
    from collegium.cli.coordinator.persons import read_key_file
    from collegium.models.served import take_statement

    told = take_statement(out, file, None if as_key is None else read_key_file(as_key))
    say(
        f"taken      statement {told['number']} of {told['site']}, {told['since']} to "
        f"{told['until']}, about {', '.join(told['models'])}"
    )
    for name in told["models"]:
        for one in model_line(out, name).disagreements:
            if one.site == told["site"]:
                say(f"DISAGREES  {disagreement_text(one)}")
    emit(told, as_json)


def _stated(found: dict[str, Any]) -> list[str]:
    """Returns what the hospital stated of the time that was asked about, in lines."""
    site, stated = found["site"], found["stated"]
    if stated is None:
        return [f"{site} has not stated what it served then"]
    place = f"statement {stated['number']}, entry {found['stated_entry']} of the log"
    if stated["agrees"] is None:
        lines = [f"{site} stated that it had no version of {found['line']} loaded then ({place})"]
    elif stated["agrees"]:
        lines = [f"{site} stated that it served it ({place})"]
    else:
        lines = [f"DISAGREES: {site} stated another version ({place})"]
    for one in stated["own"]:
        lines.append(f"  {one['snapshot'][:12]} {one['use']}, {one['since']} to {_until(one)}")
    for one in stated["others"]:
        named = "a model that no snapshot names"
        if one["snapshot"] is not None:
            named = f"{one['snapshot'][:12]}, of another model"
        lines.append(f"  beside it {named}: {one['use']}, {one['since']} to {_until(one)}")
    return lines


def _until(one: dict[str, Any]) -> str:
    told = {"running": " (still loaded then)", "unrecorded": " (at least: its end is unknown)"}
    return f"{one['until']}{told.get(one['end'], '')}"
