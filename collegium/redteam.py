"""Plays the attacker: is the privacy that a study claims really there?

The attacker runs the hospital's own trainer in this process, on canaries and
on the study's records, and sees what a hospital would release. Four parts,
strongest first: the noise itself, an audit in one run, membership inference,
inversion of the first layer.

Whoever attacks real records makes a release of its own: this is for
simulations and synthetic records, or for the hospital's own eyes.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from collegium.consortium import Settings, index_file, simulated_split_key
from collegium.redteam_bench import Chances, MakeTrainer, local_privacy
from collegium.redteam_noise import Audit, conformance, one_run_audit
from collegium.redteam_records import Attack, Inversion, inversion, membership
from compliance.auditing import Check
from pipelines.cohort import Records, check_cohort, columns_to_keep, load_cohort
from pipelines.dealing import deal
from pipelines.splits import split
from protocol.errors import StudyRefused, WorkspaceRefused
from protocol.study import BUNDLED, LocalPrivacy, Study
from silos.participation import PrivacyPlan
from silos.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Everything the attacker found; the page is a function of it."""

    study: Study
    plan: PrivacyPlan
    site: str
    conformance: tuple[Check, ...]
    retested: bool
    audit: Audit
    attacks: tuple[Attack, ...]
    inversions: tuple[Inversion, ...]
    seconds: dict[str, float]

    @property
    def conforms(self) -> bool:
        """Whether the noise is what was promised."""
        return all(check.passed for check in self.conformance)

    @property
    def contradicted(self) -> bool:
        """Whether anything, tested again, contradicts the claim."""
        return not self.conforms or self.audit.contradicted

    def to_json(self) -> dict[str, Any]:
        """Returns the figures for ``--json``."""
        return {
            "study": self.study.digest,
            "contradicted": self.contradicted,
            "epsilon": self.plan.epsilon,
            "delta": self.plan.delta,
            "conformance": [
                {"check": c.name, "passed": c.passed, "p_value": c.p_value, "found": c.found}
                for c in self.conformance
            ],
            "one_run": {
                "lower_bounds": [run.bound for run in self.audit.runs],
                "claimed": self.audit.claim,
                "delta": self.audit.delta,
                "contradicted": self.audit.contradicted,
            },
            "membership": [
                {
                    "training": a.training,
                    "attack": a.found.attack,
                    "auroc": [a.found.auroc.value, a.found.auroc.low, a.found.auroc.high],
                    "true_alarms_at_1_percent": [
                        a.found.true_alarms.value,
                        a.found.true_alarms.low,
                        a.found.true_alarms.high,
                    ],
                }
                for a in self.attacks
            ],
            "inversion": [
                {"seen": i.seen, "cosine": i.inside, "cosine_others": i.outside}
                for i in self.inversions
            ],
            "seconds": self.seconds,
        }


def red_team(
    study: Study,
    folder: Path,
    data: Path | None,
    out: Path,
    console: Console,
    make: MakeTrainer = Trainer,
    chances: Chances | None = None,
) -> Findings:
    """Attacks a study's trainer; writes ``redteam.json`` and ``redteam.html``.

    Raises:
        StudyRefused: the study claims nothing that this attacker tests.
        CohortRefused: the records are missing or do not fit.
        WorkspaceRefused: the output folder cannot be written.
    """
    from collegium.redteam_page import page, summarise
    from compliance.renderers import render_html, render_json

    privacy = study.privacy
    if not isinstance(privacy, LocalPrivacy):
        raise StudyRefused(
            f"privacy.mode is {privacy.mode}: the red team tests what a hospital's own noise "
            "promises; declare mode local"
        )
    Settings(data=data).require_sources(study)
    hospitals = read_hospitals(study, folder, data)
    prepare(out)
    console.print(
        "The attacker plays one hospital's trainer, in this process. On real patients' records "
        "the page is for that hospital's own eyes."
    )
    findings = attack(study, hospitals, console, make, chances or Chances())
    document = page(findings)
    (out / "redteam.json").write_text(render_json(document), encoding="utf-8")
    (out / "redteam.html").write_text(render_html(document), encoding="utf-8")
    summarise(findings, out, console)
    return findings


def attack(
    study: Study,
    hospitals: dict[str, tuple[Records, Records]],
    console: Console,
    make: MakeTrainer,
    chances: Chances,
) -> Findings:
    """Runs all four parts; ``hospitals`` holds each site's training and test records."""
    seconds: dict[str, float] = {}
    with _timed("pricing the plan", "plan", seconds, console):
        plan = PrivacyPlan.of(study, local_privacy(study))
    z = plan.training.noise_multiplier
    with _timed(
        "noise: zero gradients in, is what comes out as promised?", "noise", seconds, console
    ):
        checks = conformance(study, z, make, chances, attempt=0)
        retested = not all(check.passed for check in checks)
        if retested:
            console.print("    a check failed: testing again with fresh noise")
            checks = conformance(study, z, make, chances, attempt=1)
    with _timed("audit in one run: can canaries be told in or out?", "audit", seconds, console):
        audit = one_run_audit(study, plan, make, chances)
    site = max(hospitals, key=lambda name: hospitals[name][0].num_patients)
    with _timed("membership: who was a training patient?", "membership", seconds, console):
        attacks = membership(study, z, site, hospitals[site], make, chances, console)
    with _timed("inversion: can a record be read from an update?", "inversion", seconds, console):
        inversions = inversion(study, z, site, hospitals, make, chances)
    return Findings(
        study=study,
        plan=plan,
        site=site,
        conformance=checks,
        retested=retested,
        audit=audit,
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


def read_hospitals(
    study: Study, folder: Path, data: Path | None
) -> dict[str, tuple[Records, Records]]:
    """Returns every site's training and test records, checked as the hospitals would.

    Raises:
        CohortRefused: the records do not fit the contract.
        StudyRefused: the split's index file cannot be read.
    """
    keep, index = columns_to_keep(study.split, study.deal), index_file(study, folder)

    def load(named: str, site: str) -> Records:
        source = named if named == BUNDLED or data is None else data / named
        return load_cohort(study.cohort, source, site=site, keep=keep)

    if study.deal is not None:
        dealt = deal(load(study.deal.records, "all"), study.deal, study.sites)
    else:
        dealt = {site.name: load(site.records or "", site.name) for site in study.sites}
    hospitals = {}
    for site, records in dealt.items():
        key = simulated_split_key(study, site)
        train, test = split(records, study.split, key=key, site=site, index_file=index)
        delta = local_privacy(study).delta
        check_cohort(train, test, study.cohort, site=site, delta=delta)
        hospitals[site] = (train, test)
    return hospitals


@contextmanager
def _timed(what: str, key: str, seconds: dict[str, float], console: Console) -> Iterator[None]:
    console.print(f"  {what}", markup=False)
    begun = time.monotonic()
    yield
    seconds[key] = round(time.monotonic() - begun, 1)
    console.print(f"    took {seconds[key]:.1f} s", markup=False)
