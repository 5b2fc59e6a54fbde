"""Answers to questions about one consortium, for as long as its database is open."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from compliance.facts.comparison.baselines import BaselineFindings
from compliance.facts.comparison.strategies import ComparisonFindings
from compliance.facts.dossier import Dossier, LogVerification, SubjectFacts
from compliance.facts.drift_calendar import DriftCalendar
from compliance.facts.privacy_utility import UtilityPoint, Withheld
from compliance.reports.declarations import Declarations, declarations_of
from compliance.storage.clock import utc_now
from coordinator.audit.faults import Faults
from coordinator.audit.verification import CheckWatch, check_records
from coordinator.database.log.entry_proofs import MadeProof, prove_entry
from coordinator.database.store import RunRow, Store, head_after, newest_head
from coordinator.database.workspace import Workspace
from coordinator.governance.people_register import is_governed
from coordinator.runs.monitoring.progress import RunProgress, read_progress
from coordinator.views.alerts import Alert, alerts_in
from coordinator.views.governance import (
    GovernanceView,
    RecordedAct,
    acts_in,
    governance_in,
)
from coordinator.views.log.act_places import ActPlaces
from coordinator.views.log.cosigners import CosignedLog, NewestCosigned, cosigned_log
from coordinator.views.log.search import LogPage, LogQuery, search_log
from coordinator.views.members.approvals import (
    RosterStanding,
    RunApprovals,
    approvals_in,
    rosters_in,
)
from coordinator.views.members.sites import SiteView, sites_in
from coordinator.views.one_run.dossiers import dossier_of
from coordinator.views.one_run.rows import find_run, study_digest, study_of
from coordinator.views.one_run.run_summary import RunLines, RunSummary
from coordinator.views.one_run.simulated import Reference, references
from coordinator.views.run_notes import RunNote, notes_in
from coordinator.views.several_runs.calendars import (
    calendar_of,
    calendar_until,
    calendars_in,
    releases_made,
)
from coordinator.views.several_runs.comparisons import baselines_in, files_beside, strategies_in
from coordinator.views.several_runs.privacy_utility import utility_points, withheld_figures
from coordinator.views.subjects import subject_facts
from protocol.errors import MessageRefused, StoreBroken, WorkspaceRefused
from protocol.identity.timestamps import write_time
from protocol.study.study import Study
from protocol.study.variants import question


@dataclass(frozen=True, kw_only=True)
class ViewsVersion:
    """The state of a store: while it is the same, every view shows the same but for the time.

    ``size`` and ``root`` are those of the log, in which every write of a row is an entry;
    ``at_work`` whether some process is running studies; ``beside`` the state of other files.
    """

    size: int
    root: str
    at_work: bool
    beside: tuple[tuple[int, int] | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class KeptVerification:
    """Result of a verification, how many entries the log had when it began, and its root then.

    ``root`` is empty where several logs were verified, or none had an entry.
    """

    size: int
    result: LogVerification
    root: str = ""


class Views:
    """The views of one database.

    Args:
        store: the consortium's database.
        public_key: reads the key that the log's heads are signed with.
        at_work: says whether some process is running studies in it now; a run that
            says "running" while nobody works was interrupted.
        progress: how far a run at work on a network is, by its id.
        folder: where comparisons lie beside the runs, if there are any.
    """

    def __init__(
        self,
        store: Store,
        *,
        public_key: Callable[[], bytes],
        at_work: Callable[[], bool] = lambda: False,
        progress: Callable[[str], RunProgress | None] = lambda run_id: None,
        folder: Path | None = None,
    ) -> None:
        self._store, self._progress, self._folder = store, progress, folder
        self._public_key = public_key
        self._at_work = at_work
        self._lines, self._cosigned = RunLines(), NewestCosigned()
        self._places = ActPlaces()

    def close(self) -> None:
        """Lets go of the database."""
        self._store.close()

    def runs(self) -> tuple[RunSummary, ...]:
        """Returns every run, newest first."""
        with self._store.read() as session:
            return self._lines.read(session, self._state_now(), self._progress)

    def dossier(self, run_id: str) -> Dossier:
        """Returns everything about one run; a unique beginning of its id is enough.

        Raises:
            WorkspaceRefused: there is no such run, or several begin so.
            StoreBroken: what is stored about it cannot be read.
        """
        with self._store.read() as session:
            row = find_run(session, run_id)
            try:
                return self._dossier(session, row)
            except (ValueError, KeyError, TypeError, MessageRefused) as error:
                raise StoreBroken(
                    f"run {row.id} cannot be read: its record is damaged; restore a backup"
                ) from error

    def subject(self, scope: str, name: str, until: int | None = None) -> SubjectFacts:
        """Returns the facts for a report about a run, study, sweep, hospital or period.

        Args:
            scope: one of ``subjects.SCOPES``.
            name: of what; the beginning of a run's id is enough, a period is a year or month.
            until: only what was logged before this entry; see ``subject_facts``.

        Raises:
            WorkspaceRefused: there is nothing of this name.
            StoreBroken: what is stored about it cannot be read.
        """

        def dossier(row: RunRow) -> Dossier:
            return self._dossier(session, row)

        with self._store.read() as session:
            try:
                return subject_facts(session, scope, name, dossier, until)
            except (ValueError, KeyError, TypeError, MessageRefused) as error:
                raise StoreBroken(
                    f"{scope} {name} cannot be read: a record is damaged; restore a backup"
                ) from error

    def calendar(self, study: str | None = None) -> DriftCalendar:
        """Returns the calendar of a monitoring study: its releases, and what has drifted.

        Args:
            study: its name, or the beginning of its digest; None for the one that ran last.

        Raises:
            WorkspaceRefused: no such monitoring study has run here.
            StoreBroken: what is stored about it cannot be read.
        """
        with self._store.read() as session:
            return calendar_of(session, study)

    def calendars(self) -> tuple[DriftCalendar, ...]:
        """Returns the calendar of every monitoring study that ran here, the newest first.

        Raises:
            StoreBroken: what is stored about one cannot be read.
        """
        with self._store.read() as session:
            return calendars_in(session)

    def baselines(self) -> BaselineFindings | None:
        """Returns the comparison with baselines that lies beside the runs, if there is one.

        Raises:
            StoreBroken: its file is damaged, or no comparison at all.
        """
        return None if self._folder is None else baselines_in(self._folder)

    def strategies(self) -> ComparisonFindings | None:
        """Returns the comparison of strategies that lies beside the runs, if there is one.

        Raises:
            StoreBroken: its file is damaged, or no comparison at all.
        """
        return None if self._folder is None else strategies_in(self._folder)

    def declarations(self) -> tuple[Declarations | None, str]:
        """Returns what the consortium declares beside its runs, and the digest of the file.

        Raises:
            WorkspaceRefused: the file cannot be read, or says what no declaration does.
        """
        return (None, "") if self._folder is None else declarations_of(self._folder)

    def releases_made(self, study: Study) -> int:
        """Returns how many finished runs a study has here."""
        with self._store.read() as session:
            return releases_made(session, study)

    def utility(self, run_id: str) -> tuple[UtilityPoint, ...]:
        """Returns utility against epsilon over all that asks what this run asks.

        A point for every finished run, whatever its mode of privacy, and for
        every pooled reference.

        Raises:
            WorkspaceRefused: there is no such run, or several begin so.
        """
        asked, runs = self._alike(run_id)
        return utility_points(
            runs, [found for found in self.references() if found.question == asked]
        )

    def withheld(self, run_id: str) -> tuple[Withheld, ...]:
        """Returns the finished runs that ask what this run asks and released no figure."""
        _, runs = self._alike(run_id)
        return withheld_figures(runs)

    def _alike(self, run_id: str) -> tuple[str, list[RunSummary]]:
        """Returns what a run asks, and every finished run that asks the same."""
        with self._store.read() as session:
            asked = question(study_of(session, find_run(session, run_id)))
        return asked, [
            run for run in self.runs() if run.question == asked and run.state == "finished"
        ]

    def study_digest(self, beginning: str) -> str:
        """Returns the digest of the one registered study whose name or digest begins so.

        Raises:
            PolicyRefused: none does, or several.
        """
        with self._store.read() as session:
            return study_digest(session, beginning)

    def newest_finished(self) -> RunSummary | None:
        """Returns the newest run that has finished, if any."""
        return next((run for run in self.runs() if run.state == "finished"), None)

    def references(self) -> tuple[Reference, ...]:
        """Returns every pooled reference, in the order of the sweep."""
        with self._store.read() as session:
            return references(session)

    def alerts(self, run_id: str | None = None, *, closed: bool = False) -> tuple[Alert, ...]:
        """Returns the open alerts, the newest first.

        Args:
            run_id: only those about this run.
            closed: also those that are closed.
        """
        with self._store.read() as session:
            return alerts_in(session, run=run_id, closed=closed)

    def alert(self, number: int) -> Alert:
        """Returns one alert.

        Raises:
            WorkspaceRefused: there is none of this number.
        """
        with self._store.read() as session:
            found = alerts_in(session, number=number, closed=True)
        if not found:
            raise WorkspaceRefused(f"there is no alert {number} here: collegium alerts list --all")
        return found[0]

    def governance(self, *, decided: bool = False) -> GovernanceView:
        """Returns people, policy, changes, incidents, holds and the access review, as of now.

        Args:
            decided: also changes that were confirmed, withdrawn or have lapsed.

        Raises:
            StoreBroken: a record is damaged.
        """
        with self._store.read() as session:
            return governance_in(session, utc_now(), decided=decided)

    def acts(
        self,
        *,
        run: str | None = None,
        study: str | None = None,
        person: str | None = None,
        since: str | None = None,
        until: str | None = None,
        newest: int | None = None,
    ) -> tuple[RecordedAct, ...]:
        """Returns what people did, in order; see ``coordinator.views.governance.acts_in``.

        Raises:
            StoreBroken: a record is damaged.
        """
        with self._store.read() as session:
            return acts_in(
                session,
                run=run,
                study=study,
                person=person,
                since=since,
                until=until,
                newest=newest,
            )

    def notes(self, run_id: str | None = None) -> tuple[RunNote, ...]:
        """Returns what people noted about runs, and the tags they gave them, in order.

        Raises:
            StoreBroken: a record is damaged.
        """
        with self._store.read() as session:
            return notes_in(session, run_id)

    def version(self) -> ViewsVersion:
        """Returns what all that is shown depends on, beside the time: how long the log is.

        Raises:
            StoreBroken: the database cannot be read.
        """
        with self._store.read() as session:
            head = newest_head(session)
        beside = () if self._folder is None else files_beside(self._folder)
        return ViewsVersion(
            size=0 if head is None else head.size,
            root="" if head is None else head.root.hex(),
            at_work=self._at_work(),
            beside=beside,
        )

    def root_at(self, size: int) -> str | None:
        """Returns the root of the signed head of so many entries; None where there is none."""
        with self._store.read() as session:
            head = head_after(session, size - 1)
        return head.root.hex() if head is not None and head.size == size else None

    def cosigned_log(self) -> CosignedLog:
        """Returns who has cosigned the log, how far, and how far a quorum has.

        Raises:
            StoreBroken: what is stored about it was changed.
        """
        with self._store.read() as session:
            return cosigned_log(session, self._cosigned)

    def proof(self, index: int) -> MadeProof:
        """Returns the proof that an entry stands in the log; see ``prove_entry``.

        Raises:
            WorkspaceRefused: there is no such entry.
            StoreBroken: the log cannot be read.
        """
        with self._store.read() as session:
            return prove_entry(session, self._public_key(), index)

    def verification(
        self, public: bytes | None = None, watch: CheckWatch = lambda part, done, total: None
    ) -> LogVerification:
        """Checks the whole log, and all records against it; says under which key, and what faults.

        Args:
            public: the key that is trusted; the one in the folder when None.
            watch: is told which part is checked now, and how much of it is done.
        """
        faults = Faults()
        with faults.checking("the key"):
            public = public or self._public_key()
            with self._store.read() as session:
                check_records(session, public, faults, watch=watch)
        return LogVerification(
            key=(public or b"").hex(), faults=tuple(str(fault) for fault in faults.found)
        )

    def search_log(self, query: LogQuery, before: int | None = None, limit: int = 50) -> LogPage:
        """Returns the newest entries that a search finds; see ``search_log``.

        Raises:
            StoreBroken: an entry, or the record of an act, was changed.
        """
        with self._store.read() as session:
            return search_log(session, query, before, limit, self._places)

    def is_governed(self) -> bool:
        """Whether people are registered: from then on what is done needs a person."""
        with self._store.read() as session:
            return is_governed(session)

    def log_size(self) -> int:
        """Returns how many entries the log has."""
        with self._store.read() as session:
            head = newest_head(session)
        return 0 if head is None else head.size

    def sites(self) -> tuple[SiteView, ...]:
        """Returns every hospital that was ever invited or took part.

        Raises:
            StoreBroken: a record is damaged.
        """
        with self._store.read() as session:
            return sites_in(session, write_time(utc_now()))

    def rosters(self) -> tuple[RosterStanding, ...]:
        """Returns the newest signed roster, and the one that waits for signatures."""
        with self._store.read() as session:
            return rosters_in(session)

    def approvals(self) -> tuple[RunApprovals, ...]:
        """Returns who approved the studies of the newest runs."""
        with self._store.read() as session:
            return approvals_in(session, self._state)

    def verified(self) -> KeptVerification:
        """Returns what a verification of the whole folder finds now, with the log's size."""
        version = self.version()
        return KeptVerification(size=version.size, root=version.root, result=self.verification())

    def _dossier(self, session: Session, row: RunRow) -> Dossier:
        return dossier_of(session, row, self._state(row), calendar_until(session, row))

    def _state(self, row: RunRow) -> str:
        return self._state_now()(row.state)

    def _state_now(self) -> Callable[[str], str]:
        """Returns what shows a stored state as it is now."""
        works = self._at_work()
        return lambda stored: "interrupted" if stored == "running" and not works else stored


def open_views(out: Path, *, checked: bool = True) -> Views:
    """Returns the views of an output folder.

    Args:
        out: the folder.
        checked: read the database once through; a page that opens it for a day does without.

    Raises:
        WorkspaceRefused: there is no run in it.
        StoreBroken: its database is damaged.
    """
    workspace = Workspace.open(out)
    store = Store.for_reading(workspace.database, checked=checked)
    return Views(
        store,
        public_key=workspace.public_key,
        at_work=lambda: workspace.is_at_work,
        progress=lambda run_id: read_progress(workspace.states, run_id),
        folder=workspace.root,
    )
