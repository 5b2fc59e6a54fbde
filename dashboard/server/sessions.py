"""Sessions: who is logged in, in the memory of this process alone.

Rules:

1. A token has 256 random bits, is made anew at every login and kept as its SHA-256. A session ends
   for good: the token is worth nothing afterwards.
2. A session ends after 15 minutes without activity, and 12 hours after the login. What a page
   fetches by itself is no activity.
3. A person has a few sessions at most; one more ends the oldest.
4. The person's key lies in the session and nowhere else in this process; its bytes are overwritten
   at the end, as far as Python allows.
"""

import hashlib
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from compliance.governance.access.linked_identity import LinkedIdentity
from compliance.governance.access.sealed_key import AccountSecrets
from coordinator.governance.accounts import IdentityLink
from coordinator.runs.sign_in import SignedInPerson
from protocol.identity.roster import SigningKey

_TOKEN_BYTES = 32


class Ended(StrEnum):
    """A reason for which a session has ended."""

    LOGGED_OUT = "logged-out"
    IDLE = "idle"
    TOO_OLD = "too-old"
    NO_RIGHT = "no-right"
    ANOTHER_LOGIN = "another-login"
    ACCOUNT_CHANGED = "account-changed"
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class SessionLimits:
    """The limits of sessions, in seconds, and how many a person and the whole server has."""

    idle: float = 15 * 60.0
    longest: float = 12 * 3600.0
    per_person: int = 5
    altogether: int = 500


@dataclass(eq=False)
class DashboardSession:
    """A session: whose, since when, when there was activity; times in seconds of one clock.

    ``handle`` names it in the log and to the running page; it opens nothing. ``box`` is the digest
    of the sealed key that was opened, empty where none was; ``identity`` what a provider said of
    who it is, None where an account was opened: with it there is no key.
    """

    person: str
    public_key: str
    handle: str
    began: float
    active: float
    box: str = ""
    ended: Ended | None = None
    media: set[str] = field(default_factory=set)
    wrong_codes: int = 0
    identity: LinkedIdentity | None = None
    _seed: bytearray = field(default_factory=bytearray, repr=False)
    _one_time: bytearray = field(default_factory=bytearray, repr=False)

    def key(self) -> SigningKey | None:
        """Returns the person's key; None once the session has ended."""
        return SigningKey.from_bytes(bytes(self._seed)) if any(self._seed) else None

    def signed_in(self) -> SignedInPerson:
        """Returns the person as the codes of approvals are compared for."""
        opened = AccountSecrets(seed=bytes(self._seed), one_time_secret=bytes(self._one_time))
        return SignedInPerson(person=self.person, public_key=self.public_key, secrets=opened)

    def wipe(self) -> None:
        """Overwrites the key and the secret."""
        for held in (self._seed, self._one_time):
            held[:] = bytes(len(held))


#: Called once for every session that ends, before its key is overwritten.
OnEnd = Callable[[DashboardSession], None]


class SessionTable:
    """The sessions of one server; may be used from several threads.

    Args:
        clock: seconds, never going back (``time.monotonic``).
        limits: when sessions end.
        on_end: is told of every session that ends.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        limits: SessionLimits = SessionLimits(),
        on_end: OnEnd = lambda session: None,
    ) -> None:
        self._clock, self._limits, self._on_end = clock, limits, on_end
        self._by_token: dict[str, DashboardSession] = {}
        self._by_handle: dict[str, DashboardSession] = {}
        self._lock = threading.RLock()

    def begin(self, person: SignedInPerson, handle: str) -> str:
        """Begins a session of a person who has just logged in; returns its token."""
        now = self._clock()
        session = DashboardSession(
            person=person.person,
            public_key=person.public_key,
            handle=handle,
            began=now,
            active=now,
            box=person.box,
            _seed=bytearray(person.secrets.seed),
            _one_time=bytearray(person.secrets.one_time_secret),
        )
        return self._begun(session)

    def begin_reading(self, link: IdentityLink, handle: str) -> str:
        """Begins a session without a key, of whom a provider has named; returns its token."""
        now = self._clock()
        return self._begun(
            DashboardSession(
                person=link.person,
                public_key=link.public_key,
                handle=handle,
                began=now,
                active=now,
                identity=LinkedIdentity(issuer=link.issuer, subject=link.subject),
            )
        )

    def _begun(self, session: DashboardSession) -> str:
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        with self._lock:
            own = [one for one in self.alive() if one.public_key == session.public_key]
            crowded = self.alive() if len(self._by_token) >= self._limits.altogether else []
            for former in own[: len(own) - self._limits.per_person + 1] or crowded[:1]:
                self.end(former, Ended.ANOTHER_LOGIN)
            self._by_token[_hashed(token)] = session
            self._by_handle[session.handle] = session
        return token

    def find(self, token: str | None) -> DashboardSession | None:
        """Returns the session of a token; None where there is none, or it has just ended."""
        with self._lock:
            session = self._by_token.get(_hashed(token)) if token else None
        return session if session is not None and self._is_alive(session) else None

    def named(self, handle: str | None) -> DashboardSession | None:
        """Returns the session of a handle, for the running page; None where there is none."""
        with self._lock:
            session = self._by_handle.get(handle) if handle else None
        return session if session is not None and self._is_alive(session) else None

    def touch(self, session: DashboardSession) -> None:
        """Notes activity; a session that has ended stays ended."""
        with self._lock:
            if self._is_alive(session):
                session.active = self._clock()

    def alive(self) -> list[DashboardSession]:
        """Returns the sessions that have not ended, the oldest first; ends those whose time is up.

        Sessions whose time is up are ended by the look.
        """
        with self._lock:
            found = sorted(self._by_token.values(), key=lambda one: one.began)
            return [one for one in found if self._is_alive(one)]

    def end(self, session: DashboardSession, why: Ended) -> None:
        """Ends a session, once; its key is overwritten."""
        with self._lock:
            if session.ended is not None:
                return
            session.ended = why
            self._by_token = {t: one for t, one in self._by_token.items() if one is not session}
            self._by_handle.pop(session.handle, None)
        try:
            self._on_end(session)
        finally:
            session.wipe()

    def end_all(self, why: Ended) -> None:
        """Ends every session."""
        for session in self.alive():
            self.end(session, why)

    def _is_alive(self, session: DashboardSession) -> bool:
        if session.ended is None:
            now = self._clock()
            if now - session.began >= self._limits.longest:
                self.end(session, Ended.TOO_OLD)
            elif now - session.active >= self._limits.idle:
                self.end(session, Ended.IDLE)
        return session.ended is None


def new_handle() -> str:
    """Returns a name for a new session: 16 hexadecimal digits; it opens nothing."""
    return secrets.token_hex(8)


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
