"""Figures that are looked up when Prometheus asks: database, disk, log, alerts, runs at work.

A database that is away is itself a figure (``collegium_database_up`` 0); what stands in it is then
left out, so that a rule can tell an unknown number from 0.
"""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from coordinator.database.alert_tables import AlertMessageRow, AlertRow
from coordinator.database.log.cosignatures import COSIGNED, CosignaturesRow
from coordinator.database.store import (
    LogEntryRow,
    RunRow,
    Store,
    StudyRow,
    logged_entry,
    newest_head,
)
from coordinator.membership.transactions import newest_roster
from protocol.errors import FederationError
from protocol.identity.roster import Roster
from protocol.identity.timestamps import read_time
from protocol.log.cosignature import site_cosigner
from protocol.study.study import Study

#: Seconds for which what a scrape has read is shown to the next ones.
KEPT_SECONDS = 5.0
#: The states that a run at work can be in.
RUN_STATES = ("joining", "running", "waiting", "paused")
#: So many of the newest cosigned heads are looked at for one that a quorum has cosigned.
_HEADS = 50
#: So many entries behind that head are looked at for one that is no cosignature.
_ENTRIES = 200
_NAMES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "collegium_database_up": ("1 while the coordinator's database can be read, else 0", ()),
    "collegium_folder_free_bytes": ("Bytes that are free on the disk of the folder", ()),
    "collegium_folder_disk_bytes": ("Bytes that the disk of the folder has", ()),
    "collegium_runs": ("Runs at work, by state", ("state",)),
    "collegium_run_idle_seconds": (
        "Longest time that a run in this state has made no progress; 0 where none is in it",
        ("state",),
    ),
    "collegium_site_heard_timestamp_seconds": (
        "When a member was last heard from, in seconds since 1970; the service's start before that",
        ("site",),
    ),
    "collegium_log_entries": ("Entries of the audit log", ()),
    "collegium_log_cosigned_entries": (
        "Entries of the newest head that a quorum of the newest run's hospitals has cosigned",
        (),
    ),
    "collegium_log_uncosigned_seconds": (
        "Age of the oldest entry that no such head covers, cosignatures apart; 0 where all are",
        (),
    ),
    "collegium_alerts_open": ("Alerts that are open, by severity", ("severity",)),
    "collegium_alert_messages": (
        "Messages about alerts that have not arrived: waiting (tried again), failed (given up)",
        ("state",),
    ),
}


@dataclass(frozen=True, kw_only=True)
class RunStanding:
    """A run at work: its state, and the seconds since it began or a round was finished."""

    state: str
    idle_seconds: float


