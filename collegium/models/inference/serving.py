"""Serving: the service on an address of this machine, with limits before a request is read."""

import ipaddress
import signal
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvicorn

from collegium.models.inference.access_tokens import AccessTokens
from collegium.models.inference.requests import RequestScoring
from collegium.models.inference.scoring_place import ScoringPlace
from collegium.models.inference.service import Complain, ScoringService
from collegium.output.http.header_limits import HeaderLimitedProtocol
from protocol.errors import PolicyRefused, WorkspaceRefused
from protocol.transport.serving_statement import SERVICE

#: Connections at once; more are told to come back.
_CONNECTIONS = 64
_SECONDS_TO_END = 5


@dataclass(frozen=True, kw_only=True)
class ServicePlace:
    """The place where the service listens.

    Attributes:
        address: an address of this machine.
        port: its port.
        certificate, key: files in PEM; None on the loopback address alone.

    Raises:
        PolicyRefused: other machines reach the address, and there is no TLS.
    """

    address: str = "127.0.0.1"
    port: int = 8600
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise PolicyRefused("--certificate and --private-key go together")
        if not _is_loopback(self.address) and self.certificate is None:
            raise PolicyRefused(
                f"--address {self.address} can be reached by other machines: records and tokens "
                "need TLS: name --certificate and --private-key"
            )


def server_of(
    place: ScoringPlace, where: ServicePlace, tokens: Path, complain: Complain
) -> uvicorn.Server:
    """Returns the server, which ``run`` starts and a signal ends.

    Args:
        place: the model and the hospital.
        where: it listens.
        tokens: the file of tokens.
        complain: tells the people at the service.

    Raises:
        PolicyRefused, WorkspaceRefused: see ``RequestScoring``, ``AccessTokens``; the certificate
            cannot be read.
    """
    service = ScoringService(RequestScoring(place), AccessTokens(tokens), complain)
    context = None if where.certificate is None else _context(where)
    return uvicorn.Server(
        uvicorn.Config(
            service.app,
            host=where.address,
            port=where.port,
            http=HeaderLimitedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_SECONDS_TO_END,
            ssl_context_factory=None if context is None else partial(_given, context),
        )
    )


def serve(place: ScoringPlace, server: uvicorn.Server) -> None:
    """Serves until a signal ends it; begin and end are lines of the hospital's log of serving.

    Raises:
        WorkspaceRefused, StoreBroken: that log cannot be used.
    """
    with place.serving(SERVICE), _ended_by_signals():
        server.run()


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Lets a signal end the block: uvicorn raises it again, which would end the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _given(context: ssl.SSLContext, *_: object) -> ssl.SSLContext:
    return context


def _context(where: ServicePlace) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(str(where.certificate), str(where.key))
    except (OSError, ssl.SSLError) as error:
        raise WorkspaceRefused(
            f"--certificate {where.certificate}: certificate and key cannot be used: "
            f"{type(error).__name__}"
        ) from error
    return context


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
