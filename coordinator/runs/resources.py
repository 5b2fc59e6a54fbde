"""The resources that one service's runs share, and a run's timeouts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.delivery.blob_store import BlobStore
from coordinator.delivery.deliveries import Mailbox
from coordinator.http.metrics.service_metrics import Metrics
from coordinator.membership.cosigning import HeadWitnesses
from protocol.transport.tracing import NOT_TRACED, Tracing


@dataclass(frozen=True, kw_only=True)
class RunTimeouts:
    """The timeouts of a run, in seconds.

    ``joining`` is for enough hospitals to join, ``grace`` for the others once enough have.
    An invitation is made anew after ``invitation``; where a hospital has just refused, the
    next comes after ``refused``. ``step`` is for one step of a round. Too few hospitals for a
    round are waited for until there was no progress for ``patience``, with rests between two
    attempts from ``first_rest`` to ``longest_rest``.
    """

    joining: float = 24 * 3600.0
    grace: float = 10.0
    invitation: float = 30.0
    refused: float = 5.0
    step: float = 600.0
    patience: float = 0.0
    first_rest: float = 2.0
    longest_rest: float = 300.0


@dataclass(frozen=True, kw_only=True)
class RunResources:
    """The coordinator's folder, database, line to the hospitals and counts.

    ``witnesses`` are those outside the consortium that cosign the log, where it has any;
    ``last_seen`` returns when each hospital was last heard from, in seconds since 1970;
    ``progressed`` is told of every finished round, ``tracing`` records spans of rounds.
    """

    workspace: Workspace
    store: Store
    mailbox: Mailbox
    blobs: BlobStore
    metrics: Metrics
    timeouts: RunTimeouts
    last_seen: Callable[[], Mapping[str, float]]
    progressed: Callable[[], None] = lambda: None
    witnesses: HeadWitnesses | None = None
    tracing: Tracing = NOT_TRACED
