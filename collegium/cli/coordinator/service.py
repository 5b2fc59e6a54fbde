"""``collegium coordinator start|run|pause|resume|stop|status``: the service and its steering."""

import logging
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from collegium.cli.coordinator.incidents import incident_text
from collegium.cli.coordinator.members import DEFAULT_PORT
from collegium.cli.coordinator.persons import As, Home, perform_as
from collegium.cli.options import AsJson
from collegium.output.console import answer, emit, say
from protocol.counted import counted

app = typer.Typer()
#: Seconds between two looks at the server's certificate and at what was logged between runs.
_MAINTENANCE_SECONDS = 600.0
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's name.")]


@app.command()
def start(
    home: Home,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "0.0.0.0",  # noqa: S104  (a service)
    port: Annotated[int, typer.Option("--port", help="The port to listen on.")] = DEFAULT_PORT,
    enrol_port: Annotated[
        int | None,
        typer.Option(
            "--enrol-port",
            help="Where hospitals enrol while an invitation is open. Default: the port after it.",
        ),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option("--metrics-port", help="Shows counts to Prometheus on 127.0.0.1."),
    ] = None,
    join_seconds: Annotated[
        float, typer.Option("--join-seconds", help="How long a run waits for its hospitals.")
    ] = 24 * 3600.0,
    step_seconds: Annotated[
        float, typer.Option("--step-seconds", help="How long one step of a round may take.")
    ] = 600.0,
    patience_hours: Annotated[
        float,
        typer.Option(
            "--patience-hours",
            help="How long a run waits without progress for enough hospitals to be back.",
        ),
    ] = 336.0,
    witnesses: Annotated[
        Path | None,
        typer.Option(
            "--witnesses",
            metavar="POLICY",
            help="Witnesses outside the consortium that cosign the log: a tlog-policy file.",
        ),
    ] = None,
) -> None:
    """Serves the hospitals until stopped. It takes up the runs that were under way."""
    from collegium.output.telemetry.alert_metrics import show_facts
    from collegium.output.telemetry.metrics_page import metrics_shown
    from collegium.output.telemetry.tracing import traced
    from coordinator.alerts.gathering import Heard
    from coordinator.alerts.rules import rules_of
    from coordinator.alerts.watch import AlertWatch
    from coordinator.runs.admin_socket.answering import controlling
    from coordinator.runs.resources import RunTimeouts
    from coordinator.runs.service import Service

    rules_of(home)  # a file that is wrong is told before anything begins
    _log_to_stderr()
    patience = 3600 * patience_hours
    timeouts = RunTimeouts(joining=join_seconds, step=step_seconds, patience=patience)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with ExitStack() as stack:
        tracing = stack.enter_context(traced("collegium-coordinator"))
        service = Service(
            home,
            timeouts,
            progressed=lambda: watch.wake(),
            witnesses=witnesses,
            tracing=tracing,
        )
        watch = AlertWatch(
            home,
            lambda: Heard(began=service.began, last_seen=service.last_seen),
            looked=partial(show_facts, service.metrics),
        )
        stack.enter_context(controlling(service, home))
        bound = stack.enter_context(service.serving(host, port, enrol_port))
        stack.enter_context(metrics_shown(service.counts, metrics_port))
        stack.enter_context(closing(watch))
        stack.enter_context(watch.at_work())
        say(f"serving    https://{host}:{bound}  (Ctrl-C ends it; runs go on at the next start)")
        for run_id in service.resume_runs():
            say(f"taken up   run {run_id}")
        while not ended.wait(_MAINTENANCE_SECONDS):
            service.renew()
            service.cosign_newest()
    say("ended")


@app.command("run")
def run(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="A registered study: its name or digest.")
    ],
    home: Home,
    wait: Annotated[bool, typer.Option("--wait", help="Waits for the run's end.")] = False,
    test_noise: Annotated[
        bool, typer.Option("--test-noise", help="Simulated hospitals use fixed noise: a test.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Although a run of this study is under way.")
    ] = False,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Begins a run of a registered study.

    The hospitals join as they approve it.

    With --wait the exit code is 1 where the run does not reach its end.
    """
    from coordinator.runs.admin_socket.asking import require_service

    require_service(home)
    subject = ("study", whole_digest(home, study))
    details = {"test_noise": test_noise, "again": again}
    begun = perform_as(home, as_key, "run.start", subject, details)
    if begun["waits"]:
        emit(begun, as_json)
        return
    say(f"begun      run {begun['run_id']}")
    if not wait:
        emit(begun, as_json)
        return
    from collegium.cli.coordinator.waiting import waited_for, waiting_text

    ended = waited_for(home, begun["run_id"])
    say(waiting_text(ended, home))
    released = ended.released and asdict(ended.released)
    emit(begun | {"state": ended.state, f"{ended.figure.name}_released": released}, as_json)
    if ended.state != "finished":
        raise typer.Exit(1)


@app.command()
def pause(name: Run, home: Home, as_key: As = None) -> None:
    """Lets a run's present round end, and waits then."""
    _steer(home, as_key, name, "pause")


