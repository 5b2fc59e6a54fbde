"""The interface through which the dashboard reads a store: all that it asks of the coordinator."""

from collections.abc import Sequence
from typing import Protocol

from compliance.facts.comparison.baselines import BaselineFindings
from compliance.facts.comparison.strategies import ComparisonFindings
from compliance.facts.dossier import Dossier, SubjectFacts
from compliance.facts.drift_calendar import DriftCalendar
from compliance.facts.privacy_utility import UtilityPoint, Withheld
from compliance.reports.declarations import Declarations
from coordinator.database.log.entry_proofs import MadeProof
from coordinator.views.alerts import Alert
from coordinator.views.governance import GovernanceView, RecordedAct
from coordinator.views.log.cosigners import CosignedLog
from coordinator.views.log.search import LogPage, LogQuery
from coordinator.views.members.approvals import RosterStanding, RunApprovals
from coordinator.views.members.sites import SiteView
from coordinator.views.one_run.run_summary import RunSummary
from coordinator.views.opened.version import KeptVerification
from coordinator.views.run_notes import RunNote
from coordinator.views.several_runs.models import ModelLineView, ModelVersion
from dashboard.reading.verifying import VerificationState


class DashboardViews(Protocol):
    """The queries of the pages to the consortium's store."""

    def runs(self) -> Sequence[RunSummary]:
        """Returns every run."""

    def dossier(self, run_id: str) -> Dossier:
        """Returns everything about one run."""

    def subject(self, scope: str, name: str) -> SubjectFacts:
        """Returns the facts for a report, see ``coordinator.views.subjects``."""

    def utility(self, run_id: str) -> Sequence[UtilityPoint]:
        """Returns every finished run and reference that asks what this run asks."""

    def withheld(self, run_id: str) -> Sequence[Withheld]:
        """Returns those of them that released no figure, and why."""

    def verify(self) -> None:
        """Begins a verification of the whole folder beside the pages, unless one is under way."""

    def verification_state(self) -> VerificationState:
        """Returns how far that is, and what the newest one found."""

    def verified(self) -> KeptVerification | None:
        """Returns what the newest verification found, and of how many entries; None before any."""

    def calendars(self) -> Sequence[DriftCalendar]:
        """Returns the calendar of every monitoring study, the one that ran last first."""

    def models(self) -> tuple[ModelLineView, ...]:
        """Returns the lines of the register of models, by name."""

    def snapshots(self) -> tuple[ModelVersion, ...]:
        """Returns every signed snapshot, the newest first."""

    def baselines(self) -> BaselineFindings | None:
        """Returns the comparison with baselines that lies beside the runs, if there is one."""

    def strategies(self) -> ComparisonFindings | None:
        """Returns the comparison of strategies that lies beside the runs, if there is one."""

    def alerts(self, run_id: str | None = None, *, closed: bool = False) -> Sequence[Alert]:
        """Returns the open alerts, of one run only where it is named; with ``closed`` all."""

    def declarations(self) -> tuple[Declarations | None, str]:
        """Returns what the consortium declares beside its runs, and the digest of the file."""

    def governance(self, *, decided: bool = False) -> GovernanceView:
        """Returns people, waiting changes and incidents, as of now.

        With ``decided`` also changes that were confirmed or withdrawn, or have lapsed.
        """

    def acts(
        self,
        *,
        run: str | None = None,
        study: str | None = None,
        person: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> Sequence[RecordedAct]:
        """Returns what people did, in order; of a run, its study (by digest), a person, a time."""

    def is_governed(self) -> bool:
        """Whether people are registered: from then on what is done needs a person."""

    def log_size(self) -> int:
        """Returns how many entries the log has."""

    def search_log(self, query: LogQuery, before: int | None = None, limit: int = 50) -> LogPage:
        """Returns the newest entries that a search finds, before this number."""

    def sites(self) -> Sequence[SiteView]:
        """Returns every hospital that was ever invited or took part."""

    def rosters(self) -> Sequence[RosterStanding]:
        """Returns the newest signed roster, and the one that waits for signatures."""

    def approvals(self) -> Sequence[RunApprovals]:
        """Returns who approved the studies of the newest runs."""

    def notes(self, run_id: str | None = None) -> Sequence[RunNote]:
        """Returns what people noted about runs, in order; about one run where it is named."""

    def cosigned_log(self) -> CosignedLog:
        """Returns who has cosigned the log, how far, and how far a quorum has."""

    def proof(self, index: int) -> MadeProof:
        """Returns the proof that an entry stands in the log."""
