"""A store in memory as the dashboard reads it: runs, their figures, calendars, comparisons."""

from collections.abc import Mapping, Sequence

from compliance.facts.comparison.baselines import BaselineFindings
from compliance.facts.comparison.strategies import ComparisonFindings
from compliance.facts.dossier import Dossier, LogVerification
from compliance.facts.drift_calendar import DriftCalendar
from compliance.facts.privacy_utility import UtilityPoint, Withheld
from coordinator.views.one_run.run_summary import RunSummary
from coordinator.views.opened.version import KeptVerification
from coordinator.views.several_runs.models import ModelLineView, ModelVersion


def line_of(dossier: Dossier, question: str = "q" * 64) -> RunSummary:
    """Returns the line about a run."""
    claims = [site.privacy.epsilon for site in dossier.sites]
    protected = bool(claims) and not dossier.test_noise
    headline = dossier.figures.headline
    return RunSummary(
        run_id=dossier.run_id, study_name=dossier.study_name, study_digest=dossier.study_digest,
        question=question, state=dossier.state, started_at=dossier.started_at, seed=dossier.seed,
        mode=dossier.sites[0].privacy.mode if dossier.sites else "per_site",
        epsilon=claims[0] if protected else None, test_noise=dossier.test_noise,
        simulation=dossier.simulation, figure=headline,
        released=dossier.released.get(headline.name), exact=dossier.exact.get(headline.name),
        model_digest=dossier.model_digest, sweep=dossier.sweep,
    )  # fmt: skip


class StoredRuns:
    """A store in memory.

    Args:
        known: its runs.
        questions: by run, what it asks; all ask the same where it is not said.
        points: of all finished runs.
        withheld: of those that released nothing.
        calendars: of monitoring studies.
        compared: the comparison with baselines beside the runs.
        strategies: the comparison of strategies beside the runs.
        faults: what verifying it tells.
    """

    def __init__(
        self,
        *known: Dossier,
        questions: Mapping[str, str] | None = None,
        points: Sequence[UtilityPoint] = (),
        withheld: Sequence[Withheld] = (),
        calendars: Sequence[DriftCalendar] = (),
        compared: BaselineFindings | None = None,
        strategies: ComparisonFindings | None = None,
        faults: tuple[str, ...] = (),
    ) -> None:
        self._known = {dossier.run_id: dossier for dossier in known}
        self._questions = questions or {}
        self._points, self._withheld = tuple(points), tuple(withheld)
        self._calendars, self._compared, self._strategies = calendars, compared, strategies
        self._faults = faults

    def runs(self) -> tuple[RunSummary, ...]:
        """Returns every run, newest first."""
        lines = [
            line_of(one, self._questions.get(name, "q" * 64)) for name, one in self._known.items()
        ]
        return tuple(sorted(lines, key=lambda line: line.started_at, reverse=True))

    def dossier(self, run_id: str) -> Dossier:
        """Returns everything about one run."""
        return self._known[run_id]

    def utility(self, run_id: str) -> tuple[UtilityPoint, ...]:
        """Returns the points of all runs."""
        return self._points

    def withheld(self, run_id: str) -> tuple[Withheld, ...]:
        """Returns the runs that released nothing."""
        return self._withheld

    def calendars(self) -> Sequence[DriftCalendar]:
        """Returns the calendars."""
        return self._calendars

    def models(self) -> tuple[ModelLineView, ...]:
        """Returns no model of the register."""
        return ()

    def snapshots(self) -> tuple[ModelVersion, ...]:
        """Returns no snapshot: what is in memory was signed by nobody."""
        return ()

    def baselines(self) -> BaselineFindings | None:
        """Returns the comparison with baselines."""
        return self._compared

    def strategies(self) -> ComparisonFindings | None:
        """Returns the comparison of strategies."""
        return self._strategies

    def verified(self) -> KeptVerification:
        """Returns what verifying it tells."""
        return KeptVerification(size=11, result=LogVerification(key="ab" * 32, faults=self._faults))
