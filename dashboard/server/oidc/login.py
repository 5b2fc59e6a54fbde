"""The two paths of the login by OpenID Connect: it is begun here, and the provider sends back here.

The callback answers with a page of ours that opens the dashboard: a browser that comes from the
provider brings no strict cookie before.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from compliance.storage.clock import Clock
from coordinator.governance.accounts import IdentityLink
from coordinator.runs.sign_in import SignIn
from dashboard.server.http.address_limits import AddressLimits
from dashboard.server.http.requests import Listening, RequestFacts, set_cookie
from dashboard.server.metrics import DashboardMetrics, LoginOutcome
from dashboard.server.oidc.flow import SECONDS, BegunLogin, LoginFlows
from dashboard.server.oidc.provider import OidcProvider
from dashboard.server.oidc.settings import OidcSettings
from dashboard.server.own_pages import (
    BEGIN,
    CALLBACK,
    LoginOffer,
    login_page,
    onward_page,
    own_path,
)
from dashboard.server.sessions import Ended, SessionTable, new_handle
from protocol.errors import FederationError, LinkLost, PolicyRefused

log = logging.getLogger("collegium.dashboard")

#: Questions to the provider at once, and people who may wait for that.
_AT_ONCE, _MAX_WAITING = 4, 32


class AskingTurns:
    """Lets a few at once ask the provider; refuses where too many wait."""

    def __init__(self) -> None:
        self._free, self._waiting = asyncio.Semaphore(_AT_ONCE), 0

    async def __aenter__(self) -> None:
        if self._waiting >= _MAX_WAITING:
            raise LinkLost("too many people log in at this moment")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self._free.release()


@dataclass(frozen=True, kw_only=True)
class IdentityLogin:
    """The login at one provider.

    Attributes:
        provider: which one.
        offer: how the login page offers it.
        listening: under which name this server is opened.
        flows: the logins that were begun.
        sign_in: says whose an identity is.
        sessions: begins a session.
        admits: is told of a session before it begins; refuses who may not look.
        addresses: lets those wait who fail.
        metrics: counts logins.
    """

    provider: OidcProvider
    offer: LoginOffer
    listening: Listening
    flows: LoginFlows
    sign_in: SignIn
    sessions: SessionTable
    admits: Callable[[str, str], Awaitable[None]]
    addresses: AddressLimits
    metrics: DashboardMetrics
    turns: AskingTurns = field(default_factory=AskingTurns)

    def routes(self) -> list[Route]:
        """Returns the two paths."""
        return [
            Route(BEGIN, self.begin, methods=["GET"]),
            Route(CALLBACK, self.come_back, methods=["GET"]),
        ]

    async def begin(self, request: Request) -> Response:
        """Sends the browser to the provider."""
        facts, then = RequestFacts(request.scope), own_path(request.query_params)
        if facts.is_from_elsewhere:
            return RedirectResponse(f"/login?then={quote(then, safe='/')}", 303)
        own = urlsplit(self.listening.shown)
        if request.url.hostname != own.hostname:  # the provider sends back to this name alone
            return RedirectResponse(
                f"{self.listening.shown}{BEGIN}?then={quote(then, safe='/')}", 303
            )
        former = self.sessions.find(facts.cookie(self.listening.cookie))
        login, cookie = self.flows.begin(then, "" if former is None else former.handle)
        try:
            async with self.turns:
                address = await self.provider.login_address(login)
        except LinkLost:
            return self._told("identity-away", then, 503)
        answer = RedirectResponse(address, 303)
        answer.headers.append("set-cookie", self._flow_cookie(cookie))
        return answer

    async def come_back(self, request: Request) -> Response:
        """Answers the browser that the provider sends back."""
        facts = RequestFacts(request.scope)
        said = request.query_params.multi_items()
        query = dict(said)
        if len(said) != len(query):
            return self._over()
        login = self.flows.end(facts.cookie(self._cookie_name), query.get("state", ""))
        if login is None:
            return self._over()
        address = facts.client(behind_proxy=self.listening.behind_proxy)
        if not self.addresses.take(address):
            return self._refused("waits", login.then, 429, "locked")
        try:
            token = await self._signed_in(login, query)
        except LinkLost:
            return self._refused("identity-away", login.then, 503)
        except PolicyRefused as error:
            return self._refused(str(error), login.then, 403)
        except FederationError as error:
            log.error("nobody can log in: %s", error)
            self.addresses.give_back(address)
            return self._refused("unavailable", login.then, 503, "unavailable")
        self.metrics.login("accepted")
        self.addresses.clear(address)
        answer = HTMLResponse(onward_page(login.then))
        said_session = set_cookie(self.listening.cookie, token, secure=self.listening.is_outside)
        answer.headers.append("set-cookie", said_session)
        answer.headers.append("set-cookie", self._flow_cookie(""))
        return answer

    async def _signed_in(self, login: BegunLogin, query: dict[str, str]) -> str:
        """Returns the token of a new session.

        Raises:
            FederationError: there is none; says why.
        """
        code = query.get("code", "")
        if "error" in query or not code:
            raise PolicyRefused("The provider logged nobody in.")
        try:
            async with self.turns:
                identity = await self.provider.identity(login, code, query.get("iss"))
        except PolicyRefused as error:
            log.warning("a login at the provider was refused: %s", error)
            await run_in_threadpool(self.sign_in.refuse)
            raise PolicyRefused("What the provider says of this login does not count.") from error
        handle = new_handle()
        try:
            link: IdentityLink = await run_in_threadpool(self.sign_in.identify, identity, handle)
        except PolicyRefused as error:
            raise PolicyRefused(
                f"Nobody who may look here is linked to {identity.subject} at {identity.issuer}. "
                "Two people link it: collegium people account link"
            ) from error
        await self.admits(link.public_key, handle)
        former = self.sessions.named(login.former)
        token = self.sessions.begin_reading(link, handle)
        if former is not None:
            self.sessions.end(former, Ended.LOGGED_OUT)
        return token

    @property
    def _cookie_name(self) -> str:
        return f"{self.listening.cookie}-oidc"

    def _flow_cookie(self, value: str) -> str:
        """Returns the header that keeps a begun login; another site's redirect brings it back."""
        return set_cookie(
            self._cookie_name,
            value,
            secure=self.listening.is_outside,
            same_site="Lax",
            seconds=int(SECONDS),
        )

    def _refused(
        self, told: str, then: str, status: int, outcome: LoginOutcome = "refused"
    ) -> Response:
        self.metrics.login(outcome)
        answer = self._told(told, then, status)
        answer.headers.append("set-cookie", self._flow_cookie(""))
        return answer

    def _over(self) -> Response:
        """Returns the answer to a login that is none of this browser; the one it began stays."""
        self.metrics.login("refused")
        return self._told("identity-over", "/", 400)

    def _told(self, told: str, then: str, status: int) -> Response:
        return HTMLResponse(login_page(told=told, then=then, offer=self.offer), status)


def identity_login(
    settings: OidcSettings,
    listening: Listening,
    clock: Clock,
    elapsed: Callable[[], float],
    **parts: Any,
) -> IdentityLogin:
    """Returns the login at the provider of the settings.

    Args:
        settings: of the provider.
        listening: under which name this server is opened; the provider sends back there.
        clock: the time of day.
        elapsed: seconds, never going back.
        parts: the other attributes of ``IdentityLogin``.

    Raises:
        WorkspaceRefused: the provider's certificates cannot be read.
    """
    return IdentityLogin(
        provider=OidcProvider(settings, f"{listening.shown}{CALLBACK}", clock, elapsed),
        offer=LoginOffer(name=settings.name),
        listening=listening,
        flows=LoginFlows(elapsed),
        **parts,
    )
