"""The heads of a hospital's own hash chains, kept outside its database and outside its backups.

A database that is restored from a backup lacks what was booked since, and
nothing in it can show that. This list can: each append to a chain writes
the chain's new head here too, durably, before anything that follows from it
leaves the hospital. A chain that lacks a listed head is an older copy.

Rules:

1. One file for each chain, made with the database and never again by itself: a
   list that is missing is a finding, not a beginning.
2. Lines are only added. Each holds the number and hash of a chain's entry and a
   MAC under a key of the hospital's, so that a list is this hospital's, this
   chain's, and whole line for line. A last line that was cut off counts for
   nothing: the append had not returned.
3. What a chain must still hold is its newest *binding* line. The others only
   tell which entries followed each other.
4. The folder says to backup programs that it must be left out (CACHEDIR.TAG).

Guarantee: against an old copy of the database alone. A rollback of both is
found by what others hold (``silos/rounds/openings/rollback_evidence.py``), or not at all.
"""

import fcntl
import hmac
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from compliance.storage.atomic_file import (
    FOR_ALL,
    open_regular,
    read_whole,
    sync_folder,
    write_whole,
)
from protocol.errors import StoreBroken

_TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# Not to be restored from a backup: what lies here shows that a database is no old copy.\n"
)
#: The longest tail that is read for the newest binding line; else the whole file.
_TAIL_BYTES = 4096


class HeadKind(StrEnum):
    """The kind of a listed entry."""

    #: The chain must hold it from now on: what follows from it may have left.
    BINDING = "binding"
    #: It followed the line before it, and nothing left because of it.
    OTHER = "other"
    #: It binds, and the hospital's people let the chain go on from here.
    ANEW = "anew"


@dataclass(frozen=True, kw_only=True)
class LedgerHead:
    """An entry of a chain by its number, from 1, and its hash; number 0 is a chain without any."""

    number: int
    hash: str
    kind: HeadKind = HeadKind.BINDING

    @property
    def binds(self) -> bool:
        """Whether a later copy of the chain must hold this entry."""
        return self.kind is not HeadKind.OTHER


#: The line with which a list begins.
FIRST = LedgerHead(number=0, hash="0" * 64, kind=HeadKind.ANEW)


class Heads(Protocol):
    """A list of heads, as the rules of a chain use it."""

    def newest(self) -> LedgerHead:
        """Returns the newest entry that the chain must hold.

        Raises:
            StoreBroken: the list is missing or was changed.
        """

    def all(self) -> tuple[LedgerHead, ...]:
        """Returns every line, oldest first; none where the list is missing.

        Raises:
            StoreBroken: the list was changed.
        """

    def append(self, head: LedgerHead) -> None:
        """Adds a line; one that is older than the newest binding line changes nothing.

        Raises:
            StoreBroken: the list is missing or cannot be written.
        """

    def restart(self, head: LedgerHead) -> None:
        """Lets the chain go on from an entry; sets a list aside that cannot be read.

        Raises:
            StoreBroken: the list cannot be written.
        """


