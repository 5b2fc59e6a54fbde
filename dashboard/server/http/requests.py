"""Facts of a request: whose name it is for, from which page it comes, which cookie it brings."""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from protocol.errors import WorkspaceRefused

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: The header by which the running page learns the session's handle; nobody outside sets it.
HANDLE_HEADER = "x-collegium-session"


@dataclass(frozen=True, kw_only=True)
class Listening:
    """The place where the server listens, and the address under which people open it.

    Attributes:
        address, port: what it listens on.
        url: as people write it, ``https://dashboard.example.org``; the loopback address if empty.
        certificate, key: files in PEM; empty without TLS of its own.
        behind_proxy: whether a proxy speaks TLS to people and names their addresses.
    """

    address: str = "127.0.0.1"
    port: int = 8501
    url: str = ""
    certificate: str = ""
    key: str = ""
    behind_proxy: bool = False

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            raise WorkspaceRefused("--certificate and --key go together")
        if not self.is_loopback and not (self.certificate or self.behind_proxy):
            raise WorkspaceRefused(
                f"--address {self.address} can be reached by other machines: passwords need TLS. "
                "Name --certificate and --key, or say --behind-proxy where a proxy speaks TLS"
            )
        if self.is_outside and not self.url:
            raise WorkspaceRefused(
                "--url says under which address people open the dashboard, such as "
                "https://dashboard.example.org: requests for other names are refused"
            )
        parts = urlsplit(self.url)
        if self.url and (
            parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query
        ):
            raise WorkspaceRefused(f"--url {self.url} is no https://NAME or https://NAME:PORT")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if self.address == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.address).is_loopback
        except ValueError:
            return False

    @property
    def is_outside(self) -> bool:
        """Whether people on other machines open it, through TLS."""
        return bool(self.certificate) or self.behind_proxy

    @property
    def hosts(self) -> frozenset[str]:
        """The names, with their ports, that requests may be for."""
        if self.url:
            netloc = urlsplit(self.url).netloc.lower()
            return frozenset({netloc, netloc.removesuffix(":443")})
        names = ("127.0.0.1", "localhost", "[::1]")
        return frozenset(f"{name}:{self.port}" for name in names)

    @property
    def origins(self) -> frozenset[str]:
        """The origins of its own pages."""
        scheme = "https" if self.is_outside else "http"
        return frozenset(f"{scheme}://{host}" for host in self.hosts)

    @property
    def shown(self) -> str:
        """The address that people open."""
        return self.url or f"http://127.0.0.1:{self.port}"

    @property
    def cookie(self) -> str:
        """The name of the session's cookie; ``__Host-`` binds it to TLS and to this one host."""
        return "__Host-collegium" if self.is_outside else f"collegium-{self.port}"


@dataclass(frozen=True)
class RequestFacts:
    """A request of ASGI in the words that the server decides by."""

    scope: Mapping[str, Any]

    def header(self, name: str) -> str | None:
        """Returns a header that came once; None where it is missing or came twice."""
        found = [value for key, value in self.scope["headers"] if key == name.encode()]
        return found[0].decode("latin-1") if len(found) == 1 else None

    @property
    def path(self) -> str:
        """The path, as Starlette routes it."""
        return str(self.scope["path"])

    def is_for(self, hosts: Iterable[str]) -> bool:
        """Whether it is for one of these names."""
        host = self.header("host")
        return host is not None and host.lower() in hosts

    def is_from(self, origins: Iterable[str]) -> bool:
        """Whether it comes from a page of one of these origins.

        A browser that hides the origin (``null``) still says that both sites are the same.
        """
        origin = self.header("origin")
        if origin is None or origin == "null":
            return self.header("sec-fetch-site") == "same-origin"
        return origin.lower() in origins

    @property
    def changes_something(self) -> bool:
        """Whether its method may change something."""
        return self.scope.get("method", "GET") not in _SAFE

    @property
    def is_navigation(self) -> bool:
        """Whether a browser asks for a page to show."""
        mode = self.header("sec-fetch-mode")
        wanted = self.header("accept") or ""
        return mode == "navigate" or (mode is None and "text/html" in wanted)

    @property
    def is_from_elsewhere(self) -> bool:
        """Whether another site sent the browser here, so that it brings no strict cookie."""
        return self.header("sec-fetch-site") == "cross-site"

    @property
    def is_of_another_origin(self) -> bool:
        """Whether another page asks, also one of another port of this machine."""
        return self.header("sec-fetch-site") in ("cross-site", "same-site")

    def cookie(self, name: str) -> str | None:
        """Returns a cookie that came once; None where it is missing, or came twice."""
        found = []
        for key, value in self.scope["headers"]:
            if key == b"cookie":
                for part in value.decode("latin-1").split(";"):
                    said, _, content = part.strip().partition("=")
                    if said == name:
                        found.append(content)
        return found[0] if len(found) == 1 else None

    def client(self, *, behind_proxy: bool) -> str:
        """Returns the address that asks; behind a proxy the last one that the proxy names.

        Some proxies append to the header, others add a line of their own below the browser's.
        """
        peer = self.scope.get("client") or ("unknown", 0)
        lines = [value for key, value in self.scope["headers"] if key == b"x-forwarded-for"]
        named = lines[-1].decode("latin-1").split(",")[-1].strip() if lines else ""
        return named[:64] if named and behind_proxy else str(peer[0])


def for_the_page(scope: Mapping[str, Any], cookie: str, handle: str) -> dict[str, Any]:
    """Returns a scope as Streamlit gets it: without the token, with the session's handle.

    An older page's id is left out, so that nobody takes over what another session showed.
    """
    headers = []
    for key, value in scope["headers"]:
        if key == HANDLE_HEADER.encode():
            continue
        if key == b"cookie":
            value = _without(value.decode("latin-1"), cookie).encode("latin-1")
        if key == b"sec-websocket-protocol":
            value = b",".join(value.split(b",")[:2])
        headers.append((key, value))
    headers.append((HANDLE_HEADER.encode(), handle.encode()))
    made = {**scope, "headers": headers}
    if "subprotocols" in scope:
        made["subprotocols"] = list(scope["subprotocols"])[:2]
    return made


def _without(cookies: str, name: str) -> str:
    parts = (part.strip() for part in cookies.split(";"))
    return "; ".join(part for part in parts if part.partition("=")[0] != name)


def set_cookie(
    name: str, value: str, *, secure: bool, same_site: str = "Strict", seconds: int | None = None
) -> str:
    """Returns the header that keeps a value in the browser, out of reach of scripts.

    Args:
        name: of the cookie.
        value: a session's token; empty to forget it.
        secure: whether TLS alone carries it.
        same_site: whether it comes with what other sites link to: ``Lax``, or not: ``Strict``.
        seconds: for how long it is kept; until the browser is closed when None.

    Raises:
        WorkspaceRefused: the value is none that a cookie holds.
    """
    cookie: SimpleCookie = SimpleCookie()
    try:
        cookie[name] = value
    except CookieError as error:
        raise WorkspaceRefused(f"{name} is no name of a cookie") from error
    cookie[name]["path"] = "/"
    cookie[name]["httponly"] = True
    cookie[name]["samesite"] = same_site
    if secure:
        cookie[name]["secure"] = True
    if not value or seconds is not None:
        cookie[name]["max-age"] = seconds if value else 0
    return cookie[name].OutputString()
