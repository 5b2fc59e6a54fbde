"""A wire to a PostgreSQL server that loses a COMMIT, or the answer to one."""

import select
import socket
import threading
import time
from pathlib import Path
from typing import Literal

_BYTES = 65536
_PORT = 5432

Loss = Literal["question", "question, noticed late", "answer"]


class LossyWire:
    """Listens in a folder like a server and carries bytes to the real one.

    ``lose`` is done at the next COMMIT, once: it never arrives; or it never
    arrives and the server notices a second later; or it is carried out and the
    answer is lost. ``is_cut`` turns new connections away.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        self.folder = folder
        self._server = server / f".s.PGSQL.{_PORT}"
        self.lose: Loss | None = None
        self.is_cut = False
        #: What is done as soon as a loss happened.
        self.cut_after_loss = False
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / f".s.PGSQL.{_PORT}"))
        self._listening.listen()
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Takes no more connections."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if self.is_cut:
                client.close()
                continue
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self._server))
        with client, server:
            while True:
                ready, _, _ = select.select([client, server], [], [])
                source, target = (client, server) if client in ready else (server, client)
                try:
                    data = source.recv(_BYTES)
                    if source is client and b"COMMIT\0" in data and self.lose:
                        return self._lost(client, server, data)
                    if not data:
                        return None
                    target.sendall(data)
                except OSError:
                    return None

    def _lost(self, client: socket.socket, server: socket.socket, data: bytes) -> None:
        loss, self.lose, self.is_cut = self.lose, None, self.cut_after_loss
        if loss == "answer":
            server.sendall(data)
            server.recv(_BYTES)
        client.close()
        if loss == "question, noticed late":
            time.sleep(1)
