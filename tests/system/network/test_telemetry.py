"""Metrics, times and traces of a run over the network: what was seen is what happened."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from collegium.output.telemetry.alert_metrics import show_facts
from collegium.output.telemetry.tracing import traced, tracing_to
from coordinator.alerts.gathering import Heard
from coordinator.alerts.watch import AlertWatch
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.rounds.round_measures import RoundMeasures, round_measures
from coordinator.views.views import open_views
from protocol.secagg.server import Step
from silos.network.metrics import SiloMetrics
from tests.docs.grafana_dashboard import ROWS, rules
from tests.docs.pages.test_observability import asked, labels_in
from tests.support.machine.patience import PATIENCE
from tests.support.networked.network import Network, until
from tests.support.simulated.studies import small_study

STUDY = small_study()
SITES = set(STUDY.site_names)
ROUNDS = STUDY.training.rounds + 1  # and the evaluation


@dataclass(frozen=True)
class Seen:
    """What a run has left: its id, its network, and the spans of both sides."""

    run: str
    network: Network
    coordinator: tuple[ReadableSpan, ...]
    hospitals: tuple[ReadableSpan, ...]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """A finished run whose coordinator and hospitals have traced, each for itself."""
    ours, theirs = InMemorySpanExporter(), InMemorySpanExporter()
    with (
        tracing_to(SimpleSpanProcessor(ours), "coordinator") as tracing,
        tracing_to(SimpleSpanProcessor(theirs), "silo") as other,
    ):
        folder = tmp_path_factory.mktemp("telemetry")
        network = Network(folder, STUDY, fixed_noise=False, tracing=tracing)
        for site in network.sites.values():
            site.tracing, site.metrics = other, SiloMetrics(site.home)
        with network.serving():
            network.start_sites()
            run = network.service.start_run(STUDY.digest)
            network.service.wait(run, PATIENCE)
            watch = AlertWatch(
                network.home,
                lambda: Heard(began=network.service.began, last_seen=network.service.last_seen),
                looked=partial(show_facts, network.service.metrics),
            )
            with closing(watch):
                watch.look(by_hand=True)
            assert network.row(run).state == "finished"
            yield Seen(run, network, ours.get_finished_spans(), theirs.get_finished_spans())


def samples(registry: CollectorRegistry):  # type: ignore[no-untyped-def]
    """Yields the samples as Prometheus reads them."""
    from prometheus_client import generate_latest

    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        yield from family.samples


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


# --- metrics ---


def test_a_panel_shows_what_a_real_run_exposes_by_its_labels(seen: Seen) -> None:
    exposed = {
        (sample.name.removesuffix("_bucket"), label)
        for sample in samples(seen.network.service.counts)
        for label in ("", *sample.labels)
    }
    for panel in (panel for row in ROWS.values() for panel in row):
        for expression in panel.asks.values():
            for name in asked(expression) - {"collegium_refused_total"}:
                assert (name, "") in exposed, (panel.title, name)
            assert labels_in(expression) <= exposed, panel.title
    for alert, expression in rules().items():
        if "dashboard" not in expression:
            assert labels_in(expression) <= exposed, alert


def test_rounds_steps_and_updates_are_counted_once(seen: Seen) -> None:
    counts = seen.network.service.counts
    assert value(counts, "collegium_rounds_total", round_kind="training") == ROUNDS - 1
    assert value(counts, "collegium_round_seconds_count", round_kind="evaluation") == 1
    for step in Step:
        assert value(counts, "collegium_step_seconds_count", step=step.value) == ROUNDS
    for site in SITES:
        assert value(counts, "collegium_update_seconds_count", site=site) == ROUNDS
    assert value(counts, "collegium_run_idle_seconds", state="running") == 0
    assert value(counts, "collegium_record_faults") == 0
    assert value(counts, "collegium_log_uncosigned_seconds") == 0


def measured(seen: Seen) -> tuple[RoundMeasures, ...]:
    """Returns what is on record of the run's rounds."""
    store = Store(Workspace(seen.network.home).database)
    with closing(store), store.read() as session:
        return round_measures(session, seen.run)


def test_bytes_of_a_hospital_are_those_of_the_records(seen: Seen) -> None:
    for site in SITES:
        for place, way in enumerate(("sent", "received")):
            shown = value(
                seen.network.service.counts,
                "collegium_site_bytes_total",
                site=site,
                direction=way,
            )
            assert shown == sum(one.traffic[site][place] for one in measured(seen)) > 0


def test_the_times_of_updates_outlive_the_process(seen: Seen) -> None:
    rounds = measured(seen)
    assert len(rounds) == ROUNDS
    for one in rounds:
        assert one.steps.keys() == {step.value for step in Step}
        assert set(one.updates) == SITES and not one.missing
        until_masked = sum(one.steps[s] for s in ("advertise", "share", "masked"))
        assert 0 < max(one.updates.values()) <= until_masked + 0.01
        assert one.seconds is not None and one.seconds >= max(one.updates.values()) - 0.01


