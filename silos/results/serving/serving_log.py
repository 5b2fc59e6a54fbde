"""The log of serving in a hospital's folder: written as models are loaded and unloaded.

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

from compliance.storage.clock import Clock, utc_now
from protocol.errors import PolicyRefused, WorkspaceRefused
from protocol.identity.roster import SigningKey
from protocol.transport.serving_statement import ServingStatement, SignedServing, sign_serving
from silos.results.serving.events import ServingEvent, ServingEventKind, ServingEvents, read_events
from silos.results.serving.open_log import OpenServingLog
from silos.results.serving.periods import LoggedPeriod, held_periods, open_periods, periods_in

#: The folder, and the log's name in it.
FOLDER, LOG = "inference", "serving.log"

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
        """Writes that a model was loaded and, when the block ends, that it was unloaded.

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
                self._unlock(number, lock)
                raise
        try:
            yield
        finally:
            try:
                with self._open() as log:
                    log.add(ServingEventKind.ENDED, began=number)
            finally:
                self._unlock(number, lock)

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
        """Yields what a new statement covers; nobody else writes until it was written down.

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
            yield Stating(log, covers, held_periods(events))

    def files(self) -> frozenset[str]:
        """Returns the files of the log and of what serves now, by their paths from the folder."""
        locks = {f"{FOLDER}/serving-{one.number}.lock" for one in open_periods(self.read().events)}
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
        return covers, held_periods(events[: last.number])

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
    def _open(self) -> Iterator[OpenServingLog]:
        """Yields the log to be written by nobody else, what was cut off ended first."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(self._folder / LOG, flags, 0o600)
            with os.fdopen(handle, "rb+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                log = OpenServingLog(file, self._trusted, self._key, self._clock)
                locks = [path for path in self._folder.glob("serving-*.lock")]
                if any(not _is_held(path) for path in locks):
                    self._end_what_was_cut_off(log)
                yield log
        except OSError as error:
            raise self._refusal(error) from error

    def _end_what_was_cut_off(self, log: OpenServingLog) -> None:
        events = list(log.read().events)
        for begun in open_periods(events):
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

    def _unlock(self, number: int, handle: int) -> None:
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


class Stating:
    """A statement in the making: what it covers, and the periods as they stand."""

    def __init__(
        self, log: OpenServingLog, covers: StatedTime, periods: tuple[LoggedPeriod, ...]
    ) -> None:
        self._log = log
        self.covers, self.periods = covers, periods

    def write_down(self, statement: ServingStatement) -> None:
        """Writes that the statement was made."""
        self._log.add(
            ServingEventKind.STATED,
            since=statement.since,
            until=statement.until,
            statement=statement.digest,
        )


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


def _plain(said: str) -> str:
    return "".join(c if c.isprintable() else " " for c in said)[:250]
