"""Plays the attacker: is the privacy that a study, or a run of it, claims really there?

The attacker runs the hospitals' own trainers in this process, on canaries and
on the study's records, and sees what a hospital, or the secure sum, would
release (``redteam_views``). Four parts, strongest first: the noise itself, an
audit in one run, membership inference, inversion of the first layer.

Whoever attacks real records makes a release of its own: this is for
simulations and synthetic records, or for the hospital's own eyes.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from collegium.consortium import Settings
from collegium.hospital_records import read_hospitals
from collegium.redteam_bench import Chances, MakeTrainer
from collegium.redteam_noise import Audit, conformance, one_run_audits
from collegium.redteam_records import Attack, Inversion, Parts, inversion, membership, membership_of
from collegium.redteam_views import Claim, View, views_of
from compliance.auditing import Check
from compliance.rounding import rounded_down, rounded_up
from compliance.study_shelf import index_beside
from protocol.errors import WorkspaceRefused
from protocol.study import Study
from protocol.tensors import Tensors
from silos.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class PastRun:
    """What a run left behind that can be attacked.

    ``checks`` are of its evidence; ``other_software`` says what it was made with
    where that is not what attacks it now.
    """

    run_id: str
    model: Tensors
    checks: tuple[Check, ...]
    not_checked: tuple[str, ...]
    other_software: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is attacked: a study's plan, or a run of it with what its hospitals signed."""

    study: Study
    claims: Mapping[str, Claim]
    run: PastRun | None = None

    @classmethod
    def planned(cls, study: Study) -> "Target":
        """Returns a study as it would be run.

        Raises:
            StudyRefused: it claims nothing that noise of this software keeps.
        """
        return cls(
            study=study, claims={site: Claim.planned(study, site) for site in study.site_names}
        )


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Everything the attacker found; the page is a function of it."""

    target: Target
    claim: Claim
    conformance: tuple[Check, ...]
    retested: bool
    audits: tuple[Audit, ...]
    attacks: tuple[Attack, ...]
    inversions: tuple[Inversion, ...]
    seconds: dict[str, float]

    @property
    def view(self) -> View:
        """The view that the claim is about."""
        return self.audits[0].view

    @property
    def checks(self) -> tuple[Check, ...]:
        """All checks: of the released noise, and of what a run left behind."""
        return self.conformance + (self.target.run.checks if self.target.run else ())

    @property
    def reasons(self) -> tuple[str, ...]:
        """What, tested again, contradicts the claim; empty when nothing does."""
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


def red_team_study(
    study: Study, folder: Path, data: Path | None, out: Path, console: Console
) -> Findings:
    """Attacks a study as it would be run; ``folder`` is where the study document lies.

    Raises:
        StudyRefused: the study claims nothing that this attacker tests.
        CohortRefused: the records are missing or do not fit.
        WorkspaceRefused: the output folder cannot be written.
    """
    target = Target.planned(study)
    Settings(data=data).require_sources(study)
    hospitals = read_hospitals(study, index_beside(study, folder), data)
    return red_team(target, hospitals, out, console)


def red_team(
    target: Target,
    hospitals: Mapping[str, Parts],
    out: Path,
    console: Console,
    make: MakeTrainer = Trainer,
    chances: Chances | None = None,
) -> Findings:
    """Attacks a target; writes ``redteam.json`` and ``redteam.html`` to ``out``.

    Args:
        target: a study, or a run of one.
        hospitals: each site's training and test records.
        out: the folder of the page.
        console: where people read what goes on.
        make: makes the trainers.
        chances: the attacker's randomness.

    Raises:
        WorkspaceRefused: the output folder cannot be written.
    """
    from collegium.redteam_page import page, summarise
    from compliance.renderers import render_html, render_json

    prepare(out)
    console.print(
        "The attacker plays the hospitals' trainers, in this process. On real patients' records "
        "the page is for those hospitals' own eyes."
    )
    findings = attack(target, hospitals, console, make, chances or Chances())
    document = page(findings)
    (out / "redteam.json").write_text(render_json(document), encoding="utf-8")
    (out / "redteam.html").write_text(render_html(document), encoding="utf-8")
    summarise(findings, out, console)
    return findings


def attack(
    target: Target,
    hospitals: Mapping[str, Parts],
    console: Console,
    make: MakeTrainer,
    chances: Chances,
) -> Findings:
    """Runs all four parts; ``hospitals`` holds each site's training and test records."""
    seconds: dict[str, float] = {}
    study, claims = target.study, target.claims
    claim = claims[max(hospitals, key=lambda name: hospitals[name][0].num_patients)]
    views = views_of(study, claim)
    with _timed(
        "noise: zero gradients in, is what comes out as promised?", "noise", seconds, console
    ):
        checks = conformance(study, claims, views, make, chances, attempt=0)
        retested = not all(check.passed for check in checks)
        if retested:
            console.print("    a check failed: testing again with fresh noise")
            checks = conformance(study, claims, views, make, chances, attempt=1)
    with _timed("audit in one run: can canaries be told in or out?", "audit", seconds, console):
        audits = one_run_audits(study, claim, views, make, chances)
    with _timed("membership: who was a training patient?", "membership", seconds, console):
        attacks = membership(study, views[0], hospitals[claim.site], make, chances, console)
        if target.run is not None:
            own = membership_of(
                target.run.model, study, views[0], hospitals, make, chances, console
            )
            attacks = (*attacks, *own)
    with _timed("inversion: can a record be read from an update?", "inversion", seconds, console):
        inversions = inversion(study, views[0], hospitals, make, chances)
    return Findings(
        target=target,
        claim=claim,
        conformance=checks,
        retested=retested,
        audits=audits,
        attacks=attacks,
        inversions=inversions,
        seconds=seconds,
    )


def prepare(out: Path) -> None:
    """Makes the output folder.

    Raises:
        WorkspaceRefused: it is a file, or cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        trial = out / ".redteam"
        trial.touch()
        trial.unlink()
    except FileExistsError as error:
        raise WorkspaceRefused(f"--out {out} is a file: name a folder") from error
    except OSError as error:
        raise WorkspaceRefused(f"--out {out} cannot be written: {error.strerror}") from error


@contextmanager
def _timed(what: str, key: str, seconds: dict[str, float], console: Console) -> Iterator[None]:
    console.print(f"  {what}", markup=False)
    begun = time.monotonic()
    yield
    seconds[key] = round(time.monotonic() - begun, 1)
    console.print(f"    took {seconds[key]:.1f} s", markup=False)
