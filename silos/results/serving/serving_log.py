"""The log of serving in a hospital's folder: written as models are loaded and let go of.

::

    inference/serving.log      see ``events.py``
    inference/serving-N.lock   held by what serves the period that line N began
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from compliance.storage.atomic_file import sync_file
from compliance.storage.clock import Clock, utc_now
from protocol.encoding import digest
from protocol.errors import PolicyRefused, StoreBroken, WorkspaceRefused
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import write_time
from protocol.transport.serving_statement import (
    RECORDED,
    RUNNING,
    UNRECORDED,
    ServingStatement,
    SignedServing,
    sign_serving,
)
from silos.results.serving.events import (
    NOTHING_BEFORE,
    ServingEvent,
    ServingEventKind,
    ServingEvents,
    line_of,
    read_events,
    read_newest,
)

#: The folder, and the log's name in it.
FOLDER, LOG = "inference", "serving.log"

#: So many bytes at the end of the log hold its newest line.
_TAIL = 1 << 14

#: Returns when a model answered last at or after a time, by the log of queries; None: not since.
LastAnswer = Callable[[str, str], str | None]


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model that is loaded to score.

    ``snapshot`` is None where no signed snapshot names it; ``source`` says from where it was
    loaded.
    """

    snapshot: str | None
    model: str
    run: str
    source: str


@dataclass(frozen=True, kw_only=True)
class LoggedPeriod:
    """A time in which a model was loaded.

    Attributes:
        number: of the line that began it.
        snapshot, model, run, use, source: see ``ServingEvent``.
        since, until: its times; ``until`` is None while it lasts.
        end: ``recorded``, ``running`` or ``unrecorded``.
    """

    number: int
    snapshot: str | None
    model: str
    run: str
    use: str
    source: str
    since: str
    until: str | None
    end: str


@dataclass(frozen=True, kw_only=True)
class StatedTime:
    """The time that a statement covers: its number, since and until when, and the log's head."""

    number: int
    since: str
    until: str
    head: str


