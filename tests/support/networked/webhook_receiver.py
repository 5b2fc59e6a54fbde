"""A receiver of webhooks on loopback, which answers as it is told and keeps what came."""

import base64
import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from coordinator.alerts.rules import AlertRules, Webhook, read_rules
from tests.support.machine.patience import PATIENCE

SECRET = bytes(range(32))
WRITTEN = "whsec_" + base64.b64encode(SECRET).decode()


@dataclass(frozen=True)
class Received:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)["data"]
        return found

    def is_genuine(self, secret: bytes = SECRET) -> bool:
        """Whether it is signed as the specification says, by another reading than the sender's.

        HMAC is written out (RFC 2104, section 2), not taken from the library that signs.
        """
        named = (self.headers["webhook-id"], self.headers["webhook-timestamp"])
        signed = ".".join(named).encode() + b"." + self.body
        key = secret.ljust(64, b"\0")
        inner = hashlib.sha256(bytes(b ^ 0x36 for b in key) + signed).digest()
        outer = hashlib.sha256(bytes(b ^ 0x5C for b in key) + inner).digest()
        expected = f"v1,{base64.b64encode(outer).decode()}"
        return self.headers["webhook-signature"] == expected


@dataclass
class Receiver:
    """What a receiver answers, and what it got; ``silent`` lets it answer nothing until freed."""

    status: int = 204
    location: str | None = None
    silent: bool = False
    got: list[Received] = field(default_factory=list)
    freed: threading.Event = field(default_factory=threading.Event)
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook"

    def webhook(self, folder: Path) -> Webhook:
        """Returns it as a webhook, with its secret in a file."""
        path = folder / "on-call.secret"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(WRITTEN + "\n")
        return Webhook(url=self.url, secret_file=path.name)

    def rules(self, folder: Path, *lines: str) -> AlertRules:
        """Returns rules that tell this receiver, and writes them into the folder."""
        self.webhook(folder)
        text = (
            "collegium_alerts: 1\nwebhooks:\n  on-call:\n"
            f"    {{url: '{self.url}', secret_file: on-call.secret}}\nrules:\n"
        )
        text += "".join(f"  - {{{line}, tell: [on-call]}}\n" for line in lines)
        (folder / "alert-rules.yaml").write_text(text)
        return read_rules(text)


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Yields a receiver that listens until the block ends, over TLS where a context is given."""
    receiver = Receiver(scheme="http" if tls is None else "https")

    class Handler(BaseHTTPRequestHandler):
        def setup(self) -> None:
            if tls is not None:  # shakes hands when it is read from
                self.request = tls.wrap_socket(
                    self.request, server_side=True, do_handshake_on_connect=False
                )
            super().setup()

        def finish(self) -> None:
            super().finish()
            self.request.close()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.got.append(Received(self.path, headers, body))
            if receiver.silent:
                receiver.freed.wait(PATIENCE)
                return
            self.send_response(receiver.status)
            if receiver.location is not None:
                self.send_header("location", receiver.location)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # a handshake that the sender refused

    server = Server(("127.0.0.1", 0), Handler)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.freed.set()
        server.shutdown()
        server.server_close()
        thread.join()
