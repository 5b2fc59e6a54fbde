"""Limits on HTTP/1.1 behind TLS: what a request may cost before it is read.

uvicorn tells an application nothing about the peer's certificate and sets few
limits, so its protocol is extended by both. How many connections there are is
limited before, in ``connection_limits``; the sender is authenticated later, in ``authentication``.

Limits for each connection: a header of 16 KiB, ten seconds to send one, and
after that never longer than thirty seconds without a byte.
"""

import asyncio
import ssl
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from coordinator.http.connection_limits import (
    CURRENT_CONNECTION,
    ConnectionLimits,
    LimitedLoop,
)
from coordinator.http.rate_limits import UNPROVEN_LOG

#: Connections that the system keeps for us to accept.
_BACKLOG = 128
_SECONDS_TO_END = 5


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """The limits on a request: the size of its line and headers, and how slow it may be.

    ``header_seconds`` until the whole header is here, ``silent_seconds`` without a byte while
    a request is under way.
    """

    header_bytes: int = 16 << 10
    header_seconds: float = 10.0
    silent_seconds: float = 30.0


class LimitedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with limits. The connection's state gives the application its sender.

    ``certificate`` is what the peer showed, ``mark_proven`` is called with the
    site once its sender is proven.
    """

    def __init__(self, *given: Any, limits: RequestLimits, **named: Any) -> None:
        super().__init__(*given, **named)
        self._limits = limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock of the first header."""
        super().connection_made(transport)
        self._address = str((transport.get_extra_info("peername") or ("?",))[0])
        self._header_bytes = 0
        self._in_header = True
        self._watch: asyncio.TimerHandle | None = None
        connection = CURRENT_CONNECTION.get()
        if connection is None:
            raise RuntimeError("LimitedProtocol runs in a LimitedLoop only")
        connection.agreed = True
        session = transport.get_extra_info("ssl_object")
        self.app_state = {
            **self.app_state,
            "certificate": _certificate(session),
            "mark_proven": partial(connection.table.mark_proven, connection),
        }
        self._expect(self._limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clock."""
        self._expect(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes bytes; ends a connection that sends headers without end."""
        if self._in_header:
            self._header_bytes += len(data)
            if self._header_bytes > self._limits.header_bytes + len(data):
                self._end("a header without end")
                return
        else:
            self._expect(self._limits.silent_seconds)
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Begins a new request: its header counts from here."""
        super().on_message_begin()
        self._in_header, self._header_bytes = True, 0
        self._expect(self._limits.header_seconds)

    def on_headers_complete(self) -> None:
        """Ends the header; a body may follow, in pieces that must keep coming."""
        self._in_header = False
        header = sum(len(name) + len(value) for name, value in self.headers) + len(self.url)
        if header > self._limits.header_bytes:
            self._end(f"a header of {header} bytes")
            return
        self._expect(self._limits.silent_seconds)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Ends the request: the answer may take long."""
        self._expect(None)
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no HTTP/1.1."""
        UNPROVEN_LOG.tell(self._address, "not HTTP/1.1")
        super().send_400_response(msg)

    def _end(self, reason: str) -> None:
        UNPROVEN_LOG.tell(self._address, f"cut off: {reason}")
        self.transport.abort()

    def _expect(self, seconds: float | None) -> None:
        """Ends the connection unless something comes within so many seconds."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if seconds is not None and not self.transport.is_closing():
            self._watch = asyncio.get_running_loop().call_later(
                seconds, self._end, f"nothing came within {seconds:g} s"
            )


def _certificate(session: ssl.SSLObject | None) -> dict[str, Any] | None:
    """Returns the peer's verified certificate, or None when it showed none."""
    return dict(session.getpeercert() or {}) or None if session is not None else None


def site_of(certificate: dict[str, Any] | None) -> tuple[str, str] | None:
    """Returns the site that a verified certificate names, and its serial number."""
    if certificate is None:
        return None
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
    prefix = "collegium://silo/"
    if len(names) != 1 or not names[0].startswith(prefix):
        return None
    return names[0].removeprefix(prefix), str(certificate.get("serialNumber", ""))


def server_config(
    app: Any,
    context: ssl.SSLContext,
    *,
    host: str,
    port: int,
    connections: ConnectionLimits = ConnectionLimits(),  # noqa: B008
    requests: RequestLimits = RequestLimits(),
) -> uvicorn.Config:
    """Returns how the service is run: one process, quiet, with these limits."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=partial(LimitedProtocol, limits=requests),  # type: ignore[arg-type]
        loop=partial(LimitedLoop, connections),  # type: ignore[arg-type]
        backlog=_BACKLOG,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # refused requests are logged within bounds, by us
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ssl_context_factory=lambda _config, _default: context,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_SECONDS_TO_END,
    )
