"""``collegium coordinator``: what the people of the consortium's coordinator do.

The answer to a question goes to stdout, as JSON with ``--json``; all else to stderr.
Everything heavy is imported inside the commands, so that help is immediate.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from collegium.cli.coordinator.persons import As, Home, perform_as
from collegium.cli.options import AsJson
from collegium.output.console import answer, emit, say
from protocol.errors import WorkspaceRefused

if TYPE_CHECKING:
    from protocol.identity.roster import SignedRoster

app = typer.Typer(help="Commands of the consortium's coordinator.", no_args_is_help=True)
roster_app = typer.Typer(
    help="The roster of members: proposed here, signed by the hospitals.", no_args_is_help=True
)
app.add_typer(roster_app, name="roster")

#: Where hospitals reach the coordinator unless it says otherwise.
DEFAULT_PORT = 8443

Hosts = Annotated[
    str,
    typer.Option("--host", help="Names or addresses under which hospitals reach it, with commas."),
]
Site = Annotated[str, typer.Argument(metavar="SITE", help="A hospital's name.")]


@app.command()
def init(
    home: Home,
    host: Hosts,
    database: Annotated[
        str | None,
        typer.Option("--database", help="An empty PostgreSQL database. Default: a file in --home."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Makes the coordinator's folder. It holds signing key, root and certificates."""
    from coordinator.alerts.rules import write_default_rules
    from coordinator.membership.directory import make_home
    from protocol.identity.fingerprints import spoken

    authority = make_home(home, _listed(host), database=database)
    write_default_rules(home)
    say(
        f"made       {home}: a certificate authority for {', '.join(authority.hosts)}",
        f"root       {spoken(authority.root_fingerprint)}",
        f"offline    move {authority.root_key_file} to a safe place away from this machine; it is "
        "needed once a year, for collegium coordinator rotate",
        f"next       collegium people found NAME --as KEYFILE --home {home}: without people, acts "
        "are attributed to nobody",
        f"           collegium coordinator invite SITE --home {home}",
    )
    emit(
        {
            "home": str(home),
            "hosts": list(authority.hosts),
            "root_fingerprint": authority.root_fingerprint,
            "root_key": str(authority.root_key_file),
        },
        as_json,
    )


