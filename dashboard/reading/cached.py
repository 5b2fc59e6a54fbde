"""Views that are computed once for all viewers, for as long as the store stays the same.

Rules:

1. A result is of one version of the store (``ViewsVersion``): the log's size and head, whether a
   run is at work, the files beside. With another version it is computed anew; nobody is shown an
   older one.
2. What also depends on the time has a short life besides: a run's progress, whose role has expired.
3. Whoever asks for what is being computed waits for it: twenty viewers make one query.
4. An error is told to all who wait for it, and kept for nobody.
5. What is kept is bounded: of each kind so many results, the one used longest ago goes first.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

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
from coordinator.views.views import Views, open_views
from dashboard.reading.verifying import (
    BackgroundVerification,
    VerificationState,
)
from protocol.errors import StoreBroken

Result = TypeVar("Result")

#: Seconds for which the store's version is believed; the same look serves a page's queries.
_VERSION_SECONDS = 0.2
#: Seconds for which a view is shown that also depends on the time.
LIVE_SECONDS = 1.5
_MINUTE = 60.0
#: A log of so many entries is verified for a page: it takes a fifth of a second.
_AT_ONCE = 5000
#: So many results of each kind are kept; a dossier of 100 rounds takes two megabytes.
_MOST = {"dossier": 24, "subject": 4}
_MOST_OTHERS = 64


@dataclass
class _Kept:
    """A result, or its computation: of which version, until when it may be shown."""

    version: Hashable
    until: float
    future: Future[Any] = field(default_factory=Future)


class SharedResults:
    """Results that threads share; see the rules above.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._kept: dict[str, OrderedDict[Hashable, _Kept]] = {}

    def get(
        self,
        kind: str,
        key: Hashable,
        version: Hashable,
        make: Callable[[], Result],
        life: float = float("inf"),
    ) -> Result:
        """Returns a result that is kept, or that another thread is making, or makes it.

        Args:
            kind: of result; of each kind so many are kept.
            key: which one.
            version: what it is of: one of another version is made anew.
            make: makes it.
            life: for so many seconds it is shown.

        Raises:
            FederationError: what ``make`` raises; the next call tries again.
        """
        with self._lock:
            of_kind = self._kept.setdefault(kind, OrderedDict())
            kept = of_kind.get(key)
            if kept is None or kept.version != version or kept.until <= self._clock():
                kept, makes = _Kept(version=version, until=float("inf")), True
                of_kind[key] = kept
                while len(of_kind) > _MOST.get(kind, _MOST_OTHERS):
                    of_kind.popitem(last=False)
            else:
                makes = False
            of_kind.move_to_end(key)
        if makes:
            self._make(kind, key, kept, make, life)
        result: Result = kept.future.result()
        return result

    def _make(
        self, kind: str, key: Hashable, kept: _Kept, make: Callable[[], Result], life: float
    ) -> None:
        try:
            result = make()
        except BaseException as error:  # noqa: BLE001  # told to all who wait
            with self._lock:
                if self._kept[kind].get(key) is kept:
                    del self._kept[kind][key]
            kept.future.set_exception(error)
        else:
            kept.until = self._clock() + life
            kept.future.set_result(result)

    def __len__(self) -> int:
        return sum(len(of_kind) for of_kind in self._kept.values())


