"""Sends an alert to a receiver: one signed POST, in the form of Standard Webhooks.

Rules:

1. The body holds ``MESSAGE_FIELDS`` and nothing else: names, the rule's threshold, dates and
   released figures.
2. ``webhook-id``, ``webhook-timestamp`` and the body are signed together by HMAC-SHA256
   (``webhook-signature: v1,BASE64``), so a receiver can refuse what is forged, old or repeated.
3. Only HTTPS, but to this machine itself. No redirect is followed: it could lead the message to
   somebody else. Nothing of the reply is read but its status. All of it ends within ``SECONDS``.

Source: Standard Webhooks 1.0.0, www.standardwebhooks.com, "Signature scheme".
"""

import asyncio
import base64
import binascii
import hmac
import json
import os
import ssl
import stat
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2

from coordinator.alerts.rules import Webhook, is_loopback
from coordinator.views.alerts import Alert
from protocol.errors import LinkLost, WorkspaceRefused

#: How long one attempt takes at most, from the first packet to the last.
SECONDS = 15.0
#: All that a message may hold beside its ``type`` and ``timestamp``.
MESSAGE_FIELDS = (
    "number", "rule", "kind", "severity", "text", "remedy", "sites", "study", "run", "figure",
    "threshold", "released", "until", "raised_at", "closed_at",
)  # fmt: skip
_PREFIX = "whsec_"
_LEAST, _MOST = 24, 64  # bytes of a secret


def alert_body(alert: Alert, event: str) -> bytes:
    """Returns the body of a message about an alert; ``event`` is raised or closed."""
    said: dict[str, Any] = dict(alert.cause)
    said |= {
        "number": alert.number,
        "raised_at": alert.raised_at,
        "closed_at": alert.closed_at if event == "closed" else None,
    }
    body = {
        "type": f"alert.{event}",
        "timestamp": alert.closed_at if event == "closed" else alert.raised_at,
        "data": {name: said.get(name) for name in MESSAGE_FIELDS},
    }
    return json.dumps(body, sort_keys=True, allow_nan=False, separators=(",", ":")).encode()


def read_secret(path: Path) -> bytes:
    """Returns the secret in a file that its owner alone can read.

    Raises:
        WorkspaceRefused: it is missing, open to others, or no secret; its content is not told.
    """
    how = f"umask 077; echo {_PREFIX}$(openssl rand -base64 32) > {path}"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(file.fileno())
            text = file.read(1000) if stat.S_ISREG(found.st_mode) else b""
    except OSError as error:
        raise WorkspaceRefused(
            f"the secret {path} cannot be read ({error.strerror}); to make one: {how}"
        ) from error
    if found.st_mode & 0o077:
        raise WorkspaceRefused(f"the secret {path} is open to other users: chmod 600 {path}")
    written = text.strip().decode("ascii", "replace")
    try:
        secret = base64.b64decode(written.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not written.startswith(_PREFIX) or not _LEAST <= len(secret) <= _MOST:
        raise WorkspaceRefused(
            f"{path} holds no secret: {_PREFIX} and {_LEAST} to {_MOST} bytes in base64; to make "
            f"one: {how}"
        )
    return secret


def signed_headers(secret: bytes, name: str, moment: int, body: bytes) -> dict[str, str]:
    """Returns the headers that say whose a message is.

    Args:
        secret: shared with the receiver.
        name: the message's own, the same at every attempt.
        moment: seconds since 1970.
        body: what is sent.
    """
    signed = f"{name}.{moment}.".encode() + body
    signature = base64.b64encode(hmac.new(secret, signed, sha256).digest()).decode()
    return {
        "content-type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": str(moment),
        "webhook-signature": f"v1,{signature}",
    }


def send(
    webhook: Webhook, folder: Path, name: str, moment: int, body: bytes, seconds: float = SECONDS
) -> None:
    """Sends one message, once.

    Args:
        webhook: where to.
        folder: where its files lie.
        name: the message's own.
        moment: seconds since 1970.
        body: what ``alert_body`` returned.
        seconds: how long it may take.

    Raises:
        LinkLost: it did not arrive; says why in words that hold neither address nor secret.
        WorkspaceRefused: the secret or the certificates cannot be read.
    """
    headers = signed_headers(read_secret(folder / webhook.secret_file), name, moment, body)
    trusted = _trusted(webhook, folder)
    try:
        status = asyncio.run(_post(webhook.url, trusted, headers, body, seconds))
    except TimeoutError as error:
        raise LinkLost(f"no answer within {seconds:g} s") from error
    except (httpx2.TransportError, httpx2.StreamError, httpx2.InvalidURL) as error:
        raise LinkLost(f"the receiver cannot be reached ({type(error).__name__})") from error
    if 300 <= status < 400:
        raise LinkLost(f"the receiver redirects (HTTP {status}): give its own address")
    if not 200 <= status < 300:
        raise LinkLost(f"the receiver did not take it (HTTP {status})")


async def _post(
    url: str, trusted: ssl.SSLContext, headers: dict[str, str], body: bytes, seconds: float
) -> int:
    async with (
        asyncio.timeout(seconds),
        httpx2.AsyncClient(
            verify=trusted,
            follow_redirects=False,
            timeout=httpx2.Timeout(seconds),
            trust_env=not is_loopback(url),  # a proxy could not reach this machine itself
        ) as http,
        http.stream("POST", url, content=body, headers=headers) as reply,
    ):
        return int(reply.status_code)


def _trusted(webhook: Webhook, folder: Path) -> ssl.SSLContext:
    path = None if webhook.ca_file is None else folder / webhook.ca_file
    try:
        return ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise WorkspaceRefused(f"the certificates {path} cannot be read") from error