def test_a_view_of_hospitals_has_the_times_that_the_records_have(seen: Seen) -> None:
    with closing(open_views(seen.network.home)) as views:
        shown = {one.site: one.rounds for one in views.sites()}
    for site in SITES:
        assert shown[site].updates == tuple(one.updates[site] for one in measured(seen))


def test_a_hospital_counts_what_it_was_asked_and_names_nothing_of_a_run(seen: Seen) -> None:
    for site in seen.network.sites.values():
        assert site.metrics is not None
        registry = site.metrics.registry
        until(
            lambda registry=registry: (  # type: ignore[misc]
                value(registry, "collegium_silo_deliveries_total", kind="leave", outcome="answered")
                == 1
            )
        )
        masked = {"kind": "masked", "outcome": "answered"}
        assert value(registry, "collegium_silo_deliveries_total", **masked) == ROUNDS
        assert value(registry, "collegium_silo_connected") == 1
        assert value(registry, "collegium_silo_database_up") == 1
        share = value(registry, "collegium_silo_budget_used_ratio")
        assert share is not None and 0 <= share <= 1
        labels = [label for sample in samples(registry) for label in sample.labels.values()]
        assert seen.run not in labels and not SITES & set(labels)


# --- traces ---


def attributes(span: ReadableSpan) -> dict[str, object]:
    return {name.removeprefix("collegium."): v for name, v in (span.attributes or {}).items()}


def test_each_round_is_one_trace_with_its_steps_as_spans(seen: Seen) -> None:
    rounds = [span for span in seen.coordinator if span.name == "round"]
    assert len(rounds) == ROUNDS
    assert {span.parent for span in rounds} == {None}
    for span in rounds:
        assert attributes(span)["run"] == seen.run
        assert isinstance(attributes(span)["round"], int)
        assert attributes(span)["outcome"] == "ok"
        own = [
            one.name
            for one in seen.coordinator
            if one.parent is not None and one.parent.span_id == span.context.span_id
        ]
        assert Counter(own) == Counter(["round.cosign", *(f"round.{step.value}" for step in Step)])


def test_what_a_hospital_does_is_in_the_trace_of_the_round_that_asked(seen: Seen) -> None:
    asks = {span.context.span_id: span for span in seen.coordinator if span.name == "ask"}
    steps = [s for s in seen.hospitals if attributes(s)["phase"] in {one.value for one in Step}]
    assert len(steps) == ROUNDS * len(SITES) * len(Step)
    for span in steps:
        assert span.parent is not None and span.parent.is_remote
        ask = asks[span.parent.span_id]
        assert ask.context.trace_id == span.context.trace_id
        for name in ("site", "phase", "run"):
            assert attributes(ask)[name] == attributes(span)[name]
        assert attributes(span)["outcome"] == attributes(ask)["outcome"] == "ok"


def test_a_hospitals_requests_lead_back_to_its_answer(seen: Seen) -> None:
    answers = {span.context.span_id: span for span in seen.hospitals}
    requests = [span for span in seen.coordinator if span.name.startswith("http.")]
    assert {span.name for span in requests} >= {"http.answers", "http.blob"}
    for span in requests:
        assert span.parent is not None
        assert attributes(answers[span.parent.span_id])["site"] == attributes(span)["site"]


def test_spans_carry_names_of_the_protocol_alone(seen: Seen) -> None:
    allowed = {"run", "kind", "round", "attempt", "phase", "site", "outcome"}
    for span in (*seen.coordinator, *seen.hospitals):
        assert attributes(span).keys() <= allowed
        assert not span.events and span.status.description is None


# --- a collector that is slow ---


class Receiver:
    """An OTLP collector on loopback that answers nobody until it is let go."""

    def __init__(self) -> None:
        self.let_go, self.asked = threading.Event(), threading.Event()
        self.spans: list[str] = []

    @contextmanager
    def at_work(self) -> Iterator[str]:
        """Receives until the block ends; yields the address."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.asked.set()
                receiver.let_go.wait(60)
                receiver.take(body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            self.let_go.set()
            server.shutdown()
            thread.join()
            server.server_close()

    def take(self, body: bytes) -> None:
        sent = ExportTraceServiceRequest.FromString(body)
        self.spans += [
            span.name for one in sent.resource_spans for s in one.scope_spans for span in s.spans
        ]


def test_a_collector_that_does_not_answer_holds_up_no_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole run is done while its first spans still wait to be taken; then all arrive."""
    receiver = Receiver()
    with receiver.at_work() as address:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        with ExitStack() as stack:
            tracing = stack.enter_context(traced("collegium-coordinator"))
            network = Network(tmp_path, STUDY, tracing=tracing)
            with network.serving():
                network.start_sites()
                run = network.run()
            assert receiver.asked.is_set() and not receiver.spans
            assert network.row(run).state == "finished"
            receiver.let_go.set()
        until(lambda: receiver.spans.count("round") == ROUNDS)
    assert receiver.spans.count("round.masked") == ROUNDS
