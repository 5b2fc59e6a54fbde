"""The heads that a witness has cosigned, in a SQLite file: durable before an answer leaves.

Rules:

1. The newest head of a log is replaced in one transaction that also sees that it is
   still the one that the decision was made on. Of two requests at once one is second.
2. Rows are only ever added. A file that was put back to an earlier copy would let the
   witness cosign another history: no backup of it may be restored; a witness that lost
   its file takes new keys.
3. Notes that contradict what was cosigned are kept, as evidence against the log. Two roots of one
   size are evidence by themselves. That a head was not shown to extend another may be the fault of
   whoever asked, so that kind never takes the other one's place.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from compliance.storage.clock import timestamp
from protocol.errors import StoreBroken
from protocol.log.signed_note import Checkpoint, parse_checkpoint, split_note
from protocol.log.witness import HeadToCosign

#: Contradictions of each kind that are kept of one log: more would only fill the disk.
MAX_CONTRADICTIONS = 100
_SECONDS_FOR_LOCK = 5.0
_TABLES = (
    "CREATE TABLE IF NOT EXISTS cosigned (origin TEXT NOT NULL, size INTEGER NOT NULL, "
    "root BLOB NOT NULL, note BLOB NOT NULL, kept_at TEXT NOT NULL, PRIMARY KEY (origin, size))",
    "CREATE TABLE IF NOT EXISTS contradiction (origin TEXT NOT NULL, number INTEGER NOT NULL, "
    "cosigned_note BLOB NOT NULL, other_note BLOB NOT NULL, reason TEXT NOT NULL, "
    "seen_at TEXT NOT NULL, PRIMARY KEY (origin, number))",
    *(
        f"CREATE TRIGGER IF NOT EXISTS {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table in ("cosigned", "contradiction")
        for verb in ("UPDATE", "DELETE")
    ),
)


@dataclass(frozen=True, kw_only=True)
class Contradiction:
    """A note that was cosigned, and one of the same log that was not shown to agree with it."""

    origin: str
    cosigned_note: bytes
    other_note: bytes
    reason: str
    seen_at: str


class WitnessState:
    """The newest head of each log, and contradictions.

    Args:
        path: the SQLite file, made where it is not there.

    Raises:
        StoreBroken: it is no database, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._writing() as connection:
            for statement in _TABLES:
                connection.execute(statement)

    def newest(self, origin: str) -> Checkpoint | None:
        """Returns the newest head of a log that was cosigned; None where none was."""
        with self._reading() as connection:
            return _newest(connection, origin)

    def note(self, origin: str) -> bytes | None:
        """Returns the note of the newest head of a log that was cosigned."""
        query = "SELECT note FROM cosigned WHERE origin = ? ORDER BY size DESC LIMIT 1"
        with self._reading() as connection:
            row = connection.execute(query, (origin,)).fetchone()
        return None if row is None else bytes(row[0])

    def advance(self, head: HeadToCosign) -> bool:
        """Makes a head the newest of its log, durably; false where another one is by now.

        A head that is the newest already is not written again.

        Raises:
            StoreBroken: it cannot be written; nothing may be signed.
        """
        new = head.checkpoint
        with self._writing() as connection:
            if _newest(connection, new.origin) != head.before:
                return False
            if head.before is None or head.before.size != new.size:
                connection.execute(
                    "INSERT INTO cosigned VALUES (?, ?, ?, ?, ?)",
                    (new.origin, new.size, new.root, head.note, timestamp()),
                )
        return True

    def contradict(self, origin: str, note: bytes, reason: str) -> None:
        """Keeps a note that contradicts the newest one that was cosigned, each pair once.

        Raises:
            StoreBroken: it cannot be written.
        """
        cosigned = self.note(origin)
        with self._writing() as connection:
            pairs = connection.execute(
                "SELECT cosigned_note, other_note FROM contradiction WHERE origin = ?", (origin,)
            ).fetchall()
            alike = [pair for pair in pairs if _of_one_size(*pair) == _of_one_size(cosigned, note)]
            if (cosigned, note) not in pairs and len(alike) < MAX_CONTRADICTIONS:
                connection.execute(
                    "INSERT INTO contradiction VALUES (?, ?, ?, ?, ?, ?)",
                    (origin, len(pairs), cosigned, note, reason, timestamp()),
                )

    def contradictions(self) -> list[Contradiction]:
        """Returns the evidence, oldest first."""
        query = (
            "SELECT origin, cosigned_note, other_note, reason, seen_at FROM contradiction "
            "ORDER BY seen_at, origin, number"
        )
        with self._reading() as connection:
            rows = connection.execute(query).fetchall()
        return [
            Contradiction(
                origin=origin, cosigned_note=cosigned, other_note=other, reason=reason, seen_at=at
            )
            for origin, cosigned, other, reason, at in rows
        ]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Yields a connection whose transaction holds the write lock from its first statement."""
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(
                sqlite3.connect(self._path, timeout=_SECONDS_FOR_LOCK, isolation_level=None)
            ) as connection:
                connection.execute("PRAGMA synchronous=EXTRA")  # a power cut loses no commit
                yield connection
        except sqlite3.Error as error:
            raise StoreBroken(f"the witness's file {self._path} fails: {error}") from error


def _of_one_size(cosigned: bytes | None, other: bytes) -> bool:
    """Whether two notes are about trees of one size."""
    sizes = {parse_checkpoint(split_note(note)[0], of_any_log=True).size
             for note in (cosigned, other) if note is not None}  # fmt: skip
    return len(sizes) == 1


def _newest(connection: sqlite3.Connection, origin: str) -> Checkpoint | None:
    query = "SELECT size, root FROM cosigned WHERE origin = ? ORDER BY size DESC LIMIT 1"
    row = connection.execute(query, (origin,)).fetchone()
    return None if row is None else Checkpoint(origin=origin, size=row[0], root=bytes(row[1]))
