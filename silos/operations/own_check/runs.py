"""Runs of a hospital: what was asked for, decided, booked and sent, each held to the others."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select

from compliance.governance.approvals import Approval, Decision
from compliance.ledger.entries import Entry, State
from compliance.ledger.privacy_plan import calendar_name
from protocol.counted import counted
from protocol.errors import FederationError, MessageRefused
from protocol.transport.run_announcement import RunAnnouncement, open_announcement
from silos.config.coordinator_identity import coordinator_keys
from silos.database.approvals import approvals_of
from silos.database.database import SiteDatabase
from silos.database.joined_runs import JoinedRun, JoinedRuns, RunState
from silos.database.run_decisions import RunDecision, RunDecisions, evaluated_models
from silos.database.tables import LogHeadRow
from silos.database.trusted_rosters import TrustedRosters

#: Takes a fault, in a sentence.
Tell = Callable[[str], None]


def check_runs(home: Path, hospital: SiteDatabase, tell: Tell) -> str:
    """Checks runs, decisions about them and what the ledger booked for them."""
    runs = {run.run_id: run for run in JoinedRuns(hospital).all()}
    keys = coordinator_keys(home, hospital)
    named: dict[str, str] = {}
    for run in runs.values():
        notice = _check_notice(run, keys, tell)
        if notice is not None:
            named[run.run_id] = notice.roster
    booked = [entry for entry in entries_of(hospital) if entry.run]
    calendars = {calendar_name(run.study): run for run in runs.values()}
    for entry in booked:
        run_of = runs.get(entry.run) or calendars.get(entry.run)
        if run_of is None or run_of.study != entry.study:
            tell(f"ledger entry {entry.number} is of run {entry.run}, which nobody asked for")
    _check_kept(hospital, booked, named, tell)
    decisions = RunDecisions(hospital).all()  # from here on nothing holds without them
    for run_id in RunDecisions(hospital).contradicted():
        tell(f"run {run_id}: what stands here of it is not what this hospital decided and signed")
    _check_decided(hospital, decisions, tell)
    _check_allowed(booked, decisions, approvals_of(hospital).all(), tell)
    paid = len({entry.run for entry in booked} - calendars.keys())
    return (
        f"{counted(len(runs), 'run')} asked for by the coordinator, of which the ledger holds "
        f"{paid}; {counted(len(decisions), 'decision')} about them, each signed by this hospital"
    )


def _check_kept(
    hospital: SiteDatabase, booked: list[Entry], named: dict[str, str], tell: Tell
) -> None:
    """Holds what was sent to what was signed once, and every run that began to its roster."""
    chain, rosters = hospital.signing_record(), TrustedRosters(hospital)
    for entry in booked:
        if entry.state is State.SENT and (
            chain.of(entry.context).get("masked") != entry.blob
            or entry.context not in chain.of(entry.run).values()
        ):
            tell(f"ledger entry {entry.number} was sent, and what was signed with it is not kept")
    begun = {entry.run for entry in booked}
    for run_id, roster in named.items():
        if run_id in begun or chain.of(run_id):
            try:
                rosters.kept(roster)
            except FederationError as error:
                tell(f"run {run_id}: its roster {roster[:16]}: {error}")


def _check_decided(hospital: SiteDatabase, decisions: tuple[RunDecision, ...], tell: Tell) -> None:
    """Holds what each decision says of the hospital to what its database says now."""
    with hospital.session() as session:
        heads = {
            (row.origin, row.size, row.root.hex()) for row in session.scalars(select(LogHeadRow))
        }
        evaluated = {d.run_id: evaluated_models(session, d.run_id) for d in decisions}
    for decision in decisions:
        where = f"run {decision.run_id}, decision {decision.number}"
        if (decision.site, decision.simulated) != (hospital.site, hospital.simulated):
            was = "simulated" if decision.simulated else "real"
            tell(f"{where}: it was of the {was} hospital {decision.site}; the database says other")
        for origin, size, root in decision.log_heads:
            if (origin, size, root) not in heads:
                tell(f"{where}: the log's head of {size} entries that it names is not kept")
        if decision.evaluated not in (None, *evaluated[decision.run_id].values()):
            tell(f"{where}: another model was evaluated than the database says")


def _check_notice(run: JoinedRun, keys: set[bytes], tell: Tell) -> RunAnnouncement | None:
    for key in keys:
        try:
            notice = open_announcement(run.notice, key)
        except MessageRefused:
            continue
        if (notice.run_id, notice.study) != (run.run_id, run.study):
            tell(f"run {run.run_id}: what the coordinator signed is about another run or study")
        return notice
    tell(f"run {run.run_id}: no coordinator of this hospital has signed what asked for it")
    return None


def _check_allowed(
    booked: list[Entry],
    decisions: tuple[RunDecision, ...],
    approvals: tuple[Approval, ...],
    tell: Tell,
) -> None:
    """Holds each run that the ledger counts against the approvals by which it was joined.

    By their numbers, never by a time: a clock may be set back.
    """
    sent = {entry.parent for entry in booked if entry.state is State.SENT}
    plans = [e for e in booked if e.state is State.RESERVED and e.number in sent]
    begun: dict[str, list[str]] = {}
    for plan in plans:
        runs = begun.setdefault(plan.study, [])
        if plan.run in runs:
            continue
        runs.append(plan.run)
        joined = [
            decision
            for decision in decisions
            if decision.state == RunState.JOINED.value
            and plan.run in (decision.run_id, calendar_name(decision.study))
        ]
        allowed = max((_runs_allowed(approvals, decision) for decision in joined), default=0)
        if allowed < len(runs):
            tell(f"run {plan.run} of study {plan.study[:16]} began without an approval for it")


def _runs_allowed(approvals: tuple[Approval, ...], joined: RunDecision) -> int:
    """Returns how many runs of its study stood approved when a run was joined."""
    until = approvals[: joined.approval]
    if not until or (until[-1].number, until[-1].hash) != (joined.approval, joined.approval_hash):
        return 0
    allowed = 0
    for approval in until:
        if approval.study == joined.study:
            is_withdrawn = approval.decision is Decision.WITHDRAWN
            allowed = 0 if is_withdrawn else max(allowed, approval.runs)
    return allowed


def entries_of(hospital: SiteDatabase) -> list[Entry]:
    """Returns every entry of a hospital's ledger, in order."""
    with hospital.transaction() as chain:
        return list(chain.entries())
