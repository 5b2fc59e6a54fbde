"""A login that was begun: its secrets, sealed in a cookie of the browser that began it.

The server keeps nothing of a login that nobody ends, so nobody crowds out the logins of others.
"""

import base64
import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

#: For how many seconds a login may take.
SECONDS = 600.0
_NONCE_BYTES, _MOST_USED = 12, 10_000
_LONGEST_PATH, _LONGEST_COOKIE = 500, 3500


@dataclass(frozen=True, kw_only=True)
class BegunLogin:
    """A login that was begun: 256 random bits each as state, nonce and verifier.

    ``then`` is the path that is opened afterwards, ``former`` the handle of the session that the
    browser had; ``began`` are seconds of the server's clock.
    """

    state: str
    nonce: str
    verifier: str
    then: str
    former: str
    began: float


class LoginFlows:
    """The logins that were begun here, by the cookies that hold them; each is ended once.

    Args:
        clock: seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._cipher = ChaCha20Poly1305(ChaCha20Poly1305.generate_key())
        self._used: OrderedDict[str, float] = OrderedDict()

    def begin(self, then: str, former: str) -> tuple[BegunLogin, str]:
        """Returns a new login, and the cookie that holds it."""
        fits = len(json.dumps(then)) <= _LONGEST_PATH
        login = BegunLogin(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            then=then if fits else "/",
            former=former,
            began=self._clock(),
        )
        drawn = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._cipher.encrypt(drawn, json.dumps(vars(login)).encode(), None)
        return login, base64.urlsafe_b64encode(drawn + sealed).decode().rstrip("=")

    def end(self, cookie: str | None, state: str) -> BegunLogin | None:
        """Returns the login that a cookie holds, once; None where it is none of this state now."""
        login = self._opened(cookie)
        if login is None or not secrets.compare_digest(login.state.encode(), state.encode()):
            return None
        now = self._clock()
        if not 0 <= now - login.began < SECONDS:
            return None
        with self._lock:
            while self._used and next(iter(self._used.values())) <= now - SECONDS:
                self._used.popitem(last=False)
            if login.state in self._used:
                return None
            self._used[login.state] = now
            if len(self._used) > _MOST_USED:
                self._used.popitem(last=False)
        return login

    def _opened(self, cookie: str | None) -> BegunLogin | None:
        if not cookie or len(cookie) > _LONGEST_COOKIE:
            return None
        try:
            text = cookie.encode("ascii") + b"=" * (-len(cookie) % 4)
            data = base64.b64decode(text, altchars=b"-_", validate=True)
            opened = self._cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], None)
        except (ValueError, InvalidTag):
            return None
        return BegunLogin(**json.loads(opened))
