"""Access control in front of Streamlit: every request and websocket needs a session.

It is an ASGI application around another one, so that nothing of Streamlit is asked before.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from coordinator.governance.accounts.guarded import PeopleNow
from dashboard.server.http.activity import is_activity, is_needed, leave_for, media_in
from dashboard.server.http.message_limits import MessageLimits
from dashboard.server.http.requests import Listening, RequestFacts, for_the_page
from dashboard.server.http.response_headers import ALWAYS, own_page_policy, streamlit_policy
from dashboard.server.http.start_page import is_page, start_page
from dashboard.server.http.static_files import static_answer
from dashboard.server.metrics import DashboardMetrics
from dashboard.server.own_pages import BEGIN, CALLBACK, STYLE, onward_page, own_path, speak_to
from dashboard.server.sessions import DashboardSession, Ended, SessionTable
from protocol.errors import FederationError, PolicyRefused, StoreSilent

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("collegium.dashboard")

#: Paths that answer before anybody has logged in; they show nothing of the consortium.
PUBLIC = frozenset({"/login", "/healthz", BEGIN, CALLBACK})
#: Paths that are ours, not Streamlit's.
OWN = PUBLIC | {"/logout"}
#: Of Streamlit's paths those that nobody needs here.
_CLOSED = (
    "/_stcore/agent", "/_stcore/metrics", "/_stcore/upload_file", "/oauth2callback", "/auth/",
)  # fmt: skip
#: Codes with which a websocket is closed: the session has ended; the roles are others now.
SESSION_ENDED, ROLES_CHANGED = 4401, 1012
_MAX_SOCKETS, _MAX_MEDIA = 20, 20_000
_ENDING_SECONDS = 3.0
#: The answer about a file while nobody can say who may have it.
SILENT = "The database does not answer: try again once it does.\n"


#: In the place of a session where nobody logs in.
NOBODY = DashboardSession(person="", public_key="", handle="", began=0.0, active=0.0)


class OpenSocket:
    """A websocket of a session; ``stop`` closes it from outside."""

    def __init__(self, session: DashboardSession) -> None:
        self.session = session
        self.stopped = asyncio.Event()
        self.code = SESSION_ENDED

    def stop(self, code: int) -> None:
        """Closes it with a code."""
        self.code = code
        self.stopped.set()


class AccessControl:
    """The check of every request and websocket before Streamlit gets it.

    Args:
        page: Streamlit's application.
        own: the application of our own paths.
        listening: for which names requests may be.
        sessions: who is logged in; None where nobody has to.
        people: who may look now; None where nobody has to.
        metrics: counts what is refused.
    """

    def __init__(
        self,
        page: Application,
        own: Application,
        listening: Listening,
        sessions: SessionTable | None,
        people: PeopleNow | None,
        metrics: DashboardMetrics,
    ) -> None:
        self._metrics = metrics
        self._page, self._own, self._listening = page, own, listening
        self._sessions, self._people = sessions, people
        self.sockets: set[OpenSocket] = set()
        #: Whether nobody is served any more: a demo of a folder in which people registered since.
        self.closed = False
        self._policies = {
            True: own_page_policy(STYLE),
            False: streamlit_policy(listening.hosts, secure=listening.is_outside),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or hands it on."""
        facts = RequestFacts(scope)
        if self.closed:
            await _refused(scope, receive, send, 503, "People log in now: start it again.")
        elif not facts.is_for(self._listening.hosts):
            await _refused(scope, receive, send, 400, "This server has another name.")
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send, facts)
        else:
            with_headers = partial(self._with_headers, send, facts)
            await self._http(scope, receive, with_headers, facts)

    async def _http(self, scope: Scope, receive: Receive, send: Send, facts: RequestFacts) -> None:
        if facts.changes_something and not facts.is_from(self._listening.origins):
            self._metrics.refused("cross site")
            await _refused(scope, receive, send, 403, "This came from another site's page.")
            return
        if facts.path.startswith(_CLOSED):
            await _refused(scope, receive, send, 404, "Not found.")
            return
        session = self._session(facts)
        if self._sessions is not None and facts.path not in PUBLIC and session is None:
            self._metrics.refused("no session")
            await _login_first(facts)(scope, receive, send)
            return
        if facts.path in OWN or facts.path.startswith("/download/"):
            scope["session"] = session
            speak_to(facts.header("accept-language"))
            await self._own(scope, receive, send)
        elif (refused := await self._refusal(session, facts)) is None:
            if session is not None and facts.is_navigation and self._sessions is not None:
                self._sessions.touch(session)
            if facts.is_navigation and is_page(facts.path):
                await HTMLResponse(start_page(facts.path))(scope, receive, send)
                return
            if (kept := static_answer(scope["method"], facts.path)) is not None:
                await kept(scope, receive, send)
                return
            handle = "" if session is None else session.handle
            made = for_the_page(scope, self._listening.cookie, handle)
            await self._page(made, receive, send)
        else:
            await refused(scope, receive, send)

    async def _refusal(
        self, session: DashboardSession | None, facts: RequestFacts
    ) -> Response | None:
        """Returns why a session may not fetch a path: files only that its own pages were given."""
        if session is None or not facts.path.startswith("/media/"):
            return None
        if facts.path.removeprefix("/media/") not in session.media:
            return PlainTextResponse("Not found.\n", 404)
        may_look = await self._may_look(session)
        if may_look is None:
            return PlainTextResponse(SILENT, 503)
        return None if may_look else PlainTextResponse("Not found.\n", 404)

    async def _may_look(self, session: DashboardSession) -> bool | None:
        """Whether the session's person may look at the dashboard now; if not, the session ends.

        None where nobody can say so now.
        """
        if self._people is None or self._sessions is None:
            return True
        try:
            await run_in_threadpool(
                self._people.require, session.public_key, identity=session.identity
            )
        except PolicyRefused:
            self._metrics.refused("revoked")
            await run_in_threadpool(self._sessions.end, session, Ended.NO_RIGHT)
            return False
        except FederationError as error:
            if not isinstance(error, StoreSilent):  # which is told once, see ``database_watch``
                log.warning("who looks cannot be checked: %s", error)
            return None
        return True

    def _session(self, facts: RequestFacts) -> DashboardSession | None:
        if self._sessions is None:
            return None
        return self._sessions.find(facts.cookie(self._listening.cookie))

    async def _websocket(
        self, scope: Scope, receive: Receive, send: Send, facts: RequestFacts
    ) -> None:
        """Refuses a websocket before it is open, or serves it until its session ends."""
        origin = facts.header("origin")
        if origin is None or origin.lower() not in self._listening.origins:
            self._metrics.refused("cross site")
            await send({"type": "websocket.close", "code": 1008})
            return
        session = NOBODY if self._sessions is None else self._session(facts)
        # Where nobody can say who may look, the page shows nothing, and says why.
        if session is None or await self._may_look(session) is False:
            await send({"type": "websocket.close", "code": SESSION_ENDED})
            return
        own = sum(one.session is session for one in self.sockets)
        if session is not NOBODY and own >= _MAX_SOCKETS:
            await send({"type": "websocket.close", "code": 1013})
            return
        socket = OpenSocket(session)
        self.sockets.add(socket)
        try:
            made = for_the_page(scope, self._listening.cookie, session.handle)
            await self._serve(socket, made, receive, send)
        finally:
            self.sockets.discard(socket)

    async def _serve(self, socket: OpenSocket, scope: Scope, receive: Receive, send: Send) -> None:
        begun, limits = False, MessageLimits()

        async def received() -> Message:
            nonlocal begun
            message = await receive()
            while message["type"] == "websocket.receive":
                await asyncio.sleep(limits.seconds_to_wait())  # of nothing, too: others get a turn
                data = message.get("bytes")
                if not data or is_needed(data):
                    break
                message = await receive()
            data = message.get("bytes")
            if message["type"] == "websocket.receive" and data and is_activity(data):
                # What a page sends first it sends by itself, also after the line was lost.
                if begun and self._sessions is not None:
                    self._sessions.touch(socket.session)
                begun = True
            return message

        async def sent(message: Message) -> None:
            if socket.stopped.is_set():
                return
            data = message.get("bytes")
            is_person = socket.session is not NOBODY
            if data and is_person and len(socket.session.media) < _MAX_MEDIA:
                socket.session.media |= media_in(data)
            await send(message)

        page = asyncio.ensure_future(self._page(scope, received, sent))
        stopped = asyncio.ensure_future(socket.stopped.wait())
        await asyncio.wait({page, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not page.done():
            with contextlib.suppress(Exception):  # the line may be gone
                await send({"type": "websocket.send", "bytes": _way_out(socket)})
                await send({"type": "websocket.close", "code": socket.code})
            await asyncio.wait({page}, timeout=_ENDING_SECONDS)
            page.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await page

    async def _with_headers(self, send: Send, facts: RequestFacts, message: Message) -> None:
        """Sends an answer on with the headers that every answer has."""
        if message["type"] == "http.response.start":
            own = facts.path in OWN or (b"x-own-page", b"1") in message["headers"]
            said = {**ALWAYS, "content-security-policy": self._policies[own]}
            is_static = facts.path.startswith("/static/") and message["status"] < 300
            if not is_static:
                said["cache-control"] = "no-store"
            if self._listening.is_outside:
                said["strict-transport-security"] = "max-age=31536000"
            drop = {name.encode() for name in said} | {b"server", b"x-own-page"}
            kept = [(name, value) for name, value in message["headers"] if name not in drop]
            if is_static:
                kept = [(k, v.replace(b"public", b"private")) for k, v in kept]
            added = [(name.encode(), value.encode()) for name, value in said.items()]
            message = {**message, "headers": kept + added}
        await send(message)


def _way_out(socket: OpenSocket) -> bytes:
    """Returns what leads a page to the login, or to itself where its person has other roles now.

    A page that only connects again is not drawn anew: it would go on showing what it showed.
    """
    if socket.code != SESSION_ENDED:
        return leave_for("")
    return leave_for(f"/login?told={socket.session.ended or Ended.NO_RIGHT}")


def _login_first(facts: RequestFacts) -> Response:
    """Returns the answer to whoever has no session: the login page, or a bare refusal."""
    if not facts.is_navigation or facts.changes_something:
        return PlainTextResponse("Log in first.\n", 401)
    query = facts.scope.get("query_string", b"").decode("latin-1")
    path = own_path({"then": facts.path + (f"?{query}" if query else "")})
    if facts.is_from_elsewhere:
        return HTMLResponse(onward_page(path), headers={"x-own-page": "1"})
    return RedirectResponse(f"/login?then={quote(path, safe='/')}", 303)


async def _refused(scope: Scope, receive: Receive, send: Send, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        headers: Mapping[str, str] = ALWAYS
        await PlainTextResponse(f"{why}\n", status, headers=dict(headers))(scope, receive, send)


def health(*, database_answers: bool) -> Response:
    """Returns that the server answers, and whether its database does, and nothing else.

    Its status is 200 either way: a server that were started anew would have lost its sessions.
    """
    said = {"status": "ok", "database": "answers" if database_answers else "does not answer"}
    return Response(json.dumps(said), media_type="application/json")
