"""A provider of OpenID Connect: what it publishes, and the exchange of a code for an identity.

Source: OpenID Connect Discovery 1.0; RFC 6749; RFC 7636 (PKCE); RFC 9207 (``iss``).
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client

from compliance.governance.access.linked_identity import LinkedIdentity, is_secure_address
from compliance.storage.clock import Clock
from dashboard.server.oidc.bounded_transport import BoundedTransport
from dashboard.server.oidc.flow import BegunLogin
from dashboard.server.oidc.id_token import ExpectedClaims, KeyUnknown, identity_in
from dashboard.server.oidc.settings import OidcSettings
from protocol.errors import LinkLost, PolicyRefused, WorkspaceRefused

log = logging.getLogger("collegium.dashboard")

#: How long all of one question takes at most, and how large its answer is.
SECONDS, MOST_BYTES = 8.0, 256 * 1024
#: For how long what a provider publishes is kept; how soon its keys are asked for again.
KEPT_SECONDS, AGAIN_SECONDS = 3600.0, 60.0
#: How soon a provider that did not answer is asked again.
DOWN_SECONDS = 5.0
_MOST_KEYS = 50
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
#: Ways to prove that a code is exchanged by this client, in the order of preference.
_WAYS = ("client_secret_basic", "client_secret_post")


class OidcProvider:
    """One provider, as one dashboard asks it.

    Args:
        settings: which one, and as whom.
        redirect: the address to which it sends browsers back.
        clock: the time of day, for the times of tokens.
        elapsed: seconds, never going back, for what is kept.
        seconds: how long one question takes at most.

    Raises:
        WorkspaceRefused: its certificates cannot be read.
    """

    def __init__(
        self,
        settings: OidcSettings,
        redirect: str,
        clock: Clock,
        elapsed: Callable[[], float],
        seconds: float = SECONDS,
    ) -> None:
        self._settings, self._redirect = settings, redirect
        self._clock, self._elapsed, self._seconds = clock, elapsed, seconds
        self._published: dict[str, Any] = {}
        self._keys: tuple[Mapping[str, Any], ...] = ()
        self._published_at = self._keys_at = self._failed_at = float("-inf")
        try:
            self._trusted = ssl.create_default_context(cafile=settings.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise WorkspaceRefused(f"{settings.ca_file} holds no certificates") from error

    async def login_address(self, login: BegunLogin) -> str:
        """Returns the address to which the browser goes to log in.

        Raises:
            LinkLost: the provider does not answer, or not as one.
        """
        published = await self._metadata()
        more: dict[str, Any] = {"nonce": login.nonce, "code_verifier": login.verifier}
        if self._settings.max_age is not None:
            more["max_age"] = self._settings.max_age
        async with self._client() as client:
            url, _ = client.create_authorization_url(
                published["authorization_endpoint"], state=login.state, **more
            )
        return str(url)

    async def identity(self, login: BegunLogin, code: str, issuer: str | None) -> LinkedIdentity:
        """Returns who has logged in, by the code that the browser brought.

        Args:
            login: that was begun in this browser.
            code: as the provider gave it to the browser.
            issuer: as the provider named itself beside it; None where it did not.

        Raises:
            PolicyRefused: the code or the token does not count.
            LinkLost: the provider does not answer, or not as one.
        """
        published = await self._metadata()
        named = published.get("authorization_response_iss_parameter_supported") is True
        if issuer != self._settings.issuer and (issuer is not None or named):
            raise PolicyRefused("the answer is another provider's")
        token = await self._exchanged(published, code, login.verifier)
        expected = ExpectedClaims(
            issuer=self._settings.issuer,
            client_id=self._settings.client_id,
            nonce=login.nonce,
            algorithms=self._settings.algorithms,
            max_age=self._settings.max_age,
        )
        now = int(self._clock().timestamp())
        try:
            return identity_in(token, await self._key_set(published), expected, now)
        except KeyUnknown:
            keys = await self._key_set(published, AGAIN_SECONDS)
            return identity_in(token, keys, expected, now)

    async def _exchanged(self, published: Mapping[str, Any], code: str, verifier: str) -> str:
        """Returns the identity token for a code.

        Raises:
            PolicyRefused: the provider refuses the code, or gives no such token.
            LinkLost: it does not answer.
        """
        ways = published.get("token_endpoint_auth_methods_supported")
        known = ways if isinstance(ways, list) else []
        way = next((one for one in _WAYS if one in known), _WAYS[0])
        try:
            async with asyncio.timeout(self._seconds), self._client(way) as client:
                told = await client.fetch_token(
                    published["token_endpoint"],
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=verifier,
                    redirect_uri=self._redirect,
                )
        except (TimeoutError, httpx2.HTTPError, httpx2.StreamError) as error:
            raise self._lost(error) from error
        except (AuthlibBaseError, ValueError, TypeError) as error:
            raise PolicyRefused(f"the provider takes no such code ({_kind(error)})") from error
        token = told.get("id_token") if isinstance(told, dict) else None
        if not isinstance(token, str):
            raise PolicyRefused("the provider gave no identity token")
        return token

    async def _metadata(self) -> dict[str, Any]:
        now = self._elapsed()
        if now - self._published_at >= KEPT_SECONDS:
            self._require_up(now)
            issuer = self._settings.issuer
            place = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
            published = await self._document(place)
            self._require_provider(published)
            self._published, self._published_at = published, now
        return self._published

    async def _key_set(
        self, published: Mapping[str, Any], kept: float = KEPT_SECONDS
    ) -> Sequence[Mapping[str, Any]]:
        """Returns the provider's keys; they are asked for where they are older than ``kept``."""
        now = self._elapsed()
        if now - self._keys_at >= kept:
            self._require_up(now)
            found = (await self._document(published["jwks_uri"])).get("keys")
            if not isinstance(found, list) or not 0 < len(found) <= _MOST_KEYS:
                raise self._lost(ValueError("it publishes no keys"))
            self._keys = tuple(one for one in found if isinstance(one, dict))
            self._keys_at = now
        return self._keys

    async def _document(self, url: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._seconds), self._client() as client:
                answer = await client.request("GET", url, withhold_token=True)
                answer.raise_for_status()
                said = answer.json()
        except (TimeoutError, httpx2.HTTPError, httpx2.StreamError, ValueError) as error:
            raise self._lost(error) from error
        if not isinstance(said, dict):
            raise self._lost(ValueError("it answers in another form"))
        return said

    def _require_provider(self, published: Mapping[str, Any]) -> None:
        """Checks that what is published is this provider's, and enough.

        Raises:
            LinkLost: it is not.
        """
        methods = published.get("code_challenge_methods_supported", ["S256"])
        places = [published.get(name) for name in _ENDPOINTS]
        if published.get("issuer") != self._settings.issuer:
            raise self._lost(ValueError("it names another issuer"))
        scheme = f"{self._settings.issuer.split(':')[0]}:"
        if not all(
            isinstance(place, str) and is_secure_address(place) and place.startswith(scheme)
            for place in places
        ):
            raise self._lost(ValueError("it names no address of HTTPS for each endpoint"))
        if not isinstance(methods, list) or "S256" not in methods:
            raise self._lost(ValueError("it does not know PKCE with S256"))

    def _require_up(self, now: float) -> None:
        if now - self._failed_at < DOWN_SECONDS:
            raise LinkLost("the provider did not answer a moment ago")

    def _lost(self, error: Exception) -> LinkLost:
        self._failed_at = self._elapsed()
        log.warning("the provider %s: %s", self._settings.issuer, _kind(error))
        return LinkLost(f"the provider does not answer as one ({_kind(error)})")

    def _client(self, way: str | None = None) -> Any:
        """Returns a client for one question; it follows no redirect and reads no environment."""
        inner = httpx2.AsyncHTTPTransport(verify=self._trusted, trust_env=False)
        return AsyncOAuth2Client(
            client_id=self._settings.client_id,
            client_secret=self._settings.client_secret,
            token_endpoint_auth_method=way,
            redirect_uri=self._redirect,
            scope="openid",
            code_challenge_method="S256",
            transport=BoundedTransport(inner, MOST_BYTES),
            timeout=httpx2.Timeout(self._seconds),
            follow_redirects=False,
            trust_env=False,
        )


def _kind(error: Exception) -> str:
    """Returns what went wrong, without what the provider wrote."""
    return str(error) if type(error) is ValueError else type(error).__name__
