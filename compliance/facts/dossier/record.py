"""The record itself: a run, its hospitals and its log."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from compliance.estimates.binned_scores.calibration import CalibrationPoint
from compliance.estimates.binned_scores.calibration_line import Recalibration
from compliance.estimates.binned_scores.operating_points import OperatingPoint
from compliance.estimates.binned_scores.risk_figures import RiskFigures
from compliance.estimates.column_figures import ColumnFigures
from compliance.estimates.interval import Interval
from compliance.estimates.largest_gap import LargestGap, largest_gap
from compliance.estimates.outcomes.outcome_figures import OutcomeFigures
from compliance.facts.dossier.course_facts import CourseFacts, EvaluationFacts, course_facts
from compliance.facts.dossier.registration_facts import RegistrationFacts
from compliance.facts.dossier.round_facts import RobustFacts, RoundFacts
from compliance.facts.dossier.run_manifest import Reproduction, RunManifest, reproduction_of
from compliance.facts.drift_calendar import DriftCalendar
from compliance.facts.figures import COUNTING, TASK_FIGURES, FigureKind, TaskFigures
from compliance.facts.groups import GroupFacts, group_gaps
from compliance.facts.model_warnings import model_warnings
from compliance.facts.named_figures import NamedFigure, named_figures
from compliance.privacy.claims import correlated_noise, if_more_collude, while_few_collude
from compliance.privacy.rounding import rounded_up
from protocol.study.study import RobustRule
from protocol.transport.privacy_summary import Summary

#: How the reason begins why a finished run was marked failed afterwards.
CONTRADICTED = "Contradicted by the red team"


@dataclass(frozen=True, kw_only=True)
class SiteFacts:
    """One hospital in one run."""

    site: str
    declared_patients: int
    privacy: Summary  # what the hospital signed
    released: Mapping[str, Interval]  # by name; empty where nothing was released
    exact: Mapping[str, float | None]  # simulation only, else empty
    train_patients: int | None  # simulation only
    test_patients: int | None  # simulation only
    felt_multiplier: float | None = None  # of noise that training feels beside an adaptive clip
    by_global: Mapping[str, float | None] = field(default_factory=dict)  # see ``Dossier.by_global``

    def has_figure(self, figure: FigureKind) -> bool:
        """Whether anything is known of a figure here: a value, or why there is none."""
        return figure.name in self.released or self.exact.get(figure.name) is not None

    @property
    def has_second_opinion(self) -> bool:
        """True where the hospital compared its gradients and its price when it joined."""
        return bool(self.privacy.opacus)


@dataclass(frozen=True, kw_only=True)
class EntryFacts:
    """One line of the audit log; ``run`` and ``round`` (from 0) are None where it is of none."""

    index: int
    time: str
    type: str
    payload: str
    leaf_hash: str
    run: str | None = None
    round: int | None = None


@dataclass(frozen=True, kw_only=True)
class SnapshotFacts:
    """The signed snapshot of a run's final model: by whom of so many, of whom ``quorum`` must.

    ``digest`` is the snapshot's own; ``licence`` and ``permitted_use`` are the study's terms, empty
    where it has none.
    """

    digest: str
    signed_by: tuple[str, ...]
    hospitals: int
    quorum: int
    licence: str = ""
    permitted_use: str = ""

    @property
    def is_enough(self) -> bool:
        """Whether as many hospitals have signed as must."""
        return len(self.signed_by) >= self.quorum


@dataclass(frozen=True, kw_only=True)
class LogFacts:
    """The first signed head of the consortium's log that covers all entries of the run."""

    root: str
    size: int
    checkpoint: str
    entries: tuple[EntryFacts, ...]


