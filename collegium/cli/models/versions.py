"""``collegium models``: snapshots and the register of versions, listed, shown and compared."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collegium.cli.models.options import Name, Version, disagreement_text, model_line
from collegium.cli.options import AsJson, Records
from collegium.output.console import answer, emit

if TYPE_CHECKING:
    from coordinator.views.several_runs.models import ModelLineView, ModelVersion
    from protocol.transport.serving_statement import ServingStatement

app = typer.Typer(
    help="Released models: signed snapshots, versions and their stages.", no_args_is_help=True
)


@app.command("list")
def models_list(out: Records, as_json: AsJson = False) -> None:
    """Lists models with their versions, and snapshots in none."""
    from coordinator.views.views import open_views

    with closing(open_views(out)) as views:
        lines, snapshots = views.models(), views.snapshots()
    registered = {one.snapshot.digest for line in lines for one in line.versions}
    others = [one for one in snapshots if one.snapshot.digest not in registered]
    tell = answer(as_json)
    for line in lines:
        tell(line.line.name)
        for one in line.versions:
            tell(f"  {_told(one)}")
    if others:
        tell("in no model yet (collegium models register NAME SNAPSHOT)")
    for one in others:
        tell(f"  {_told(one)}")
    if not lines and not others:
        tell("no signed snapshot: a run that ends with a model makes one")
    emit(
        {
            "models": [_line_json(line) for line in lines],
            "snapshots": [_version_json(one) for one in others],
        },
        as_json,
    )


@app.command("show")
def models_show(name: Name, out: Records, as_json: AsJson = False) -> None:
    """Shows a model: thresholds, versions with gates, history."""
    line = model_line(out, name)
    tell = answer(as_json)
    rules = line.rules
    asked = "asked for" if rules.red_team else "not asked for"
    tried = "asked for" if rules.canary_evaluation else "not asked for"
    tell(
        f"{name}: least {_number(rules.least)}, margin {rules.margin:g}, largest gap "
        f"{_number(rules.largest_gap)}, red team {asked}, largest advantage "
        f"{rules.largest_advantage:g}, largest exposure {rules.largest_exposure:g} bits, canary's "
        f"evaluation {tried}"
    )
    for one in line.versions:
        tell(f"  {_told(one)}")
        for figure in one.attack_figures:
            tell(f"      {figure.kind.title}: {figure.text}")
        for gate in one.gates:
            tell(f"      {gate.result:<7}{gate.name}: {gate.said}")
    for event in line.line.events:
        by = event.by or ("the coordinator, by its rule" if event.is_by_rule else "NOBODY")
        at = f" at {', '.join(event.sites)}" if event.sites else ""
        alias = f" {event.alias}" if event.alias else ""
        why = f": {' '.join(event.reason.split())}" if event.reason else ""
        tell(f"  {event.time}  {event.kind}{alias} {event.version[:12]}{at}, {by}{why}")
    for said in line.statements:
        if line.stated_by(said.site) is said:
            tell(f"  {said.site} stated what it served from {said.since} to {said.until}")
    for found in line.disagreements:
        tell(f"  DISAGREES  {disagreement_text(found)}")
    emit(_line_json(line), as_json)


@app.command()
def diff(
    first: Version,
    second: Annotated[str, typer.Argument(help="The other.")],
    out: Records,
    as_json: AsJson = False,
) -> None:
    """Says in what two snapshots differ, and their parameters."""
    from collegium.models.difference import difference_of

    found = difference_of(out, first, second)
    tell = answer(as_json)
    for fact, (one, other) in found["facts"].items():
        tell(f"{fact:<28} {one}  ->  {other}")
    if found["parameters"] is not None:
        for layer, distance in found["parameters"].items():
            tell(f"{layer:<28} moved by {distance:.4g} of its norm")
    if not found["facts"]:
        tell("they are the same but for run and time")
    emit(found, as_json)


def _told(one: "ModelVersion") -> str:
    from compliance.facts.formatting import Format, show

    figure = "-" if one.headline is None else show(one.headline, Format.RATIO)
    paid = "no privacy" if one.epsilon is None else f"epsilon {show(one.epsilon, Format.EPSILON)}"
    snapshot = one.snapshot
    return (
        f"{snapshot.digest[:12]}  {one.stage or '-':<10} {one.study}, run {snapshot.run}, "
        f"{one.figure} {figure}, {paid}, signed by {one.signatures} of {len(snapshot.sites)}, "
        f"{_attacked(one)}"
    )


def _attacked(one: "ModelVersion") -> str:
    """Returns in few words what attacks found; that none was made, where that is so."""
    if not one.attacks:
        return "not attacked"
    if any(attack.contradicted for attack in one.attacks):
        return "CONTRADICTED by a red team"
    measured = [
        f"{figure.kind.name} {figure.found.value:.2f}"
        for figure in one.attack_figures
        if figure.found is not None and figure.found.value is not None
    ]
    return f"attacked ({', '.join(measured) or 'no figure'})"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


def _line_json(line: "ModelLineView") -> dict[str, Any]:
    state = line.line.state
    return {
        "name": line.line.name,
        "rules": line.rules.to_json(),
        "production": state.production,
        "canary": state.canary,
        "canary_sites": list(state.canary_sites),
        "aliases": dict(state.aliases),
        "versions": [_version_json(one) for one in line.versions],
        "history": [vars(event) for event in line.line.events],
        "statements": [_statement_json(said) for said in line.statements],
        "disagreements": [vars(one) for one in line.disagreements],
    }


def _statement_json(said: "ServingStatement") -> dict[str, Any]:
    from protocol.codec import to_json

    return to_json(said) | {"statement": said.digest}


def _version_json(one: "ModelVersion") -> dict[str, Any]:
    from dataclasses import asdict

    snapshot = one.snapshot
    return {
        "snapshot": snapshot.digest,
        "run": snapshot.run,
        "model": snapshot.model,
        "study": one.study,
        "stage": one.stage,
        "signatures": one.signatures,
        "quorum": snapshot.quorum,
        "figure": one.figure,
        "headline": None if one.headline is None else asdict(one.headline),
        "epsilon": one.epsilon,
        "licence": snapshot.licence,
        "permitted_use": snapshot.permitted_use,
        "created": snapshot.created,
        "gates": [asdict(gate) for gate in one.gates],
        "attacks": [figure.to_json() for figure in one.attack_figures],
        "attacked_by_stand_in": any(attack.stand_in for attack in one.attacks),
    }
