"""Verifies an output folder: log, signatures, snapshots and the simulated hospitals' ledgers."""

from pathlib import Path
from typing import Any

from rich.console import Console
from sqlalchemy import select

from compliance.audit_log import LoggedEntry, verify_log
from compliance.ledger import Ledger
from compliance.store import open_hospital
from coordinator.store import RunRow, SnapshotRow, Store, StudyRow, logged_entries, signed_heads
from coordinator.workspace import Workspace
from protocol.encoding import digest
from protocol.errors import StoreBroken


def verify_folder(out: Path, console: Console) -> dict[str, Any]:
    """Checks everything that can be checked without trusting whoever wrote it.

    Raises:
        WorkspaceRefused: there is no run in the folder.
        StoreBroken: something was changed, removed or damaged; the message says what.
    """
    workspace = Workspace.open(out)
    store = Store(workspace.database)
    try:
        with store.read() as session:
            entries = logged_entries(session)
            root = verify_log(entries, signed_heads(session), workspace.public_key())
            studies = session.execute(select(StudyRow.digest, StudyRow.document)).all()
            runs = session.execute(select(RunRow.id, RunRow.model_digest)).all()
            snapshots = session.execute(select(SnapshotRow.run_id, SnapshotRow.model_digest)).all()
    finally:
        store.close()
    console.print(f"log        {len(entries)} entries, every hash and signed head agrees")
    _check_studies([(row.digest, row.document) for row in studies], entries)
    console.print(f"studies    {len(studies)} documents are the ones registered")
    _check_models(workspace, snapshots, runs, entries)
    console.print(f"snapshots  {len(snapshots)} models are the ones logged")
    ledgers = _check_ledgers(workspace)
    console.print(f"ledgers    {ledgers} hospitals' chains are whole")
    return {
        "verified": True,
        "root": root.hex(),
        "size": len(entries),
        "studies": len(studies),
        "snapshots": len(snapshots),
        "ledgers": ledgers,
    }


def _check_studies(studies: list[tuple[str, bytes]], entries: list[LoggedEntry]) -> None:
    registered = _payloads(entries, "study-registered")
    for name, document in studies:
        if digest(document) != name:
            raise StoreBroken(f"study {name[:16]} was changed after it was registered")
        if name not in registered:
            raise StoreBroken(f"study {name[:16]} was never registered in the log")


def _check_models(
    workspace: Workspace, snapshots: Any, runs: Any, entries: list[LoggedEntry]
) -> None:
    logged = {
        (entry.content["run"], entry.content["payload"])
        for entry in entries
        if entry.content["type"] == "snapshot"
    }
    claimed = {(row.run_id, row.model_digest) for row in snapshots}
    claimed |= {(row.id, row.model_digest) for row in runs if row.model_digest is not None}
    for run_id, name in sorted(claimed):
        if (run_id, name) not in logged:
            raise StoreBroken(f"run {run_id}: its model {name[:16]} is not the one in the log")
        workspace.read_snapshot(name)
    missing = logged - claimed
    if missing:
        run_id = sorted(str(run) for run, _ in missing)[0]
        raise StoreBroken(f"run {run_id}: the log names a snapshot that the database lacks")


def _check_ledgers(workspace: Workspace) -> int:
    homes = sorted(path.parent for path in workspace.silos.glob("*/hospital.db"))
    for home in homes:
        hospital = open_hospital(home / "hospital.db", site=home.name)
        try:
            Ledger(hospital).verify()
        finally:
            hospital.close()
    return len(homes)


def _payloads(entries: list[LoggedEntry], kind: str) -> set[object]:
    return {entry.content["payload"] for entry in entries if entry.content["type"] == kind}