@app.command()
def resume(name: Run, home: Home, as_key: As = None) -> None:
    """Goes on with a run that was paused."""
    _steer(home, as_key, name, "resume")


@app.command()
def stop(name: Run, home: Home, as_key: As = None) -> None:
    """Ends a run now, whatever it is doing. Hospitals settle what was sent."""
    _steer(home, as_key, name, "stop")


@app.command()
def status(home: Home, as_json: AsJson = False) -> None:
    """Shows what the service does, and when hospitals were last seen."""
    from coordinator.runs.admin_socket.asking import ask

    found, tell = ask(home, "GET", "/status"), answer(as_json)
    for told in found["runs"]:
        _tell_run(told, tell)
    if not found["runs"]:
        tell("run        none at work")
    for site, seen in sorted(found["last_seen"].items()):
        tell(f"hospital   {site}  heard from {max(0.0, found['time'] - seen):.0f} s ago")
    tell(f"roster     {_roster(found['roster'], home)}")
    for one in found["cosigners"]:
        when = datetime.fromtimestamp(one["time"], UTC)
        tell(f"cosigner   {one['name']}  {one['size']} entries, {when:%Y-%m-%d %H:%M} UTC")
    _tell_governance(found["governance"], tell)
    emit(found, as_json)


def _tell_governance(found: Mapping[str, Any], tell: Callable[..., None]) -> None:
    """Says whether acts have a person, what waits for a second one, and what incidents are open."""
    if "blocked_reason" in found:
        tell(f"people     cannot be read: {found['blocked_reason']}")
        return
    if not found["governed"]:
        tell("people     acts are attributed to NOBODY: collegium people found")
    for change in found["changes"]:
        tell(
            f"change     {change['number']}, proposed by {change['proposed_by']}, waits for a "
            f"second person until {change['expires'][:16]}Z"
        )
    for incident in found["incidents"]:
        tell(f"incident   {incident_text(incident)}")


def _roster(found: dict[str, Any] | None, home: Path) -> str:
    if found is None:
        return "none is signed yet: collegium coordinator roster propose"
    if "blocked_reason" in found:
        return f"cannot be read: {found['blocked_reason']}"
    days = counted(found["days_left"], "day")
    said = f"{found['version']}, valid until {found['valid_until'][:10]}, {days}"
    if not found["is_due"]:
        return said
    return (
        f"{said}: RENEW IT: collegium coordinator roster propose --renew --home {home}, and every "
        "hospital signs"
    )


def _tell_run(told: Mapping[str, Any], tell: Callable[..., None]) -> None:
    """Says how far a run is, whom it waits for, and who is left out because it is silent."""
    number, rounds = told["round"], told["rounds"]
    place = "evaluation" if number > rounds else f"round {number} of {rounds}"
    place, left = told.get("at") or place, told["seconds_left"]
    about = "" if left is None else f", about {duration(left)} left"
    tell(f"run        {told['run_id']}  {told['study']}  {told['state']}: {place}{about}")
    if told["missing"]:
        tell(f"           not joined: {', '.join(told['missing'])}")
    for site, since in sorted(told["silent"].items()):
        tell(f"           left out: {site}, not heard from {f'since {since}' if since else 'yet'}")
    if told["waits_for"]:
        tell(f"           waits: {told['waits_for']}")


def duration(seconds: float) -> str:
    """Returns a length of time in words, to two figures at most.

    >>> duration(42.3), duration(600), duration(90_000)
    ('42 s', '10 min', '25 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _steer(home: Path, as_key: Path | None, name: str, what: str) -> None:
    from coordinator.runs.admin_socket.asking import require_service

    require_service(home)
    told = perform_as(home, as_key, f"run.{what}", ("run", name))
    if not told["waits"]:
        say(f"{what:10} run {name}")


def whole_digest(home: Path, beginning: str) -> str:
    """Returns the digest of the one registered study whose name or digest begins so.

    Raises:
        PolicyRefused: none does, or several.
    """
    from coordinator.views.views import open_views

    with closing(open_views(home)) as views:
        return views.study_digest(beginning)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("collegium")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
