"""Several folders of simulations in one view: their runs in one table, by their folders' names.

A run is named ``FOLDER/RUN`` here, for the same name may stand in two folders. What is of one log
alone (searching it, proofs, cosigners, people) is looked at with one folder open: that is said.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, TypeVar

from compliance.facts.comparison.baselines import BaselineFindings
from compliance.facts.comparison.strategies import ComparisonFindings
from compliance.facts.dossier import Dossier, LogVerification, SubjectFacts
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
from coordinator.views.opened.version import KeptVerification, ViewsVersion
from coordinator.views.run_notes import RunNote
from coordinator.views.several_runs.models import ModelLineView, ModelVersion
from dashboard.reading.cached import CachedViews, cached_views
from dashboard.reading.verifying import VerificationState
from protocol.encoding import digest
from protocol.errors import PolicyRefused, WorkspaceRefused

Found = TypeVar("Found")


class SeveralFolders:
    """The views of several folders, by the name of each.

    Args:
        folders: the views of each folder.

    Raises:
        PolicyRefused: people are registered in one of them: whose rights count is then decided
            there, so that folder is looked at alone.
    """

    def __init__(self, folders: Mapping[str, CachedViews]) -> None:
        self._folders = dict(folders)
        governed = [name for name, views in self._folders.items() if views.governance().governed]
        if governed:
            raise PolicyRefused(
                f"people are registered in {', '.join(governed)}: open that folder alone"
            )

    def version(self) -> ViewsVersion:
        """Returns the version of all folders together."""
        found = [views.version() for views in self._folders.values()]
        return ViewsVersion(
            size=sum(one.size for one in found),
            root=digest("".join(one.root for one in found).encode()),
            at_work=any(one.at_work for one in found),
            beside=tuple(stamp for one in found for stamp in one.beside),
        )

    def runs(self) -> Sequence[RunSummary]:
        """Returns every run of every folder, newest first."""
        runs = [
            replace(run, run_id=f"{name}/{run.run_id}", folder=name)
            for name, views in self._folders.items()
            for run in views.runs()
        ]
        return sorted(runs, key=lambda run: run.started_at, reverse=True)

    def dossier(self, run_id: str) -> Dossier:
        """Returns everything about one run, under its name here."""
        name, views, run = self._place(run_id)
        found = views.dossier(run)
        return replace(found, run_id=f"{name}/{found.run_id}")

    def subject(self, scope: str, name: str) -> SubjectFacts:
        """Returns the facts for a report about one run, under its name in its folder."""
        if scope != "run":
            self._refuse("a report about several runs")
        _, views, run = self._place(name)
        return views.subject(scope, run)

    def utility(self, run_id: str) -> Sequence[UtilityPoint]:
        """Returns the figures of every run in any folder that asks what this run asks."""
        return self._alike(run_id, CachedViews.utility)

    def withheld(self, run_id: str) -> Sequence[Withheld]:
        """Returns those of them that released no figure, and why."""
        return self._alike(run_id, CachedViews.withheld)

    def calendars(self) -> Sequence[DriftCalendar]:
        """Returns the calendars of every folder."""
        return [one for views in self._folders.values() for one in views.calendars()]

    def models(self) -> tuple[ModelLineView, ...]:
        """Returns nothing: a register is of one folder."""
        return ()

    def snapshots(self) -> tuple[ModelVersion, ...]:
        """Returns nothing: what hospitals signed is looked at with its folder alone."""
        return ()

    def baselines(self) -> BaselineFindings | None:
        """Returns the comparison with baselines of the first folder that has one."""
        return self._first(CachedViews.baselines)

    def strategies(self) -> ComparisonFindings | None:
        """Returns the comparison of strategies of the first folder that has one."""
        return self._first(CachedViews.strategies)

    def declarations(self) -> tuple[Declarations | None, str]:
        """Returns nothing: each folder has its own."""
        return None, ""

    def alerts(self, run_id: str | None = None, *, closed: bool = False) -> Sequence[Alert]:
        """Returns the alerts of every folder, or of one run."""
        if run_id is not None:
            name, views, run = self._place(run_id)
            return [_labelled(one, name) for one in views.alerts(run, closed=closed)]
        return [
            _labelled(one, name)
            for name, views in self._folders.items()
            for one in views.alerts(closed=closed)
        ]

    def notes(self, run_id: str | None = None) -> Sequence[RunNote]:
        """Returns nothing: notes are of folders with people."""
        return ()

    def governance(self, *, decided: bool = False) -> GovernanceView:
        """Returns that nobody is registered."""
        return next(iter(self._folders.values())).governance(decided=decided)

    def acts(self, **_about: str | None) -> Sequence[RecordedAct]:
        """Returns nothing: acts are of folders with people."""
        return ()

    def sites(self) -> Sequence[SiteView]:
        """Returns the hospitals of every folder; those of one name may be others."""
        return [one for views in self._folders.values() for one in views.sites()]

    def rosters(self) -> Sequence[RosterStanding]:
        """Returns the rosters of every folder."""
        return [one for views in self._folders.values() for one in views.rosters()]

    def approvals(self) -> Sequence[RunApprovals]:
        """Returns who approved the studies of the newest runs of every folder."""
        return [one for views in self._folders.values() for one in views.approvals()]

    def verification(self) -> LogVerification:
        """Returns the faults of every folder, each with the folder's name."""
        found = {name: views.verification() for name, views in self._folders.items()}
        return _together(found)

    def verified(self) -> KeptVerification | None:
        """Returns what the newest verifications found where each is of its folder's whole log."""
        found: dict[str, LogVerification] = {}
        sizes = []
        for name, views in self._folders.items():
            kept = views.verified()
            if kept is None or kept.size < views.version().size:
                return None
            found[name] = kept.result
            sizes.append(kept.size)
        return KeptVerification(size=sum(sizes), result=_together(found))

    def verify(self) -> None:
        """Begins a verification of every folder beside the pages."""
        for views in self._folders.values():
            views.verify()

    def verification_state(self) -> VerificationState:
        """Returns the state of the first verification that is under way; an idle one without."""
        states = [views.verification_state() for views in self._folders.values()]
        return next((one for one in states if one.running), VerificationState())

    def is_governed(self) -> bool:
        """False: a folder with people is looked at alone."""
        return False

    def log_size(self) -> int:
        """Returns how many entries all logs have together."""
        return self.version().size

    def search_log(self, query: LogQuery, before: int | None = None, limit: int = 50) -> LogPage:
        """Refuses: a log is searched with its folder alone."""
        self._refuse("the log")

    def cosigned_log(self) -> CosignedLog:
        """Refuses: cosigners are those of one log."""
        self._refuse("the cosigners of the log")

    def proof(self, index: int) -> MadeProof:
        """Refuses: an entry is one of one log."""
        self._refuse("a proof")

    def _refuse(self, what: str) -> NoReturn:
        raise WorkspaceRefused(
            f"several folders are open: {what} is looked at with one of them alone (--out FOLDER)"
        )

    def _place(self, run_id: str) -> tuple[str, CachedViews, str]:
        """Returns the folder of a run: its name, its views, and the run's name there."""
        name, _, run = run_id.partition("/")
        if name not in self._folders or not run:
            known = ", ".join(f"{one}/..." for one in self._folders)
            raise WorkspaceRefused(f"there is no run {run_id!r} here: they begin with {known}")
        return name, self._folders[name], run

    def _alike(
        self, run_id: str, ask: Callable[[CachedViews, str], Sequence[Found]]
    ) -> list[Found]:
        name, views, run = self._place(run_id)
        asked = next((one.question for one in views.runs() if one.run_id == run), None)
        found = list(ask(views, run))
        for other, elsewhere in self._folders.items():
            same = [one for one in elsewhere.runs() if one.question == asked]
            if other != name and same:
                found += ask(elsewhere, same[0].run_id)
        return found

    def _first(self, ask: Callable[[CachedViews], Found | None]) -> Found | None:
        found = (ask(views) for views in self._folders.values())
        return next((one for one in found if one is not None), None)


