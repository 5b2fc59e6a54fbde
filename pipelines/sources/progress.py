"""Progress on long reads: sources say how many rows they have read, whoever asks is told.

No source takes a callback for it, and none is slower where nobody asks.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

#: Is told how many rows of the source at hand have been read so far.
Listener: TypeAlias = Callable[[int], None]

_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def told_of_rows(listener: Listener) -> Iterator[None]:
    """Lets ``listener`` hear of every source that is read within, by this thread.

    >>> heard = []
    >>> with told_of_rows(heard.append):
    ...     rows_read(100)
    >>> rows_read(200)
    >>> heard
    [100]
    """
    before = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(before)


def rows_read(count: int) -> None:
    """Says that so many rows of a source have been read."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(count)