class ServingLog:
    """A hospital's log of serving.

    Args:
        home: the hospital's folder.
        key: its identity key, which signs.
        former: every public key (32 bytes) that it had before.
        last_answer: see ``LastAnswer``.
        clock: says what time it is.
    """

    def __init__(
        self,
        home: Path,
        key: SigningKey,
        former: frozenset[bytes] = frozenset(),
        last_answer: LastAnswer = lambda model, since: None,
        clock: Clock = utc_now,
    ) -> None:
        self._folder, self._key, self._trusted = home / FOLDER, key, former | {key.public}
        self._last_answer, self._clock = last_answer, clock

    @contextmanager
    def serving(self, model: LoadedModel, use: str) -> Iterator[None]:
        """Writes that a model was loaded and, when the block ends, that it was let go of.

        Raises:
            WorkspaceRefused: the log cannot be written; then nothing is scored.
            StoreBroken: it was changed.
        """
        with self._open() as log:
            number = log.next_number
            lock = self._hold(number)
            try:
                log.add(
                    ServingEventKind.BEGAN,
                    snapshot=model.snapshot,
                    model=model.model,
                    run=model.run,
                    use=use,
                    source=_plain(model.source),
                )
            except BaseException:
                self._let_go(number, lock)
                raise
        try:
            yield
        finally:
            try:
                with self._open() as log:
                    log.add(ServingEventKind.ENDED, began=number)
            finally:
                self._let_go(number, lock)

    def read(self) -> ServingEvents:
        """Returns every line, checked; none where there is no log. Nothing is written.

        Raises:
            WorkspaceRefused: it cannot be read.
            StoreBroken: see ``read_events``.
        """
        try:
            data = (self._folder / LOG).read_bytes()
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise self._refusal(error) from error
        return read_events(data, self._trusted)

    def periods(self) -> tuple[LoggedPeriod, ...]:
        """Returns every period, in the order in which they began.

        Raises:
            WorkspaceRefused, StoreBroken: see ``read``.
        """
        return periods_in(self.read().events, self._is_held, self._last_known)

    @contextmanager
    def stating(self, since: str | None) -> Iterator["Stating"]:
        """Yields what a new statement covers; nobody else writes until it was taken down.

        Args:
            since: from when it covers; None from where the last one ended, or where there is none
                from the first line.

        Raises:
            PolicyRefused: nothing was ever loaded and no time is given, or the time is stated
                already, or still to come.
        """
        with self._open() as log:
            self._end_what_was_cut_off(log)
            events = log.read().events
            before = [one for one in events if one.kind is ServingEventKind.STATED]
            last = before[-1].until if before else None
            begin = since or last or (events[0].time if events else None)
            if begin is None:
                raise PolicyRefused("no model was ever loaded here: say from when (--since TIME)")
            if last is not None and begin < last:
                raise PolicyRefused(
                    f"statement {len(before)} covers the time until {last}: a hospital states each "
                    "time once"
                )
            now = log.now()
            if begin > now:
                raise PolicyRefused(f"--since {begin} is still to come: it is {now}")
            covers = StatedTime(number=len(before) + 1, since=begin, until=now, head=log.head)
            yield Stating(log, covers, _held_periods(events))

    def files(self) -> frozenset[str]:
        """Returns the files of the log and of what serves now, by their paths from the folder."""
        locks = {f"{FOLDER}/serving-{one.number}.lock" for one in _open_periods(self.read().events)}
        return frozenset({f"{FOLDER}/{LOG}", *locks})

    def stated_last(self) -> tuple[StatedTime, tuple[LoggedPeriod, ...]]:
        """Returns what the newest statement covers, and the periods as they stood then.

        Raises:
            PolicyRefused: none was made.
        """
        events = self.read().events
        made = [one for one in events if one.kind is ServingEventKind.STATED]
        if not made:
            raise PolicyRefused("no statement was made here yet")
        last = made[-1]
        covers = StatedTime(
            number=len(made), since=last.since or "", until=last.until or "", head=last.previous
        )
        return covers, _held_periods(events[: last.number])

    def sign(self, statement: ServingStatement) -> SignedServing:
        """Returns a statement under the hospital's key."""
        return sign_serving(statement, self._key)

    def _last_known(self, begun: ServingEvent, events: Sequence[ServingEvent]) -> str:
        """Returns the last time at which a period that was cut off is known to have served."""
        stated = [
            one.until
            for one in events
            if one.kind is ServingEventKind.STATED and one.number > begun.number and one.until
        ]
        answered = self._last_answer(begun.model or "", begun.time)
        return max([begun.time, *stated, *([answered] if answered else [])])

    @contextmanager
    def _open(self) -> Iterator["_OpenLog"]:
        """Yields the log to be written by nobody else, what was cut off ended first."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(self._folder / LOG, flags, 0o600)
            with os.fdopen(handle, "rb+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                log = _OpenLog(file, self._trusted, self._key, self._clock)
                locks = [path for path in self._folder.glob("serving-*.lock")]
                if any(not _is_held(path) for path in locks):
                    self._end_what_was_cut_off(log)
                yield log
        except OSError as error:
            raise self._refusal(error) from error

    def _end_what_was_cut_off(self, log: "_OpenLog") -> None:
        events = list(log.read().events)
        for begun in _open_periods(events):
            if not self._is_held(begun.number):
                until = self._last_known(begun, events)
                log.add(ServingEventKind.CUT_OFF, began=begun.number, until=until)
        for path in self._folder.glob("serving-*.lock"):
            if not _is_held(path):
                path.unlink(missing_ok=True)

    def _lock_file(self, number: int) -> Path:
        return self._folder / f"serving-{number}.lock"

    def _hold(self, number: int) -> int:
        handle = os.open(self._lock_file(number), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        return handle

    def _let_go(self, number: int, handle: int) -> None:
        with suppress(OSError):
            self._lock_file(number).unlink(missing_ok=True)
        os.close(handle)

    def _is_held(self, number: int) -> bool:
        return _is_held(self._lock_file(number))

    def _refusal(self, error: OSError) -> WorkspaceRefused:
        return WorkspaceRefused(
            f"the log of serving in {self._folder} cannot be used ({error.strerror}): nothing is "
            "scored without it; check disk space and permissions"
        )


class _OpenLog:
    """The log while it is held: its newest line, and one more."""

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


class Stating:
    """A statement in the making: what it covers, and the periods as they stand."""

    def __init__(
        self, log: _OpenLog, covers: StatedTime, periods: tuple[LoggedPeriod, ...]
    ) -> None:
        self._log = log
        self.covers, self.periods = covers, periods

    def take_down(self, statement: ServingStatement) -> None:
        """Writes that the statement was made."""
        self._log.add(
            ServingEventKind.STATED,
            since=statement.since,
            until=statement.until,
            statement=statement.digest,
        )


def _held_periods(events: Sequence[ServingEvent]) -> tuple[LoggedPeriod, ...]:
    """Returns the periods of a log in which every one that was cut off has its end."""
    return periods_in(events, lambda number: True, lambda begun, known: begun.time)


def periods_in(
    events: Sequence[ServingEvent],
    is_held: Callable[[int], bool],
    last_known: Callable[[ServingEvent, Sequence[ServingEvent]], str],
) -> tuple[LoggedPeriod, ...]:
    """Returns the periods that events tell of.

    Args:
        events: lines of a log.
        is_held: whether something holds the lock of the period that a line of this number began.
        last_known: when a period that was cut off served last, as far as is known.
    """
    ends = {one.began: one for one in events if one.began is not None}
    found = []
    for begun in events:
        if begun.kind is not ServingEventKind.BEGAN:
            continue
        end, until, how = ends.get(begun.number), None, RUNNING
        if end is not None:
            is_cut_off = end.kind is ServingEventKind.CUT_OFF
            until, how = (end.until, UNRECORDED) if is_cut_off else (end.time, RECORDED)
        elif not is_held(begun.number):
            until, how = last_known(begun, events), UNRECORDED
        found.append(
            LoggedPeriod(
                number=begun.number,
                snapshot=begun.snapshot,
                model=begun.model or "",
                run=begun.run,
                use=begun.use,
                source=begun.source,
                since=begun.time,
                until=until,
                end=how,
            )
        )
    return tuple(found)


def _is_held(path: Path) -> bool:
    """Whether something holds a lock file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _open_periods(events: Sequence[ServingEvent]) -> list[ServingEvent]:
    ended = {one.began for one in events}
    return [one for one in events if one.kind is ServingEventKind.BEGAN and one.number not in ended]


def _plain(said: str) -> str:
    return "".join(c if c.isprintable() else " " for c in said)[:250]
