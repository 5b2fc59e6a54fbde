"""Limits on connections, from before TLS is agreed until a hospital has proven who it is.

asyncio and uvicorn count nothing before TLS is agreed, nor do they say why it
was not. Rules:

1. At the limit of all connections, or of one address, the oldest connection that
   has proven no identity is closed, of this address in the second case.
2. A connection that a hospital has proven to be its own stays. Above the limit of
   one hospital its oldest connections are closed.
3. TLS is agreed within ten seconds. Why it was not stands in the log.
"""

import asyncio
import socket
import ssl
from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from coordinator.http.rate_limits import UNPROVEN_LOG, block_of

_GOODBYE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """The limits on connections: how many a port has at once, how long a TLS handshake may take.

    ``of_one_address`` is large because several hospitals may share a proxy's address;
    ``of_one_site`` is small because a hospital has one or two.
    """

    handshake_seconds: float = 10.0
    connections: int = 600
    of_one_address: int = 300
    of_one_site: int = 8


class LimitedConnection(socket.socket):
    """One accepted connection; it counts until it is closed."""

    table: "ConnectionTable"
    address: str
    block: str
    agreed = False
    reason = "silent"

    def shut_down(self) -> None:
        """Ends the connection in both directions; a reader finds its end."""
        try:
            self.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it is gone already

    def close(self) -> None:
        """Closes, and stops counting."""
        if self.fileno() != -1:
            self.table.leave(self)
            if not self.agreed:
                UNPROVEN_LOG.tell(self.address, f"no TLS was agreed: {self.reason}")
        super().close()


#: Whose connection the running callback belongs to: asyncio's callbacks inherit it.
CURRENT_CONNECTION: ContextVar[LimitedConnection | None] = ContextVar("guest", default=None)


class ConnectionTable:
    """The open connections, by what they have proven. Used from the event loop only."""

    def __init__(self, limits: ConnectionLimits = ConnectionLimits()) -> None:
        self._limits = limits
        self._from: Counter[str] = Counter()  # block of addresses -> connections
        self._unproven: dict[LimitedConnection, None] = {}
        self._known: dict[LimitedConnection, str] = {}

    def __len__(self) -> int:
        return len(self._unproven) + len(self._known)

    def admit(self, connection: LimitedConnection) -> bool:
        """Whether there is a place for a new connection; makes one where that is fair."""
        connection.reason = "too many connections"
        if self._from[connection.block] >= self._limits.of_one_address and not self._make_place(
            connection.block
        ):
            return False
        if len(self) >= self._limits.connections and not self._make_place():
            return False
        connection.reason = LimitedConnection.reason
        self._unproven[connection] = None
        self._from[connection.block] += 1
        return True

    def _make_place(self, block: str | None = None) -> bool:
        """Closes the oldest unproven connection, of a block or of all; false where none is."""
        for connection in self._unproven:
            if block in (None, connection.block):
                self._evict(connection, "the place was needed")
                return True
        return False

    def mark_proven(self, connection: LimitedConnection, site: str) -> None:
        """Records that a site has proven that this connection is its own."""
        if connection not in self._unproven:
            return
        del self._unproven[connection]
        self._known[connection] = site
        own = [other for other, name in self._known.items() if name == site]
        for other in own[: -self._limits.of_one_site]:
            self._evict(other, f"{site} has newer connections")

    def leave(self, connection: LimitedConnection) -> None:
        """Removes a connection."""
        here = connection in self._unproven or connection in self._known
        self._unproven.pop(connection, None)
        self._known.pop(connection, None)
        if here:
            self._from[connection.block] -= 1
            if not self._from[connection.block]:
                del self._from[connection.block]

    def _evict(self, connection: LimitedConnection, reason: str) -> None:
        connection.reason = reason
        if connection.agreed:
            UNPROVEN_LOG.tell(connection.address, f"closed: {reason}")
        self.leave(connection)
        connection.shut_down()


class _Listening(socket.socket):
    """A listening socket whose connections are limited."""

    table: ConnectionTable

    def accept(self) -> tuple[LimitedConnection, Any]:
        """Returns the next connection for which there is a place."""
        while True:
            accepted, address = super().accept()
            connection = LimitedConnection(fileno=accepted.detach())
            connection.table, connection.address = self.table, str(address[0])
            connection.block = block_of(connection.address)
            if self.table.admit(connection):
                CURRENT_CONNECTION.set(connection)
                return connection, address
            connection.close()


class _Session(ssl.SSLObject):
    """TLS that records why it was not agreed."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            connection = CURRENT_CONNECTION.get()
            if connection is not None:
                connection.reason = str(getattr(error, "verify_message", "") or error.reason)
            raise


class LimitedLoop(asyncio.SelectorEventLoop):
    """An event loop whose TLS servers have these limits."""

    def __init__(self, limits: ConnectionLimits) -> None:
        super().__init__()
        self._limits = limits

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Any,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        ssl: Any,
        backlog: int = 100,
    ) -> asyncio.Server:
        """Returns a server that listens on an address of this machine, and only there."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        plain = socket.create_server((host, port), family=family, backlog=backlog)
        listening = _Listening(fileno=plain.detach())
        listening.table = ConnectionTable(self._limits)
        ssl.sslobject_class = _Session
        return await super().create_server(
            protocol_factory,
            sock=listening,
            ssl=ssl,
            backlog=backlog,
            ssl_handshake_timeout=self._limits.handshake_seconds,
            ssl_shutdown_timeout=_GOODBYE_SECONDS,
        )
