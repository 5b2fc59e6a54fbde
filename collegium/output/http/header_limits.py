"""HTTP/1.1 with limits: a request's header is small, and comes soon.

uvicorn sets neither: one connection that sends a header without end would take all memory, and all
time, before anybody has logged in. Nor does it end a connection whose request was refused before
its body came.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Bytes of a request's line and headers; seconds until they are here, and without a byte after.
MAX_HEADER, HEADER_SECONDS, SILENT_SECONDS = 32 * 1024, 15.0, 30.0


class HeaderLimitedProtocol(HttpToolsProtocol):
    """A connection; it ends where a header is too large or too slow."""

    header_seconds, silent_seconds = HEADER_SECONDS, SILENT_SECONDS

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._in_header, self._taken = True, 0
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock of the first header."""
        super().connection_made(transport)
        self._expect(self.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clock."""
        self._expect(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes bytes; ends a connection whose header has no end."""
        if self._in_header:
            self._taken += len(data)
            if self._taken > MAX_HEADER + len(data):
                self._abort()
                return
        else:
            self._expect(self.silent_seconds)
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Begins a request: its header counts from here."""
        super().on_message_begin()
        self._in_header, self._taken = True, 0
        self._expect(self.header_seconds)

    def on_headers_complete(self) -> None:
        """Ends the header; a body may follow, in pieces that must keep coming."""
        self._in_header = False
        if len(self.url) + sum(len(name) + len(said) for name, said in self.headers) > MAX_HEADER:
            self._abort()
            return
        self._expect(self.silent_seconds)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Ends the request: the answer may take long."""
        self._expect(None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Ends the connection where a request was answered before its body was here.

        Who was refused could else send that body byte by byte, and keep the connection for ever.
        """
        if self.cycle.response_complete and self.cycle.more_body:
            self.transport.close()
        super().on_response_complete()

    def handle_websocket_upgrade(self) -> None:
        """Hands the connection on to a websocket, which has a clock of its own."""
        self._expect(None)
        super().handle_websocket_upgrade()

    def _expect(self, seconds: float | None) -> None:
        """Ends the connection unless something comes within so many seconds."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if seconds is not None and not self.transport.is_closing():
            self._watch = asyncio.get_running_loop().call_later(seconds, self._abort)

    def _abort(self) -> None:
        self.transport.abort()
