"""The attacker's target and findings, of which the page and the JSON are functions."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from collegium.redteam.adversary import Claim, View
from collegium.redteam.noise.canaries import OneRunAudit
from collegium.redteam.records.inversion import Inversion
from collegium.redteam.records.membership import AS_IN_THE_STUDY, OWN_MODEL, Attack
from compliance.privacy.empirical_audit.checks import AuditCheck
from compliance.privacy.rounding import rounded_down, rounded_up
from pipelines.attacks.extraction import Exposure
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
    """The target of an attack: a study's plan, or a run of it with what its hospitals signed.

    Attributes:
        study: the study.
        claims: what each hospital claims; none where nothing is claimed, which a run may be.
        run: what is there of a run.
        stand_in: whether the records are not the run's: it was made by real hospitals, and a
            training of its study on drawn records is attacked in its place.
    """

    study: Study
    claims: Mapping[str, Claim]
    run: PastRun | None = None
    stand_in: bool = False

    @property
    def attacks_own_model(self) -> bool:
        """Whether a run's own model is attacked, by the records that it was trained on."""
        return self.run is not None and not self.stand_in

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
    """Everything the attacker found; the page is a function of it.

    Attributes:
        target: what was attacked.
        site: the hospital whose records were.
        claim: what that hospital claims; None where nothing is claimed.
        view: what the claim is about; None likewise.
        conformance: checks of noise, sampling, clipping and evaluation.
        retested: whether one of them failed at first.
        audits: of each view.
        attacks: on membership.
        inversions: of the first layer.
        seconds: how long each part took.
        exposures: what single records were found to be exposed by, by ``EXPOSURES``.
        missing: by the name of a part that was not attacked, why.
    """

    target: Target
    site: str
    claim: Claim | None
    view: View | None
    conformance: tuple[AuditCheck, ...]
    retested: bool
    audits: tuple[OneRunAudit, ...]
    attacks: tuple[Attack, ...]
    inversions: tuple[Inversion, ...]
    seconds: dict[str, float]
    exposures: Mapping[str, Exposure] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def candidate_attack(self) -> Attack | None:
        """The attack that says most of a run: on its own model, else on models trained like it."""
        wanted = OWN_MODEL if self.target.attacks_own_model else AS_IN_THE_STUDY
        return next((one for one in self.attacks if one.training == wanted), None)

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
        said = self.candidate_attack
        return {
            "study": self.target.study.digest,
            "run": self.target.run.run_id if self.target.run else None,
            "stand_in": self.target.stand_in,
            "site": self.site,
            "contradicted": self.contradicted,
            "reasons": list(self.reasons),
            "epsilon": None if self.claim is None else self.claim.epsilon,
            "delta": None if self.claim is None else self.claim.delta,
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
            "membership": [_attack_json(one) for one in self.attacks],
            "candidate": None if said is None else _attack_json(said),
            "extraction": {name: asdict(one) for name, one in self.exposures.items()},
            "missing": dict(self.missing),
            "inversion": [
                {"seen": i.seen, "cosine": i.inside, "cosine_others": i.outside}
                for i in self.inversions
            ],
            "seconds": self.seconds,
        }


def _attack_json(attack: Attack) -> dict[str, Any]:
    found = attack.found
    return {
        "training": attack.training,
        "attack": found.attack,
        "patients": found.patients,
        "auroc": asdict(found.auroc),
        "true_alarms_at_1_percent": asdict(found.true_alarms),
        "advantage": asdict(found.advantage),
    }
