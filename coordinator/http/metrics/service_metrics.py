"""Counts of the service as it works: requests, rounds, bytes, acts, and facts about alerts."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_REQUEST_SECONDS = (0.005, 0.02, 0.1, 0.5, 2, 10, 60)
#: From a step of a small sum to the longest one that the service waits for by default.
_ROUND_SECONDS = (1, 5, 15, 60, 300, 600, 1800, 3600, 7200)


class Metrics:
    """The service's figures, in a registry of its own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._requests(registry)
        self._rounds(registry)
        self._judged(registry)

    def _requests(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "collegium_requests_total",
            "Requests of hospitals, by endpoint and code",
            ["endpoint", "code"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "collegium_request_seconds",
            "Seconds from a request's header to its reply, by endpoint; the inbox waits on purpose",
            ["endpoint"],
            buckets=_REQUEST_SECONDS,
            registry=registry,
        )
        self.refused = Counter(
            "collegium_refused_total", "Requests refused: sender not proven", registry=registry
        )
        self.received = Counter(
            "collegium_received_bytes_total", "Bytes of blobs received", registry=registry
        )
        self.waiting = Gauge(
            "collegium_waiting_sites", "Hospitals that wait at their inbox", registry=registry
        )
        self.acts = Counter(
            "collegium_acts_total",
            "Acts asked of the service, by outcome: done, waits (for a second person), refused",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("done", "waits", "refused"):
            self.acts.labels(outcome)

    def _rounds(self, registry: CollectorRegistry) -> None:
        self.rounds = Counter(
            "collegium_rounds_total", "Rounds finished, by kind", ["round_kind"], registry=registry
        )
        self.running = Gauge("collegium_runs_at_work", "Runs at work", registry=registry)
        self.retries = Counter(
            "collegium_round_retries_total",
            "Attempts that failed before their round was finished, by kind",
            ["round_kind"],
            registry=registry,
        )
        self.round_seconds = Histogram(
            "collegium_round_seconds",
            "Seconds from the opening of a finished round's last attempt to its end, by kind",
            ["round_kind"],
            buckets=_ROUND_SECONDS,
            registry=registry,
        )
        self.step_seconds = Histogram(
            "collegium_step_seconds",
            "Seconds of the steps of finished rounds",
            ["step"],
            buckets=_ROUND_SECONDS,
            registry=registry,
        )
        self.update_seconds = Histogram(
            "collegium_update_seconds",
            "Seconds from a round's opening until a hospital's update was here",
            ["site"],
            buckets=_ROUND_SECONDS,
            registry=registry,
        )
        self.site_bytes = Counter(
            "collegium_site_bytes_total",
            "Bytes of finished rounds by hospital: received from it, sent to it",
            ["site", "direction"],
            registry=registry,
        )
        self.without = Counter(
            "collegium_site_missing_rounds_total",
            "Finished rounds in whose sum a hospital of the study was not",
            ["site"],
            registry=registry,
        )

    def _judged(self, registry: CollectorRegistry) -> None:
        self.looked = Gauge(
            "collegium_alerts_looked_timestamp_seconds",
            "When alerts were last judged, in seconds since 1970; 0 before the first time",
            registry=registry,
        )
        self.ends = Gauge(
            "collegium_end_timestamp_seconds",
            "When a certificate or the roster ends, in seconds since 1970; site is its hospital's",
            ["of", "site"],
            registry=registry,
        )
        self.budget = Gauge(
            "collegium_site_budget_used_ratio",
            "Share of its patients' budget for life that a hospital has signed as booked",
            ["site"],
            registry=registry,
        )
        self.incidents = Gauge(
            "collegium_incidents_open",
            "Incidents not closed, drills apart",
            registry=registry,
        )
        self.incident_due = Gauge(
            "collegium_incident_due_timestamp_seconds",
            "When the first open incident is to be notified at the latest; 0 where none is due",
            registry=registry,
        )
        self.canaries_ended = Gauge(
            "collegium_canaries_ended",
            "Models whose last canary the coordinator has ended as a regression",
            registry=registry,
        )
        self.served_other = Gauge(
            "collegium_served_other_seconds",
            "Longest time in which hospitals state another version of a model than they were to "
            "serve; 0 where none does",
            registry=registry,
        )
        self.faults = Gauge(
            "collegium_record_faults",
            "Faults that the newest verification of all records has found",
            registry=registry,
        )

    def round_finished(
        self,
        round_kind: str,
        *,
        seconds: float | None,
        retries: int,
        steps: Mapping[str, float],
        updates: Mapping[str, float],
        traffic: Mapping[str, tuple[int, int]],
        missing: tuple[str, ...],
    ) -> None:
        """Takes note of a finished round, or of one of its groups.

        Args:
            round_kind: training or evaluation.
            seconds: from its last attempt's opening to its end.
            retries: attempts before that one.
            steps: seconds of each step.
            updates: seconds until each hospital's update was here.
            traffic: bytes that each hospital was sent and has sent.
            missing: the hospitals of the round that are not in the sum.
        """
        self.retries.labels(round_kind).inc(retries)
        if seconds is not None:
            self.round_seconds.labels(round_kind).observe(seconds)
        for step, took in steps.items():
            self.step_seconds.labels(step).observe(took)
        for site, took in updates.items():
            self.update_seconds.labels(site).observe(took)
            self.without.labels(site)  # an increase from nothing is seen only behind a 0
        for site, (sent_to, received_from) in traffic.items():
            self.site_bytes.labels(site, "sent").inc(sent_to)
            self.site_bytes.labels(site, "received").inc(received_from)
        for site in missing:
            self.without.labels(site).inc()
