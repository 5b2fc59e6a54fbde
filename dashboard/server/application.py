"""The server put together: Streamlit's application, the access control around it, our own paths."""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import streamlit as st
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from compliance.governance.access.sealed_key import COST, SealingCost
from compliance.governance.acts import ActRequest
from compliance.storage.clock import Clock, utc_now
from coordinator.governance.accounts.guarded import PeopleNow
from coordinator.runs.person_acts import perform
from coordinator.runs.sign_in import REFUSED, SignIn, needs_login
from dashboard.server.access_control import (
    ROLES_CHANGED,
    SESSION_ENDED,
    SILENT,
    AccessControl,
    Application,
    Message,
    Receive,
    Scope,
    Send,
    health,
)
from dashboard.server.database_watch import DatabaseWatch
from dashboard.server.downloads import MakesDownload
from dashboard.server.http.address_limits import AddressLimits
from dashboard.server.http.requests import Listening, RequestFacts, set_cookie
from dashboard.server.metrics import DashboardMetrics, LoginOutcome
from dashboard.server.oidc import OidcSettings
from dashboard.server.own_pages import LoginOffer, login_page, logout_page, own_path
from dashboard.server.sessions import (
    DashboardSession,
    Ended,
    SessionLimits,
    SessionTable,
    new_handle,
)
from dashboard.server.viewing import PersonViewing, SignsPdf, finder, serve_viewers
from dashboard.viewer import DemoViewer, Viewer
from protocol.errors import FederationError, PolicyRefused, StoreBroken, StoreSilent
from protocol.identity.roster import SigningKey

if TYPE_CHECKING:
    from dashboard.server.oidc.login import IdentityLogin

log = logging.getLogger("collegium.dashboard")

