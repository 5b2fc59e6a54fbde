"""Gathers what alerts are judged by, from the consortium's database and folder; changes nothing.

Exact figures stand in a column that nothing here reads. A part that cannot be read is left
out, so that one damaged record hides neither the others nor that it is damaged.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from compliance.estimates.largest_gap import LargestGap, largest_gap
from compliance.facts.figures import COUNTING, TASK_FIGURES
from compliance.facts.groups import GroupFacts, group_gaps
from coordinator.alerts.drift_readings import DriftReadings
from coordinator.alerts.facts import (
    AlertFacts,
    EndedCanary,
    EvaluatedRun,
    Expiry,
    OpenIncident,
    RunRounds,
    ServedOther,
    SignedShare,
)
from coordinator.alerts.rules import MAX_ROUNDS
from coordinator.audit.faults import Faults
from coordinator.audit.verification import check_records
from coordinator.database.store import RoundRow, RunRow, Store, StudyRow, stored_study
from coordinator.database.workspace import Workspace
from coordinator.governance.incident_register import incidents_in
from coordinator.governance.models.lines import line_of, lines_in
from coordinator.membership.authority import Authority
from coordinator.membership.directory import is_coordinator
from coordinator.membership.tables import CertificateRow, MemberRow
from coordinator.membership.transactions import newest_roster
from coordinator.rounds.attempts.conduct import conduct_from
from coordinator.rounds.evaluation.released import figures_from, groups_from, risks_from
from coordinator.views.one_run.rows import released_figures
from coordinator.views.several_runs.models import disagreements_in
from protocol.errors import FederationError
from protocol.identity.timestamps import read_time
from protocol.study.study import Study
from protocol.study.variants import question
from protocol.transport.privacy_summary import read_summaries, read_summary

log = logging.getLogger("collegium.coordinator")

#: Of so many of a study's newest finished runs the figures are looked at.
_LOOKED_AT = 10

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A service's knowledge of the hospitals: since when it runs, when each was last heard from.

    Both in seconds since 1970.
    """

    began: float
    last_seen: Mapping[str, float]


class _Run(NamedTuple):
    """A run's line; what it holds is far less than the run's row."""

    run_id: str
    digest: str
    study: str
    state: str


def gathered(
    store: Store,
    workspace: Workspace,
    now: datetime,
    *,
    heard: Heard | None = None,
    drift: DriftReadings | None = None,
    verify: bool = False,
) -> AlertFacts:
    """Returns the facts of one look.

    Args:
        store: the consortium's database.
        workspace: its folder.
        now: when it is.
        heard: what the running service knows; None where none is asked.
        drift: reads what was released about what is watched.
        verify: whether all records are compared with the signed log, which takes longest.
    """
    with store.read() as session:
        query = (
            select(RunRow.id, RunRow.study_digest, StudyRow.name, RunRow.state)
            .join(StudyRow, StudyRow.digest == RunRow.study_digest)
            .order_by(RunRow.started_at.desc(), RunRow.id.desc())
        )
        runs = [_Run(*row) for row in session.execute(query)]
        return AlertFacts(
            now=now,
            shares=_part(lambda: _shares(session, runs)),
            evaluated=_part(lambda: _evaluated(session, runs)),
            rounds=_part(lambda: _rounds(session, runs)),
            drift=None if drift is None else _part(lambda: drift.read(session)),
            heard=None if heard is None else _part(lambda: _members(session, heard)),
            expiries=_part(lambda: _expiries(session, workspace)),
            faults=_faults(session, workspace) if verify else None,
            incidents=_part(lambda: _incidents(session)),
            canaries=_part(lambda: _canaries(session)),
            served_other=_part(lambda: _served_other(session)),
        )


def _part(read: Callable[[], T]) -> T | None:
    """Returns a part of the facts; None where it cannot be read."""
    try:
        return read()
    except (FederationError, ValueError, TypeError, LookupError, OSError) as error:
        said = str(error) if isinstance(error, FederationError) else type(error).__name__
        log.warning("alerts: a part of the records cannot be read: %s", said)
        return None


def _shares(session: Session, runs: Sequence[_Run]) -> tuple[SignedShare, ...]:
    """Returns each hospital's newest signed share; its signature was checked when it was kept."""
    found: dict[str, SignedShare] = {}
    for run in runs:
        text = session.scalars(select(RunRow.sites_json).filter_by(id=run.run_id)).one()
        for site, signed in read_summaries(text).items():
            share = None if site in found else read_summary(signed.data).budget_share
            if share is not None:
                found[site] = SignedShare(
                    site=site, run_id=run.run_id, study=run.study, share=share
                )
    return tuple(found[site] for site in sorted(found))


def _evaluated(session: Session, runs: Sequence[_Run]) -> tuple[EvaluatedRun, ...]:
    counts: Counter[str] = Counter()
    found = []
    for run in runs:
        if run.state != "finished" or counts[run.study] >= _LOOKED_AT:
            continue
        study = stored_study(session, run.digest)
        released = released_figures(session, run.run_id, study)
        if released is None:
            continue
        counts[run.study] += 1
        found.append(
            EvaluatedRun(
                run_id=run.run_id,
                study=run.study,
                question=question(study),
                risks=risks_from(released["risks"]),
                gaps=_gaps(study, released["sites"]),
                group_gaps=_group_gaps(study, released),
            )
        )
    return tuple(found)


