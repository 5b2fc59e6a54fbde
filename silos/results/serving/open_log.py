"""The file of a log of serving while one process holds it, to read it and to add lines."""

import os
from typing import BinaryIO

from compliance.storage.atomic_file import sync_file
from compliance.storage.clock import Clock
from protocol.encoding import digest
from protocol.errors import StoreBroken
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import write_time
from silos.results.serving.events import (
    NOTHING_BEFORE,
    ServingEvent,
    ServingEventKind,
    ServingEvents,
    line_of,
    read_events,
    read_newest,
)

#: So many bytes at the end of the log hold its newest line.
_TAIL = 1 << 14


class OpenServingLog:
    """A log of serving that one process holds: its newest line, and one more.

    Args:
        file: the log, open to be read and written.
        trusted: public keys (32 bytes) of which one signs each line.
        key: signs the lines that are added.
        clock: says what time it is.

    Raises:
        StoreBroken: the newest line is none, or is signed by somebody else.
    """

    def __init__(
        self, file: BinaryIO, trusted: frozenset[bytes], key: SigningKey, clock: Clock
    ) -> None:
        self._file, self._trusted, self._key, self._clock = file, trusted, key, clock
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        tail = file.read()
        newest = read_newest(tail, trusted)
        if newest is None and size > len(tail):
            raise StoreBroken("the log of serving ends with what is no line: restore it")
        self._last = None if newest is None else newest[0]
        self.head = NOTHING_BEFORE if newest is None else digest(newest[1])
        # What a crash has left of a line behind the last line feed was never written.
        self._length = size - len(tail) + tail.rfind(b"\n") + 1

    @property
    def next_number(self) -> int:
        """The number of the line that is added next."""
        return 0 if self._last is None else self._last.number + 1

    def read(self) -> ServingEvents:
        """Returns every line, checked; see ``read_events``."""
        self._file.seek(0)
        return read_events(self._file.read(), self._trusted)

    def now(self) -> str:
        """Returns the time, or that of the newest line where the clock was set back."""
        now = write_time(self._clock())
        return now if self._last is None else max(now, self._last.time)

    def add(self, kind: ServingEventKind, **said: object) -> None:
        """Writes a line, durably."""
        event = ServingEvent(
            number=self.next_number,
            previous=self.head,
            time=self.now(),
            kind=kind,
            **said,  # type: ignore[arg-type]
        )
        line = line_of(event, self._key)
        self._file.seek(self._length)
        self._file.truncate()
        self._file.write(line)
        sync_file(self._file)
        self._last, self.head, self._length = event, digest(line), self._length + len(line)
