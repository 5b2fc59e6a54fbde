"""The outcome of a preregistration: hypotheses, criteria, contingencies, deviations, timing."""

from dataclasses import dataclass
from typing import Any

from compliance.facts.dossier.preregistration.criteria import (
    CriterionResult,
    CriterionVerdict,
    criterion_result,
    together,
)
from compliance.facts.dossier.preregistration.deviations import (
    FoundDeviation,
    first_release,
    first_round,
    found_deviations,
    later_runs,
    number_of,
    seconds_between,
)
from compliance.facts.dossier.record import Dossier
from compliance.facts.dossier.registration_facts import (
    DeclaredDeviation,
    EarlierRun,
    RegistrationFacts,
)
from protocol.counted import counted
from protocol.study.study import Preregistration
from protocol.study.study.agreed.preregistration import Contingency, Hypothesis

#: What the verdicts of its criteria say of a hypothesis.
_SUPPORT = {
    CriterionVerdict.MET: "supported",
    CriterionVerdict.NOT_MET: "not supported",
    CriterionVerdict.UNDECIDED: "cannot be decided",
}
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0


@dataclass(frozen=True, kw_only=True)
class HypothesisResult:
    """A hypothesis, and the criteria that decide it."""

    hypothesis: Hypothesis
    criteria: tuple[CriterionResult, ...]

    @property
    def verdict(self) -> CriterionVerdict:
        """The verdict: met where every criterion is."""
        return together(one.verdict for one in self.criteria)

    @property
    def words(self) -> str:
        """The verdict in words: supported, not supported, or it cannot be decided."""
        return _SUPPORT[self.verdict]

    def to_json(self) -> dict[str, Any]:
        """Returns the hypothesis as ``--json`` shows it."""
        return {
            "name": self.hypothesis.name,
            "text": self.hypothesis.text,
            "primary": self.hypothesis.primary,
            "verdict": self.words,
            "criteria": [one.to_json() for one in self.criteria],
        }


@dataclass(frozen=True, kw_only=True)
class ContingencyResult:
    """A contingency, and whether its event happened; None where people judge that."""

    contingency: Contingency
    happened: bool | None

    @property
    def words(self) -> str:
        """The contingency in words."""
        said = self.contingency
        event = said.condition if said.when is None else _EVENTS[said.when]
        state = {None: "for people to judge", True: "happened", False: "did not happen"}
        return f"If {event}: {said.then} ({state[self.happened]})"

    def to_json(self) -> dict[str, Any]:
        """Returns the contingency as ``--json`` shows it."""
        return self.contingency.model_dump(mode="json") | {"happened": self.happened}


_EVENTS = {
    "hospital_leaves": "a hospital leaves",
    "figure_withheld": "a figure is withheld",
    "run_ends_early": "the run ends early",
    "round_repeated": "a round is repeated",
    "model_taken_back": "the run goes back to an earlier model",
}


