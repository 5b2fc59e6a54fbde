"""The coordinator's gate: TLS 1.3, and what a stranger may cost before anybody looks at him.

uvicorn tells an application nothing about the peer's certificate and sets few
limits, so its protocol is extended by both. Who speaks is decided later, by
the proof (``protocol.wire``).

Limits for each connection: a header of 16 KiB, ten seconds to send one, and
after that never longer than thirty seconds without a byte. For all: a number
of connections, of which no address has more than its share.
"""

import asyncio
import ssl
from collections import Counter
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Bytes of a request's line and headers.
MOST_HEADER = 16 << 10
#: Seconds until the headers of a new connection's first request are here.
HEADER_SECONDS = 10.0
#: Seconds without a byte while a request is under way.
SILENT_SECONDS = 30.0
MOST_CONNECTIONS = 600
#: A hospital has one or two connections; several may share a proxy's address.
MOST_FROM_ONE_ADDRESS = 300


class GateProtocol(HttpToolsProtocol):
    """HTTP/1.1 with limits; puts the peer's certificate into the connection's state."""

    _connected: ClassVar[Counter[str]] = Counter()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Counts the connection, and starts the clock of its first header."""
        super().connection_made(transport)
        self._address = str((transport.get_extra_info("peername") or ("?",))[0])
        self._header_bytes = 0
        self._in_header = True
        self._watch: asyncio.TimerHandle | None = None
        self._connected[self._address] += 1
        session = transport.get_extra_info("ssl_object")
        self.app_state = {**self.app_state, "certificate": _certificate(session)}
        too_many = self._connected.total() > MOST_CONNECTIONS
        if too_many or self._connected[self._address] > MOST_FROM_ONE_ADDRESS:
            transport.abort()
            return
        self._expect(HEADER_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self._connected[self._address] -= 1
        if not self._connected[self._address]:
            del self._connected[self._address]
        self._expect(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes bytes; ends the connection of whoever sends headers without end."""
        if self._in_header:
            self._header_bytes += len(data)
            if self._header_bytes > MOST_HEADER + len(data):
                self.transport.abort()
                return
        else:
            self._expect(SILENT_SECONDS)
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A new request begins: its header counts from here."""
        super().on_message_begin()
        self._in_header, self._header_bytes = True, 0
        if self._watch is None:
            self._expect(HEADER_SECONDS)

    def on_headers_complete(self) -> None:
        """The header is whole; a body may follow, in pieces that must keep coming."""
        self._in_header = False
        header = sum(len(name) + len(value) for name, value in self.headers) + len(self.url)
        if header > MOST_HEADER:
            self.transport.abort()
            return
        self._expect(SILENT_SECONDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole: from now on it is our turn, which may take long."""
        self._expect(None)
        super().on_message_complete()

    def _expect(self, seconds: float | None) -> None:
        """Ends the connection unless something comes within so many seconds."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if seconds is not None and not self.transport.is_closing():
            self._watch = asyncio.get_running_loop().call_later(seconds, self.transport.abort)


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


def gate_config(
    app: Any, context: ssl.SSLContext, *, host: str, port: int, seconds_to_end: int = 5
) -> uvicorn.Config:
    """Returns how the service is run: one process, quiet, with the limits above."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=GateProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ssl_context_factory=lambda _config, _default: context,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=seconds_to_end,
    )
