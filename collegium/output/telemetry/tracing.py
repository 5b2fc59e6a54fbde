"""Traces in OpenTelemetry's form, sent by OTLP over HTTP where the environment asks for it.

Off unless one of OpenTelemetry's standard variables names a collector:
``OTEL_EXPORTER_OTLP_ENDPOINT`` or ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT``, or says
``OTEL_TRACES_EXPORTER=otlp``; ``OTEL_SDK_DISABLED=true`` and ``OTEL_TRACES_EXPORTER=none`` switch
it off again. Then no package is imported. All other variables (sampling, batches, timeouts,
headers, certificates) are OpenTelemetry's own.

Spans are sent by a thread of their own, from a queue of bounded length. A collector that is slow
or gone costs spans, never a round; at the end it is waited for ``_END_SECONDS``, no longer.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from collegium.extras import require_extra
from protocol.errors import MessageRefused
from protocol.transport.tracing import NOT_TRACED, Span, Tracing, traceparent_of

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
_OVER_HTTP = "http/protobuf"
#: Longer texts are cut: names of runs and sites are shorter.
_LONGEST = 80
_END_SECONDS = 3.0


def is_asked_for(environ: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's variables ask for traces.

    >>> is_asked_for({}), is_asked_for({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})
    (False, True)
    """
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    return exporter == "otlp" or any(environ.get(name, "").strip() for name in _ENDPOINTS)


@contextmanager
def traced(service: str, environ: Mapping[str, str] = os.environ) -> Iterator[Tracing]:
    """Yields what records spans until the block ends; nothing is recorded unless asked for.

    Args:
        service: the name of the service, unless ``OTEL_SERVICE_NAME`` gives it another.
        environ: the process's environment.

    Raises:
        WorkspaceRefused: traces are asked for, and the extra ``telemetry`` is not installed.
        MessageRefused: another way than OTLP over HTTP is asked for.
    """
    if not is_asked_for(environ):
        yield NOT_TRACED
        return
    exporter = environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() or "otlp"
    asked = [environ[name] for name in _PROTOCOLS if environ.get(name, "").strip()]
    if exporter != "otlp" or any(one.strip().lower() != _OVER_HTTP for one in asked):
        raise MessageRefused(
            f"OTEL_TRACES_EXPORTER {exporter}, protocol {', '.join(asked) or _OVER_HTTP}: traces "
            f"are sent by otlp over {_OVER_HTTP} only: change or unset these variables"
        )
    require_extra("telemetry")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    with tracing_to(BatchSpanProcessor(OTLPSpanExporter()), service) as tracing:
        yield tracing


@contextmanager
def tracing_to(processor: "SpanProcessor", service: str) -> Iterator[Tracing]:
    """Yields what records spans for a processor, which is shut down when the block ends."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": service}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    try:
        yield OpenTelemetryTracing(provider)
    finally:
        ending = threading.Thread(target=provider.shutdown, name="traces end", daemon=True)
        ending.start()
        ending.join(_END_SECONDS)


class OpenTelemetryTracing:
    """``Tracing`` over a provider of OpenTelemetry's; never the process's global one."""

    def __init__(self, provider: "trace.TracerProvider") -> None:
        self._tracer = provider.get_tracer("collegium")

    def begin(self, name: str, parent: str = "", **attributes: str | int) -> Span:
        """See ``Tracing.begin``."""
        return _RecordedSpan(
            self._tracer.start_span(
                name, context=_context_of(parent), attributes=_attributes(attributes)
            )
        )

    @contextmanager
    def span(self, name: str, parent: str = "", **attributes: str | int) -> Iterator[Span]:
        """See ``Tracing.span``."""
        from opentelemetry import context, trace

        own = self._tracer.start_span(
            name, context=_context_of(parent), attributes=_attributes(attributes)
        )
        recorded = _RecordedSpan(own)
        token = context.attach(trace.set_span_in_context(own))
        try:
            yield recorded
        except BaseException as error:
            recorded.end(type(error).__name__)
            raise
        finally:
            context.detach(token)
            recorded.end()


class _RecordedSpan:
    """A span of OpenTelemetry's."""

    def __init__(self, own: "trace.Span") -> None:
        self._own, self._has_ended = own, False

    @property
    def traceparent(self) -> str:
        """See ``Span.traceparent``."""
        where = self._own.get_span_context()
        sampled = where.trace_flags & 1
        return traceparent_of(f"00-{where.trace_id:032x}-{where.span_id:016x}-{sampled:02x}")

    def end(self, outcome: str = "ok") -> None:
        """See ``Span.end``; the status is an error unless the outcome is ok."""
        if self._has_ended:
            return
        from opentelemetry.trace import Status, StatusCode

        self._has_ended = True
        self._own.set_attribute("collegium.outcome", outcome[:_LONGEST])
        self._own.set_status(Status(StatusCode.OK if outcome == "ok" else StatusCode.ERROR))
        self._own.end()


def _attributes(given: Mapping[str, str | int]) -> dict[str, str | int]:
    return {
        f"collegium.{name}": value[:_LONGEST] if isinstance(value, str) else value
        for name, value in given.items()
    }


def _context_of(parent: str) -> "Context | None":
    """Returns the context of a span elsewhere; None, the thread's own, where none is named."""
    name = traceparent_of(parent)
    if not name:
        return None
    from opentelemetry import trace

    _, trace_id, span_id, flags = name.split("-")
    return trace.set_span_in_context(
        trace.NonRecordingSpan(
            trace.SpanContext(
                int(trace_id, 16),
                int(span_id, 16),
                is_remote=True,
                trace_flags=trace.TraceFlags(int(flags, 16)),
            )
        )
    )
