"""Ending a hospital's part in a run by its own people, without the coordinator.

What was sent stays charged; what was reserved and not sent is free again. The
supervisor need not be stopped: the run is marked as left before its plans are
closed, so that nothing joins it again, and a closed plan pays for no release.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compliance.ledger.privacy_plan import calendar_name
from protocol.errors import PolicyRefused
from silos.config.directory import opened
from silos.database.database import SiteDatabase
from silos.database.joined_runs import JoinedRun, JoinedRuns, RunState
from silos.operations.budget import read_budget
from silos.rounds.own_states import OwnStates


@dataclass(frozen=True, kw_only=True)
class LeftRun:
    """A run that was left, and where the hospital's budget stands now (see ``read_budget``)."""

    site: str
    run: JoinedRun
    budget: dict[str, Any]


def leave_run(home: Path, run_id: str, *, by: str, reason: str) -> LeftRun:
    """Ends a hospital's part in a run, for good; said again, it changes nothing.

    Args:
        home: the hospital's folder.
        run_id: the whole name of the run.
        by: who decides.
        reason: kept beside the decision.

    Raises:
        PolicyRefused: nobody decides, or no run of that name reached this hospital.
        LedgerBroken: the ledger is damaged, or an older copy.
    """
    if not by.strip():
        raise PolicyRefused("say who decides, with --by: nothing was left")
    with opened(home) as (_, hospital):
        run = JoinedRuns(hospital).of(run_id)
        if run is None:
            raise PolicyRefused(
                f"no run {run_id!r} ever reached this hospital: collegium silo status lists them"
            )
        left = end_part(hospital, run, by=by.strip(), reason=reason.strip())
        return LeftRun(site=hospital.site, run=left, budget=read_budget(hospital))


def end_part(
    hospital: SiteDatabase, run: JoinedRun, *, by: str | None = None, reason: str | None = None
) -> JoinedRun:
    """Marks a run as left, closes its plans and removes what the hospital kept of its own in it.

    Cut off anywhere, it may be said again.
    A calendar of releases ends with it, for the whole study: what it has not sent is free again.
    """
    runs = JoinedRuns(hospital)
    if run.state is not RunState.LEFT:
        runs.record(
            run.run_id, study=run.study, state=RunState.LEFT, left_by=by, left_because=reason
        )
    for name in (run.run_id, calendar_name(run.study)):
        hospital.ledger.settle_run(name)
    OwnStates(hospital.own_states, run.run_id).forget()
    return runs.of(run.run_id) or run
