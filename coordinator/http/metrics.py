"""The operator's metrics, in the form that Prometheus reads; counts and times only."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """The service's figures, in a registry of its own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "collegium_requests_total", "Requests", ["endpoint", "code"], registry=registry
        )
        self.refused = Counter(
            "collegium_refused_total", "Requests refused: sender not proven", registry=registry
        )
        self.received = Counter(
            "collegium_received_bytes_total", "Bytes of blobs received", registry=registry
        )
        self.waiting = Gauge(
            "collegium_waiting_sites", "Sites that wait at their inbox", registry=registry
        )
        self.rounds = Counter(
            "collegium_rounds_total", "Rounds finished", ["round_kind"], registry=registry
        )
        self.running = Gauge("collegium_runs_at_work", "Runs at work", registry=registry)
