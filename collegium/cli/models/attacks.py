"""``collegium models attack``: a red team on a candidate, and the gates that judge it."""

import sys
from contextlib import closing, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collegium.cli.options import AsJson, Data, Records
from collegium.extras import needs
from collegium.output.console import answer, console, emit

if TYPE_CHECKING:
    from coordinator.views.several_runs.models import ModelVersion

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
    name: Annotated[str, typer.Argument(help="The model's name in the register.")],
    version: Annotated[
        str,
        typer.Argument(
            help="The beginning of a snapshot's digest, a run's id or a model's digest."
        ),
    ],
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

    run = _version(out, name, version).snapshot.run
    places = Places(out=out, data=data, beside=beside, to=to, stand_in=stand_in)
    with redirect_stdout(sys.stderr):
        findings = red_team_run(run, places, console())
    found, tell = _version(out, name, version), answer(as_json)
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


def _version(out: Path, name: str, beginning: str) -> "ModelVersion":
    """Returns a version of a model.

    Raises:
        PolicyRefused: there is no such model, or the version is none of its.
    """
    from coordinator.views.views import open_views
    from protocol.errors import PolicyRefused

    with closing(open_views(out)) as views:
        digest = views.snapshot(beginning).snapshot.digest
        for line in views.models():
            if line.line.name == name:
                for one in line.versions:
                    if one.snapshot.digest == digest:
                        return one
    raise PolicyRefused(
        f"{digest[:12]} is no version of a model {name!r}: register it first (collegium models "
        f"register {name} {digest[:12]})"
    )