@dataclass(frozen=True, kw_only=True)
class PreregistrationOutcome:
    """The outcome of a preregistration in one run.

    Attributes:
        run_id, study_digest: the run, and the study that holds the preregistration.
        plan: the preregistration.
        hypotheses: with their criteria; the primary one first.
        contingencies: with what happened.
        found: deviations that records show.
        declared: deviations that people declared.
        facts: the registration and earlier runs.
        number: of the run among those of this preregistration, from 1.
        seconds_before: from the registration to the first round; None before one.
        is_before: whether the log has the registration before the first round.
        released: the log's entry of the first released figures; None before it.
    """

    run_id: str
    study_digest: str
    plan: Preregistration
    hypotheses: tuple[HypothesisResult, ...]
    contingencies: tuple[ContingencyResult, ...]
    found: tuple[FoundDeviation, ...]
    declared: tuple[DeclaredDeviation, ...]
    facts: RegistrationFacts
    number: int
    seconds_before: float | None
    is_before: bool
    released: int | None

    @property
    def primary(self) -> HypothesisResult:
        """The primary hypothesis."""
        return self.hypotheses[0]

    @property
    def criteria(self) -> tuple[CriterionResult, ...]:
        """All criteria, those of the primary hypothesis first."""
        return tuple(one for each in self.hypotheses for one in each.criteria)

    @property
    def sentence(self) -> str:
        """The outcome in a sentence."""
        first, met = self.primary, [one.verdict for one in self.primary.criteria]
        return (
            f"Primary hypothesis {first.hypothesis.name}: {first.words} "
            f"(criteria met: {met.count(CriterionVerdict.MET)} of {len(met)}). "
            f"{counted(len(self.found), 'deviation')} found in the records, {len(self.declared)} "
            "declared by people."
        )

    @property
    def timing(self) -> str:
        """The time of the registration, and the number of this run, in a sentence."""
        which = f"This is run {self.number} of this preregistration.{self._later}"
        at = self.facts.registered
        if at is None:
            return f"The log has no entry that registered the study. {which}"
        said = f"Registered as entry {at.index} of the log"
        if self.seconds_before is None:
            return f"{said}; no round was opened yet. {which}"
        if not self.is_before:
            return f"{said}, after the first round was opened. {which}"
        return f"{said}, {_duration(self.seconds_before)} before the first round. {which}"

    @property
    def _later(self) -> str:
        """The runs that began after this one, in sentences; empty without any."""
        same, related = later_runs(self.facts)
        told = [
            (same, "more of it began afterwards"),
            (related, "of related studies began afterwards"),
        ]
        return "".join(
            f" {counted(len(runs), 'run')} {what}: {', '.join(one.run_id for one in runs)}."
            for runs, what in told
            if runs
        )

    def is_after_release(self, one: DeclaredDeviation) -> bool:
        """Whether a deviation was declared after figures of the run had been released."""
        return self.released is not None and one.entry.index > self.released

    def declared_text(self, one: DeclaredDeviation) -> str:
        """Returns who declared a deviation, when, and whether figures were known by then."""
        role = f" ({one.role})" if one.role else ""
        known = (
            "after the figures were released"
            if self.is_after_release(one)
            else "before any figure was released"
        )
        return f"{one.person}{role}, {one.at[:19]}Z, {known}"

    def to_json(self) -> dict[str, Any]:
        """Returns the outcome as ``--json`` shows it."""
        facts = self.facts
        return {
            "run": self.run_id,
            "study": self.study_digest,
            "sentence": self.sentence,
            "timing": self.timing,
            "number_of_run": self.number,
            "registered": None
            if facts.registered is None
            else {"entry": facts.registered.index, "time": facts.registered.time},
            "registered_before_first_round": self.is_before,
            "seconds_before_first_round": self.seconds_before,
            "hypotheses": [one.to_json() for one in self.hypotheses],
            "contingencies": [one.to_json() for one in self.contingencies],
            "stopping": self.plan.stopping,
            "exploratory": list(self.plan.exploratory),
            "deviations": [one.to_json() for one in self.found],
            "declared": [
                {
                    "at": one.at,
                    "person": one.person,
                    "role": one.role,
                    "text": one.text,
                    "act": one.act,
                    "entry": one.entry.index,
                    "after_release": self.is_after_release(one),
                }
                for one in self.declared
            ],
            "earlier_runs": [_run_json(one) for one in facts.earlier],
            "later_runs": [_run_json(one) for one in facts.later],
        }


def _run_json(one: EarlierRun) -> dict[str, Any]:
    return {
        "run": one.run_id,
        "state": one.state,
        "started_at": one.started_at,
        "study_name": one.study_name,
        "study": one.study_digest,
        "relation": one.relation.value,
        "released_at": None if one.released is None else one.released.time,
        "same_test_patients": one.same_patients,
    }


def preregistration_outcome(dossier: Dossier) -> PreregistrationOutcome | None:
    """Returns the outcome of a run's preregistration; None of a study without one."""
    document = dossier.study.get("preregistration")
    if document is None:
        return None
    plan = Preregistration.model_validate(document)
    facts = dossier.registration or RegistrationFacts(registered=None)
    found, began, released = (
        found_deviations(dossier),
        first_round(dossier),
        first_release(dossier),
    )
    seconds, is_before = None, False
    if facts.registered is not None and began is not None:
        seconds = seconds_between(facts.registered.time, began.time)
        is_before = facts.registered.index < began.index
    kinds = {one.kind.value for one in found}
    return PreregistrationOutcome(
        run_id=dossier.run_id,
        study_digest=dossier.study_digest,
        plan=plan,
        hypotheses=tuple(
            HypothesisResult(
                hypothesis=one,
                criteria=tuple(criterion_result(dossier, each) for each in plan.criteria_of(one)),
            )
            for one in sorted(plan.hypotheses, key=lambda one: not one.primary)
        ),
        contingencies=tuple(
            ContingencyResult(
                contingency=one, happened=None if one.when is None else one.when in kinds
            )
            for one in plan.contingencies
        ),
        found=found,
        declared=facts.declared,
        facts=facts,
        number=number_of(facts),
        seconds_before=seconds,
        is_before=is_before,
        released=None if released is None else released.index,
    )


def _duration(seconds: float) -> str:
    """Returns a duration in its largest unit.

    >>> _duration(0.4), _duration(7200), _duration(200_000)
    ('0.4 seconds', '2.0 hours', '2.3 days')
    """
    for unit, name in ((_DAY, "days"), (_HOUR, "hours"), (_MINUTE, "minutes")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.1f} seconds"
