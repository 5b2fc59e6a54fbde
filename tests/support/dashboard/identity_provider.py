"""A provider of OpenID Connect on loopback, in this process; what it says can be made wrong."""

import hmac
import json
import secrets
import threading
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

CLIENT, SECRET = "collegium", "a secret of this test"


@cache
def rsa_key(name: str, bits: int = 2048) -> RSAKey:
    """A key of the provider's; one for all tests, for RSA keys take long."""
    return RSAKey.generate_key(bits, {"kid": name, "use": "sig"})


@cache
def ec_key(name: str) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": name})


@dataclass
class IdentityProvider:
    """A provider: ``claims``, ``header`` and ``key`` say what its next tokens hold."""

    now: Any
    subject: str = "d-1"
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    key: Any = None
    published: dict[str, Any] = field(default_factory=dict)
    keys: list[Any] = field(default_factory=lambda: [rsa_key("one")])
    answer: bytes | None = None
    status: int = 200
    pause: float = 0.0
    asked: list[str] = field(default_factory=list)
    issuer: str = ""
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def authorise(self, address: str, **more: str) -> dict[str, str]:
        """Logs the browser in that comes to an address; returns what it brings back."""
        query = {name: one for name, (one,) in parse_qs(urlsplit(address).query).items()}
        assert query["response_type"] == "code" and query["client_id"] == CLIENT
        assert query["code_challenge_method"] == "S256" and query["scope"] == "openid"
        code = secrets.token_urlsafe(8)
        self._codes[code] = query
        return {"code": code, "state": query["state"], **more}

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorise",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "code_challenge_methods_supported": ["S256"],
            **self.published,
        }

    def token(self, form: dict[str, str], said: str) -> tuple[int, dict[str, Any]]:
        query = self._codes.pop(form.get("code", ""), None)
        digest = urlsafe_b64encode(sha256(form.get("code_verifier", "").encode()).digest())
        basic = b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if (
            query is None
            or query["code_challenge"] != digest.decode().rstrip("=")
            or query["redirect_uri"] != form.get("redirect_uri")
            or (said != f"Basic {basic}" and form.get("client_secret") != SECRET)
        ):
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": self.signed(query)}

    def signed(self, query: dict[str, str]) -> str:
        now = int(self.now().timestamp())
        said = {
            "iss": self.issuer, "sub": self.subject, "aud": CLIENT, "nonce": query["nonce"],
            "iat": now, "exp": now + 300, "auth_time": now, **self.claims,
        }  # fmt: skip
        said = {name: value for name, value in said.items() if value is not None}
        key = self.key or rsa_key("one")
        header = {"alg": "RS256", "kid": key.kid, **self.header}
        if header["alg"] in ("none", "HS256"):
            return unsigned(header, said)
        return jwt.encode(header, said, key, algorithms=[header["alg"]])

    def key_set(self) -> dict[str, Any]:
        return dict(KeySet(self.keys).as_dict())


def unsigned(header: dict[str, Any], said: dict[str, Any]) -> str:
    """A token that nobody signed, or with the public key's own text as a shared secret.

    The latter is the classical confusion of HS256 with RS256.
    """
    parts = (json.dumps(one).encode() for one in (header, said))
    text = ".".join(urlsafe_b64encode(one).decode().rstrip("=") for one in parts)
    if header["alg"] == "none":
        return f"{text}."
    made = hmac.new(rsa_key("one").as_pem(private=False), text.encode(), sha256).digest()
    return f"{text}.{urlsafe_b64encode(made).decode().rstrip('=')}"


@contextmanager
def providing(now: Any) -> Iterator[IdentityProvider]:
    """Serves a provider on loopback until the block ends."""
    provider = IdentityProvider(now=now)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.asked.append(self.path)
            known = {
                "/.well-known/openid-configuration": provider.metadata,
                "/keys": provider.key_set,
            }
            self.reply(provider.status, known[self.path]())

        def do_POST(self) -> None:
            provider.asked.append(self.path)
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            form = {name: one for name, (one,) in parse_qs(body).items()}
            self.reply(*provider.token(form, self.headers.get("authorization", "")))

        def reply(self, status: int, said: dict[str, Any]) -> None:
            body = json.dumps(said).encode() if provider.answer is None else provider.answer
            time.sleep(provider.pause)
            try:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:  # whoever asked has gone
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
