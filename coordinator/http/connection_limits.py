"""The coordinator's door: what a connection may cost before anybody has spoken.

asyncio and uvicorn count nothing before TLS is agreed, nor do they say why it
was not. Rules:

1. When all places are taken, or all that one address may have, the stranger
   who has been here longest goes, of this address in the second case.
2. A hospital that has proven who speaks is no stranger: it stays. Of its own
   connections the oldest go.
3. TLS is agreed within ten seconds. Why it was not stands in the log.
"""

import asyncio
import socket
import ssl
from collections import Counter
from contextvars import ContextVar
from typing import Any

from coordinator.http.rate_limits import STRANGERS, block_of

#: Seconds within which TLS is agreed.
HANDSHAKE_SECONDS = 10.0
_GOODBYE_SECONDS = 5.0
MAX_CONNECTIONS = 600
#: Several hospitals may share a proxy's address.
MAX_FROM_ONE_ADDRESS = 300
#: A hospital has one or two connections.
MAX_OF_ONE_SITE = 8


class LimitedConnection(socket.socket):
    """One accepted connection; it counts until it is closed."""

    house: "ConnectionTable"
    address: str
    block: str
    agreed = False
    reason = "silent"

    def turn_out(self) -> None:
        """Ends the connection; whoever reads from it finds its end."""
        try:
            self.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it is gone already

    def close(self) -> None:
        """Closes, and stops counting."""
        if self.fileno() != -1:
            self.house.leave(self)
            if not self.agreed:
                STRANGERS.tell(self.address, f"no TLS was agreed: {self.reason}")
        super().close()


#: Whose connection the running callback belongs to: asyncio's callbacks inherit it.
GUEST: ContextVar[LimitedConnection | None] = ContextVar("guest", default=None)


class ConnectionTable:
    """Who is here. Used from the event loop only."""

    def __init__(self) -> None:
        self._from: Counter[str] = Counter()  # block of addresses -> connections
        self._strangers: dict[LimitedConnection, None] = {}
        self._known: dict[LimitedConnection, str] = {}

    def __len__(self) -> int:
        return len(self._strangers) + len(self._known)

    def admit(self, guest: LimitedConnection) -> bool:
        """Whether there is a place for a new connection; makes one where that is fair."""
        guest.reason = "too many connections"
        if self._from[guest.block] >= MAX_FROM_ONE_ADDRESS and not self._make_place(guest.block):
            return False
        if len(self) >= MAX_CONNECTIONS and not self._make_place():
            return False
        guest.reason = LimitedConnection.reason
        self._strangers[guest] = None
        self._from[guest.block] += 1
        return True

    def _make_place(self, block: str | None = None) -> bool:
        """Shows the oldest stranger out, of one block or of all; says whether there was one."""
        for guest in self._strangers:
            if block in (None, guest.block):
                self._show_out(guest, "the place was needed")
                return True
        return False

    def introduce(self, guest: LimitedConnection, site: str) -> None:
        """Takes note that a site has proven that this connection is its own."""
        if guest not in self._strangers:
            return
        del self._strangers[guest]
        self._known[guest] = site
        own = [other for other, name in self._known.items() if name == site]
        for other in own[:-MAX_OF_ONE_SITE]:
            self._show_out(other, f"{site} has newer connections")

    def leave(self, guest: LimitedConnection) -> None:
        """Forgets a connection."""
        here = guest in self._strangers or guest in self._known
        self._strangers.pop(guest, None)
        self._known.pop(guest, None)
        if here:
            self._from[guest.block] -= 1
            if not self._from[guest.block]:
                del self._from[guest.block]

    def _show_out(self, guest: LimitedConnection, reason: str) -> None:
        guest.reason = reason
        if guest.agreed:
            STRANGERS.tell(guest.address, f"shown out: {reason}")
        self.leave(guest)
        guest.turn_out()


class _Listening(socket.socket):
    """A listening socket whose connections are guests."""

    house: ConnectionTable

    def accept(self) -> tuple[LimitedConnection, Any]:
        """Returns the next guest for whom there is a place."""
        while True:
            accepted, address = super().accept()
            guest = LimitedConnection(fileno=accepted.detach())
            guest.house, guest.address = self.house, str(address[0])
            guest.block = block_of(guest.address)
            if self.house.admit(guest):
                GUEST.set(guest)
                return guest, address
            guest.close()


class _Session(ssl.SSLObject):
    """TLS that tells the guest why it was not agreed."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            guest = GUEST.get()
            if guest is not None:
                guest.reason = str(getattr(error, "verify_message", "") or error.reason)
            raise


class DoorLoop(asyncio.SelectorEventLoop):
    """An event loop whose TLS servers have such a door."""

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
        listening.house = ConnectionTable()
        ssl.sslobject_class = _Session
        return await super().create_server(
            protocol_factory,
            sock=listening,
            ssl=ssl,
            backlog=backlog,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=_GOODBYE_SECONDS,
        )
