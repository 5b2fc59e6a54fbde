"""Plays the attacker: is the privacy that a study, or a run of it, claims really there?

The attacker runs the hospitals' own trainers in this process, on canaries and
on the study's records, and sees what a hospital, or the secure sum, would
release (``adversary``). The parts, strongest first: the noise itself, an audit in
one run, membership inference, inversion of the first layer, extraction of records
from a model.

An attack on real records is a release of its own: this is for simulations
and synthetic records, or for the hospital's own people.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from collegium.redteam.adversary import Claim, own_multiplier, views_of
from collegium.redteam.findings import Findings, Target
from collegium.redteam.harness import AttackRandomness, MakeTrainer, with_shown_gradients
from collegium.redteam.noise.canaries import one_run_audits
from collegium.redteam.noise.checks import conformance
from collegium.redteam.records.extraction import inserted_exposure, own_exposure
from collegium.redteam.records.inversion import inversion
from collegium.redteam.records.membership import Attack, membership, membership_of
from collegium.redteam.records.together import Parts
from collegium.simulation.records import read_hospitals
from collegium.simulation.settings import SimulationSettings
from pipelines.attacks.extraction import Exposure
from pipelines.attacks.losses import couples_records
from protocol.errors import MessageRefused, StudyRefused, WorkspaceRefused
from protocol.study.study import Study
from protocol.study.study_file import index_beside
from protocol.study.task.task import BinaryClassification
from silos.training.trainer import Trainer

#: What is asked of every model.
_OF_MODELS = ("membership", "own-records", "inserted")
_TOO_FEW = "the hospital has too few training or test patients to tell them apart"
_NO_MODEL = "no run's own model was attacked: its records are not here"


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
    SimulationSettings(data=data).require_sources(study)
    hospitals = read_hospitals(study, index_beside(study, folder), data)
    return red_team(target, hospitals, out, console)


def red_team(
    target: Target,
    hospitals: Mapping[str, Parts],
    out: Path,
    console: Console,
    make: MakeTrainer = Trainer,
    randomness: AttackRandomness | None = None,
) -> Findings:
    """Attacks a target; writes ``redteam.json`` and ``redteam.html`` to ``out``.

    Args:
        target: a study, or a run of one.
        hospitals: each site's training and test records.
        out: the folder of the page.
        console: where people read what goes on.
        make: makes the trainers.
        randomness: the attacker's randomness.

    Raises:
        StudyRefused: the study's clip is adaptive.
        WorkspaceRefused: the output folder cannot be written.
    """
    from collegium.redteam.report.page import page, summarise
    from compliance.reports.renderers import render_html, render_json

    _require_fixed_clip(target.study)
    prepare(out)
    console.print(
        "The attacker plays the hospitals' trainers, in this process. On real patients' records "
        "the page is for those hospitals' own eyes."
    )
    findings = attack(target, hospitals, console, make, randomness or AttackRandomness())
    document = page(findings)
    (out / "redteam.json").write_text(render_json(document), encoding="utf-8")
    (out / "redteam.html").write_text(render_html(document), encoding="utf-8")
    summarise(findings, out, console)
    return findings


def _require_fixed_clip(study: Study) -> None:
    """Refuses a clip that moves: canaries are chosen, and told apart, by a bound that stays.

    Raises:
        StudyRefused: the study's clip is adaptive.
    """
    if study.privacy.adaptive_clip is not None:
        raise StudyRefused(
            "privacy.adaptive_clip: the red team knows fixed clips only: attack a copy of the "
            "study without it, whose noise and price are the same"
        )


def attack(
    target: Target,
    hospitals: Mapping[str, Parts],
    console: Console,
    make: MakeTrainer,
    randomness: AttackRandomness,
) -> Findings:
    """Runs every part that the target has; ``hospitals`` holds each site's two parts of records.

    Noise, audit and inversion are of binary classification under a claim; what a model gives away
    of its training patients is asked of every model.
    """
    seconds: dict[str, float] = {}
    # What is sent of a noised vector, and in how many bits, is decided after it was noised: the
    # attacker is given all of it.
    study = target.study.model_copy(update={"communication": None})
    site = max(target.claims or hospitals, key=lambda name: hospitals[name][0].num_patients)
    claim = target.claims.get(site)
    missing = _not_attacked(target, claim)
    found = Findings(
        target=target, site=site, claim=claim, view=None, conformance=(), retested=False,
        audits=(), attacks=(), inversions=(), seconds=seconds, missing=missing,
    )  # fmt: skip
    if claim is not None and "noise" not in missing:
        found = _of_the_claim(found, claim, study, hospitals, console, make, randomness)
    return _of_the_model(found, study, hospitals, console, make, randomness)


def _not_attacked(target: Target, claim: Claim | None) -> dict[str, str]:
    """Returns the parts that are left out, with the reason."""
    if claim is None:
        return {"noise": "nothing is claimed of its noise, so nothing can be contradicted"}
    if not isinstance(target.study.task, BinaryClassification):
        return {
            "noise": f"task {target.study.task.kind}: noise, clipping and canary gradients are "
            "examined of binary classification alone"
        }
    return {}


def _of_the_claim(
    found: Findings,
    claim: Claim,
    study: Study,
    hospitals: Mapping[str, Parts],
    console: Console,
    make: MakeTrainer,
    randomness: AttackRandomness,
) -> Findings:
    """Attacks noise and claim, and models that are trained as the study says."""
    shown, claims = with_shown_gradients(study), found.target.claims
    views, seconds = views_of(shown, claim), found.seconds
    with _timed(
        "noise: zero gradients in, is what comes out as promised?", "noise", seconds, console
    ):
        checks = conformance(shown, claims, views, make, randomness, attempt=0)
        retested = not all(check.passed for check in checks)
        if retested:
            console.print("    a check failed: testing again with fresh noise")
            checks = conformance(shown, claims, views, make, randomness, attempt=1)
    with _timed("audit in one run: can canaries be told in or out?", "audit", seconds, console):
        audits = one_run_audits(shown, claim, views, make, randomness)
    with _timed("membership: who was a training patient?", "membership", seconds, console):
        attacks = membership(study, views[0], hospitals[claim.site], make, randomness, console)
    with _timed("inversion: can a record be read from an update?", "inversion", seconds, console):
        inversions = inversion(shown, views[0], hospitals, make, randomness)
    return replace(
        found, view=views[0], conformance=checks, retested=retested, audits=audits,
        attacks=attacks, inversions=inversions,
    )  # fmt: skip


def _of_the_model(
    found: Findings,
    study: Study,
    hospitals: Mapping[str, Parts],
    console: Console,
    make: MakeTrainer,
    randomness: AttackRandomness,
) -> Findings:
    """Attacks what a model gives away of its training patients: of a run, its own model."""
    if couples_records(study):
        why = "a record's loss depends on other records, so none can be tried alone"
        return replace(found, missing={**found.missing, **dict.fromkeys(_OF_MODELS, why)})
    run, site, missing = found.target.run, found.site, dict(found.missing)
    multiplier = None if found.claim is None else own_multiplier(study, found.claim)
    attacks: tuple[Attack, ...] = ()
    exposures: dict[str, Exposure] = {}
    with _timed("the model: what does it give away?", "model", found.seconds, console):
        if run is None or found.target.stand_in:
            missing["own-records"] = _NO_MODEL
            if not found.attacks:
                missing["membership"] = _NO_MODEL
        else:
            try:
                attacks = membership_of(
                    run.model, study, site, multiplier, hospitals, make, randomness, console
                )
                own = own_exposure(run.model, study, hospitals[site], randomness)
            except MessageRefused as error:
                own, missing["membership"] = None, f"the run's model is no whole one ({error})"
            missing |= {} if attacks else {"membership": missing.get("membership", _TOO_FEW)}
            if own is None:
                missing["own-records"] = missing.get("membership", _TOO_FEW)
            else:
                exposures["own-records"] = own
        inserted = inserted_exposure(study, site, multiplier, hospitals, make, randomness)
        if inserted is None:
            missing["inserted"] = _TOO_FEW
        else:
            exposures["inserted"] = inserted
    return replace(found, attacks=(*found.attacks, *attacks), exposures=exposures, missing=missing)


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