def _gaps(study: Study, sites: Mapping[str, Any]) -> dict[str, LargestGap]:
    """Returns the largest gap of each figure; see ``Dossier.largest_gaps``."""
    if study.task.kind in COUNTING:
        return {}
    kinds = TASK_FIGURES[study.task.kind]
    known = {kind.name for kind in (*kinds.pooled, *kinds.site)}
    figures = {site: figures_from(own) for site, own in sites.items()}
    gaps = {
        name: largest_gap({site: own[name] for site, own in figures.items() if name in own})
        for name in sorted(known)
    }
    return {name: gap for name, gap in gaps.items() if gap is not None}


def _group_gaps(study: Study, released: Mapping[str, Any]) -> dict[str, dict[str, LargestGap]]:
    """Returns by grouping the largest gap of each figure; see ``Dossier.group_gaps``."""
    groups = [
        GroupFacts(grouping=one.grouping, group=one.group, released=one.figures, exact={})
        for one in groups_from(released)
    ]
    kinds = TASK_FIGURES[study.task.kind].group if groups else ()
    return {
        grouping: {name: gap for name, gap in gaps.items() if gap is not None}
        for grouping, gaps in group_gaps(groups, kinds).items()
    }


def _rounds(session: Session, runs: Sequence[_Run]) -> tuple[RunRounds, ...]:
    newest: dict[str, _Run] = {}
    for run in runs:
        newest.setdefault(run.study, run)
    return tuple(_rounds_of(session, run) for run in newest.values())


def _rounds_of(session: Session, run: _Run) -> RunRounds:
    failed = select(RoundRow.round_kind, RoundRow.number, RoundRow.conduct_json).where(
        RoundRow.run_id == run.run_id, RoundRow.state == "failed", RoundRow.conduct_json != "{}"
    )
    refused: set[tuple[str, int]] = set()
    suspects: set[str] = set()
    for kind, number, conduct in session.execute(failed):
        named = conduct_from(conduct).suspects
        if named:
            refused.add((kind, number))
            suspects |= set(named)
    query = select(RoundRow.dropped_json).filter_by(run_id=run.run_id, state="finished")
    newest = session.scalars(query.order_by(RoundRow.id.desc()).limit(MAX_ROUNDS)).all()
    # Who is in another batch or group is not absent from this one.
    sites = frozenset(stored_study(session, run.digest).site_names)
    finished = [sites - set(json.loads(dropped)) for dropped in reversed(newest)]
    return RunRounds(
        run_id=run.run_id,
        study=run.study,
        sites=tuple(sorted(sites)) if finished else (),
        refused=len(refused),
        suspects=tuple(sorted(suspects)),
        finished=tuple(finished),
    )


def _members(session: Session, heard: Heard) -> dict[str, datetime]:
    """Returns when each member of the signed roster was last heard from."""
    signed = newest_roster(session)
    sites = () if signed is None else signed.roster.sites
    began = heard.began
    return {
        site: datetime.fromtimestamp(max(began, heard.last_seen.get(site, began)), UTC)
        for site in sites
    }


def _expiries(session: Session, workspace: Workspace) -> tuple[Expiry, ...]:
    """Returns the ends of what a network's coordinator keeps; none of a simulation."""
    if not is_coordinator(workspace.root):
        return ()
    names = ("root certificate", "issuing certificate", "server's certificate")
    own = Authority.open(workspace.root).own_certificates
    found = [
        Expiry(of="coordinator", name=name, site=None, ends=certificate.not_valid_after_utc)
        for name, certificate in zip(names, own, strict=True)
    ]
    query = (
        select(CertificateRow.site, func.max(CertificateRow.not_after))
        .where(
            CertificateRow.revoked_at.is_(None),
            CertificateRow.site.in_(select(MemberRow.site).filter_by(state="enrolled")),
        )
        .group_by(CertificateRow.site)
        .order_by(CertificateRow.site)
    )
    found += [
        Expiry(of="hospitals", name=f"certificate of {site}", site=site, ends=read_time(until))
        for site, until in session.execute(query)
    ]
    signed = newest_roster(session)
    if signed is not None:
        roster, until = signed.roster, read_time(signed.roster.valid_until)
        found.append(Expiry(of="roster", name=f"roster {roster.version}", site=None, ends=until))
    return tuple(found)


def _incidents(session: Session) -> tuple[OpenIncident, ...]:
    """Returns the incidents that are not closed; a drill alarms nobody."""
    found = []
    for one in incidents_in(session, closed=False):
        waiting = [step.confirm_by for step in one.incident.unconfirmed if step.confirm_by]
        if not one.incident.drill:
            found.append(
                OpenIncident(
                    number=one.number,
                    notify_by=None if one.incident.is_told else read_time(one.incident.due_at),
                    confirm_by=read_time(min(waiting)) if waiting else None,
                )
            )
    return tuple(found)


def _canaries(session: Session) -> tuple[EndedCanary, ...]:
    ended = [(name, line_of(session, name).canary_ended_by_rule) for name in lines_in(session)]
    return tuple(
        EndedCanary(model=name, version=event.version, at=event.time)
        for name, event in ended
        if event is not None
    )


def _served_other(session: Session) -> tuple[ServedOther, ...]:
    return tuple(
        ServedOther(
            model=name,
            site=one.site,
            expected=one.expected,
            stated=one.stated,
            lasted=one.lasted,
        )
        for name in lines_in(session)
        for one in disagreements_in(session, name)
    )


def _faults(session: Session, workspace: Workspace) -> int:
    """Returns how many faults the records have against the log, as ``Views.verification`` does."""
    faults = Faults()
    with faults.checking("the key"):
        check_records(session, workspace.public_key(), faults)
    return len(faults.found)
