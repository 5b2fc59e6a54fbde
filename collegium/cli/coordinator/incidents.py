"""``collegium incident``: opened, contained, notified and closed, in earnest or as a drill."""

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from collegium.cli.coordinator.persons import As, Home, perform_as
from collegium.cli.options import AsJson
from collegium.output.console import answer, emit, say

app = typer.Typer(
    help="Incidents and drills: from open to closed.",
    no_args_is_help=True,
)
Number = Annotated[int, typer.Argument(metavar="NUMBER", help="An incident's number.")]
Note = Annotated[str, typer.Option("--note", help="What was done and why; no patient's data.")]
Several = list[str] | None


@app.command("open")
def open_command(
    title: Annotated[str, typer.Argument(metavar="TITLE", help="What happened, in a line.")],
    home: Home,
    kind: Annotated[
        str, typer.Option("--kind", help="Whose playbook: collegium incident playbook lists them.")
    ],
    severity: Annotated[
        str, typer.Option("--severity", help="low, medium, high or critical.")
    ] = "high",
    known: Annotated[
        str | None,
        typer.Option("--known", help="When it became known; the clock runs from it. Default: now."),
    ] = None,
    drill: Annotated[
        bool, typer.Option("--drill", help="It is practised: nothing is paused or revoked.")
    ] = False,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Opens an incident, in earnest or as a drill."""
    details = {"kind": kind, "severity": severity, "known": known, "drill": drill}
    told = perform_as(home, as_key, "incident.open", ("incident", title), details)
    _tell(told, say)
    say(f"next       collegium incident playbook {kind}")
    emit(told, as_json)


@app.command()
def contain(
    number: Number,
    home: Home,
    note: Note,
    pause: Annotated[
        Several, typer.Option("--pause", metavar="RUN", help="Pauses a run; repeatable.")
    ] = None,
    stop: Annotated[
        Several, typer.Option("--stop", metavar="RUN", help="Stops a run; repeatable.")
    ] = None,
    revoke: Annotated[
        Several, typer.Option("--revoke", metavar="SITE", help="Revokes a hospital; repeatable.")
    ] = None,
    suspend: Annotated[
        Several, typer.Option("--suspend", metavar="PERSON", help="Keeps a person from acting.")
    ] = None,
    roll_back: Annotated[
        Several,
        typer.Option("--roll-back", metavar="RUN:ROUND", help="Names the state to go back to."),
    ] = None,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Stops the harm at once. A second person confirms afterwards.

    Exit code 1 where a measure failed: the others were carried out.
    """
    asked = {
        "pause": pause,
        "stop": stop,
        "revoke": revoke,
        "suspend": suspend,
        "roll-back": roll_back,
    }
    details: dict[str, Any] = {name: tuple(value) for name, value in asked.items() if value}
    details["note"] = note
    told = perform_as(home, as_key, "incident.contain", ("incident", str(number)), details)
    measures = told["steps"][-1]["measures"]
    for one in measures:
        say(f"{one['kind']:<10} {one['subject']}: {one['result']}")
    _tell(told, say)
    emit(told, as_json)
    if any(one["result"].startswith("failed") for one in measures):
        raise typer.Exit(1)


@app.command()
def confirm(number: Number, home: Home, as_key: As = None, as_json: AsJson = False) -> None:
    """Confirms, as a second person, what another one contained."""
    told = perform_as(home, as_key, "incident.confirm", ("incident", str(number)))
    _tell(told, say)
    emit(told, as_json)


@app.command()
def notify(
    number: Number,
    home: Home,
    note: Note,
    to: Annotated[
        str, typer.Option("--to", help="Who was told; left out where nobody is, the note says why.")
    ] = "",
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Records who was told, or why nobody is. It sends nothing."""
    details = {"to": to, "note": note}
    told = perform_as(home, as_key, "incident.notify", ("incident", str(number)), details)
    _tell(told, say)
    emit(told, as_json)


@app.command()
def close(
    number: Number, home: Home, note: Note, as_key: As = None, as_json: AsJson = False
) -> None:
    """Closes an incident that was contained, confirmed and notified."""
    told = perform_as(home, as_key, "incident.close", ("incident", str(number)), {"note": note})
    _tell(told, say)
    emit(told, as_json)


@app.command()
def show(number: Number, home: Home, as_json: AsJson = False) -> None:
    """Shows an incident: its steps, and what is left of the clock."""
    from protocol.errors import WorkspaceRefused

    found = [one for one in _incidents(home) if one["number"] == number]
    if not found:
        raise WorkspaceRefused(f"there is no incident {number}: collegium incident list")
    (incident,), tell = found, answer(as_json)
    _tell(incident, tell)
    for step in incident["steps"]:
        _tell_step(step, tell)
    emit(incident, as_json)


@app.command("list")
def list_incidents(
    home: Home,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are closed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Lists the incidents that are not closed."""
    tell = answer(as_json)
    found = [one for one in _incidents(home) if everything or one["state"] != "closed"]
    for incident in found:
        _tell(incident, tell)
    if not found:
        tell("no incident is open")
    emit(found, as_json)


@app.command()
def playbook(
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="A kind of incident.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Shows the steps for a kind of incident, or the kinds."""
    from compliance.governance.incidents.playbooks import PLAYBOOKS
    from protocol.errors import PolicyRefused

    tell = answer(as_json)
    if kind is None:
        for name, one in PLAYBOOKS.items():
            tell(f"{name:<22} {one.title}")
        emit({name: one.title for name, one in PLAYBOOKS.items()}, as_json)
        return
    if kind not in PLAYBOOKS:
        raise PolicyRefused(f"there is no kind {kind!r}: the kinds are {', '.join(PLAYBOOKS)}")
    tell(PLAYBOOKS[kind].title)
    for place, step in enumerate(PLAYBOOKS[kind].steps, start=1):
        tell(f"{place}. {step.what}" + (f"\n     {step.command}" if step.command else ""))
    steps = [{"what": step.what, "command": step.command} for step in PLAYBOOKS[kind].steps]
    emit({"kind": kind, "title": PLAYBOOKS[kind].title, "steps": steps}, as_json)


def incident_text(incident: dict[str, Any]) -> str:
    """Returns an incident in a line: number, state, title, and what is left of the clock."""
    from compliance.governance.incidents.course import clock_text

    drill = " DRILL" if incident["drill"] else ""
    text = f"{incident['number']}{drill}, {incident['severity']}, {incident['state']}: "
    text += f"{incident['title']}; "
    text += clock_text(incident["hours_left"], incident["due_at"])
    return text + ("; containment UNCONFIRMED" if incident["unconfirmed"] else "")


def _tell(incident: dict[str, Any], tell: Any) -> None:
    tell(f"incident   {incident_text(incident)}")


def _tell_step(step: dict[str, Any], tell: Any) -> None:
    who = f"{step['person']} ({step['role']})" if step["person"] else "attributed to NOBODY"
    told = f" to {step['told']}" if step["told"] else ""
    tell(f"{step['at'][:19]}  {step['step']}{told}  {who}")
    if step["note"]:
        tell(f"           {step['note']}")
    for one in step["measures"]:
        tell(f"           {one['kind']} {one['subject']}: {one['result']}")
    if step["confirmed_by"]:
        tell(f"           confirmed by {step['confirmed_by']}, {step['confirmed_at'][:19]}")
    elif step["confirm_by"]:
        tell(f"           UNCONFIRMED: another person confirms by {step['confirm_by'][:16]}Z")


def _incidents(home: Path) -> list[dict[str, Any]]:
    from compliance.storage.clock import utc_now
    from coordinator.views.governance import incidents_json
    from coordinator.views.views import open_views

    with closing(open_views(home)) as views:
        return incidents_json(views.governance().incidents, utc_now())
