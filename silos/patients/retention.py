"""Retention: what a run needed of patients is deleted some days after its end, and that is signed.

Deleted: the lists of marks of cohorts from which no run draws any more, masked vectors of runs
that are over, and what killed training processes left in the folder for temporary files
(copies of images among it). Kept, for they protect patients or others rely on them: ledger and
decisions, the record of patients with its opt-outs, patients' sides for life, models, which are
noised, and the hospital's own files of records and consents, which are its own to delete.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from compliance.ledger.entries import State
from protocol.errors import PolicyRefused
from protocol.identity.timestamps import read_time
from silos.config.directory import opened
from silos.config.site_file import SiteFile
from silos.database.database import SiteDatabase
from silos.database.joined_runs import JoinedRuns, RunState
from silos.database.tables import BlobRow, CohortListRow
from silos.patients.entries import EntryKind, PatientEntries
from silos.patients.frozen_cohorts import FrozenCohorts
from silos.patients.opt_outs import MAX_NAME
from silos.training.private_folder import remove_abandoned

#: Who deletes where the supervisor does so by the site file.
BY_SITE_FILE = "the site file"

LISTS, VECTORS, FOLDERS = "cohort lists", "masked vectors", "folders of killed processes"


@dataclass(frozen=True, kw_only=True)
class Deleted:
    """The number of things deleted, by kind, and when; ``at`` is None where nothing was."""

    counts: Mapping[str, int]
    at: str | None


def apply_retention(home: Path, *, by: str, days: int | None = None) -> Deleted:
    """Deletes what a hospital's site file says is old enough; see ``delete_old``.

    Args:
        home: the hospital's folder.
        by: who deletes.
        days: after a run's end; the site file's when None.

    Raises:
        PolicyRefused: nobody is named, or neither says after how many days.
        WorkspaceRefused, StoreBroken: the hospital cannot be opened, or not written to.
    """
    if not 0 < len(by.strip()) <= MAX_NAME:
        raise PolicyRefused(f"name who deletes, in at most {MAX_NAME} letters")
    with opened(home) as (site, hospital):
        return delete_old(hospital, _days(site) if days is None else days, by=by.strip())


def _days(site: SiteFile) -> int:
    if site.patients.retention_days is None:
        raise PolicyRefused(
            "the site file does not say how long: patients: {retention_days: 90}, or --days"
        )
    return site.patients.retention_days


def delete_old(hospital: SiteDatabase, days: int, *, by: str) -> Deleted:
    """Deletes what runs that ended so many days ago needed of patients, and signs what it was.

    Raises:
        StoreBroken: it cannot be written.
    """
    limit = read_time(hospital.now()) - timedelta(days=days)
    vectors, lists = _old_vectors(hospital, limit), _old_lists(hospital, limit)
    for context in vectors:
        hospital.drop_blob(context)
    found = {LISTS: len(lists), VECTORS: len(vectors), FOLDERS: remove_abandoned()}
    counts = {kind: count for kind, count in found.items() if count}
    if not counts:
        return Deleted(counts={}, at=None)

    def erase(session: Session, _number: int) -> None:
        hospital.erase(session, delete(CohortListRow).where(CohortListRow.cohort.in_(lists)))

    said = {"counts": counts, "cohorts": lists, "days": days, "by": by}
    entry = PatientEntries(hospital).append(EntryKind.DELETED, said, beside=erase)
    hospital.forget_erased()
    return Deleted(counts=counts, at=entry.at)


def _old_lists(hospital: SiteDatabase, limit: datetime) -> list[int]:
    """Returns the cohorts from which no run draws, or did since, and that are as old."""
    cohorts, runs = FrozenCohorts(hospital), JoinedRuns(hospital)
    draws: dict[int, list[str]] = {}
    for run_id, number in cohorts.runs().items():
        draws.setdefault(number, []).append(run_id)
    with hospital.reading() as connection:
        kept = set(connection.execute(select(CohortListRow.cohort)).scalars())
    old = []
    for cohort in cohorts.all():
        found = [runs.of(run_id) for run_id in draws.get(cohort.number, [])]
        ends = [run.changed_at for run in found if run is not None]
        is_open = any(run is not None and run.state is RunState.JOINED for run in found)
        last = max([cohort.frozen_at, *ends])
        if cohort.number in kept and not is_open and read_time(last) <= limit:
            old.append(cohort.number)
    return old


def _old_vectors(hospital: SiteDatabase, limit: datetime) -> list[str]:
    """Returns the contexts of masked vectors that no open run can ask for again."""
    runs = {run.run_id: run for run in JoinedRuns(hospital).all()}
    with hospital.transaction() as chain:
        sent = {e.context: e.run for e in chain.entries() if e.state is State.SENT}
    with hospital.reading() as connection:
        rows = connection.execute(select(BlobRow.context, BlobRow.created_at)).all()
    return [
        context
        for context, created in rows
        if read_time(created) <= limit
        and ((run := runs.get(sent.get(context, ""))) is None or run.state is not RunState.JOINED)
    ]
