"""A real output folder with two finished runs, a pooled reference and its page; and its forgers."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from collegium.output.folder_page import finish_folder
from compliance.audit.log import NewEntry, extend
from coordinator.database.baselines import keep_reference
from coordinator.database.own_statements import statements_of
from coordinator.database.store import (
    CheckpointRow,
    LogEntryRow,
    LoggedRow,
    Store,
    Transaction,
    logged_entries,
    signed_heads,
)
from coordinator.rounds.run_records import RunRecord, manifest_of
from protocol.identity.roster import SigningKey
from protocol.log.entry import LogEntry
from protocol.study.study import Study
from protocol.vectors.tensors import decode_tensors
from silos.rounds.openings.rollback_evidence import read_signed_heads
from tests.support.machine.databases import without_guards
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import small_study

RUNS = ("run-1", "run-2")


def make_folder(folder: Path, study: Study | None = None) -> Path:
    """Runs a study twice, as a simulation does; returns the output folder."""
    federation = Federation(folder, study or small_study())
    workspace, store = federation.workspace, federation.store
    key = workspace.signing_key()
    for number, run in enumerate(RUNS):
        federation.run_id = run
        record = RunRecord(store, key, federation.roster, federation.study, run)
        record.begin(sweep=None, simulation=True, test_noise=False)
        words = {}
        for site, silo in federation.silos.items():
            with store.read() as session:
                own = read_signed_heads(statements_of(session, site))
            words[site] = silo.join(replace(federation.invitation, run_id=run, signed_heads=own))
        summaries = record.keep("approvals", words)
        first = next(iter(federation.silos.values()))
        initial = decode_tensors(first.initial_model(run))
        record.describe(manifest_of(federation.study, summaries, initial, federation.inputs))
        outcome = federation.runner(summaries).run(initial)
        record.keep("settlements", {s: silo.leave(run) for s, silo in federation.silos.items()})
        figures = {"auroc": 0.9 + number / 100, "accuracy": 0.8 + number / 100}
        sites = {
            site: figures | {"train_patients": 28, "test_patients": 12} for site in federation.silos
        }
        record.finish(outcome, figures | {"sites": sites})
    keep_reference(store, key, "sweep-001", "sweep", federation.study, {"auroc": 0.91})
    finish_folder(workspace, RUNS[-1])
    federation.close()
    return workspace.root


def change(folder: Path, *statements: str, database: str = "collegium.db") -> None:
    """Runs statements as the database's owner, who removes the guards and puts them back.

    One must change a row.
    """
    with closing(sqlite3.connect(folder / database)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.create_function("unhex", 1, bytes.fromhex)
        put_back = without_guards(connection)
        changed = sum(max(0, connection.execute(each).rowcount) for each in statements)
        put_back()
    assert changed, "nothing was changed"


@contextmanager
def unguarded(folder: Path) -> Iterator[None]:
    """Lets a block change a folder's database without its triggers and unique indexes."""
    with closing(sqlite3.connect(folder / "collegium.db")) as connection:
        with connection:
            put_back = without_guards(connection)
        yield
        with connection:
            put_back()


@dataclass(frozen=True, kw_only=True)
class Rewriting:
    """What somebody with the log's key changes: digests by what replaces them, and what goes."""

    replaced: Mapping[str, str]
    goes: Callable[[LogEntry], bool] = lambda _entry: False


def changed_row(row: LoggedRow, **cells: object) -> dict[str, str]:
    """Changes a row; returns its record by what replaces it."""
    before = row.record
    for name, value in cells.items():
        setattr(row, name, value)
    return {before: row.record}


def rewrite_log(
    folder: Path, forge: Callable[[Session], Rewriting], key: SigningKey | None = None
) -> None:
    """Changes rows and writes the whole log anew, signed, so that both agree again."""
    signer = key or SigningKey.from_bytes(
        bytes.fromhex((folder / "coordinator.key").read_text().strip())
    )
    store = Store(folder / "collegium.db")
    with unguarded(folder), store.transaction() as transaction:
        session = transaction.session
        session.execute(text("PRAGMA defer_foreign_keys = ON"))
        entries = [entry.content for entry in logged_entries(session)]
        sizes = [head.size for head in signed_heads(session)]
        wanted = forge(session)
        session.flush()
        session.execute(delete(LogEntryRow))
        session.execute(delete(CheckpointRow))
        head, begun = None, 0
        for size in sizes:
            for entry in entries[begun:size]:
                if wanted.goes(entry):
                    continue
                new = NewEntry(
                    type=entry.type,
                    run_id=entry.run,
                    payload=wanted.replaced.get(entry.payload, entry.payload),
                    round=entry.round,
                    attempt=entry.attempt,
                    record=wanted.replaced.get(entry.record or "", entry.record),
                )
                (logged,), head = extend(head, [new], entry.time, signer)
                session.add(
                    LogEntryRow(
                        idx=logged.index,
                        run_id=entry.run,
                        leaf_hash=logged.leaf_hash,
                        entry=logged.data,
                    )
                )
            begun = size
            if head is not None and session.get(CheckpointRow, head.size) is None:
                row = CheckpointRow(
                    size=head.size,
                    root=head.root,
                    note=head.note,
                    frontier=b"".join(head.frontier),
                )
                session.add(row)
                session.flush()
    store.close()


def append_to_log(
    folder: Path, forge: Callable[[Transaction], Sequence[NewEntry]], key: SigningKey
) -> None:
    """Changes rows and adds entries to the log, signed: earlier checkpoints still fit."""
    store = Store(folder / "collegium.db")
    with unguarded(folder), store.transaction() as transaction:
        transaction.log(forge(transaction), key)
    store.close()


def without_run(session: Session, run: str) -> Rewriting:
    """Removes a run with all its rows, and all that the log says of it."""
    for table in ("release", "run_manifest", "snapshot", "round", "accusation"):
        session.execute(text(f"DELETE FROM {table} WHERE run_id = :run"), {"run": run})  # noqa: S608
    session.execute(text("DELETE FROM masked_message"))
    session.execute(text("DELETE FROM run WHERE id = :run"), {"run": run})
    return Rewriting(replaced={}, goes=lambda entry: entry.run == run or entry.type == "masked")


def rows(session: Session, table: type[LoggedRow], **where: object) -> list[LoggedRow]:
    """Returns rows of a table."""
    return list(session.scalars(select(table).filter_by(**where)))


def kept_note(folder: Path) -> bytes:
    """Returns the newest head, as a hospital keeps it."""
    store = Store(folder / "collegium.db")
    with store.read() as session:
        note = signed_heads(session)[-1].note
    store.close()
    return note
