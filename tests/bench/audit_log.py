"""The audit log at a million entries: appends, the whole verification, one proof, a bundle.

Entries are appended a hundred at a time, each append in one durable transaction that signs a head,
on SQLite and, where a server is installed (``make postgres``), on PostgreSQL. The floor of an
append is SQLite with the same rows in as many transactions, without hashes, heads or signatures.
What touches a disk is wall clock.
"""

import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from collegium.verification.bundle import single_file
from collegium.verification.bundle.export import export_bundle
from compliance.audit.log import NewEntry
from coordinator.audit.faults import Faults
from coordinator.audit.verification import check_records
from coordinator.database.log.stored_tree import StoredTree
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from protocol.encoding import digest
from protocol.identity.roster import SigningKey
from protocol.log.merkle import verify_inclusion
from tests.bench.measurement import OURS, Row, Target, row_of
from tests.support.machine.postgres import programs, started_server

AREA = "log"
_AT_ONCE = 100
_BARE = "bare sqlite3"
_LEAST_PER_SECOND = 2000


def rows(count: int) -> Iterator[Row]:
    """Yields the rows about a log of so many entries."""
    case = f"{count:,} entries"
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Workspace.create(Path(name) / "out")
        key = folder.signing_key()
        store = stack.enter_context(closing(Store(folder.database)))
        taken = {OURS: [_appended(store, key, count)], _BARE: [_bare(Path(name), count)]}
        most = 1000 / _LEAST_PER_SECOND
        yield row_of(
            AREA, f"one of {_AT_ONCE} durable appends, SQLite", case, taken,
            target=Target(most=most), clock="wall",
        )  # fmt: skip
        if programs() is not None:
            server = stack.enter_context(contextmanager(started_server)())
            other = stack.enter_context(closing(Store(server.new_database())))
            seconds = _appended(other, key, count // 10)
            yield row_of(
                AREA, f"one of {_AT_ONCE} durable appends, PostgreSQL", f"{count // 10:,} entries",
                {OURS: [seconds]}, target=Target(most=most), clock="wall",
            )  # fmt: skip
        yield _verified(store, folder.public_key(), case, count)
        yield _proof(store, case, count)
        yield from _bundle(folder, Path(name) / "evidence.zip", case)


def _appended(store: Store, key: SigningKey, count: int) -> float:
    """Returns the milliseconds of one entry."""
    began = time.perf_counter()
    for number in range(count // _AT_ONCE):
        entries = [
            NewEntry(
                type="sum", run_id="run-1", round=number, attempt=0, payload=_payload(number, one)
            )
            for one in range(_AT_ONCE)
        ]
        with store.transaction() as transaction:
            transaction.log(entries, key)
    return 1000 * (time.perf_counter() - began) / count


def _bare(folder: Path, count: int) -> float:
    """Returns the milliseconds of one row of the same size, written without any of it."""
    with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE entry (idx INTEGER PRIMARY KEY, leaf BLOB, entry BLOB)")
        began = time.perf_counter()
        for number in range(count // _AT_ONCE):
            connection.execute("BEGIN IMMEDIATE")
            first = number * _AT_ONCE
            connection.executemany(
                "INSERT INTO entry VALUES (?, ?, ?)",
                [(first + one, bytes(32), bytes(230)) for one in range(_AT_ONCE)],
            )
            connection.execute("COMMIT")
        return 1000 * (time.perf_counter() - began) / count


def _payload(number: int, one: int) -> str:
    return digest(b"%d %d" % (number, one))


def _verified(store: Store, public: bytes, case: str, count: int) -> Row:
    faults = Faults()
    with store.read() as session:
        began = time.process_time()
        found = check_records(session, public, faults)
        seconds = time.process_time() - began
    # Its run was never begun: what is measured are the log and its heads.
    if found.size != count or any(fault.run is None for fault in faults.found):
        raise RuntimeError(f"the log does not verify: {faults.found}")
    return row_of(
        AREA, "the whole log verified", case, {OURS: [1000 * seconds]},
        target=Target(most=60), unit="s", scale=0.001,
    )  # fmt: skip


def _proof(store: Store, case: str, count: int) -> Row:
    chance, taken = random.Random(0), []
    for _ in range(15):
        index = chance.randrange(count)
        began = time.perf_counter()
        with store.read() as session:
            tree = StoredTree(session)
            path, leaf = tree.inclusion(index, count), tree.subtree(0, index)
            taken.append(1000 * (time.perf_counter() - began))
            verify_inclusion(leaf, index, count, path, tree.root(count))
    return row_of(
        AREA, "one proof of inclusion from the database", case, {OURS: taken},
        target=Target(most=50), clock="wall",
    )  # fmt: skip


def _bundle(folder: Workspace, to: Path, case: str) -> Iterator[Row]:
    began = time.process_time()
    export_bundle(folder.root, to)
    exported = time.process_time() - began
    yield row_of(
        AREA, "evidence bundle written", case, {OURS: [1000 * exported]}, unit="s", scale=0.001
    )
    began = time.process_time()
    found = single_file.verify(to, folder.public_key())
    seconds = time.process_time() - began
    if not any("entries hash to the root" in sentence for sentence in found.checked):
        raise RuntimeError(f"the bundle's log does not verify: {found.wrong}")
    yield row_of(
        AREA, "evidence bundle verified by the single file", case, {OURS: [1000 * seconds]},
        target=Target(most=60), unit="s", scale=0.001,
    )  # fmt: skip
