"""``collegium models attack``: a red team on a candidate, and the gates that judge it."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from collegium.cli.models.options import Name, Version, model_version
from collegium.cli.options import AsJson, Data, Records
from collegium.extras import needs
from collegium.output.console import answer, console, emit

app = typer.Typer()

Beside = Annotated[
    Path | None,
    typer.Option(
        "--beside",
        help="Of a run whose split stands in an index file: the folder with that file.",
    ),
]
To = Annotated[
    Path | None, typer.Option("--to", help="Where the page goes. Default: OUT/redteam/RUN.")
]
StandIn = Annotated[
    bool,
    typer.Option(
        "--stand-in",
        help="Of real hospitals: attack a training of the study on drawn records instead.",
    ),
]
#: The gates that a red team's findings decide.
JUDGED = ("red-team", "extraction")


@app.command()
@needs("silo")
def attack(
    name: Name,
    version: Version,
    out: Records,
    data: Data = None,
    beside: Beside = None,
    to: To = None,
    stand_in: StandIn = False,
    as_json: AsJson = False,
) -> None:
    """Attacks a version: who trained it, what can be extracted.

    Of a simulation its own model is attacked, by the records that it was made with. The figures
    are kept with the run and judged by the model's thresholds.
    """
    from collegium.redteam.run import Places, red_team_run

    run = model_version(out, name, version).snapshot.run
    places = Places(out=out, data=data, beside=beside, to=to, stand_in=stand_in)
    with redirect_stdout(sys.stderr):
        findings = red_team_run(run, places, console())
    found, tell = model_version(out, name, version), answer(as_json)
    for figure in found.attack_figures:
        tell(f"{figure.kind.title}: {figure.text}")
    gates = [gate for gate in found.gates if gate.name in JUDGED]
    for gate in gates:
        tell(f"gate {gate.name} {gate.result}: {gate.said}")
    emit(
        {
            "version": found.snapshot.digest,
            "run": run,
            "contradicted": findings.contradicted,
            "attacks": [one.to_json() for one in found.attack_figures],
            "gates": [vars(gate) for gate in gates],
        },
        as_json,
    )
    if findings.contradicted or any(gate.result == "failed" for gate in gates):
        raise typer.Exit(1)
