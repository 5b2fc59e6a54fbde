"""``collegium alerts``: what needs a person's eye, and who has taken note of it."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collegium.cli.coordinator.persons import As, perform_as
from collegium.cli.options import AsJson
from collegium.extras import require_extra
from collegium.output.console import answer, emit, say
from protocol.counted import counted

if TYPE_CHECKING:
    from coordinator.alerts.gathering import Heard
    from coordinator.views.alerts import Alert

app = typer.Typer(help="What needs a person's eye, by rules in a file.", no_args_is_help=True)

#: What ``check`` and ``list`` end with while an alert is open that nobody acknowledged.
UNACKNOWLEDGED = 3

Folder = Annotated[
    Path,
    typer.Option(
        "--home", "--out", help="The folder that holds the runs: a coordinator's, a simulation's."
    ),
]
Number = Annotated[int, typer.Argument(metavar="NUMBER", help="An alert's number.")]


@app.command()
def check(home: Folder, as_json: AsJson = False) -> None:
    """Looks now. It verifies the records, and tries again what was not delivered.

    Exit codes: 0 every open alert is acknowledged; 3 one is not; 2 something has to be mended
    first, and the message says what.
    """
    from coordinator.alerts.rules import rules_of
    from coordinator.alerts.watch import AlertWatch

    if rules_of(home).webhooks:
        require_extra("coordinator")
    with closing(AlertWatch(home, heard=lambda: _heard(home))) as watch:
        look = watch.look(by_hand=True)
    failed = look.delivered.failed
    say(
        f"raised     {counted(len(look.raised), 'alert')}, closed {len(look.closed)}",
        f"delivered  {counted(look.delivered.sent, 'message')}"
        + (f"; {counted(failed, 'receiver')} failed" if failed else ""),
    )
    if look.unknown:
        say(f"not judged {', '.join(look.unknown)}: nothing is known about it here, now")
    found = _alerts(home)
    _tell(found, as_json)
    emit(
        {
            "raised": list(look.raised),
            "closed": list(look.closed),
            "not_judged": list(look.unknown),
            "delivered": look.delivered.sent,
            "receivers_failed": failed,
            "open": [alert.to_json() for alert in found],
        },
        as_json,
    )
    _end(found)


@app.command("list")
def list_alerts(
    home: Folder,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those whose cause has ended.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Lists the open alerts and who acknowledged them. It does not look again.

    Exit codes: as those of check.
    """
    found = _alerts(home, closed=everything)
    _tell(found, as_json)
    emit([alert.to_json() for alert in found], as_json)
    _end(found)


@app.command()
def show(number: Number, home: Folder, as_json: AsJson = False) -> None:
    """Shows one alert. Also what was sent about it, to whom, and whether it arrived."""
    found = _one(home, number)
    tell, cause = answer(as_json), found.cause
    tell(
        f"alert      {found.number}, {found.severity}, {found.state}", f"           {cause['text']}"
    )
    tell(f"what to do {cause['remedy']}")
    tell(f"rule       {cause['rule']} ({cause['kind']})")
    if found.run is not None:
        tell(f"run        {found.run}")
    if cause["released"] is not None:
        tell(f"released   {_released(cause['released'])}")
    if cause["threshold"] is not None:
        tell(f"threshold  {cause['threshold']:.3g}")
    tell(f"raised     {found.raised_at}")
    if found.closed_at is not None:
        tell(f"closed     {found.closed_at}")
    if found.acknowledged_by is not None:
        tell(f"taken note {found.acknowledged_by}, {found.acknowledged_at}")
        if found.note:
            tell(f"           {found.note}")
    for message in found.messages:
        why = f": {message.failure}" if message.failure else ""
        tell(
            f"message    {message.event} to {message.webhook}, {message.state} after "
            f"{counted(message.attempts, 'attempt')}{why}"
        )
    emit(found.to_json(), as_json)


@app.command()
def acknowledge(
    number: Number,
    home: Folder,
    by: Annotated[
        str, typer.Option("--by", help="The person who has taken note of it; with --as that one.")
    ] = "",
    note: Annotated[str, typer.Option("--note", help="What they say about it.")] = "",
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Keeps who has taken note of an alert. It closes when its cause ends."""
    details = {"note": note, "by": by or None}
    perform_as(home, as_key, "alert.acknowledge", ("alert", str(number)), details)
    found = _one(home, number)
    say(f"taken note {found.acknowledged_by}: alert {number}")
    emit(found.to_json(), as_json)


@app.command()
def rules(
    home: Annotated[
        Path | None,
        typer.Option("--home", "--out", help="A folder, whose rules are checked and shown."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Checks and shows the rules of a folder. Without one, those by default."""
    from coordinator.alerts.default_rules import DEFAULT_RULES
    from coordinator.alerts.rules import read_rules, rules_of, rules_text

    text = DEFAULT_RULES if home is None else rules_text(home)
    found = read_rules(text) if home is None else rules_of(home)
    answer(as_json)(text.rstrip("\n"))
    emit(
        found.model_dump(mode="json", exclude={"webhooks"})
        | {
            "webhooks": sorted(found.webhooks),  # an address may hold a secret
        },
        as_json,
    )


def _alerts(home: Path, *, closed: bool = False) -> "tuple[Alert, ...]":
    from coordinator.views.views import open_views

    with closing(open_views(home)) as views:
        return views.alerts(closed=closed)


def _one(home: Path, number: int) -> "Alert":
    from coordinator.views.views import open_views

    with closing(open_views(home)) as views:
        return views.alert(number)


def _heard(home: Path) -> "Heard | None":
    """Returns what the running service knows of the hospitals; None where none runs."""
    from coordinator.membership.directory import is_coordinator

    if not is_coordinator(home):
        return None
    from coordinator.alerts.gathering import Heard
    from coordinator.runs.admin_socket.asking import ask
    from protocol.errors import WorkspaceRefused

    try:
        status = ask(home, "GET", "/status")
    except WorkspaceRefused:
        return None
    return Heard(began=status["began"], last_seen=status["last_seen"])


def _tell(found: "tuple[Alert, ...]", as_json: bool) -> None:
    tell = answer(as_json)
    for alert in found:
        tell(
            f"{alert.number:>5}  {alert.severity:<8} {alert.raised_at[:16]}  {alert.cause['text']}"
        )
        if alert.acknowledged_by is not None:
            tell(f"       taken note of by {alert.acknowledged_by}, {alert.acknowledged_at}")
        if alert.closed_at is not None:
            tell(f"       closed {alert.closed_at}")
        for message in alert.unsent:
            why = message.failure or "not tried yet"
            tell(f"       not delivered to {message.webhook}: {why}")
    if not found:
        tell("no alert is open")


def _released(found: dict[str, float | None]) -> str:
    if found["low"] is None or found["high"] is None:
        return f"{found['value']:.3g}"
    return f"{found['value']:.3f}, 95 %: {found['low']:.3f} to {found['high']:.3f}"


def _end(found: "tuple[Alert, ...]") -> None:
    if any(alert.state == "open" for alert in found):
        raise typer.Exit(UNACKNOWLEDGED)
