"""A hospital's metrics, in the form that Prometheus reads: counts and times of the line alone.

Nothing here is about patients: no count of them, no figure, no name of a column. Labels are the
kinds of deliveries, and words of this file. What is asked for more often than the protocol has
kinds counts as ``other``, so a coordinator cannot make labels.
"""

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from protocol.errors import FederationError

#: The kinds of deliveries; any other counts as ``other``.
KINDS = (
    "join",
    "initial-model",
    "cosign",
    "advertise",
    "share",
    "masked",
    "consistency",
    "unmask",
    "leave",
)
#: The outcomes of a delivery.
OUTCOMES = ("answered", "refused", "too late")
_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120, 600)


class SiloMetrics:
    """One hospital's figures, in a registry of its own.

    Args:
        home: the hospital's folder, whose disk is looked at.
    """

    def __init__(self, home: Path) -> None:
        registry = self.registry = CollectorRegistry()
        self.connected = Gauge(
            "collegium_silo_connected",
            "1 while the coordinator answers this hospital, else 0",
            registry=registry,
        )
        self.heard = Gauge(
            "collegium_silo_heard_timestamp_seconds",
            "When the coordinator last answered, in seconds since 1970; 0 before it did",
            registry=registry,
        )
        self.lost = Counter(
            "collegium_silo_line_lost_total",
            "How often the line to the coordinator was lost or refused",
            registry=registry,
        )
        self.deliveries = Counter(
            "collegium_silo_deliveries_total",
            "Deliveries of the coordinator, by kind and what came of them",
            ["kind", "outcome"],
            registry=registry,
        )
        self.answer_seconds = Histogram(
            "collegium_silo_answer_seconds",
            "Seconds from a delivery to its answer, by kind",
            ["kind"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.crossed = Counter(
            "collegium_silo_bytes_total",
            "Bytes of messages and what travels beside them, by direction",
            ["direction"],
            registry=registry,
        )
        self._certificate = Gauge(
            "collegium_silo_certificate_end_timestamp_seconds",
            "When this hospital's certificate ends, in seconds since 1970",
            registry=registry,
        )
        self._free = Gauge(
            "collegium_silo_folder_free_bytes",
            "Bytes that are free on the disk of the hospital's folder",
            registry=registry,
        )
        self._database = Gauge(
            "collegium_silo_database_up",
            "1 while the hospital's database can be read, else 0",
            registry=registry,
        )
        self._budget = Gauge(
            "collegium_silo_budget_used_ratio",
            "Share of the patients' budget for life that is booked, from 0 to 1",
            registry=registry,
        )
        self._free.set_function(lambda: _free_bytes(home))

    def line_answers(self) -> None:
        """Takes note that the coordinator has answered."""
        self.connected.set(1)
        self.heard.set_to_current_time()

    def line_lost(self) -> None:
        """Takes note that the line was lost, or the hospital refused."""
        self.connected.set(0)
        self.lost.inc()

    def delivered(self, kind: str, outcome: str, seconds: float, sent: int, received: int) -> None:
        """Takes note of a delivery and its answer."""
        kind = kind if kind in KINDS else "other"
        self.deliveries.labels(kind, outcome).inc()
        self.answer_seconds.labels(kind).observe(seconds)
        self.crossed.labels("sent").inc(sent)
        self.crossed.labels("received").inc(received)

    def certificate_ends(self, moment: datetime) -> None:
        """Takes note of the end of the certificate in use."""
        self._certificate.set(moment.timestamp())

    def budget_of(self, used: Callable[[], float | None]) -> None:
        """Takes note of the budget's booked share; the database is down where it cannot be read.

        Args:
            used: reads it; None where no budget was opened.
        """
        try:
            share = used()
        except FederationError:
            self._database.set(0)
            return
        self._database.set(1)
        if share is not None:
            self._budget.set(share)


def _free_bytes(folder: Path) -> float:
    """Returns how many bytes are free there; NaN where that cannot be said."""
    try:
        return float(shutil.disk_usage(folder).free)
    except OSError:
        return float("nan")
