"""Traces through both institutions: how spans are begun, and the opaque name of one that travels.

A span is one piece of work with a beginning, an end and an outcome. It bears names of runs,
sites, phases and numbers of rounds; nothing about patients, and no name of a column. What
records spans is handed in; ``NOT_TRACED`` records none and costs nothing.

Between coordinator and hospital travels W3C Trace Context's ``traceparent`` (level 1, version 00)
and nothing else: no ``tracestate``, no baggage. To whoever receives it it is opaque: it decides
nothing, is never signed, and any other form of it is dropped.
"""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

#: The header in which the name of a span travels.
TRACE_HEADER = "traceparent"
_FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[01]")


class Span(Protocol):
    """A piece of work that is under way."""

    @property
    def traceparent(self) -> str:
        """The name of the span, as it travels; empty where nothing is recorded."""

    def end(self, outcome: str = "ok") -> None:
        """Ends the span; ``outcome`` is one word, and only the first one counts."""


class Tracing(Protocol):
    """Records spans; its attributes are those of the module's first lines.

    ``parent`` is a span's name that came from elsewhere; without one the parent is the span that
    is current in this thread.
    """

    def begin(self, name: str, parent: str = "", **attributes: str | int) -> Span:
        """Begins a span that whoever asked ends."""

    def span(
        self, name: str, parent: str = "", **attributes: str | int
    ) -> AbstractContextManager[Span]:
        """Begins a span that is current in this thread until the block ends.

        An error that ends the block is the outcome, by the name of its class alone.
        """


class _NoSpan:
    """A span that nobody records."""

    traceparent = ""

    def end(self, outcome: str = "ok") -> None:
        """Does nothing."""


class _NoTracing:
    """Records nothing."""

    def begin(self, name: str, parent: str = "", **attributes: str | int) -> Span:
        """Returns a span that nobody records."""
        return _NO_SPAN

    @contextmanager
    def span(self, name: str, parent: str = "", **attributes: str | int) -> Iterator[Span]:
        """Yields a span that nobody records."""
        yield _NO_SPAN


_NO_SPAN: Final = _NoSpan()
#: Records nothing, needs no package.
NOT_TRACED: Final[Tracing] = _NoTracing()


def traceparent_of(text: str | None) -> str:
    """Returns the name of a span as another sent it; empty where it has not that form.

    >>> traceparent_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    >>> traceparent_of("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01")
    ''
    """
    return text if text is not None and _FORM.fullmatch(text) else ""