_MAX_FORM_BYTES = 8 * 1024
#: Keys that are derived at once, and people who may wait for that; each takes 64 MiB.
_AT_ONCE, _MAX_WAITING = 2, 16


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a server.

    Attributes:
        script: the page that Streamlit runs.
        out: the folder that is shown.
        listening: where, and under which name.
        login: whether people log in; False on loopback alone, for a demo.
        limits: of sessions.
        cost: of deriving a sealed key.
        look_seconds: between two looks at who may still look.
        clock: the time of day; ``elapsed`` are seconds that never go back.
        downloads: makes files; None where there are none.
        metrics: counts logins, refusals and sessions.
        signs_pdf: puts a person's signature under a report; None where none is signed.
        warm_up: is called once, before the first request is answered.
        oidc: the provider at which people may log in to look; None where there is none.
    """

    script: Path
    out: Path
    listening: Listening
    login: bool
    limits: SessionLimits = SessionLimits()
    cost: SealingCost = COST
    look_seconds: float = 1.0
    clock: Clock = utc_now
    elapsed: Callable[[], float] = time.monotonic
    downloads: MakesDownload | None = None
    metrics: DashboardMetrics = field(default_factory=lambda: DashboardMetrics(()))
    signs_pdf: SignsPdf | None = None
    warm_up: Callable[[], None] = lambda: None
    oidc: OidcSettings | None = None

    def __post_init__(self) -> None:
        if not self.login and (not self.listening.is_loopback or self.listening.is_outside):
            raise PolicyRefused("without a login the dashboard opens on this machine alone")
        if self.oidc is not None and not self.login:
            raise PolicyRefused("--oidc is for a dashboard where people log in")


class DashboardServer:
    """The dashboard as an ASGI application; one in a process.

    Args:
        settings: see ``Settings``.
        page: Streamlit's application; made of the script when None.

    Raises:
        StoreBroken, WorkspaceRefused: people are to log in, and the folder cannot be read.
    """

    def __init__(self, settings: Settings, page: Application | None = None) -> None:
        self._settings, self._watch = settings, DatabaseWatch(settings.metrics)
        self.sessions: SessionTable | None = None
        self.people: PeopleNow | None = None
        self._sign_in = SignIn(settings.out, settings.clock, settings.cost)
        self._addresses = AddressLimits(settings.elapsed)
        self._turn, self._waiting = asyncio.Semaphore(_AT_ONCE), 0
        self._ends: queue.Queue[tuple[str, SigningKey, Ended] | None] = queue.Queue()
        self._roles: dict[str, frozenset[str]] = {}
        if settings.login:
            self.people = PeopleNow(settings.out, settings.clock)
            self.sessions = SessionTable(settings.elapsed, settings.limits, self._ended)
        self._identities = self._identity_login(settings.oidc)
        streamlit_page: Application = page or st.App(settings.script)
        self._page = streamlit_page
        self.control = AccessControl(
            streamlit_page,
            self._own(),
            settings.listening,
            self.sessions,
            self.people,
            settings.metrics,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers as ASGI has it."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            await self.control(scope, receive, send)

    def viewer(self, session: DashboardSession | None) -> Viewer:
        """Returns the viewer of a session; of a demo where nobody logs in.

        Raises:
            PolicyRefused: the person may not look any more.
        """
        if self.sessions is None or self.people is None or session is None:
            return DemoViewer()
        settings = self._settings
        return PersonViewing(
            session, self.sessions, self.people, self._sign_in, settings.out, settings.signs_pdf
        )

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lives as long as Streamlit's application does; ends every session at the end."""
        times = self._settings.metrics.script
        if self.sessions is None or self.people is None:
            serve_viewers(lambda handle: DemoViewer(), times)
        else:
            home, signs_pdf = self._settings.out, self._settings.signs_pdf
            finds = finder(self.sessions, self.people, self._sign_in, home, signs_pdf)
            serve_viewers(finds, times)
        writer = threading.Thread(target=self._write_ends, name="logouts", daemon=True)
        writer.start()
        looking = asyncio.ensure_future(self._look_again())

        async def sent(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await run_in_threadpool(self._settings.warm_up)
            elif message["type"].startswith("lifespan.shutdown"):
                await self._stop(looking, writer)
            await send(message)

        await self._page(scope, receive, sent)

    async def _stop(self, looking: "asyncio.Future[None]", writer: threading.Thread) -> None:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
        if self.sessions is not None:
            await run_in_threadpool(self.sessions.end_all, Ended.STOPPED)
        self._ends.put(None)
        await run_in_threadpool(writer.join, 10)
        serve_viewers(None)
        if self.people is not None:
            self.people.close()

    async def _look_again(self) -> None:
        """Closes the websockets of whoever may look no longer, for as long as the server lives."""
        while True:
            await asyncio.sleep(self._settings.look_seconds)
            try:
                changed = await run_in_threadpool(self._look)
            except Exception:
                log.exception("who looks cannot be checked")
                continue
            for socket in list(self.control.sockets):
                if socket.session.ended is not None or self.control.closed:
                    socket.stop(SESSION_ENDED)
                elif socket.session.handle in changed:
                    socket.stop(ROLES_CHANGED)

    def _look(self) -> set[str]:
        """Ends sessions whose time or right is over; returns those whose roles are others now."""
        changed: set[str] = set()
        try:
            if self.people is None:
                self._close_demo()
            else:
                self.people.policy()
            self._look_at_sessions(changed)
        except StoreSilent as error:
            self._watch.saw(error)
            return changed
        except StoreBroken as error:
            log.warning("who looks cannot be checked: %s", error)
        self._watch.saw(None)
        return changed

    def _look_at_sessions(self, changed: set[str]) -> None:
        table, people = self.sessions, self.people
        alive = [] if table is None else table.alive()
        self._settings.metrics.sessions.set(len(alive))
        for session in alive:
            try:
                roles = _roles_of(people, session)
            except PolicyRefused:
                if table is not None:
                    table.end(session, Ended.NO_RIGHT)
                continue
            if session.box and people and people.box_of(session.public_key) != session.box:
                if table is not None:
                    table.end(session, Ended.ACCOUNT_CHANGED)
                continue
            before = self._roles.setdefault(session.handle, roles)
            if before != roles:
                self._roles[session.handle] = roles
                changed.add(session.handle)

    def _close_demo(self) -> None:
        """Closes a demo where people were registered meanwhile: from now on they log in."""
        try:
            self.control.closed = needs_login(self._settings.out, demo=True)
        except PolicyRefused:
            self.control.closed = True
        except StoreSilent:
            raise
        except FederationError:  # only comparisons lie there, or it cannot be read now
            return

    def _ended(self, session: DashboardSession) -> None:
        """Notes that a session has ended; it is written down by a thread of its own."""
        self._roles.pop(session.handle, None)
        key = session.key()
        if key is not None and session.ended not in (None, Ended.NO_RIGHT):
            self._ends.put((session.handle, key, session.ended))

    def _write_ends(self) -> None:
        while (ended := self._ends.get()) is not None:
            handle, key, why = ended
            request = ActRequest(
                action="logout", subject_kind="dashboard", subject=handle, details={"why": why}
            )
            try:
                perform(self._settings.out, request, key, clock=self._settings.clock)
            except FederationError as error:
                log.warning("the end of session %s was not logged: %s", handle, error)

    def _own(self) -> Application:
        async def healthz(_request: Request) -> Response:
            return health(database_answers=self._watch.answers)

        at_provider = [] if self._identities is None else self._identities.routes()
        return Starlette(
            routes=[
                *at_provider,
                Route("/healthz", healthz),
                Route("/login", self._show_login, methods=["GET"]),
                Route("/login", self._log_in, methods=["POST"]),
                Route("/logout", self._show_logout, methods=["GET"]),
                Route("/logout", self._log_out, methods=["POST"]),
                Route("/download/{path:path}", self._download, methods=["GET"]),
            ]
        )

    async def _show_login(self, request: Request) -> Response:
        said = dict(request.query_params)
        told = said.get("told", "")
        known = told if told in {*Ended} else ""
        if self.sessions is None:
            return RedirectResponse("/", 303)
        return HTMLResponse(login_page(told=known, then=own_path(said), offer=self._offer))

    async def _show_logout(self, _request: Request) -> Response:
        return HTMLResponse(logout_page())

    async def _log_in(self, request: Request) -> Response:
        """Answers the form of the login."""
        form = await _form(request)
        if form is None or self.sessions is None:
            return PlainTextResponse("This is no login.\n", 400)
        name, then = form.get("name", ""), own_path(form)
        told, status = "busy", 503
        outcome: LoginOutcome = "refused"
        address = self._address(request)
        if not self._addresses.take(address):
            told, status, outcome = "waits", 429, "locked"
        elif self._waiting < _MAX_WAITING:
            handle = new_handle()
            try:
                token = await self._signed_in(form, handle)
            except PolicyRefused as error:
                told = "refused" if str(error) == REFUSED else str(error)
                status = 403
            except FederationError as error:
                log.error("nobody can log in: %s", error)
                told, status, outcome = "unavailable", 503, "unavailable"
                self._addresses.give_back(address)
            else:
                self._settings.metrics.login("accepted")
                self._addresses.clear(address)
                await self._end_former(request)
                return self._with_cookie(RedirectResponse(then, 303), token)
        self._settings.metrics.login(outcome)
        return HTMLResponse(
            login_page(told=told, name=name[:100], then=then, offer=self._offer), status
        )

    async def _signed_in(self, form: dict[str, str], handle: str) -> str:
        """Returns the token of a new session."""
        self._waiting += 1
        try:
            async with self._turn:
                person = await run_in_threadpool(
                    self._sign_in.log_in,
                    form.get("name", ""),
                    form.get("password", ""),
                    form.get("code", ""),
                    handle,
                )
        finally:
            self._waiting -= 1
        if self.sessions is None or self.people is None:
            raise PolicyRefused("nobody logs in here")
        await self._admit(person.public_key, handle)
        return self.sessions.begin(person, handle)

    async def _admit(self, public_key: str, handle: str) -> None:
        """Notes the roles of a session, before any page could show something.

        Raises:
            PolicyRefused: the person may not look.
        """
        if self.people is not None:
            person = await run_in_threadpool(self.people.require, public_key)
            self._roles[handle] = frozenset(person.roles)

    def _identity_login(self, oidc: OidcSettings | None) -> "IdentityLogin | None":
        if oidc is None or self.sessions is None:
            return None
        from dashboard.server.oidc.login import identity_login

        settings = self._settings
        return identity_login(
            oidc, settings.listening, settings.clock, settings.elapsed, sign_in=self._sign_in,
            sessions=self.sessions, admits=self._admit, addresses=self._addresses,
            metrics=settings.metrics,
        )  # fmt: skip

    @property
    def _offer(self) -> LoginOffer | None:
        return None if self._identities is None else self._identities.offer

    async def _end_former(self, request: Request) -> None:
        """Ends the session that the browser had before: its token is worth nothing any more."""
        token = RequestFacts(request.scope).cookie(self._settings.listening.cookie)
        former = None if self.sessions is None else self.sessions.find(token)
        if self.sessions is not None and former is not None:
            self.sessions.end(former, Ended.LOGGED_OUT)

    async def _log_out(self, request: Request) -> Response:
        session: DashboardSession | None = request.scope.get("session")
        if self.sessions is None or session is None:
            return RedirectResponse("/", 303)
        self.sessions.end(session, Ended.LOGGED_OUT)
        answer = RedirectResponse(f"/login?told={Ended.LOGGED_OUT}", 303)
        answer.headers["clear-site-data"] = '"cache", "storage"'
        return self._with_cookie(answer, "")

    async def _download(self, request: Request) -> Response:
        """Sends a file, once it is written down who takes it."""
        makes, session = self._settings.downloads, request.scope.get("session")
        if makes is None:
            return PlainTextResponse("There is nothing to download.\n", 404)
        if RequestFacts(request.scope).is_of_another_origin:
            return PlainTextResponse("This came from another site's page.\n", 403)
        if session is not None and self.sessions is not None:
            self.sessions.touch(session)
        said = dict(request.query_params)
        path = str(request.path_params["path"])
        try:
            return await run_in_threadpool(partial(self._made, makes, path, said, session))
        except PolicyRefused as error:
            return PlainTextResponse(f"{error}\n", 403)
        except StoreSilent:
            return PlainTextResponse(SILENT, 503)
        except FederationError as error:
            return PlainTextResponse(f"{error}\n", 404)

    def _made(
        self,
        makes: MakesDownload,
        path: str,
        said: dict[str, str],
        session: DashboardSession | None,
    ) -> Response:
        viewer = self.viewer(session)
        made = makes(path, said, viewer)
        if session is not None:
            viewer.perform(made.act)
        return made.response()

    def _address(self, request: Request) -> str:
        facts = RequestFacts(request.scope)
        return facts.client(behind_proxy=self._settings.listening.behind_proxy)

    def _with_cookie(self, answer: Response, token: str) -> Response:
        listening = self._settings.listening
        said = set_cookie(listening.cookie, token, secure=listening.is_outside)
        answer.headers.append("set-cookie", said)
        return answer


def _roles_of(people: PeopleNow | None, session: DashboardSession) -> frozenset[str]:
    """Returns the roles of a session's person now.

    Raises:
        PolicyRefused: the person may not look any more.
    """
    if people is None:
        return frozenset()
    return frozenset(people.require(session.public_key, identity=session.identity).roles)


async def _form(request: Request) -> dict[str, str] | None:
    """Returns the fields of a form; None where it is none, or too large."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MAX_FORM_BYTES:
            return None
    try:
        fields: dict[str, Any] = parse_qs(
            body.decode("utf-8"), max_num_fields=10, keep_blank_values=True
        )
    except ValueError:
        return None
    return {name: str(values[0]) for name, values in fields.items()}
