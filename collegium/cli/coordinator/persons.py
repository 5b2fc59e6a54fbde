"""The person at the command: ``--as KEYFILE``, the key's file, and an act that is carried out."""

import getpass
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collegium.output.console import say
from protocol.errors import PolicyRefused, WorkspaceRefused

if TYPE_CHECKING:
    from protocol.identity.roster import SigningKey

Home = Annotated[Path, typer.Option("--home", help="The coordinator's folder.")]
As = Annotated[
    Path | None,
    typer.Option(
        "--as",
        envvar="COLLEGIUM_PERSON_KEY",
        metavar="KEYFILE",
        help="Your own key: says who does this.",
    ),
]

#: Where a program finds the passphrase of a person's key.
PASSPHRASE = "COLLEGIUM_PERSON_PASSPHRASE"  # noqa: S105  (the variable's name)


def perform_as(
    home: Path,
    key_file: Path | None,
    action: str,
    subject: tuple[str, str],
    details: Mapping[str, Any] | None = None,
    payload: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns what is told of an act that was carried out, or that waits for a second person.

    Args:
        home: the coordinator's folder.
        key_file: the person's key; None where nobody says who they are.
        action: see ``compliance.governance.people.RIGHTS``.
        subject: of which kind it is, and its name.
        details: names, numbers and reasons; what is None is left out.
        payload: what travels beside the act.

    Raises:
        FederationError: the act is refused, or what it asks for is.
    """
    from compliance.governance.acts import ActRequest
    from coordinator.runs.person_acts import perform

    said = {name: value for name, value in (details or {}).items() if value is not None}
    request = ActRequest(action=action, subject_kind=subject[0], subject=subject[1], details=said)
    key = None if key_file is None else read_key_file(key_file)
    told = perform(home, request, key, payload)
    if key is not None and not told.get("attributed"):
        say("attributed to nobody: no person is registered here, or the database is away")
    if told.get("waits"):
        say(
            f"proposed   change {told['change']}: nothing is done yet; another person confirms it "
            f"(collegium people confirm {told['change']} --home {home})"
        )
    return told


def read_key_file(path: Path) -> "SigningKey":
    """Returns a person's key from its file (PKCS 8, PEM); asks for the passphrase if it has one.

    Raises:
        WorkspaceRefused: the file cannot be read, or others can read it.
        PolicyRefused: the passphrase is missing or wrong, or the file holds no such key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from protocol.identity.roster import SigningKey

    try:
        data, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise WorkspaceRefused(f"{path} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise WorkspaceRefused(f"{path} can be read by others: chmod 600 {path}")
    passphrase = _passphrase(f"passphrase of {path}") if b"ENCRYPTED" in data else None
    try:
        key = load_pem_private_key(data, passphrase)
    except (ValueError, TypeError) as error:
        raise PolicyRefused(f"{path} holds no person's key, or the passphrase is wrong") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise PolicyRefused(f"{path} holds another kind of key: collegium people key makes one")
    return SigningKey(key)


def new_key_file(path: Path, *, passphrase: bytes | None) -> str:
    """Makes a person's key in a new file that its owner alone may read; returns the public half.

    Raises:
        WorkspaceRefused: the file is there already, or cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        KeySerializationEncryption,
        NoEncryption,
        PrivateFormat,
    )

    key = Ed25519PrivateKey.generate()
    secret: KeySerializationEncryption = NoEncryption()
    if passphrase is not None:
        secret = BestAvailableEncryption(passphrase)
    data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise WorkspaceRefused(f"{path} is there already: name another --to") from error
    except OSError as error:
        raise WorkspaceRefused(f"{path} cannot be written: {error.strerror}") from error
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return key.public_key().public_bytes_raw().hex()


def new_passphrase() -> bytes:
    """Returns the passphrase for a new key, typed twice, or from ``PASSPHRASE``.

    Raises:
        PolicyRefused: nobody gives one, it is empty, or the two differ.
    """
    first = _passphrase("a passphrase for the new key")
    if os.environ.get(PASSPHRASE) is None and _passphrase("once more") != first:
        raise PolicyRefused("the two passphrases differ: nothing was made")
    return first


def _passphrase(prompt: str) -> bytes:
    found = os.environ.get(PASSPHRASE)
    if found is None and sys.stdin.isatty():
        found = getpass.getpass(f"{prompt}: ")
    if not found:
        raise PolicyRefused(
            f"the key has a passphrase: type it at a terminal, or give it in {PASSPHRASE}"
        )
    return found.encode()
