"""The service's two listening ports: hospitals, and enrolments while one is awaited.

Rules:

1. On the hospitals' port TLS admits connections with a certificate of this
   consortium, and no others.
2. The port for enrolments listens while an invitation is open, and refuses
   connections otherwise. Its number is taken when the service starts, so that
   no other process can have it.
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import uvicorn

from protocol.errors import StoreBroken, WorkspaceRefused

log = logging.getLogger("collegium.coordinator")

#: Seconds between two looks for an open invitation.
LOOK_SECONDS = 0.25
_PAIRS_TRIED = 100


class QuietServer(uvicorn.Server):
    """A server in a thread: it leaves signals to the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals alone."""
        yield

    async def startup(self, sockets: Any = None) -> None:
        """Starts, and says so."""
        await super().startup(sockets)
        self.ready.set()

    def run(self, sockets: Any = None) -> None:
        """Serves; an address that cannot be had ends the thread, not the process."""
        try:
            with asyncio.Runner(loop_factory=self.config.get_loop_factory()) as runner:
                runner.run(self.serve(sockets))
        except SystemExit:
            log.error("nothing listens on %s:%s", self.config.host, self.config.port)


@contextmanager
def listening(config: uvicorn.Config) -> Iterator[None]:
    """Serves in a thread until the block ends.

    Raises:
        WorkspaceRefused: the address cannot be listened on.
    """
    server = QuietServer(config)
    thread = threading.Thread(target=server.run, name=f"port {config.port}")
    thread.start()
    try:
        while not server.started and thread.is_alive():
            server.ready.wait(0.05)
        if not server.started:
            raise WorkspaceRefused(_taken(config.host, config.port))
        yield
    finally:
        server.should_exit = True
        thread.join(15)


class EnrolmentListener:
    """Listens for enrolments while an invitation is open.

    Args:
        config: returns how they are served.
        is_wanted: whether an invitation is open now.
    """

    def __init__(
        self,
        config: Callable[[], uvicorn.Config],
        is_wanted: Callable[[], bool],
    ) -> None:
        self._config, self._is_wanted = config, is_wanted
        self._ended = threading.Event()
        self._open: ExitStack | None = None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Looks for open invitations until the block ends."""
        thread = threading.Thread(target=self._run, name="enrolments")
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(30)

    def _run(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            self._look()
        self._close()

    def _look(self) -> None:
        try:
            wanted = self._is_wanted()
        except StoreBroken:  # whoever asked may ask again when the database is back
            wanted = False
        if wanted and self._open is None:
            self._listen()
        elif not wanted and self._open is not None:
            self._close()

    def _listen(self) -> None:
        stack = ExitStack()
        config = self._config()
        try:
            stack.enter_context(listening(config))
        except WorkspaceRefused as error:
            log.error("enrolments: %s", error)
            return
        self._open = stack
        log.info("an invitation is open: enrolments are taken on port %d", config.port)

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
            log.info("no invitation is open: no enrolments are taken")


@contextmanager
def taken(host: str, port: int, enrol_port: int | None) -> Iterator[tuple[int, int]]:
    """Takes the two ports while the block runs; nothing listens on them yet.

    Args:
        host: an address of this machine.
        port: for hospitals; 0 for any that is free, with the next one.
        enrol_port: for enrolments; the next one when None.

    Raises:
        WorkspaceRefused: one of them is taken.
    """
    with ExitStack() as stack:
        for _ in range(_PAIRS_TRIED):
            main = stack.enter_context(_bound(host, port))
            number = main.getsockname()[1]
            beside = number + 1 if enrol_port is None else enrol_port
            try:
                stack.enter_context(_bound(host, beside))
            except WorkspaceRefused:
                if port:
                    raise
                continue
            yield number, beside
            return
    raise WorkspaceRefused(f"{host}: no two ports beside each other are free")


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server may bind beside it
        try:
            own.bind((host, port))
        except (OSError, OverflowError) as error:
            raise WorkspaceRefused(_taken(host, port)) from error
        yield own


def _taken(host: str, port: int) -> str:
    return f"{host}:{port} cannot be listened on: is it taken?"
