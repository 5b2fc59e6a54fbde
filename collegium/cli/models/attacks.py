"""``collegium models attack``: a red team on a candidate, and the gates that judge it."""

import sys
from contextlib import redirect_stdout

import typer

from collegium.cli.models.options import Name, Version, model_version
from collegium.cli.options import AsJson, BesideIndex, Data, PageTo, Records, StandIn
from collegium.extras import needs
from collegium.output.console import answer, console, emit

app = typer.Typer()

#: The gates that a red team's findings decide.
JUDGED = ("red-team", "extraction")


@app.command()
@needs("silo")
def attack(
    name: Name,
    version: Version,
    out: Records,
    data: Data = None,
    beside: BesideIndex = None,
    to: PageTo = None,
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