class CachedViews:
    """The views of one folder for all threads and viewers of a process.

    Args:
        open_store: opens the views; called anew after the store could not be read.
        background: verifies the folder beside the pages; None where nothing does.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        open_store: Callable[[], Views],
        background: BackgroundVerification | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._background = background
        self._open, self._clock = open_store, clock
        self._results, self._lock = SharedResults(clock), threading.Lock()
        self._views: Views | None = None

    def close(self) -> None:
        """Lets go of the database."""
        with self._lock:
            views, self._views = self._views, None
        if views is not None:
            views.close()

    def version(self) -> ViewsVersion:
        """Returns the version of the store, not older than a fifth of a second."""
        return self._results.get(
            "version", None, None, lambda: self._ask(Views.version), _VERSION_SECONDS
        )

    def runs(self) -> Sequence[RunSummary]:
        """Returns every run, newest first; progress is at most ``LIVE_SECONDS`` old."""
        life = LIVE_SECONDS if self.version().at_work else float("inf")
        return self._shared("runs", None, Views.runs, life)

    def dossier(self, run_id: str) -> Dossier:
        """Returns everything about one run."""
        return self._shared("dossier", run_id, lambda views: views.dossier(run_id))

    def subject(self, scope: str, name: str, until: int | None = None) -> SubjectFacts:
        """Returns the facts for a report."""
        return self._shared(
            "subject", (scope, name, until), lambda views: views.subject(scope, name, until)
        )

    def utility(self, run_id: str) -> Sequence[UtilityPoint]:
        """Returns every finished run and reference that asks what this run asks."""
        return self._shared("utility", run_id, lambda views: views.utility(run_id))

    def withheld(self, run_id: str) -> Sequence[Withheld]:
        """Returns those of them that released no figure, and why."""
        return self._shared("withheld", run_id, lambda views: views.withheld(run_id))

    def calendars(self) -> Sequence[DriftCalendar]:
        """Returns the calendar of every monitoring study."""
        return self._shared("calendars", None, Views.calendars)

    def models(self) -> tuple[ModelLineView, ...]:
        """Returns the lines of the register of models, by name."""
        return self._shared("models", None, Views.models)

    def snapshots(self) -> tuple[ModelVersion, ...]:
        """Returns every signed snapshot, the newest first."""
        return self._shared("snapshots", None, Views.snapshots)

    def baselines(self) -> BaselineFindings | None:
        """Returns the comparison with baselines beside the runs."""
        return self._shared("baselines", None, Views.baselines)

    def strategies(self) -> ComparisonFindings | None:
        """Returns the comparison of strategies beside the runs."""
        return self._shared("strategies", None, Views.strategies)

    def declarations(self) -> tuple[Declarations | None, str]:
        """Returns what the consortium declares beside its runs."""
        return self._shared("declarations", None, Views.declarations)

    def alerts(self, run_id: str | None = None, *, closed: bool = False) -> Sequence[Alert]:
        """Returns the open alerts, of one run only where it is named; with ``closed`` all."""
        return self._shared(
            "alerts", (run_id, closed), lambda views: views.alerts(run_id, closed=closed)
        )

    def governance(self, *, decided: bool = False) -> GovernanceView:
        """Returns people, changes, incidents and holds as of now, or of this minute."""
        return self._shared(
            "governance", decided, lambda views: views.governance(decided=decided), _MINUTE
        )

    def acts(self, **about: Any) -> Sequence[RecordedAct]:
        """Returns what people did; see ``Views.acts``."""
        key = tuple(sorted(about.items()))
        return self._shared("acts", key, lambda views: views.acts(**about))

    def search_log(self, query: LogQuery, before: int | None = None, limit: int = 50) -> LogPage:
        """Returns the newest entries that a search finds; see ``Views.search_log``."""
        return self._shared(
            "log", (query, before, limit), lambda views: views.search_log(query, before, limit)
        )

    def is_governed(self) -> bool:
        """Whether people are registered: from then on what is done needs a person."""
        return self._shared("governed", None, Views.is_governed)

    def log_size(self) -> int:
        """Returns how many entries the log has."""
        return self.version().size

    def sites(self) -> Sequence[SiteView]:
        """Returns every hospital that was ever invited or took part, as of this minute."""
        return self._shared("sites", None, Views.sites, _MINUTE)

    def rosters(self) -> Sequence[RosterStanding]:
        """Returns the newest signed roster, and the one that waits for signatures."""
        return self._shared("rosters", None, Views.rosters, _MINUTE)

    def approvals(self) -> Sequence[RunApprovals]:
        """Returns who approved the studies of the newest runs."""
        return self._shared("approvals", None, Views.approvals)

    def notes(self, run_id: str | None = None) -> Sequence[RunNote]:
        """Returns what people noted about runs."""
        return self._shared("notes", run_id, lambda views: views.notes(run_id))

    def cosigned_log(self) -> CosignedLog:
        """Returns who has cosigned the log, and how far."""
        return self._shared("cosigned_log", None, Views.cosigned_log)

    def proof(self, index: int) -> MadeProof:
        """Returns the proof that an entry stands in the log."""
        return self._shared("proof", index, lambda views: views.proof(index))

    def verification(self) -> LogVerification:
        """Returns the result of comparing all records with the log, which takes long: on demand."""
        return self._shared("verification", None, Views.verification)

    def verified(self) -> KeptVerification | None:
        """Returns what the newest verification found; a short log is verified for it, no long one.

        One that somebody asked for comes first. None where a long log was not verified since the
        dashboard started, or is another now as far as it was.
        """
        now, kept = self.version(), self.verification_state().kept
        if kept is not None and not self._is_of_this_log(kept, now):
            kept = None
        if now.size > _AT_ONCE or (kept is not None and kept.size == now.size):
            return kept
        return KeptVerification(size=now.size, root=now.root, result=self.verification())

    def _is_of_this_log(self, kept: KeptVerification, now: ViewsVersion) -> bool:
        if kept.size < now.size:
            size = kept.size
            return kept.root == self._shared("root", size, lambda views: views.root_at(size))
        return (kept.size, kept.root) == (now.size, now.root)

    def verify(self) -> None:
        """Begins a verification of the whole folder beside the pages, unless one is under way."""
        if self._background is not None:
            self._background.start()

    def verification_state(self) -> VerificationState:
        """Returns how far that is, and what the newest one found."""
        return VerificationState() if self._background is None else self._background.state

    def _shared(
        self,
        kind: str,
        key: Hashable,
        ask: Callable[[Views], Result],
        life: float = float("inf"),
    ) -> Result:
        return self._results.get(kind, key, self.version(), lambda: self._ask(ask), life)

    def _ask(self, ask: Callable[[Views], Result]) -> Result:
        """Asks the store; one that cannot be read is opened anew by the next call."""
        with self._lock:
            if self._views is None:
                self._views = self._open()
            views = self._views
        try:
            return ask(views)
        except StoreBroken:
            with self._lock:
                if self._views is views:
                    self._views = None
            with suppress(StoreBroken):
                views.close()
            raise


@lru_cache(maxsize=16)
def cached_views(folder: Path) -> CachedViews:
    """Returns the views of a folder, one for a process; opened when they are used."""
    background = BackgroundVerification(folder)
    return CachedViews(lambda: open_views(folder, checked=False, patient=False), background)
