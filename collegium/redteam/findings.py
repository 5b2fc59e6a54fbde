"""The attacker's target and findings, of which the page and the JSON are functions."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from collegium.redteam.adversary import Claim, View
from collegium.redteam.noise.canaries import OneRunAudit
from collegium.redteam.records import Attack, Inversion
from compliance.privacy.empirical_audit.checks import AuditCheck
from compliance.privacy.rounding import rounded_down, rounded_up
from protocol.errors import StudyRefused
from protocol.study.study import Study
from protocol.study.task.task import BinaryClassification
from protocol.vectors.tensors import Tensors


@dataclass(frozen=True, kw_only=True)
class PastRun:
    """The parts of a past run that can be attacked.

    ``checks`` are of its evidence; ``other_software`` says what it was made with
    where that is not what attacks it now.
    """

    run_id: str
    model: Tensors
    checks: tuple[AuditCheck, ...]
    not_checked: tuple[str, ...]
    other_software: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Target:
    """The target of an attack: a study's plan, or a run of it with what its hospitals signed."""

    study: Study
    claims: Mapping[str, Claim]
    run: PastRun | None = None

    @classmethod
    def planned(cls, study: Study) -> "Target":
        """Returns a study as it would be run.

        Raises:
            StudyRefused: it claims nothing that noise of this software keeps.
        """
        if not isinstance(study.task, BinaryClassification):
            raise StudyRefused(
                f"task {study.task.kind}: the red team attacks binary classification alone; every "
                "other check of the privacy engine is the same for all tasks"
            )
        return cls(
            study=study, claims={site: Claim.planned(study, site) for site in study.site_names}
        )


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Everything the attacker found; the page is a function of it."""

    target: Target
    claim: Claim
    conformance: tuple[AuditCheck, ...]
    retested: bool
    audits: tuple[OneRunAudit, ...]
    attacks: tuple[Attack, ...]
    inversions: tuple[Inversion, ...]
    seconds: dict[str, float]

    @property
    def view(self) -> View:
        """The view that the claim is about."""
        return self.audits[0].view

    @property
    def checks(self) -> tuple[AuditCheck, ...]:
        """All checks: of the released noise, and of what a run left behind."""
        return self.conformance + (self.target.run.checks if self.target.run else ())

    @property
    def reasons(self) -> tuple[str, ...]:
        """The findings that, tested again, contradict the claim; empty when none does."""
        failed = [check.name for check in self.checks if not check.passed]
        noise = [f"not as promised: {', '.join(failed)}"] if failed else []
        bounds = [
            f"{audit.view.title}: epsilon is at least {rounded_down(audit.bound, 6):g}, "
            f"{audit.view.claimed_as} says {rounded_up(audit.claim, 6):g} (delta {audit.delta:g})"
            for audit in self.audits
            if audit.contradicted
        ]
        return (*noise, *bounds)

    @property
    def contradicted(self) -> bool:
        """Whether anything, tested again, contradicts the claim."""
        return bool(self.reasons)

    def to_json(self) -> dict[str, Any]:
        """Returns the figures for ``--json`` and for the run's record."""
        return {
            "study": self.target.study.digest,
            "run": self.target.run.run_id if self.target.run else None,
            "site": self.claim.site,
            "contradicted": self.contradicted,
            "reasons": list(self.reasons),
            "epsilon": self.claim.epsilon,
            "delta": self.claim.delta,
            "conformance": [
                {"check": c.name, "passed": c.passed, "p_value": c.p_value, "found": c.found}
                for c in self.checks
            ],
            "one_run": [
                {
                    "view": audit.view.title,
                    "held_against": audit.view.claimed_as,
                    "offered": audit.offered,
                    "lower_bounds": [audit.bound_of(run) for run in audit.runs],
                    "most_it_could_show": audit.ceiling,
                    "canaries": audit.canaries,
                    "guesses": audit.guesses,
                    "claimed": audit.claim,
                    "delta": audit.delta,
                    "contradicted": audit.contradicted,
                }
                for audit in self.audits
            ],
            "membership": [
                {
                    "training": a.training,
                    "attack": a.found.attack,
                    "auroc": asdict(a.found.auroc),
                    "true_alarms_at_1_percent": asdict(a.found.true_alarms),
                }
                for a in self.attacks
            ],
            "inversion": [
                {"seen": i.seen, "cosine": i.inside, "cosine_others": i.outside}
                for i in self.inversions
            ],
            "seconds": self.seconds,
        }
