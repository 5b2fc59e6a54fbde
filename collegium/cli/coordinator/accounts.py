"""``collegium people account``: accounts of the dashboard, a person's own key under a password.

The password is asked for, never shown, and kept nowhere; a script names a file that holds it.
"""

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from collegium.cli.coordinator.persons import As, Home, perform_as, read_key_file
from collegium.cli.options import AsJson
from collegium.output.console import answer, emit, say
from protocol.errors import PolicyRefused, WorkspaceRefused

app = typer.Typer(
    help="Accounts of the dashboard: your own key, under a password.", no_args_is_help=True
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="A person's name.")]


@app.command("set")
def set_account(
    home: Home,
    as_key: As = None,
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", help="Its first line is the password; for scripts."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sets your account: a password and a secret for one-time codes."""
    from compliance.governance.access.one_time_codes import provisioning_uri, typed_secret
    from coordinator.runs.sign_in import ISSUER, new_account

    if as_key is None:
        raise PolicyRefused("an account seals your own key: --as KEYFILE")
    key = read_key_file(as_key)
    name, secret = new_account(home, key, _new_password(password_file))
    uri = provisioning_uri(secret, name, ISSUER)
    say(
        f"set        the account of {name}: name, password and a code open the dashboard",
        f"secret     {typed_secret(secret)}",
        f"uri        {uri}",
        "next       give either to an authenticator application now: neither is shown again",
    )
    emit({"person": name, "uri": uri}, as_json)


@app.command("remove")
def remove_account(name: Name, home: Home, as_key: As = None, as_json: AsJson = False) -> None:
    """Removes an account: your own, or as administrator anybody's."""
    told = perform_as(home, as_key, "account.remove", ("person", name))
    say(f"removed    the account of {name}")
    emit(told, as_json)


@app.command("unlock")
def unlock_account(name: Name, home: Home, as_key: As = None, as_json: AsJson = False) -> None:
    """Lets an account try again that waits after failed logins."""
    told = perform_as(home, as_key, "account.unlock", ("person", name))
    say(f"unlocked   the account of {name}")
    emit(told, as_json)


@app.command("link")
def link_identity(
    name: Name,
    home: Home,
    issuer: Annotated[
        str, typer.Option("--issuer", metavar="URL", help="As the provider writes it.")
    ],
    subject: Annotated[
        str, typer.Option("--subject", help="The person's subject there; no address of mail.")
    ],
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Proposes that a person logs in at a provider, to look. Another confirms."""
    from compliance.governance.access.linked_identity import LinkedIdentity
    from coordinator.runs.person_acts import governance_of

    identity = LinkedIdentity(issuer=issuer, subject=subject)
    known = {str(one["name"]): str(one["public_key"]) for one in governance_of(home)["people"]}
    if name not in known:
        raise PolicyRefused(f"there is no {name!r}: collegium people list")
    details = {"issuer": identity.issuer, "subject": identity.subject, "key": known[name]}
    emit(perform_as(home, as_key, "account.link", ("person", name), details), as_json)


@app.command("unlink")
def unlink_identity(name: Name, home: Home, as_key: As = None, as_json: AsJson = False) -> None:
    """Ends a person's logins at a provider, at once."""
    told = perform_as(home, as_key, "account.unlink", ("person", name))
    say(f"unlinked   {name} logs in at no provider any more")
    emit(told, as_json)


@app.command("links")
def list_links(home: Home, as_json: AsJson = False) -> None:
    """Lists who logs in at a provider of OpenID Connect."""
    from coordinator.runs.sign_in import links_of

    found, tell = links_of(home), answer(as_json)
    for one in found:
        tell(f"{one.person:<28} {one.subject} at {one.issuer}, since {one.since[:10]}")
    if not found:
        tell("nobody logs in at a provider")
    emit([one.to_json() for one in found], as_json)


@app.command("list")
def list_accounts(home: Home, as_json: AsJson = False) -> None:
    """Lists who has an account of the dashboard, and which wait."""
    from coordinator.runs.sign_in import accounts_of

    found, tell = accounts_of(home), answer(as_json)
    for one in found:
        state = f"since {one.since[:10]}"
        if one.failures:
            state += f", failed logins in a row: {one.failures}"
        if one.wait is None:
            state += ", LOCKED: collegium people account unlock"
        elif one.wait:
            state += f", waits for {one.wait} s"
        tell(f"{one.person:<28} {state}")
    if not found:
        tell("nobody has an account of the dashboard")
    emit([one.to_json() for one in found], as_json)


def _new_password(file: Path | None) -> str:
    """Returns a new password, typed twice, or the first line of a file.

    Raises:
        PolicyRefused: nobody types one, or the two differ.
        WorkspaceRefused: the file cannot be read, or others can read it.
    """
    if file is not None:
        try:
            text, mode = file.read_text(encoding="utf-8"), file.stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            raise WorkspaceRefused(f"--password-file {file} cannot be read: {error}") from error
        if mode & 0o077:
            raise WorkspaceRefused(f"{file} can be read by others: chmod 600 {file}")
        return text.split("\n", 1)[0]
    if not sys.stdin.isatty():
        raise PolicyRefused("type the password at a terminal, or name a file: --password-file")
    first = getpass.getpass("a password for the dashboard: ")
    if getpass.getpass("once more: ") != first:
        raise PolicyRefused("the two passwords differ: nothing was set")
    return first