class ListedHeads:
    """A list in a file.

    Args:
        path: the file.
        secret: a secret of the hospital's that stays the same for life.
    """

    def __init__(self, path: Path, secret: bytes) -> None:
        self.path = path
        self._key = hmac.digest(secret, b"collegium list of heads v1", "sha256")

    def newest(self) -> LedgerHead:
        """See ``Heads``."""
        with self._locked(os.O_RDONLY) as file:
            return self._newest(file)[0]

    def all(self) -> tuple[LedgerHead, ...]:
        """See ``Heads``."""
        if not self.path.exists():
            return ()
        with self._locked(os.O_RDONLY) as file:
            return self._read(os.pread(file, os.fstat(file).st_size, 0))

    def append(self, head: LedgerHead) -> None:
        """See ``Heads``; a binding line is on the disk when this returns."""
        with self._locked() as file:
            newest, end = self._newest(file)
            if head.number > newest.number:
                self._write(file, head, end, durably=head.binds)

    def restart(self, head: LedgerHead) -> None:
        """See ``Heads``."""
        try:
            self.newest()
        except StoreBroken:
            if self.path.exists():
                self.path.replace(self.path.with_name(f"{self.path.name}.unreadable"))
            self.begin()
        with self._locked() as file:
            _, end = self._newest(file)
            line = LedgerHead(number=head.number, hash=head.hash, kind=HeadKind.ANEW)
            self._write(file, line, end, durably=True)

    def begin(self) -> None:
        """Makes the list of a chain that has no entry yet.

        A list that holds nothing was begun by somebody who did not finish: it is made again.

        Raises:
            StoreBroken: the list of another chain is there, or it cannot be written.
        """
        try:
            if self.path.exists() and read_whole(self.path).count(b"\n") > 1:
                raise StoreBroken(
                    f"{self.path} lists what an earlier database of this hospital has sent: "
                    "restore that database; a new one would forget what patients have paid"
                )
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self.path.parent / "CACHEDIR.TAG", _TAG.encode(), mode=FOR_ALL)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                self._write(file, FIRST, 0, durably=True)
            finally:
                os.close(file)
            sync_folder(self.path.parent)
        except OSError as error:
            raise self._unwritten(error) from error

    @contextmanager
    def _locked(self, mode: int = os.O_RDWR) -> Iterator[int]:
        """Yields the open file, which nobody else writes meanwhile."""
        try:
            file = open_regular(self.path, mode)
        except FileNotFoundError as error:
            raise StoreBroken(
                f"{self.path}, which shows that the database is no old copy, is missing. Put it "
                "back from where it went, never from a backup; if it is lost: collegium silo "
                "restored"
            ) from error
        except OSError as error:
            raise StoreBroken(f"{self.path} cannot be opened ({error.strerror})") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX if mode == os.O_RDWR else fcntl.LOCK_SH)
            yield file
        finally:
            os.close(file)

    def _newest(self, file: int) -> tuple[LedgerHead, int]:
        """Returns the newest binding line, and where the last whole line ends."""
        size = os.fstat(file).st_size
        for start in (max(0, size - _TAIL_BYTES), 0):
            tail = os.pread(file, size - start, start)
            end = tail.rfind(b"\n") + 1
            begin = tail.find(b"\n") + 1 if start else 0
            binding = [head for head in self._read(tail[begin:end]) if head.binds]
            if binding:
                return binding[-1], start + end
        raise self._changed()

    def _read(self, data: bytes) -> tuple[LedgerHead, ...]:
        return tuple(self._line(line) for line in data.split(b"\n")[:-1])

    def _line(self, line: bytes) -> LedgerHead:
        said, _, mac = line.rpartition(b" ")
        if not hmac.compare_digest(self._mac(said), mac):
            raise self._changed()
        kind, number, digest = said.decode("ascii").split(" ")
        return LedgerHead(number=int(number), hash=digest, kind=HeadKind(kind))

    def _write(self, file: int, head: LedgerHead, end: int, *, durably: bool) -> None:
        said = f"{head.kind.value} {head.number} {head.hash}".encode()
        line = said + b" " + self._mac(said) + b"\n"
        try:
            os.ftruncate(file, end)  # what a writer that was killed left half-way
            if os.pwrite(file, line, end) != len(line):
                raise OSError(0, "it was written in part only")
            if durably:
                os.fsync(file)
        except OSError as error:
            raise self._unwritten(error) from error

    def _mac(self, said: bytes) -> bytes:
        named = self.path.name.encode() + b"\n" + said
        return hmac.digest(self._key, named, "sha256").hex().encode()

    def _changed(self) -> StoreBroken:
        return StoreBroken(
            f"{self.path}, which shows that the database is no old copy, was changed, or belongs "
            "to another database. Put it back as it was; if it is lost: collegium silo restored"
        )

    def _unwritten(self, error: OSError) -> StoreBroken:
        return StoreBroken(
            f"{self.path} cannot be written ({error.strerror}): nothing may be sent. Check disk "
            "space and permissions, then try again"
        )