class StateMetrics(Collector):
    """Reads the figures, for ``CollectorRegistry.register``.

    Args:
        store: the consortium's database.
        folder: the coordinator's folder.
        runs: returns the runs at work.
        heard: returns when each hospital was last heard from, in seconds since 1970.
        began: when the service began.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        *,
        runs: Callable[[], list[RunStanding]],
        heard: Callable[[], Mapping[str, float]],
        began: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._folder, self._runs = store, folder, runs
        self._heard, self._began, self._clock = heard, began, clock
        self._kept: tuple[float, list[GaugeMetricFamily]] = (-KEPT_SECONDS, [])

    def describe(self) -> list[GaugeMetricFamily]:
        """Returns the figures without values."""
        return list(_families().values())

    def collect(self) -> list[GaugeMetricFamily]:
        """Returns the figures as they are now, or were a moment ago."""
        now = time.monotonic()
        if now - self._kept[0] >= KEPT_SECONDS:
            self._kept = now, self._read()
        return self._kept[1]

    def _read(self) -> list[GaugeMetricFamily]:
        found = _families()
        for name, labels, value in self._values():
            found[name].add_metric(labels, value)
        return list(found.values())

    def _values(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        yield from self._disk()
        yield from self._at_work()
        try:
            with self._store.read() as session:
                stored = list(self._stored(session))
        except (FederationError, ValueError):
            yield "collegium_database_up", (), 0
            return
        yield "collegium_database_up", (), 1
        yield from stored

    def _disk(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        try:
            disk = shutil.disk_usage(self._folder)
        except OSError:
            return
        yield "collegium_folder_free_bytes", (), disk.free
        yield "collegium_folder_disk_bytes", (), disk.total

    def _at_work(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        runs = self._runs()
        for state in RUN_STATES:
            idle = [run.idle_seconds for run in runs if run.state == state]
            yield "collegium_runs", (state,), len(idle)
            yield "collegium_run_idle_seconds", (state,), max(idle, default=0.0)

    def _stored(self, session: Session) -> Iterator[tuple[str, tuple[str, ...], float]]:
        signed = newest_roster(session)
        roster = None if signed is None else signed.roster
        heard = self._heard()
        for site in () if roster is None else roster.sites:
            at = max(self._began, heard.get(site, 0.0))
            yield "collegium_site_heard_timestamp_seconds", (site,), at
        yield from self._log(session, roster)
        yield from _alerts(session)

    def _log(
        self, session: Session, roster: Roster | None
    ) -> Iterator[tuple[str, tuple[str, ...], float]]:
        head = newest_head(session)
        yield "collegium_log_entries", (), 0 if head is None else head.size
        study = None if roster is None else _newest_study(session)
        if roster is None or study is None:
            return
        size = _cosigned_size(session, roster, study)
        yield "collegium_log_cosigned_entries", (), size
        began = _oldest_behind(session, size)
        age = 0.0 if began is None else max(0.0, self._clock() - began)
        yield "collegium_log_uncosigned_seconds", (), age


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        name: GaugeMetricFamily(name, told, labels=labels)
        for name, (told, labels) in _NAMES.items()
    }


def _newest_study(session: Session) -> Study | None:
    """Returns the study of the newest run that is none of a simulation."""
    query = (
        select(StudyRow.document)
        .join(RunRow, RunRow.study_digest == StudyRow.digest)
        .where(RunRow.simulation.is_(False))
        .order_by(RunRow.started_at.desc(), RunRow.id.desc())
    )
    document = session.scalars(query.limit(1)).first()
    return None if document is None else Study.model_validate_json(document)


def _cosigned_size(session: Session, roster: Roster, study: Study) -> int:
    """Returns the size of the newest head that the study's threshold of hospitals has cosigned."""
    sites = [site for site in study.site_names if site in roster.sites]
    keys = {(key.name, key.key_id) for key in (site_cosigner(s, roster.key_of(s)) for s in sites)}
    query = select(CosignaturesRow).order_by(CosignaturesRow.size.desc()).limit(_HEADS)
    for row in session.scalars(query):
        signed = {(line.name, line.key_id) for line in row.signatures}
        if len(signed & keys) >= study.threshold:
            return row.size
    return 0


def _oldest_behind(session: Session, size: int) -> float | None:
    """Returns when the first entry behind a head was logged that is no cosignature."""
    query = select(LogEntryRow).where(LogEntryRow.idx >= size).order_by(LogEntryRow.idx)
    for row in session.scalars(query.limit(_ENTRIES)):
        content = logged_entry(row).content
        if content.type != COSIGNED:
            return read_time(content.time).timestamp()
    return None


def _alerts(session: Session) -> Iterator[tuple[str, tuple[str, ...], float]]:
    open_ones = Counter(
        session.scalars(select(AlertRow.severity).where(AlertRow.closed_at.is_(None)))
    )
    for severity in ("info", "warning", "critical"):
        yield "collegium_alerts_open", (severity,), open_ones[severity]
    row = AlertMessageRow
    for state in ("waiting", "failed"):
        query = select(func.count()).select_from(row).where(row.state == state)
        # Of those that wait only what was tried before: the rest has not had its turn.
        tried = query.where(row.attempts > 0)
        yield "collegium_alert_messages", (state,), session.scalar(tried) or 0
