"""``collegium models``: the steps of a version, each an act of a person."""

from pathlib import Path
from typing import Annotated, Any

import typer

from collegium.cli.coordinator.persons import As, perform_as
from collegium.cli.models.options import (
    Name,
    Reason,
    Version,
    model_line,
    model_version,
    version_digest,
)
from collegium.cli.options import AsJson, Records
from collegium.output.console import answer, emit, say

app = typer.Typer()


@app.command()
def register(
    name: Name,
    version: Version,
    out: Records,
    least: Annotated[
        float | None, typer.Option("--least", help="What its figure must reach.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option("--margin", help="How much worse it may be than production.")
    ] = None,
    largest_gap: Annotated[
        float | None, typer.Option("--largest-gap", help="The largest gap between hospitals.")
    ] = None,
    no_red_team: Annotated[
        bool, typer.Option("--no-red-team", help="Ask for no attack by a red team.")
    ] = False,
    largest_advantage: Annotated[
        float | None,
        typer.Option("--largest-advantage", help="Of an attack on membership; 0.1 unless given."),
    ] = None,
    largest_exposure: Annotated[
        float | None,
        typer.Option("--largest-exposure", help="Of single records, in bits; 0.5 unless given."),
    ] = None,
    no_canary_evaluation: Annotated[
        bool,
        typer.Option(
            "--no-canary-evaluation", help="Ask for no evaluation of a canary at its hospitals."
        ),
    ] = False,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Registers a signed snapshot as a candidate. A model's first one fixes its thresholds."""
    from compliance.governance.models.gates import GateRules
    from protocol.encoding import canonical
    from protocol.errors import PolicyRefused

    given = {
        "least": least,
        "margin": margin,
        "largest_gap": largest_gap,
        "largest_advantage": largest_advantage,
        "largest_exposure": largest_exposure,
    }
    said: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if no_red_team:
        said["red_team"] = False
    if no_canary_evaluation:
        said["canary_evaluation"] = False
    rules = None
    if said:
        try:
            rules = canonical(GateRules(**said).to_json()).decode()
        except ValueError as error:
            raise PolicyRefused(str(error)) from error
    _act(out, as_key, "register", name, {"version": version, "rules": rules}, as_json)


@app.command()
def canary(
    name: Name,
    version: Version,
    out: Records,
    sites: Annotated[list[str], typer.Option("--site", help="A hospital that tries it; repeat.")],
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Lets some hospitals try a candidate that passes every gate."""
    _act(out, as_key, "canary", name, {"version": version, "sites": tuple(sites)}, as_json)


@app.command("end-canary")
def end_canary(
    name: Name,
    version: Version,
    out: Records,
    reason: Reason,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Ends the trial; its hospitals serve production again."""
    _act(out, as_key, "end-canary", name, {"version": version, "reason": reason}, as_json)


@app.command()
def promote(
    name: Name, version: Version, out: Records, as_key: As = None, as_json: AsJson = False
) -> None:
    """Takes the canary into production. A second person confirms."""
    _act(out, as_key, "promote", name, {"version": version}, as_json)


@app.command("roll-back")
def roll_back(
    name: Name, out: Records, reason: Reason, as_key: As = None, as_json: AsJson = False
) -> None:
    """Goes back to the version that was in production before."""
    _act(out, as_key, "roll-back", name, {"reason": reason}, as_json)


@app.command()
def retire(
    name: Name,
    version: Version,
    out: Records,
    reason: Reason,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Takes a version out of use, for good."""
    _act(out, as_key, "retire", name, {"version": version, "reason": reason}, as_json)


@app.command("name")
def name_version(
    name: Name,
    version: Version,
    alias: Annotated[str, typer.Argument(help="Such as last-good.")],
    out: Records,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Gives a version a name; the name moves from another."""
    _act(out, as_key, "name", name, {"version": version, "alias": alias}, as_json)


@app.command()
def shadow(
    name: Name,
    out: Records,
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where the studies go.")],
    split: Annotated[
        Path | None,
        typer.Option("--split", metavar="FILE", help="The split's file, where a study names one."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Writes the studies that compare a canary at its hospitals.

    They train nothing: test patients alone pay. Once both have run, the coordinator ends a canary
    that is worse by itself.
    """
    from collegium.models.shadow import write_shadow

    told = write_shadow(out, name, to, split)
    tell = answer(as_json)
    for role, file in told["studies"].items():
        tell(f"{role:<10} {file}: parameters of sha256 {told['files'][role]}")
    which = "both" if len(told["studies"]) > 1 else "it"
    say(
        f"run {which} at {', '.join(told['sites'])}; a hospital whose policy names the parameters "
        "that it takes adds the sha256 to policy.pretrained"
    )
    emit(told, as_json)


def _act(
    out: Path,
    as_key: Path | None,
    what: str,
    name: str,
    details: dict[str, Any],
    as_json: bool,
) -> None:
    if "version" in details:
        details = details | {"version": version_digest(out, details["version"])}
    if what != "register":
        model_line(out, name)  # before anybody is asked to confirm it
    told = perform_as(out, as_key, f"model.{what}", ("model", name), details)
    if told["waits"] and what == "promote":
        for gate in model_version(out, name, details["version"]).gates:
            if gate.result != "passed":
                say(f"kept back  by the gate {gate.name}, {gate.result} now: {gate.said}")
    if not told["waits"]:
        at = f" at {', '.join(told['canary_sites'])}" if told["canary"] == told["version"] else ""
        say(f"{told['stage']:<10} {told['version'][:12]} of {name}{at}")
    emit(told, as_json)
