"""A hospital's own folder, as its officer looks at it: runs, report, verification.

The commands are those for any folder of runs; a folder with a site file is a
hospital's. Nothing here asks or needs the coordinator.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from collegium.output.verdict import verdict
from compliance.facts.formatting import Format, show
from compliance.reports.document import Statement, Tone
from compliance.reports.one_run.hospital_report import HospitalRun, hospital_report
from compliance.reports.renderers import rendered
from compliance.storage.atomic_file import write_named
from protocol.errors import StoreBroken
from silos.operations.own_check import OwnCheck, check_own
from silos.results.own_runs import own_run, own_runs


def list_runs(home: Path, console: Console) -> list[dict[str, Any]]:
    """Shows the runs that this hospital was asked to join; returns them for ``--json``."""
    runs = own_runs(home)
    console.print(_table(runs) if runs else "no run was asked for yet")
    return [_line(run) for run in runs]


def show_run(home: Path, run_id: str, console: Console) -> dict[str, Any]:
    """Shows what one run did and cost in this hospital; returns it for ``--json``."""
    run = own_run(home, run_id)
    for statement in hospital_report(run, Statement(text="")).banner[:2]:
        console.print(statement.text, statement.detail, markup=False, soft_wrap=True)
    for decision in run.approvals:
        console.print(
            f"  {decision.decision} by {decision.approver}, "
            f"{show(decision.decided_at, Format.TIME)}",
            markup=False,
        )
    return _line(run) | asdict(run)


def export_report(home: Path, run_id: str, form: str, to: Path, console: Console) -> None:
    """Writes what one run did and cost in this hospital, after verifying the folder.

    Raises:
        WorkspaceRefused: no such run, or the file cannot be written.
        StoreBroken: the folder has a fault: nothing is written.
    """
    checked = check_own(home)
    try:
        checked.require_sound()
    except StoreBroken as error:
        raise StoreBroken(f"no report is made of a folder with a fault:\n{error}") from error
    document = hospital_report(own_run(home, run_id), _checked(checked))
    write_named(to, rendered(document, form))
    console.print(f"wrote {to} ({form}): approvals, cost, releases", markup=False)


def verify_folder(home: Path, console: Console) -> dict[str, Any]:
    """Checks a hospital's folder against itself; returns what was found for ``--json``."""
    found = check_own(home)
    for name, sentence in found.holds.items():
        console.print(f"{name:12} {sentence}", markup=False, soft_wrap=True)
    for fault in found.faults:
        console.print(f"FAULT        {fault}", markup=False, soft_wrap=True, style="red")
    console.print(f"{'keys':12} {_keys(found)}", markup=False, soft_wrap=True)
    for what in found.not_checked:
        console.print(f"not checked  {what}", markup=False, soft_wrap=True)
    console.print(
        verdict(len(found.faults), found.checked_at, found.identity, "what was signed here"),
        style="red" if found.faults else "green",
        markup=False,
        soft_wrap=True,
    )
    return {
        "verified": not found.faults,
        "site": found.site,
        "identity": found.identity,
        "coordinator": found.coordinator,
        "checked_at": found.checked_at,
        "holds": found.holds,
        "faults": list(found.faults),
        "not_checked": list(found.not_checked),
        "unnamed_files": list(found.unnamed),
    }


def _keys(found: OwnCheck) -> str:
    coordinator = found.coordinator or "none: not enrolled"
    return f"this hospital's {found.identity}, the coordinator's {coordinator}"


def _checked(found: OwnCheck) -> Statement:
    held = " ".join(f"{name.capitalize()}: {said}." for name, said in found.holds.items())
    return Statement(
        text=f"The hospital's folder was verified at {show(found.checked_at, Format.TIME)}.",
        detail=f"Keys: {_keys(found)}. {held} Not checked: {'; '.join(found.not_checked)}.",
        tone=Tone.GOOD,
    )


def _line(run: HospitalRun) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "study": run.study.name if run.study else None,
        "digest": run.study_digest,
        "state": run.state,
        "joined_at": run.joined_at,
        "changed_at": run.changed_at,
        "approved_by": _approvers(run),
        "releases": len(run.releases),
        "epsilon": run.study.plan.epsilon if run.study and run.study.plan else None,
    }


def _approvers(run: HospitalRun) -> list[str]:
    return sorted({d.approver for d in run.approvals if d.decision == "approved"})


def _table(runs: Sequence[HospitalRun]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False)
    for heading in ("run", "study", "state", "releases", "epsilon", "approved by"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "run")
    for run in runs:
        line = _line(run)
        epsilon = "none" if line["epsilon"] is None else show(line["epsilon"], Format.EPSILON)
        cells = (
            run.run_id,
            line["study"] or run.study_digest[:16],
            run.state,
            str(line["releases"]),
            epsilon,
            ", ".join(line["approved_by"]) or "nobody",
        )
        table.add_row(*map(Text, cells))
    return table
