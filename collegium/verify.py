"""Verifies an output folder: log and records, snapshots, the simulated hospitals' ledgers."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from compliance.ledger_records import UNOPENED
from compliance.store import open_hospital
from coordinator.store import Store
from coordinator.verification import verify_records
from coordinator.workspace import Workspace
from protocol.errors import StoreBroken
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
    console.print(f"records    {found.runs} runs of {found.studies} studies are what was logged")
    for name in found.models:
        workspace.read_snapshot(name)
    console.print(f"snapshots  {len(found.models)} models are the ones logged")
    ledgers = _check_ledgers(workspace, found.summaries)
    console.print(f"ledgers    {ledgers} hospitals' chains are whole, none went back in time")
    return {
        "verified": True,
        "root": found.root.hex(),
        "size": found.size,
        "studies": found.studies,
        "runs": found.runs,
        "snapshots": len(found.models),
        "ledgers": ledgers,
    }


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
