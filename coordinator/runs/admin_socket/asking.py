"""Questions to the service that runs over a folder, through its admin socket."""

import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protocol.errors import WorkspaceRefused, named

#: The socket's file in the coordinator's folder.
SOCKET = "control.sock"
#: To reach the service; and for its answer, before which it may hold every row to a long log.
_SECONDS, _ANSWER_SECONDS = 60.0, 900.0


def ask(home: Path, method: str, target: str, body: Mapping[str, Any] | None = None) -> Any:
    """Returns what the running service answers.

    Raises:
        WorkspaceRefused: no service runs over this folder.
        FederationError: what the service refused, in its own class.
    """
    require_service(home)
    import httpx2  # where no service runs, folders are read and acted on without it

    path = home / SOCKET
    # No certificate is read for a socket in a folder: that takes longer than most answers.
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    transport = httpx2.HTTPTransport(verify=nobody, uds=str(path))
    try:
        patience = httpx2.Timeout(_SECONDS, read=_ANSWER_SECONDS)
        with httpx2.Client(transport=transport, timeout=patience) as http:
            reply = http.request(method, f"http://coordinator{target}", json=body)
    except httpx2.TransportError as error:
        raise WorkspaceRefused(
            f"the service over --home {home} does not answer: {type(error).__name__}"
        ) from error
    answer = reply.json()
    if reply.status_code != 200:
        raise named(str(answer.get("kind")))(str(answer.get("message")))
    return answer


def require_service(home: Path) -> None:
    """Checks that a service has a socket in a folder.

    Raises:
        WorkspaceRefused: it has none.
    """
    if not (home / "coordinator.key").is_file():
        raise WorkspaceRefused(
            f"--home {home} holds no coordinator: collegium coordinator init makes one"
        )
    if not (home / SOCKET).exists():
        raise WorkspaceRefused(
            f"no service runs over --home {home}: collegium coordinator start --home {home}"
        )


def is_served(home: Path) -> bool:
    """Whether a service answers over a folder."""
    path = home / SOCKET
    if not path.exists():
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
            trial.settimeout(2)
            trial.connect(str(path))
    except OSError:
        return False
    return True
