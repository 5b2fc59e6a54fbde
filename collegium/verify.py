"""Verifies an output folder: log, records, snapshots and ledgers; recomputes a round's sum."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.ledger_records import UNOPENED
from compliance.store import open_hospital
from coordinator.evidence import RoundShelf
from coordinator.recompute import recompute
from coordinator.store import RoundRow, RunRow, Store
from coordinator.verification import verify_records
from coordinator.views import find_run
from coordinator.workspace import Workspace
from protocol.errors import StoreBroken, WorkspaceRefused
from protocol.summary import Summary


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
            found = verify_records(session, workspace.public_key())
    finally:
        store.close()
    console.print(f"log        {found.size} entries, every hash and signed head agrees")
    references = f" and {found.references} pooled references" if found.references else ""
    console.print(
        f"records    {len(found.runs)} runs of {found.studies} studies{references} "
        "are what was logged"
    )
    for name in found.models:
        workspace.read_snapshot(name)
    console.print(f"snapshots  {len(found.models)} models are the ones logged")
    ledgers = _check_ledgers(workspace, found.summaries)
    if ledgers:
        console.print(f"ledgers    {ledgers} hospitals' chains are whole, none went back in time")
    else:
        console.print("ledgers    each is its hospital's own, which checks it at every start")
    return {
        "verified": True,
        "root": found.root.hex(),
        "size": found.size,
        "studies": found.studies,
        "runs": len(found.runs),
        "references": found.references,
        "snapshots": len(found.models),
        "ledgers": ledgers,
    }


def recompute_round(out: Path, wanted: str, run: str | None, console: Console) -> dict[str, Any]:
    """Computes the sum of a kept round again from what the hospitals sent.

    Args:
        out: the folder.
        wanted: the number of a training round, from 1, or ``evaluation``.
        run: the beginning of a run's id; the newest run when None.
        console: where people read what was found.

    Raises:
        WorkspaceRefused: there is no such round, or it is no longer kept.
        StoreBroken: it is not what the log says; the message says what differs.
    """
    workspace = Workspace.open(out)
    store = Store(workspace.database)
    try:
        with store.read() as session:
            row = _newest_run(session) if run is None else find_run(session, run)
            purpose, number = _which(wanted, session, row)
            found = recompute(
                session,
                RoundShelf(workspace.rounds),
                workspace.public_key(),
                run_id=row.id,
                purpose=purpose,
                number=number,
            )
    finally:
        store.close()
    console.print(
        f"{purpose} round {found.round} of run {found.run_id}: masked vectors of {found.dim} "
        f"numbers from {', '.join(found.survivors)}"
    )
    console.print(f"sum      {found.sum[:16]}, recomputed bit by bit: it is the one in the log")
    if found.model is not None:
        console.print(f"model    {found.model[:16]} follows from it: it is the one in the log")
    return asdict(found)


def _which(wanted: str, session: Session, run: RunRow) -> tuple[str, int]:
    if wanted == "evaluation":
        rounds = select(RoundRow.number).filter_by(run_id=run.id, purpose="evaluation")
        return "evaluation", session.scalars(rounds.limit(1)).first() or 0
    if not (wanted.isascii() and wanted.isdigit() and 0 < int(wanted) < 10**6):
        raise WorkspaceRefused(f"round {wanted!r}: give a training round's number, or evaluation")
    return "training", int(wanted) - 1


def _newest_run(session: Session) -> RunRow:
    row = session.scalars(select(RunRow).order_by(RunRow.started_at.desc()).limit(1)).first()
    if row is None:
        raise WorkspaceRefused("there is no run in this folder")
    return row


def _check_ledgers(workspace: Workspace, summaries: Sequence[Summary]) -> int:
    """Every hospital that signed must have its ledger, and every head it signed must be on it."""
    heads: dict[str, set[str]] = defaultdict(set)
    for summary in summaries:
        heads[summary.site].add(summary.ledger_head)
    for site, remembered in sorted(heads.items()):
        path = workspace.silos / site / "hospital.db"
        if not path.is_file():
            raise StoreBroken(f"the ledger of hospital {site} is missing: restore it")
        hospital = open_hospital(path, site=site)
        try:
            hospital.ledger.verify(remembered=sorted(remembered - {UNOPENED}))
        finally:
            hospital.close()
    return len(heads)
