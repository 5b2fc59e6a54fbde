"""Views of runs: one, all that ask the same, calendars, and comparisons beside them."""

from sqlalchemy.orm import Session

from compliance.facts.comparison.baselines import BaselineFindings
from compliance.facts.comparison.strategies import ComparisonFindings
from compliance.facts.dossier import Dossier, SubjectFacts
from compliance.facts.drift_calendar import DriftCalendar
from compliance.facts.privacy_utility import UtilityPoint, Withheld
from compliance.reports.declarations import Declarations, declarations_of
from coordinator.database.store import RunRow
from coordinator.views.one_run.dossiers import dossier_of
from coordinator.views.one_run.rows import find_run, study_digest, study_of
from coordinator.views.one_run.run_summary import RunSummary
from coordinator.views.one_run.simulated import Reference, references
from coordinator.views.opened.database import OpenDatabase
from coordinator.views.several_runs.calendars import (
    calendar_of,
    calendar_until,
    calendars_in,
    releases_made,
)
from coordinator.views.several_runs.comparisons import baselines_in, strategies_in
from coordinator.views.several_runs.privacy_utility import utility_points, withheld_figures
from coordinator.views.subjects import subject_facts
from protocol.errors import MessageRefused, StoreBroken
from protocol.study.study import Study
from protocol.study.variants import question


class RunViews(OpenDatabase):
    """The views of runs, their studies and what lies beside them."""

    def runs(self) -> tuple[RunSummary, ...]:
        """Returns every run, newest first."""
        with self._store.read() as session:
            return self._lines.read(session, self._state_now(), self._progress)

    def newest_finished(self) -> RunSummary | None:
        """Returns the newest run that has finished, if any."""
        return next((run for run in self.runs() if run.state == "finished"), None)

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

    def references(self) -> tuple[Reference, ...]:
        """Returns every pooled reference, in the order of the sweep."""
        with self._store.read() as session:
            return references(session)

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

    def study_digest(self, beginning: str) -> str:
        """Returns the digest of the one registered study whose name or digest begins so.

        Raises:
            PolicyRefused: none does, or several.
        """
        with self._store.read() as session:
            return study_digest(session, beginning)

    def _alike(self, run_id: str) -> tuple[str, list[RunSummary]]:
        """Returns what a run asks, and every finished run that asks the same."""
        with self._store.read() as session:
            asked = question(study_of(session, find_run(session, run_id)))
        return asked, [
            run for run in self.runs() if run.question == asked and run.state == "finished"
        ]

    def _dossier(self, session: Session, row: RunRow) -> Dossier:
        return dossier_of(session, row, self._state(row), calendar_until(session, row))
