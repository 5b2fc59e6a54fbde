"""The way to the coordinator: name, line, TLS, health; each failure with its remedy.

A proxy is taken from the environment (``HTTPS_PROXY``, ``NO_PROXY``), as the
supervisor takes it. Only the consortium's root is trusted.
"""

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from silos.preflight.findings import Finding, bad, ok

_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Contact:
    """The findings of the connection test, and the coordinator's own time where it answered."""

    findings: tuple[Finding, ...]
    time: datetime | None = None


#: Tries to reach a coordinator: its address, and TLS that trusts the consortium's root.
Reach: TypeAlias = Callable[[str, ssl.SSLContext], Contact]


def reach(url: str, context: ssl.SSLContext) -> Contact:
    """Returns what is found on the way to a coordinator; stops at the first thing that fails.

    Args:
        url: ``https://host:port``.
        context: trusts the consortium's root; shows this hospital's certificate.
    """
    host, port, proxied = _first_hop(url)
    through = f"the proxy {host}" if proxied else host
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return _failed(
            "name",
            f"{through} has no address ({error.strerror or error})",
            "mend HTTPS_PROXY, or unset it"
            if proxied
            else "mend coordinator in the site file, or ask your network's people for its DNS",
        )
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        return _failed(
            "line",
            f"{through}, port {port}: {error.strerror or 'no answer'}",
            f"ask your network's people to allow outbound TCP to {host}:{port}, or ask the "
            "consortium's lead whether the coordinator is up",
        )
    reached = ok("line", f"{through}, port {port}")
    contact = _ask(url, context)
    return Contact(findings=(reached, *contact.findings), time=contact.time)


def _first_hop(url: str) -> tuple[str, int, bool]:
    """Returns the host and port that are connected to first, and whether it is a proxy."""
    target = urlsplit(url)
    host = target.hostname or ""
    proxies = getproxies()
    named = proxies.get("https") or proxies.get("all")
    if not named or proxy_bypass(host):
        return host, target.port or 443, False
    proxy = urlsplit(named if "://" in named else f"http://{named}")
    return proxy.hostname or "", proxy.port or (443 if proxy.scheme == "https" else 80), True


def _ask(url: str, context: ssl.SSLContext) -> Contact:
    try:
        with httpx2.Client(verify=context, timeout=_SECONDS, follow_redirects=False) as http:
            reply = http.get(f"{url}/healthz")
    except httpx2.ProxyError as error:
        return _failed(
            "proxy",
            f"the proxy does not let it through ({error})",
            "ask your network's people to allow CONNECT to the coordinator, without opening TLS",
        )
    except (httpx2.TransportError, ssl.SSLError) as error:
        return _failed("TLS", *_tls_problem(str(error)))
    shaken = ok("TLS", "the certificate is of this consortium")
    time = _time_of(reply)
    if reply.status_code != 200:
        health = bad(
            "coordinator",
            f"/healthz answers {reply.status_code}",
            "ask the consortium's lead whether the coordinator is up; a proxy may answer instead",
        )
    else:
        health = ok("coordinator", "it answers")
    return Contact(findings=(shaken, health), time=time)


def _tls_problem(said: str) -> tuple[str, str]:
    if "CERTIFICATE_VERIFY_FAILED" in said and "hostname" in said.lower():
        return (
            "the certificate is of this consortium, but for another name",
            "use the name in the invitation, or ask the lead to add this one to the certificate",
        )
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return (
            "the certificate is not of this consortium",
            "a proxy that opens TLS stands between: ask for an exception for the coordinator; "
            "or the coordinator was set up anew: ask for a new invitation",
        )
    if "PROTOCOL_VERSION" in said or "WRONG_VERSION" in said:
        return (
            "it does not speak TLS 1.3",
            "mend the port in the site file, or ask for an exception from TLS inspection",
        )
    return (
        f"the handshake failed ({said[:100] or 'the line was cut'})",
        "this hospital's certificate may have expired or been revoked: see certificate, and ask "
        "the consortium's lead",
    )


def _time_of(reply: httpx2.Response) -> datetime | None:
    try:
        found = parsedate_to_datetime(reply.headers["date"])
    except (KeyError, ValueError):
        return None
    return found if found.tzinfo is not None else None


def _failed(what: str, finding: str, remedy: str) -> Contact:
    return Contact(findings=(bad(what, finding, remedy),))