@app.command()
def invite(
    site: Site,
    home: Home,
    to: Annotated[
        Path | None, typer.Option("--to", help="The file to write. Default: SITE.invitation.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", help="Default: the first host of init, the service's port."),
    ] = None,
    enrol_url: Annotated[
        str | None,
        typer.Option("--enrol-url", help="Where it enrols. Default: the port after --url's."),
    ] = None,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Writes an invitation for one hospital: good once, for 72 hours."""
    from coordinator.membership.authority import Authority

    host = Authority.open(home).hosts[0]
    main, enrolling = _ports_of(home)
    if url is None:
        url, enrol_url = _url(host, main), enrol_url or _url(host, enrolling)
    details = {"url": url, "enrol_url": enrol_url}
    with invitation_file(to or Path(f"{site}.invitation")) as (file, handle):
        told = perform_as(home, as_key, "hospital.invite", ("hospital", site), details)
        if not told["waits"]:
            handle.write(told.pop("invitation").encode())
    if not told["waits"]:
        tell_invitation(home, file, told)
    emit(told, as_json)


def tell_invitation(home: Path, file: Path, told: dict[str, Any]) -> None:
    """Says what is to be done with an invitation, and adds to what is told where it lies."""
    from coordinator.membership.authority import Authority
    from protocol.identity.fingerprints import spoken

    fingerprint = Authority.open(home).root_fingerprint
    say(
        f"invitation {file}: {told['site']} may enrol at {told['enrol_url']} once, until "
        f"{told['expires']}",
        "hand over  by a way that you trust; any holder of the file can enrol in its name",
        f"read out   {spoken(fingerprint)}",
        "           by phone, all of it: collegium silo enrol asks the hospital for it",
        "afterwards compare the hospital's identity key (collegium coordinator members), then "
        "collegium coordinator roster propose",
    )
    told |= {"file": str(file), "root_fingerprint": fingerprint}


@app.command()
def revoke(
    site: Site,
    home: Home,
    reason: Annotated[str, typer.Option("--reason", help="Kept in the database, for the audit.")],
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Ends a hospital's certificates, key and invitations. At once: incident contain."""
    told = perform_as(home, as_key, "hospital.revoke", ("hospital", site), {"reason": reason})
    if not told["waits"]:
        say(f"revoked    {site}: the service refuses it from now on")
        if told["in_signed_roster"]:
            say(
                "roster     it is still named there until the others sign one without it: "
                f"collegium coordinator roster propose --home {home}"
            )
    emit(told, as_json)


@app.command()
def members(home: Home, as_json: AsJson = False) -> None:
    """Lists the hospitals: invited, enrolled or revoked; who votes."""
    from coordinator.membership.authority import Authority
    from coordinator.membership.directory import open_members
    from protocol.identity.fingerprints import spoken

    with open_members(home) as register:
        found = register.listing()
    tell = answer(as_json)
    for status in found:
        vote = "no vote yet" if status.roster is None else f"votes in roster {status.roster}"
        if status.state == "revoked":
            vote = "votes no longer: the others sign a roster without it"
        until = status.certificate_until
        held = f"certificate until {until}" if until else "no certificate"
        tell(f"{status.site:<20} {status.state:<9} {vote}; {held}")
        if status.public_key is not None:
            tell(f"  identity key {spoken(status.public_key)}")
    if not found:
        say("nobody was invited yet: collegium coordinator invite SITE")
    authority = Authority.open(home)
    if authority.is_issuing_due:
        say("the issuing certificate ends soon: fetch root.key, then collegium coordinator rotate")
    elif authority.root_key_file.exists():
        say(f"{authority.root_key_file} is still here: move it away from this machine")
    emit([asdict(status) for status in found], as_json)


@app.command()
def hosts(
    home: Home,
    host: Hosts,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Makes the server's certificate for other names or addresses."""
    from coordinator.membership.authority import Authority
    from coordinator.membership.directory import open_members

    authority = Authority.open(home)
    perform_as(home, as_key, "server.certificates", ("server", "hosts"), {"hosts": host})
    authority.serve_as(_listed(host))
    with open_members(home) as register:
        register.record_own_certificates()
    say(f"hosts      {', '.join(authority.hosts)}: restart the service")
    emit({"home": str(home), "hosts": list(authority.hosts)}, as_json)


@app.command()
def rotate(home: Home, as_key: As = None, as_json: AsJson = False) -> None:
    """Makes a new issuing key and certificate. The root's key must be in its place."""
    from coordinator.membership.authority import Authority
    from coordinator.membership.directory import open_members

    authority = Authority.open(home)
    perform_as(home, as_key, "server.certificates", ("server", "issuing"))
    authority.rotate_issuing()
    with open_members(home) as register:
        register.record_own_certificates()
    say(
        "rotated    issuing and server certificate are new; restart the service",
        f"offline    move {authority.root_key_file} away from this machine again",
    )
    emit({"home": str(home), "rotated": True}, as_json)


@roster_app.command("propose")
def roster_propose(
    home: Home,
    renew: Annotated[
        bool, typer.Option("--renew", help="Also when the hospitals are the same: a year longer.")
    ] = False,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Proposes the roster of all enrolled hospitals.

    The members sign it; it is valid for a year.
    """
    from coordinator.membership.directory import open_members

    perform_as(home, as_key, "roster.propose", ("roster", "next"), {"renew": renew})
    with open_members(home) as register:
        current, proposed = register.rosters.current(), register.rosters.proposed()
    _show_roster("proposed", proposed, current)
    emit({"proposed": _described(proposed, current)}, as_json)


@roster_app.command("show")
def roster_show(home: Home, as_json: AsJson = False) -> None:
    """Shows the signed roster and the one that waits for signatures."""
    from coordinator.membership.directory import open_members

    with open_members(home) as register:
        current, proposed = register.rosters.current(), register.rosters.proposed()
    tell = answer(as_json)
    _show_roster("signed", current, None, tell)
    _show_roster("proposed", proposed, current, tell)
    emit({"signed": _described(current, None), "proposed": _described(proposed, current)}, as_json)


def _show_roster(
    title: str,
    signed: "SignedRoster | None",
    before: "SignedRoster | None",
    tell: Callable[..., None] = say,
) -> None:
    from protocol.identity.fingerprints import spoken

    if signed is None:
        tell(f"{title:<10} none")
        return
    roster = signed.roster
    tell(
        f"{title:<10} roster {roster.version}, valid until {roster.valid_until}",
        f"  {'digest':<20} {spoken(roster.digest)}",
        f"  {'coordinator':<20} {spoken(roster.coordinator.public_key)}",
    )
    for member in roster.members:
        tell(f"  {member.site:<20} {spoken(member.public_key)}")
    if title == "proposed":
        voters = roster.sites if before is None else before.roster.sites
        needed = len(roster.sites) if before is None else before.roster.quorum
        tell(
            f"  signed by {len(signed.signatures)}, {needed} must: "
            + ", ".join(f"{site} {'yes' if site in signed.signatures else '-'}" for site in voters)
        )


def _described(signed: "SignedRoster | None", before: "SignedRoster | None") -> Any:
    if signed is None:
        return None
    roster = signed.roster
    return {
        "version": roster.version,
        "digest": roster.digest,
        "valid_until": roster.valid_until,
        "coordinator": asdict(roster.coordinator),
        "members": {member.site: member.public_key for member in roster.members},
        "signed_by": sorted(signed.signatures),
        "needed": len(roster.sites) if before is None else before.roster.quorum,
    }


def _listed(hosts: str) -> list[str]:
    return [name.strip() for name in hosts.split(",") if name.strip()]


def _ports_of(home: Path) -> tuple[int, int]:
    """Returns the running service's ports; where none runs, those of a service by default."""
    from coordinator.runs.admin_socket.asking import ask

    with suppress(WorkspaceRefused):
        if ports := ask(home, "GET", "/status")["ports"]:
            return int(ports[0]), int(ports[1])
    return DEFAULT_PORT, DEFAULT_PORT + 1


def _url(host: str, port: int) -> str:
    return f"https://{f'[{host}]' if ':' in host else host}:{port}"


@contextmanager
def invitation_file(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Yields a new file that its owner alone may read; where nothing is written none is left."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise WorkspaceRefused(f"{path} is there already: remove it, or name another --to") from (
            error
        )
    except OSError as error:
        raise WorkspaceRefused(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield path, file
    finally:
        if not path.stat().st_size:
            path.unlink()
