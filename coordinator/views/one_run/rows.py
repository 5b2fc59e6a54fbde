"""Finds the rows of runs, studies and rounds that people name."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.database.store import ReferenceRow, RoundRow, RunRow, StudyRow, stored_study
from coordinator.rounds.run_course import released_at_end
from protocol.errors import PolicyRefused, WorkspaceRefused
from protocol.study.study import Study
from protocol.transport.privacy_summary import Summary, read_summaries, read_summary


def runs_of(session: Session, digest: str) -> Sequence[RunRow]:
    """Returns every run of a study, oldest first."""
    query = select(RunRow).filter_by(study_digest=digest).order_by(RunRow.started_at)
    return session.scalars(query).all()


def find_run(session: Session, run_id: str) -> RunRow:
    """Returns the one run whose id begins so.

    Raises:
        WorkspaceRefused: there is no such run, or several begin so.
    """
    rows = session.scalars(
        select(RunRow).where(RunRow.id.startswith(run_id, autoescape=True))
    ).all()
    whole = [row for row in rows if row.id == run_id]
    if len(whole or rows) == 1:
        return (whole or list(rows))[0]
    if not rows:
        raise WorkspaceRefused(f"there is no run {run_id!r} here: collegium runs list shows them")
    raise WorkspaceRefused(f"{len(rows)} runs begin with {run_id!r}: give more of the name")


def newest_run(session: Session) -> RunRow:
    """Returns the run that began last.

    Raises:
        WorkspaceRefused: there is none.
    """
    row = session.scalars(select(RunRow).order_by(RunRow.started_at.desc()).limit(1)).first()
    if row is None:
        raise WorkspaceRefused("there is no run in this folder")
    return row


def rounds_of(session: Session, run_id: str) -> Sequence[RoundRow]:
    """Returns every attempt of a run's rounds, in order."""
    query = select(RoundRow).filter_by(run_id=run_id).order_by(RoundRow.id)
    return session.scalars(query).all()


def study_of(session: Session, row: RunRow | ReferenceRow) -> Study:
    """Returns the study of a run or reference.

    Raises:
        StoreBroken: what is stored of it is no study.
    """
    return stored_study(session, row.study_digest)


def study_digest(session: Session, beginning: str) -> str:
    """Returns the digest of the one registered study whose name or digest begins so.

    Raises:
        PolicyRefused: none does, or several.
    """
    rows = session.execute(select(StudyRow.digest, StudyRow.name)).all()
    found = [digest for digest, name in rows if digest.startswith(beginning) or name == beginning]
    if len(found) != 1:
        known = ", ".join(f"{name} {digest[:8]}" for digest, name in rows) or "none"
        raise PolicyRefused(
            f"{beginning!r} names {len(found)} registered studies; there are: {known}; collegium "
            "study register adds one"
        )
    return str(found[0])


def released_figures(session: Session, run_id: str, study: Study) -> dict[str, Any] | None:
    """Returns the released figures of the model that a run ends with; None before there are any."""
    payload = released_at_end(session, run_id, study)
    found: dict[str, Any] | None = json.loads(payload) if payload else None
    return found


def summaries_of(row: RunRow) -> dict[str, Summary]:
    """Returns what each hospital signed about its part; the signatures are checked elsewhere."""
    return summaries_in(row.sites_json)


def summaries_in(text: str) -> dict[str, Summary]:
    """Returns the same, read from the text that a run's row keeps of it."""
    return {site: read_summary(signed.data) for site, signed in read_summaries(text).items()}
