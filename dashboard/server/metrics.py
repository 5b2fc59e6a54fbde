"""Metrics of the dashboard's server, in the form that Prometheus reads; counts and times alone.

No label is a person, an account, an address or a run: pages, and words of this file. A page that
is not among those the server was made with counts as ``other``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from protocol.errors import FederationError, PolicyRefused, StoreBroken

#: What can come of a login. ``locked``: too many were refused before; ``unavailable``: nothing was
#: compared, for the records cannot be reached.
LoginOutcome = Literal["accepted", "refused", "locked", "unavailable"]
#: Why a request that is no login reaches nothing.
Refusal = Literal["no session", "revoked", "wrong role", "cross site"]
_LOGINS: tuple[LoginOutcome, ...] = ("accepted", "refused", "locked", "unavailable")
_REFUSALS: tuple[Refusal, ...] = ("no session", "revoked", "wrong role", "cross site")
_SCRIPT_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 1.5, 3, 10)


class DashboardMetrics:
    """The server's figures, in a registry of its own.

    Args:
        pages: the names of the pages.
    """

    def __init__(self, pages: tuple[str, ...]) -> None:
        registry = self.registry = CollectorRegistry()
        self._pages = frozenset(pages)
        self.sessions = Gauge(
            "collegium_dashboard_sessions",
            "Sessions that are logged in",
            registry=registry,
        )
        self.database_up = Gauge(
            "collegium_dashboard_database_up",
            "1 while the database answers",
            registry=registry,
        )
        self._logins = Counter(
            "collegium_dashboard_logins_total",
            "Logins, by outcome: accepted, refused, locked, unavailable",
            ["outcome"],
            registry=registry,
        )
        self._refusals = Counter(
            "collegium_dashboard_refusals_total",
            "Requests that reached nothing, by reason",
            ["reason"],
            registry=registry,
        )
        self._script_seconds = Histogram(
            "collegium_dashboard_script_seconds",
            "Seconds that a page's script runs, by page",
            ["page"],
            buckets=_SCRIPT_SECONDS,
            registry=registry,
        )
        self._script_errors = Counter(
            "collegium_dashboard_script_errors_total",
            "Scripts that ended in an error, by page",
            ["page"],
            registry=registry,
        )
        self.database_up.set(1)
        for login in _LOGINS:
            self._logins.labels(login)
        for reason in _REFUSALS:
            self._refusals.labels(reason)

    def login(self, outcome: LoginOutcome) -> None:
        """Counts a login."""
        self._logins.labels(outcome).inc()

    def refused(self, reason: Refusal) -> None:
        """Counts a request that reached nothing."""
        self._refusals.labels(reason).inc()

    @contextmanager
    def script(self, page: str) -> Iterator[None]:
        """Times a page's script until the block ends, and counts an error that ends it.

        What the page refuses to the person's role is a refusal; what somebody asks for that is not
        there is neither. A store that cannot be read is an error.
        """
        page, began = page if page in self._pages else "other", monotonic()
        try:
            yield
        except PolicyRefused:
            self.refused("wrong role")
            raise
        except Exception as error:
            if isinstance(error, StoreBroken) or not isinstance(error, FederationError):
                self._script_errors.labels(page).inc()
            raise
        finally:
            self._script_seconds.labels(page).observe(monotonic() - began)
