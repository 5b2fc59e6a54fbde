"""``collegium silo enrol|start|stop``: the hospital's line to the consortium."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from collegium.cli.options import AsJson
from collegium.cli.silo.options import Home
from collegium.output.console import ask, emit, say

app = typer.Typer()


@app.command()
def enrol(
    invitation: Annotated[
        Path, typer.Argument(metavar="INVITATION", help="The file that the coordinator gave.")
    ],
    home: Home,
    root: Annotated[
        str | None,
        typer.Option("--root", help="The root's whole fingerprint, as it was read out to you."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Accepts an invitation, after its root was compared. A certificate comes back, keys stay."""
    from protocol.identity.consortium_root import coordinator_of
    from protocol.identity.fingerprints import spoken
    from silos.config.credentials import read_invitation
    from silos.config.directory import opened
    from silos.database.identity_keys import IdentityKeys
    from silos.network.enrolment import enrol as accept

    read = read_invitation(invitation)
    coordinator = coordinator_of(read.root)
    say(
        f"invitation {read.site} may enrol at {read.enrol_url} until {read.expires}",
        f"root       {spoken(str(coordinator.root))}",
        "           the coordinator's people read it out to you by phone; it covers the "
        "coordinator's signing key, too",
    )
    compared = root or ask("type the root's fingerprint as you heard it; nothing was sent yet")
    with opened(home) as (_, hospital):
        credentials = accept(home, hospital, read, root=compared)
        public = IdentityKeys(hospital).own.public.hex()
    said = {
        "site": read.site,
        "root": coordinator.root,
        "coordinator": coordinator.public_key,
        "identity": public,
        "certificate_until": credentials.expires.isoformat(),
    }
    say(
        f"enrolled   {read.site} with {read.url}",
        f"identity   {spoken(public)}",
        "next       when the roster is proposed:",
        f"           collegium silo roster compare --home {home}",
        f"           collegium silo roster sign --home {home}",
    )
    emit(said, as_json)


@app.command()
def start(
    home: Home,
    test_noise: Annotated[
        bool,
        typer.Option("--test-noise", help="Fixed noise of a simulated hospital: protects nobody."),
    ] = False,
    metrics_port: Annotated[
        int | None,
        typer.Option("--metrics-port", help="Shows counts to Prometheus on 127.0.0.1."),
    ] = None,
) -> None:
    """Takes part in the studies approved here, until stopped."""
    from collegium.output.telemetry.metrics_page import metrics_shown
    from collegium.output.telemetry.tracing import traced
    from silos.network.metrics import SiloMetrics
    from silos.network.process import hospital_process

    metrics = SiloMetrics(home)
    with (
        traced("collegium-silo") as tracing,
        metrics_shown(metrics.registry, metrics_port),
        hospital_process(
            home, test_noise=test_noise, tracing=tracing, metrics=metrics
        ) as supervisor,
    ):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: supervisor.interrupt())
        say(f"started    {supervisor.site}, asking {supervisor.url}; its log: {home}/silo.log")
        supervisor.run()
    say("stopped")


@app.command()
def stop(home: Home) -> None:
    """Ends the supervisor of this hospital: the kill switch. What was sent stays paid."""
    from silos.network.process import end_process

    if end_process(home):
        say("stopped    the supervisor has ended; collegium silo start begins again")
    else:
        say("stopped    no supervisor is at work here")
