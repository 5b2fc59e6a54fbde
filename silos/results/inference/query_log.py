"""The log of queries: a file of lines, each bound to the one before; nothing of it is rewritten.

::

    inference/queries.log   one line of canonical JSON for each request, or each batch
    inference/salt          the key of the content's digests; the owner's alone

Rules:

1. A line is written, and is on the disk, before a score leaves.
2. A line holds who asked, when, about how many records, and the HMAC of the encoded records under
   the hospital's own salt: who has the log alone can test no guess of a record.
3. Times never go back, whatever the clock does: a day's records are counted to the newest line.
4. Each line holds the SHA-256 of the one before it. A changed or missing line within is found when
   the file is read. Lines cut off at the end are found by whoever kept a later head
   (``collegium infer log --head``).
"""

import fcntl
import hmac
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from compliance.storage.atomic_file import read_whole, sync_file, write_new
from compliance.storage.clock import Clock, utc_now
from protocol.encoding import canonical, digest
from protocol.errors import StoreBroken, WorkspaceRefused
from protocol.identity.timestamps import read_time, write_time

FOLDER = "inference"
_LOG, _SALT = "queries.log", "salt"
_FIRST = "0" * 64
_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class QueryEntry:
    """One line of the log.

    Attributes:
        time: when (UTC).
        caller: the name of the token, or of the person's batch.
        records, refused: how many were scored, and how many did not fit the contract.
        content: the keyed digest of the records that were scored.
        model: the digest of the model.
        alarms: the rules that the request set off.
        previous: the SHA-256 of the line before; zeros in the first.
    """

    time: str
    caller: str
    records: int
    refused: int
    content: str
    model: str
    alarms: tuple[str, ...]
    previous: str


class QueryLog:
    """A hospital's log of queries.

    Args:
        home: the hospital's folder.
        clock: says what time it is.

    Raises:
        WorkspaceRefused: it cannot be made or read.
        StoreBroken: a line was changed or removed.
    """

    def __init__(self, home: Path, clock: Clock = utc_now) -> None:
        self._folder, self._clock = home / FOLDER, clock
        self._offset, self._head, self._count = 0, _FIRST, 0
        self._newest = ""
        self._recent: list[tuple[str, int]] = []
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with suppress(FileExistsError):
                write_new(self._folder / _SALT, secrets.token_bytes(32))
            self._salt = read_whole(self._folder / _SALT)
        except OSError as error:
            raise self._refusal(error) from error
        if len(self._salt) != 32:
            raise StoreBroken(f"{self._folder / _SALT} is damaged: restore it")

    def content_of(self, parts: Iterator[NDArray[np.float32]]) -> str:
        """Returns the keyed digest of encoded records, which are given some at a time."""
        state = hmac.new(self._salt, digestmod=sha256)
        for part in parts:
            state.update(np.ascontiguousarray(part, dtype="<f4").tobytes())
        return state.hexdigest()

    @property
    def new_content(self) -> "hmac.HMAC":
        """A fresh keyed digest, for records that are encoded one batch after the other."""
        return hmac.new(self._salt, digestmod=sha256)

    def append(
        self,
        *,
        caller: str,
        records: int,
        refused: int,
        content: str,
        model: str,
        alarms: frozenset[str],
        declared: int,
        over: str,
    ) -> QueryEntry:
        """Adds a line, durably.

        Args:
            caller, records, refused, content, model: see ``QueryEntry``.
            alarms: those that the records set off.
            declared: the hospital's records in a day; more set off the alarm ``over``.
            over: that alarm's name.

        Raises:
            WorkspaceRefused: it cannot be written; then no score may leave.
            StoreBroken: the file was changed.
        """
        try:
            with self._locked() as file:
                self._catch_up(file)
                now = max(write_time(self._clock()), self._newest)
                many = self._in_a_day(now) + records + refused > declared
                entry = QueryEntry(
                    time=now,
                    caller=caller,
                    records=records,
                    refused=refused,
                    content=content,
                    model=model,
                    alarms=tuple(sorted(alarms | ({over} if many else set()))),
                    previous=self._head,
                )
                line = canonical(asdict(entry))
                file.seek(self._offset)
                file.truncate()  # of a line that a crash cut off
                file.write(line + b"\n")
                sync_file(file)
                self._take(entry, line)
        except OSError as error:
            raise self._refusal(error) from error
        return entry

    def entries(self) -> list[QueryEntry]:
        """Returns every line, checked.

        Raises:
            WorkspaceRefused, StoreBroken: see the class.
        """
        found: list[QueryEntry] = []
        self._offset, self._head, self._count, self._recent = 0, _FIRST, 0, []
        self._newest = ""
        with self._locked() as file:
            self._catch_up(file, found)
        return found

    def require_head(self, head: str) -> None:
        """Refuses a log in which no line has this digest: lines were cut off since it was kept.

        Raises:
            StoreBroken: there is none.
        """
        known = {entry.previous for entry in self.entries()} | {self._head}
        if head not in known:
            raise StoreBroken(
                f"no line of {self._folder / _LOG} has the digest {head[:16]}: lines were removed "
                "or changed since it was kept"
            )

    @property
    def head(self) -> str:
        """The SHA-256 of the newest line that was read or written; zeros before the first."""
        return self._head

    def _in_a_day(self, now: str) -> int:
        """Returns how many records were asked about in the 24 hours before a time."""
        since = write_time(read_time(now) - _DAY)
        self._recent = [one for one in self._recent if one[0] > since]
        return sum(records for _, records in self._recent)

    def _catch_up(self, file: BinaryIO, found: list[QueryEntry] | None = None) -> None:
        """Reads the lines that are new since the last time, and checks each."""
        file.seek(0, os.SEEK_END)
        if file.tell() < self._offset:
            raise StoreBroken(f"{self._folder / _LOG} became shorter: lines were removed")
        file.seek(self._offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            entry = self._parsed(line[:-1])
            self._take(entry, line[:-1])
            if found is not None:
                found.append(entry)

    def _parsed(self, line: bytes) -> QueryEntry:
        number = self._count + 1
        try:
            said = json.loads(line)
            entry = QueryEntry(**{**said, "alarms": tuple(said["alarms"])})
            read_time(entry.time)
            whole = canonical(asdict(entry)) == line and entry.records + entry.refused >= 0
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreBroken(f"line {number} of {self._folder / _LOG} is no entry") from error
        if not whole or entry.previous != self._head:
            raise StoreBroken(
                f"line {number} of {self._folder / _LOG} does not follow the line before it: a "
                "line was changed, added or removed"
            )
        return entry

    def _take(self, entry: QueryEntry, line: bytes) -> None:
        self._head, self._count = digest(line), self._count + 1
        self._offset += len(line) + 1
        self._newest = max(self._newest, entry.time)
        self._recent.append((entry.time, entry.records + entry.refused))

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        """Yields the file, to be read and written by nobody else meanwhile."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        try:
            handle = os.open(self._folder / _LOG, flags, 0o600)
        except OSError as error:
            raise self._refusal(error) from error
        with os.fdopen(handle, "rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _refusal(self, error: OSError) -> WorkspaceRefused:
        return WorkspaceRefused(
            f"the log of queries in {self._folder} cannot be written ({error.strerror}): nothing "
            "is scored without it; check disk space and permissions"
        )
