"""A line that fails: a TCP proxy on loopback that cuts, delays, throttles, freezes and turns away.

It stands between a client and a server and knows nothing of what it carries.
Everything it does is asked for by name and takes effect at once, from any
thread::

    with Proxy(port) as line:
        line.cut_after(sent=2 << 20)     # once 2 MiB more went to the server: cut all connections
        line.throttle(1 << 20)           # at most so many bytes a second in each direction
        line.delay(0.2)                  # every byte comes so much later
        line.freeze(); line.thaw()       # nothing goes through; nobody is told
        line.close_door(); line.open_door()   # connections are refused, and taken again
        line.cut()                       # all connections end, as by a reset
        ... connect to ("127.0.0.1", line.port) ...

``line.log`` counts: connections made and cut, bytes in both directions. A
proxy at the level of connections cannot repeat or reorder bytes of a TLS
stream (TLS would refuse them); ``again`` opens a second connection that sends
the first bytes of an earlier one once more, as an attacker on the line could.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType

from tests.support.machine.patience import PATIENCE

_PIECE = 1 << 14
_KEPT = 1 << 20
#: Close with a reset: no byte that is still under way arrives.
_RESET = struct.pack("ii", 1, 0)


@dataclass
class Log:
    """What went through; ``first`` holds the first bytes that each client sent."""

    connections: int = 0
    refused: int = 0
    cuts: int = 0
    sent: int = 0
    received: int = 0
    first: list[bytearray] = field(default_factory=list)


@dataclass(eq=False)
class _Pair:
    client: socket.socket
    server: socket.socket
    first: bytearray

    def reset(self) -> None:
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Proxy:
    """Carries connections from ``port`` to a server's port; thread-safe."""

    def __init__(self, to_port: int, host: str = "127.0.0.1") -> None:
        self._to = (host, to_port)
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._open.set()
        self._going = threading.Event()
        self._going.set()
        self._pairs: set[_Pair] = set()
        self._sent_left: list[int] = []
        self._received_left: list[int] = []
        self._seconds = 0.0
        self._rate: float | None = None
        self.log = Log()
        self._listening = socket.create_server((host, 0))
        self.port: int = self._listening.getsockname()[1]
        self._ended = False
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Ends the proxy and all that it carries."""
        self._ended = True
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._going.set()
        self.cut()

    def move(self, to_port: int) -> None:
        """Leads new connections to another port: the server was started again."""
        self._to = (self._to[0], to_port)

    def cut(self) -> None:
        """Ends all connections at once, as by a reset."""
        with self._lock:
            pairs = list(self._pairs)
            self._pairs.clear()
            self.log.cuts += len(pairs)
        for pair in pairs:
            pair.reset()

    def cut_after(self, *, sent: int | None = None, received: int | None = None) -> None:
        """Cuts once so many more bytes went to the server, or came from it.

        Calls add up: each is a cut of its own, counted from the one before.
        """
        with self._lock:
            if sent is not None:
                self._sent_left.append(sent)
            if received is not None:
                self._received_left.append(received)

    def delay(self, seconds: float) -> None:
        """Lets every byte come later from now on."""
        self._seconds = seconds

    def throttle(self, rate: float | None) -> None:
        """Lets at most so many bytes a second through in each direction; None: any number."""
        self._rate = rate

    def freeze(self) -> None:
        """Lets nothing through; connections stay, and nobody is told."""
        self._going.clear()

    def thaw(self) -> None:
        """Lets everything through that waited."""
        self._going.set()

    def close_door(self) -> None:
        """Refuses new connections, and cuts those there are."""
        self._open.clear()
        self.cut()

    def open_door(self) -> None:
        """Takes connections again."""
        self._open.set()

    def again(self, connection: int, seconds: float = PATIENCE) -> bytes:
        """Sends the first bytes of an earlier connection in one of its own; returns the reply."""
        with socket.create_connection(self._to, timeout=seconds) as line:
            line.sendall(bytes(self.log.first[connection]))
            line.shutdown(socket.SHUT_WR)
            return b"".join(_all_of(line))

    def _accept(self) -> None:
        while not self._ended:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if not self._open.is_set():
                self.log.refused += 1
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                client.close()
                continue
            try:
                server = socket.create_connection(self._to, timeout=PATIENCE)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            pair = _Pair(client, server, bytearray())
            with self._lock:
                self._pairs.add(pair)
                self.log.connections += 1
                self.log.first.append(pair.first)
            for up in (True, False):
                threading.Thread(target=self._carry, args=(pair, up), daemon=True).start()

    def _carry(self, pair: _Pair, up: bool) -> None:
        source, sink = (pair.client, pair.server) if up else (pair.server, pair.client)
        try:
            while piece := source.recv(_PIECE):
                if up and len(pair.first) < _KEPT:
                    pair.first.extend(piece)
                allowed = self._count(len(piece), up)
                self._wait(allowed)
                sink.sendall(piece[:allowed])
                if allowed < len(piece):
                    self.cut()
                    return
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(pair)
            return
        if not up:
            self._drop(pair)

    def _count(self, size: int, up: bool) -> int:
        """Counts a piece; returns how much of it goes through before the next cut."""
        with self._lock:
            left = self._sent_left if up else self._received_left
            if left and left[0] <= size:
                size = min(size, left.pop(0))
                size = max(0, size - 1)  # the last byte is lost with the line
            elif left:
                left[0] -= size
            if up:
                self.log.sent += size
            else:
                self.log.received += size
            return size

    def _wait(self, size: int) -> None:
        if self._seconds:
            time.sleep(self._seconds)
        if self._rate:
            time.sleep(size / self._rate)
        self._going.wait()

    def _drop(self, pair: _Pair) -> None:
        with self._lock:
            self._pairs.discard(pair)
        pair.reset()


def _all_of(line: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        while piece := line.recv(_PIECE):
            yield piece
