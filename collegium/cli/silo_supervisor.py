"""``collegium silo enrol|start|stop``: the hospital's line to the consortium."""

import json
import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Annotated, Any

import typer

from collegium.output.console import ask, emit, say
from protocol.errors import PolicyRefused, WorkspaceRefused

app = typer.Typer()
Home = Annotated[Path, typer.Option("--home", help="The hospital's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]
_LOG_BYTES = 10 << 20


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
    with _hospital(home) as hospital:
        credentials = accept(home, hospital, read, root=compared)
        public = _public_key(hospital)
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
) -> None:
    """Takes part in the studies approved here, until stopped."""
    from silos.config.coordinator_identity import require_coordinator
    from silos.config.credentials import Credentials
    from silos.config.directory import alone
    from silos.config.site_file import source_path
    from silos.config.study_authorization import Consent
    from silos.isolation.confinement import leave_no_core
    from silos.isolation.remote_trainer import RemoteTrainer, machine_of
    from silos.network.supervisor import Settings, Supervisor
    from silos.operations.attestation import own_evidence
    from silos.rounds.silo import Silo

    leave_no_core()
    with alone(home), _hospital(home) as hospital:
        if test_noise and not hospital.simulated:
            raise PolicyRefused("--test-noise protects nobody: a real hospital does not use it")
        _log_at_home(home / "silo.log")
        consent = Consent(home, hospital)
        site = consent.site_file()
        if site.coordinator is None:
            raise PolicyRefused("site.yaml: coordinator is missing: write its address there")
        silo = Silo(
            hospital.site,
            home,
            partial(RemoteTrainer, machine_of(home, site.resources)),
            simulated=hospital.simulated,
            hospital=hospital,
            consent=consent,
        )
        credentials = Credentials(home / "tls", hospital.site)
        supervisor = Supervisor(
            home,
            hospital,
            silo,
            credentials,
            coordinator_public=require_coordinator(credentials.coordinator, hospital).key,
            url=site.coordinator,
            settings=Settings(
                source=source_path(site, home),
                dialect=lambda: consent.site_file().dialect,
                stated=lambda: consent.site_file().stated,
                fixed_noise=test_noise,
                attestation=lambda: consent.site_file().policy.attestation,
                evidence=partial(own_evidence, home),
            ),
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: supervisor.interrupt())
        say(f"started    {hospital.site}, asking {site.coordinator}; its log: {home}/silo.log")
        supervisor.run()
    say("stopped")


@app.command()
def stop(home: Home) -> None:
    """Ends the supervisor of this hospital: the kill switch. What was sent stays paid."""
    from silos.config.directory import is_at_work

    status = home / "status.json"
    try:
        number = int(json.loads(status.read_text(encoding="utf-8"))["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        number = 0
    if not number or not is_at_work(home):
        say("stopped    no supervisor is at work here")
        return
    os.kill(number, signal.SIGTERM)
    end = time.monotonic() + 60
    while is_at_work(home):
        if time.monotonic() > end:
            raise WorkspaceRefused(f"the supervisor (process {number}) does not end: kill it")
        time.sleep(0.1)
    say("stopped    the supervisor has ended; collegium silo start begins again")


@contextmanager
def _hospital(home: Path) -> Iterator[Any]:
    """Yields the hospital that lives in the home."""
    from silos.operations.site import opened

    with opened(home) as (_, hospital):
        yield hospital


def _public_key(hospital: Any) -> str:
    from protocol.identity.roster import SigningKey

    return SigningKey.from_bytes(hospital.identity_key).public.hex()


def _log_at_home(path: Path) -> None:
    form = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    logger = logging.getLogger("collegium.silo")
    logger.setLevel(logging.INFO)
    kept = RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=5, encoding="utf-8")
    for handler in (kept, logging.StreamHandler()):
        handler.setFormatter(form)
        logger.addHandler(handler)
