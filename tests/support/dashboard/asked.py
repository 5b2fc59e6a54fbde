"""A dashboard's server asked as ASGI has it, with a page that tells what it was given."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from compliance.governance.access.sealed_key import SealingCost
from dashboard.server import (
    DashboardServer,
    Listening,
    MakesDownload,
    OidcSettings,
    SessionLimits,
    Settings,
)
from dashboard.server.access_control import Message, Receive, Scope, Send
from tests.support.hospital.accounts import CHEAP, PASSWORD, Accounts

HOST = "127.0.0.1:8501"
OWN = {"host": HOST, "origin": f"http://{HOST}"}


class Seconds:
    """Seconds that stand still until they are moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Page:
    """A page in Streamlit's place: tells path and headers, and echoes what a websocket sends."""

    seen: list[dict[str, str]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {k.decode(): v.decode() for k, v in scope["headers"]}
        self.seen.append({"path": scope["path"], **headers})
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            body = json.dumps({"path": scope["path"], "headers": headers}).encode()
            await send({"type": "http.response.body", "body": body})
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": message["bytes"]})


@dataclass
class Answer:
    """An answer: status, headers (of the last of a name), body."""

    status: int
    headers: dict[str, str]
    body: bytes
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def token(self) -> str:
        """The token that it sets as a cookie."""
        return self.headers.get("set-cookie", "=;").split("=", 1)[1].split(";")[0]


@dataclass
class AskedServer:
    """A server over people's accounts; nothing listens."""

    accounts: Accounts
    listening: Listening = field(default_factory=Listening)
    login: bool = True
    limits: SessionLimits = field(default_factory=SessionLimits)
    downloads: MakesDownload | None = None
    oidc: OidcSettings | None = None
    cost: SealingCost = CHEAP
    seconds: Seconds = field(default_factory=Seconds)
    page: Page = field(default_factory=Page)

    def __post_init__(self) -> None:
        from pathlib import Path

        settings = Settings(
            script=Path("none"),
            out=self.accounts.root,
            listening=self.listening,
            login=self.login,
            limits=self.limits,
            cost=self.cost,
            clock=self.accounts.clock,
            elapsed=self.seconds,
            downloads=self.downloads,
            oidc=self.oidc,
        )
        self.server = DashboardServer(settings, self.page)

    def ask(
        self,
        path: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        body: bytes = b"",
        query: str = "",
        client: str = "127.0.0.1",
    ) -> Answer:
        """Returns the answer to one request; as from its own page unless headers are given."""
        said = dict(OWN if headers is None else headers)
        if token is not None:
            said["cookie"] = f"{self.listening.cookie}={token}"
        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(k.encode(), v.encode()) for k, v in said.items()],
            "client": (client, 1),
            "server": ("127.0.0.1", 8501),
            "scheme": "http",
            "http_version": "1.1",
        }
        return asyncio.run(self._asked(scope, body))

    async def _asked(self, scope: dict[str, Any], body: bytes) -> Answer:
        sent: list[Message] = []
        bodies = [body]

        async def receive() -> Message:
            if not bodies:
                await asyncio.Event().wait()  # the browser stays on the line
            bodies.clear()
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        await self.server(scope, receive, send)
        headers = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
        content = b"".join(message.get("body", b"") for message in sent[1:])
        set_ones = [v.decode() for k, v in sent[0]["headers"] if k == b"set-cookie"]
        cookies = {one.split("=", 1)[0]: one.split("=", 1)[1].split(";")[0] for one in set_ones}
        return Answer(sent[0]["status"], headers, content, cookies)

    def log_in(
        self,
        name: str,
        password: str = PASSWORD,
        code: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        client: str = "127.0.0.1",
        then: str = "/",
    ) -> Answer:
        """Sends the form of the login, with a fresh code unless one is given."""
        said = {"name": name, "password": password, "then": then}
        said["code"] = self.accounts.fresh_code(name) if code is None else code
        return self.ask("/login", "POST", headers, token, urlencode(said).encode(), client=client)
