"""Traces are off unless asked for, cost nothing then, and say nothing but names and outcomes."""

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from collegium.output.telemetry.tracing import is_asked_for, traced, tracing_to
from protocol.errors import MessageRefused, WorkspaceRefused
from protocol.transport.tracing import NOT_TRACED, Tracing, traceparent_of

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
ELSEWHERE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def recorded() -> Iterator[tuple[Tracing, InMemorySpanExporter]]:
    exporter = InMemorySpanExporter()
    with tracing_to(SimpleSpanProcessor(exporter), "test") as tracing:
        yield tracing, exporter


@pytest.mark.parametrize(
    ("environ", "asked"),
    [
        ({}, False),
        ({ENDPOINT: ""}, False),
        ({ENDPOINT: "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", ENDPOINT: "http://127.0.0.1:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", ENDPOINT: "http://127.0.0.1:4318"}, False),
        ({"OTEL_SERVICE_NAME": "collegium"}, False),
    ],
)
def test_the_standard_variables_ask_for_traces(environ: dict[str, str], asked: bool) -> None:
    assert is_asked_for(environ) is asked


def test_where_nothing_is_asked_for_nothing_is_imported_and_nothing_recorded() -> None:
    code = (
        "import sys\n"
        "from collegium.output.telemetry.tracing import traced\n"
        "with traced('x', {}) as tracing, tracing.span('round', run='r') as span:\n"
        "    assert tracing.begin('ask').traceparent == span.traceparent == ''\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "environ",
    [
        {ENDPOINT: "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_TRACES_EXPORTER": "console"},
        {"OTEL_TRACES_EXPORTER": "zipkin"},
    ],
)
def test_another_way_than_otlp_over_http_is_refused_at_the_start(environ: dict[str, str]) -> None:
    asked_for = {ENDPOINT: "http://127.0.0.1:4317"} | environ
    with (
        pytest.raises(MessageRefused, match="otlp over http/protobuf only"),
        traced("x", asked_for),
    ):
        pass


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(extra: str) -> None:
        raise WorkspaceRefused(f"pip install 'collegium[{extra}]'")

    monkeypatch.setattr("collegium.output.telemetry.tracing.require_extra", missing)
    refused = pytest.raises(WorkspaceRefused, match=r"collegium\[telemetry\]")
    with refused, traced("x", {ENDPOINT: "http://127.0.0.1:4318"}):
        pass


def test_a_collector_that_is_gone_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    for name, said in ((ENDPOINT, address), ("OTEL_EXPORTER_OTLP_TIMEOUT", "1")):
        monkeypatch.setenv(name, said)
    with traced("collegium-coordinator") as tracing:
        assert tracing is not NOT_TRACED
        with tracing.span("round", run="r", round=1) as span:
            assert traceparent_of(span.traceparent)


def test_spans_within_a_block_are_its_children(
    recorded: tuple[Tracing, InMemorySpanExporter],
) -> None:
    tracing, exporter = recorded
    with tracing.span("round") as outer:
        with tracing.span("round.masked"):
            tracing.begin("ask", site="east").end()
    ask, step, whole = exporter.get_finished_spans()
    assert ask.parent and ask.parent.span_id == step.context.span_id
    assert step.parent and step.parent.span_id == whole.context.span_id
    assert whole.parent is None
    assert outer.traceparent == (
        f"00-{whole.context.trace_id:032x}-{whole.context.span_id:016x}-01"
    )


def test_a_parent_from_elsewhere_is_taken_where_it_has_the_form_alone(
    recorded: tuple[Tracing, InMemorySpanExporter],
) -> None:
    tracing, exporter = recorded
    for parent in (ELSEWHERE, ELSEWHERE.upper(), "00-0-0-01", "x" * 10_000):
        tracing.begin("answer", parent).end()
    first, *others = exporter.get_finished_spans()
    assert first.parent and first.parent.is_remote
    assert f"{first.context.trace_id:032x}" in ELSEWHERE
    assert [span.parent for span in others] == [None, None, None]


def test_an_error_is_told_by_the_name_of_its_class(
    recorded: tuple[Tracing, InMemorySpanExporter],
) -> None:
    tracing, exporter = recorded
    with pytest.raises(ValueError, match="secret"), tracing.span("answer"):
        raise ValueError("a secret of a patient")
    (span,) = exporter.get_finished_spans()
    assert span.attributes == {"collegium.outcome": "ValueError"}
    assert not span.status.is_ok and span.status.description is None and not span.events


def test_the_first_outcome_counts_and_long_texts_are_cut(
    recorded: tuple[Tracing, InMemorySpanExporter],
) -> None:
    tracing, exporter = recorded
    span = tracing.begin("answer", run="r" * 1000)
    span.end("refused")
    span.end("ok")
    (found,) = exporter.get_finished_spans()
    assert found.attributes == {"collegium.run": "r" * 80, "collegium.outcome": "refused"}
