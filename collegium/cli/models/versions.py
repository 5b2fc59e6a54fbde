"""``collegium models``: snapshots, the register of versions, who serves which."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collegium.cli.coordinator.persons import As, perform_as
from collegium.cli.options import AsJson, Records
from collegium.output.console import answer, emit, say

if TYPE_CHECKING:
    from compliance.governance.models.serving import Disagreement
    from coordinator.views.several_runs.models import ModelLineView, ModelVersion
    from protocol.transport.serving_statement import ServingStatement

app = typer.Typer(
    help="Released models: signed snapshots, versions and their stages.", no_args_is_help=True
)
Name = Annotated[str, typer.Argument(help="The model's name in the register.")]
Version = Annotated[
    str,
    typer.Argument(help="The beginning of a snapshot's digest, a run's id or a model's digest."),
]
Reason = Annotated[str, typer.Option("--reason", help="Why, in a sentence; it is logged.")]


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
    line = _line(out, name)
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
        tell(f"  DISAGREES  {_disagreement(found)}")
    emit(_line_json(line), as_json)


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
def served(
    name: Name,
    site: Annotated[str, typer.Argument(help="The hospital.")],
    out: Records,
    at: Annotated[
        str, typer.Option("--at", metavar="TIME", help="UTC: 2026-03-03, or with T12:00:00.000Z.")
    ],
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
    if to is not None and found["entry"] is not None:
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
        for one in _line(out, name).disagreements:
            if one.site == told["site"]:
                say(f"DISAGREES  {_disagreement(one)}")
    emit(told, as_json)


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
    say(
        f"run both at {', '.join(told['sites'])}; a hospital whose policy names the parameters "
        "that it takes adds the sha256 to policy.pretrained"
    )
    emit(told, as_json)


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


def _act(
    out: Path,
    as_key: Path | None,
    what: str,
    name: str,
    details: dict[str, Any],
    as_json: bool,
) -> None:
    if "version" in details:
        details = details | {"version": _digest(out, details["version"])}
    if what != "register":
        _line(out, name)  # before anybody is asked to confirm it
    told = perform_as(out, as_key, f"model.{what}", ("model", name), details)
    if not told["waits"]:
        at = f" at {', '.join(told['canary_sites'])}" if told["canary"] == told["version"] else ""
        say(f"{told['stage']:<10} {told['version'][:12]} of {name}{at}")
    emit(told, as_json)


def _digest(out: Path, beginning: str) -> str:
    """Returns the digest of the snapshot that is meant: what is signed and logged is whole."""
    from coordinator.views.views import open_views

    with closing(open_views(out)) as views:
        return views.snapshot(beginning).snapshot.digest


def _line(out: Path, name: str) -> "ModelLineView":
    """Returns a line by its name.

    Raises:
        PolicyRefused: there is none.
    """
    from coordinator.views.views import open_views
    from protocol.errors import PolicyRefused

    with closing(open_views(out)) as views:
        lines = {line.line.name: line for line in views.models()}
    if name not in lines:
        known = ", ".join(lines) or "none"
        raise PolicyRefused(f"there is no model {name!r} in the register; there are: {known}")
    return lines[name]


def _told(one: "ModelVersion") -> str:
    from compliance.facts.formatting import Format, show

    figure = "-" if one.headline is None else show(one.headline, Format.RATIO)
    epsilon = "no privacy" if one.epsilon is None else f"epsilon {one.epsilon:g}"
    snapshot = one.snapshot
    return (
        f"{snapshot.digest[:12]}  {one.stage or '-':<10} {one.study}, run {snapshot.run}, "
        f"{one.figure} {figure}, {epsilon}, signed by {one.signatures} of {len(snapshot.sites)}, "
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


def _disagreement(one: "Disagreement") -> str:
    meant = "none" if one.expected is None else one.expected[:12]
    return (
        f"{one.site} stated {one.stated[:12]} ({one.use}) from {one.since} to {one.until}; it was "
        f"to serve {meant}"
    )


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
