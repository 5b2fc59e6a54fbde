"""Drift for alerts: what each calendar of releases says, computed anew only when one was made."""

import json
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.alerts.facts import DriftReading
from coordinator.database.store import RunRow, StudyRow
from coordinator.views.several_runs.calendars import calendar_of


class DriftReadings:
    """The readings of all monitoring studies that ran here; thresholds take a while to draw."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, tuple[DriftReading, ...]]] = {}

    def read(self, session: Session) -> tuple[DriftReading, ...]:
        """Returns every reading, release by release; the study that ran last stands last.

        Raises:
            StoreBroken: what is stored of a release cannot be read.
        """
        return tuple(one for digest in _monitored(session) for one in self._of(session, digest))

    def _of(self, session: Session, digest: str) -> Iterable[DriftReading]:
        done = {"study_digest": digest, "state": "finished"}
        releases = len(session.scalars(select(RunRow.id).filter_by(**done)).all())
        known = self._known.get(digest)
        if known is None or known[0] != releases:
            known = self._known[digest] = releases, tuple(_readings(session, digest))
        return known[1]


def _monitored(session: Session) -> Iterable[str]:
    rows = session.execute(select(StudyRow.digest, StudyRow.document))
    kinds = {digest: json.loads(document)["task"].get("kind") for digest, document in rows}
    begun = session.scalars(select(RunRow.study_digest).order_by(RunRow.started_at.desc()))
    last = dict.fromkeys(digest for digest in begun if kinds.get(digest) == "monitoring")
    return [*reversed(last)]


def _readings(session: Session, digest: str) -> Iterable[DriftReading]:
    calendar = calendar_of(session, digest)
    for release in calendar.series:
        for test in release.tests:
            if test.threshold is not None and not test.note:
                yield DriftReading(
                    study=calendar.study_name,
                    run_id=release.run_id,
                    watched=f"{test.column} ({test.statistic})",
                    release=release.number,
                    statistic=test.value,
                    threshold=test.threshold,
                    flagged=test.is_flagged,
                )