def _labelled(alert: Alert, folder: str) -> Alert:
    return alert if alert.run is None else replace(alert, run=f"{folder}/{alert.run}")


def _together(found: Mapping[str, LogVerification]) -> LogVerification:
    return LogVerification(
        key=", ".join(one.key for one in found.values()),
        faults=tuple(f"{name}: {fault}" for name, one in found.items() for fault in one.faults),
    )


def views_of(folders: Sequence[Path]) -> CachedViews | SeveralFolders:
    """Returns the views of one folder, or of several together.

    Raises:
        FederationError: one cannot be read, or has people and is not alone.
    """
    places = list(dict.fromkeys(folder.resolve() for folder in folders))
    if len(places) == 1:
        views = cached_views(places[0])
        views.version()
        return views
    return SeveralFolders(
        {name: cached_views(place) for name, place in zip(_names(places), places, strict=True)}
    )


def _names(places: Sequence[Path]) -> list[str]:
    """Returns a name for each folder: its own, with those above it where two have the same.

    >>> _names([Path("/a/one"), Path("/b/one")])
    ['a-one', 'b-one']
    """
    names = [place.name for place in places]
    if len(set(names)) == len(names):
        return names
    above = Path(os.path.commonpath(places))
    return ["-".join(place.relative_to(above).parts) or place.name for place in places]