@dataclass(frozen=True, kw_only=True)
class LogVerification:
    """The result of verifying the whole folder when a document was made: the log's key, faults."""

    key: str
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Dossier:
    """One run, whole."""

    run_id: str
    state: str  # running | interrupted | finished | stopped | failed | refused
    failure: str | None
    simulation: bool
    test_noise: bool
    started_at: str
    ended_at: str | None
    seconds: float | None
    seed: int
    sweep: str | None
    sweep_share: float | None  # of the budget for life, by all runs of the sweep, at most
    study_name: str
    study_title: str
    study_purpose: str
    study_digest: str
    study: dict[str, Any]  # the study document as registered
    threshold: int
    colluders: int
    rounds_planned: int
    rounds: tuple[RoundFacts, ...]
    sites: tuple[SiteFacts, ...]
    model_digest: str | None
    snapshot: str | None
    task: str  # its kind
    released: Mapping[str, Interval]  # by name; empty where nothing was released
    exact: Mapping[str, float | None]  # simulation only, else empty
    audit: LogFacts
    environment: dict[str, str]
    verification: LogVerification | None = None  # None: nothing was verified
    risks: RiskFigures | None = None
    operating_points: tuple[OperatingPoint, ...] = ()  # of a model with thresholds
    groups: tuple[GroupFacts, ...] = ()  # of a study that asks for groups of patients
    calibration: tuple[CalibrationPoint, ...] = ()  # of a model that gives risks
    has_own_models: bool = False  # whether each hospital has a model of its own
    by_global: Mapping[str, float | None] = field(default_factory=dict)  # exact, by the global one
    recalibration: Recalibration | None = None  # the line on which its risks would be right
    columns: tuple[ColumnFigures, ...] = ()  # of a statistics study
    outcomes: tuple[OutcomeFigures, ...] = ()  # of a task of several classes, findings or times
    drift: DriftCalendar | None = None  # of a monitoring study, as it stood with this run
    exact_columns: tuple[Mapping[str, Any], ...] = ()  # of these columns: simulation only
    unprotected_runs: tuple[str, ...] = ()  # of the same hospitals, begun before this one ended
    evaluations: tuple[EvaluationFacts, ...] = ()  # all that were released, in order
    manifest: RunManifest | None = None  # None where none was kept
    signed: SnapshotFacts | None = None  # of a run that ended with a model
    registration: RegistrationFacts | None = None  # of a preregistered study's run

    @property
    def reproduction(self) -> Reproduction:
        """The way in which the run is reproduced."""
        return reproduction_of(
            self.manifest, simulation=self.simulation, test_noise=self.test_noise
        )

    @cached_property
    def course(self) -> CourseFacts | None:
        """The run's interim evaluations, and what was taken back; None of a study without any."""
        return course_facts(self.study, self.figures.headline, self.evaluations)

    @property
    def has_adaptive_clip(self) -> bool:
        """Whether a training round was given a clip that moves."""
        return any(round_.clip is not None for round_ in self.rounds)

    @cached_property
    def robust(self) -> RobustFacts | None:
        """The robust rule, and how the groups lay to what it gave; None of a study without one."""
        named = self.study.get("robust")
        if named is None:
            return None
        rounds = tuple(one for one in self.rounds if one.norm is not None)
        rolls_back = self.study.get("evaluation", {}).get("roll_back") is not None
        return RobustFacts(
            rule=RobustRule.model_validate(named), rounds=rounds, rolls_back=rolls_back
        )

    @property
    def bands(self) -> int:
        """The number of steps over which the noise of training is correlated; 1 where it is not."""
        correlated = self.study.get("privacy", {}).get("correlated_noise") or {}
        return int(correlated.get("bands", 1))

    @property
    def has_model(self) -> bool:
        """False of a study that counts columns."""
        return self.task not in COUNTING

    @property
    def trains(self) -> bool:
        """False of a study without a round of training: counts, or a given model's evaluation."""
        return self.has_model and self.rounds_planned > 0

    @property
    def calendar(self) -> int | None:
        """The number of releases after the reference, of a monitoring study; None of others."""
        found: int | None = self.study.get("task", {}).get("releases")
        return found

    @property
    def figures(self) -> TaskFigures:
        """The figures of the study's task."""
        return TASK_FIGURES[self.task].with_asked(self.released)

    @property
    def site_kinds(self) -> tuple[FigureKind, ...]:
        """The figures that are released of each hospital; those of its bins of scores first."""
        own, released = self.figures.site, {name for site in self.sites for name in site.released}
        more = [kind for kind in self.figures.pooled if kind.name in released and kind not in own]
        return (*more, *own)

    @cached_property
    def group_gaps(self) -> Mapping[str, Mapping[str, LargestGap | None]]:
        """The largest gap between groups, by grouping and figure."""
        return group_gaps(self.groups, self.figures.group)

    @property
    def decision_threshold(self) -> float:
        """The risk above which a patient is called ill where decisions are counted."""
        return float(self.study.get("task", {}).get("threshold", 0.5))

    @property
    def named_figures(self) -> tuple[NamedFigure, ...]:
        """Every released figure, with whose it is."""
        sites = {site.site: site.released for site in self.sites}
        return named_figures(
            self.released, self.risks, sites, self.groups, self.operating_points, self.outcomes
        )

    @property
    def without_groups(self) -> tuple[str, ...]:
        """The hospitals that declined to count groups of their patients."""
        sites = self.study.get("sites", ()) if self.groups else ()
        return tuple(sorted(site["name"] for site in sites if site.get("groups") is False))

    @cached_property
    def largest_gaps(self) -> Mapping[str, LargestGap]:
        """The largest gap between hospitals, of each figure that two of them have."""
        if not self.has_model:
            return {}
        found = {
            kind.name: largest_gap(
                {s.site: s.released[kind.name] for s in self.sites if kind.name in s.released}
            )
            for kind in self.site_kinds
        }
        return {name: gap for name, gap in found.items() if gap is not None}

    @property
    def headline(self) -> Interval | None:
        """The released headline figure of the task."""
        return self.released.get(self.figures.headline.name)

    @property
    def bytes_per_round(self) -> tuple[int, int] | None:
        """The bytes of a finished training round, sent by a site and to one, in the mean."""
        rounds = [r for r in self.rounds if r.round_kind == "training" and r.model_digest]
        counted = [(r.bytes_up, r.bytes_down) for r in rounds if r.bytes_up and r.bytes_down]
        if not counted:
            return None
        up, down = (sum(each) for each in zip(*counted, strict=True))
        sites = len(self.sites) * len(counted)
        return round(up / sites), round(down / sites)

    @property
    def rounds_trained(self) -> int:
        """The number of finished training rounds."""
        return len([r for r in self.rounds if r.round_kind == "training" and r.model_digest])

    @property
    def shares_noise(self) -> bool:
        """True when the hospitals' noise protects their training patients only together."""
        return any(site.privacy.mode == "distributed" for site in self.sites)

    @property
    def contradicted(self) -> bool:
        """True when a red team showed that what the hospitals claimed does not hold."""
        return (self.failure or "").startswith(CONTRADICTED)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about a model that is no use or whose risks are wrong; see model_warnings."""
        kind = self.figures.judged
        exact, released = self.exact.get(kind.name), self.released.get(kind.name)
        return model_warnings(
            exact, released, self.risks, kind, self.decision_threshold,
            own_models=self.has_own_models,
        )  # fmt: skip

    @property
    def protected(self) -> bool:
        """True when a patient-level differential privacy claim is made at all."""
        return (
            bool(self.sites)
            and not self.test_noise
            and not self.contradicted
            and all(s.privacy.epsilon is not None for s in self.sites)
        )

    @property
    def claim(self) -> str:
        """The privacy claim in one plain sentence, for people who sign."""
        if self.test_noise:
            return "No privacy is claimed: this run used fixed test noise."
        if not self.sites:
            return "No privacy is claimed: no hospital has joined this run."
        if self.contradicted:
            return "No privacy is claimed: the red team contradicted what the hospitals had signed."
        if not self.protected:
            what = "trained" if self.trains else "counted"
            return f"No privacy is claimed: this run {what} without differential privacy."
        worst = max(
            max(s.privacy.epsilon or 0.0, s.privacy.evaluation_epsilon or 0.0) for s in self.sites
        )
        delta = max(s.privacy.delta or 0.0 for s in self.sites)
        return (
            f"Whatever anyone does with this run's outputs, {self._unit} changes the "
            f"probability of any conclusion by a factor of at most exp({_upwards(worst)}), "
            f"except with probability {_upwards(delta)}, at each hospital that treated "
            "the patient." + self._condition
        )

    @property
    def _unit(self) -> str:
        """The protected unit, in words; the weaker one where the hospitals' differ."""
        if any(s.privacy.unit == "record" for s in self.sites):
            return "the presence of one single record (not of a patient with several)"
        return "the presence of one patient's records"

    @property
    def _condition(self) -> str:
        """The claim's condition beside the mechanism, or how its noise is correlated, if either."""
        fallbacks = [s.privacy.fallback_epsilon for s in self.sites]
        left = max((f for f in fallbacks if f is not None), default=None)
        if left is None:
            return correlated_noise(self.bands)
        return (
            f" The noise of training is shared: this holds {while_few_collude(self.colluders)}; "
            f"{if_more_collude(self.colluders)}, exp({_upwards(left)})."
        )


def _upwards(value: float) -> str:
    """Returns a figure with three digits that is never smaller than the figure itself.

    >>> _upwards(1.2341), _upwards(2.0), _upwards(1e-5)
    ('1.24', '2', '1e-5')
    """
    return f"{rounded_up(value):g}".replace("e-0", "e-")
