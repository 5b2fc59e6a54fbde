"""Membership inference: who trained a model of this study, or the model of a run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from rich.console import Console

from collegium.redteam.adversary import View, hospital_at
from collegium.redteam.harness import (
    AttackRandomness,
    Floats,
    MakeTrainer,
    declaring,
    varied,
    whole_cycles,
)
from collegium.redteam.records.together import Parts, pool_of, trained_model, trained_together
from pipelines.attacks.losses import losses_under, patient_confidences
from pipelines.attacks.membership import (
    Members,
    Membership,
    halves,
    lira,
    margins,
    measure,
    overtrained,
    patient_logits,
    rmia,
)
from pipelines.cohort.loading import Records
from pipelines.networks.networks import build
from protocol.study.cohort.cohort import TableCohort
from protocol.study.study import Study
from protocol.vectors.tensors import Tensors

#: The trainings of which an attack says something of a released model.
OWN_MODEL = "this run's own final model"
AS_IN_THE_STUDY = "as in the study"

_POOL = 128
_LIRA_MODELS, _RMIA_MODELS, _RMIA_REFERENCES = 32, 6, 4
_LIRA_STEPS = 200  # longer trainings are attacked with few models
_MAX_STEPS = 300
_OVERTRAINING = 300


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One membership attack, on models trained in one way."""

    training: str
    steps: int
    found: Membership


def membership(
    study: Study,
    view: View,
    parts: Parts,
    make: MakeTrainer,
    randomness: AttackRandomness,
    console: Console,
) -> tuple[Attack, ...]:
    """Attacks models trained far too long, as in the study without noise, and as in the study.

    The first is a control: where even that gives nothing, the attack can find no members among
    these records. The others are trained by this hospital alone, with the noise of the view: the
    attacker knows everybody else's part.
    """
    site = view.sites[0]
    pool, _ = pool_of(parts, _POOL, randomness.random)
    name, score, models = _attack_on(study, _RMIA_MODELS)
    members = halves(models, pool.num_patients, randomness.random)
    rounds, steps = _shortened(study)
    own = declaring(varied(study, rounds=rounds, local_steps=steps), site, pool.num_patients // 2)

    def control(records: Records) -> Floats:
        module = overtrained(
            lambda: build(study.task, study.cohort, study.seeds.model), records, _OVERTRAINING
        )
        return patient_logits(module, pool)

    def trained(planned: Study, multiplier: float | None) -> Callable[[Records], Floats]:
        def logits(records: Records) -> Floats:
            trainer = make(planned, site, records, pool)
            hospital = hospital_at(planned, site, trainer, randomness.entropy)
            model = trained_model(planned, {site: hospital}, multiplier)
            return trainer.patient_scores(model)[0]

        return logits

    bare = own.with_epsilon(None)
    ways: list[tuple[str, int, Callable[[Records], Floats]]] = [
        ("control: trained far too long, no noise", _OVERTRAINING, control),
        ("as in the study, but without clipping and noise", rounds * steps, trained(bare, None)),
        (AS_IN_THE_STUDY, rounds * steps, trained(own, view.deviation)),
    ]
    attacks = []
    for training, taken, logits in ways:
        sure = np.stack([_sure(logits(pool.take(who[pool.patients])), pool) for who in members])
        found = measure(name, score(sure, members), members, randomness.random)
        attacks.append(Attack(training=training, steps=taken, found=found))
        console.print(f"    {models} models: {training}", markup=False)
    return tuple(attacks)


def membership_of(
    model: Tensors,
    study: Study,
    site: str,
    multiplier: float | None,
    hospitals: Mapping[str, Parts],
    make: MakeTrainer,
    randomness: AttackRandomness,
    console: Console,
) -> tuple[Attack, ...]:
    """Attacks a run's own final model, with reference models that all hospitals train anew.

    In each of those the attacked hospital has a random half of its patients; in the run it had its
    training patients, and not its test patients: without any of those there is nobody to tell them
    from.

    Args:
        model: the run's.
        study: what it was trained by, of any task that does not couple records.
        site: the hospital whose patients are looked for.
        multiplier: the deviation of each hospital's noise; None where there is none.
        hospitals: all of them.
        make: makes their trainers.
        randomness: the attacker's.
        console: where people read what goes on.
    """
    pool, was_inside = pool_of(hospitals[site], 2 * _POOL, randomness.random)
    if was_inside.all() or not was_inside.any():
        return ()
    name, score, references = _attack_on(study, _RMIA_REFERENCES)
    members = halves(references, pool.num_patients, randomness.random)
    rows = [patient_confidences(losses_under(study, model), pool)]
    for who in members:
        records = {name: train for name, (train, _) in hospitals.items()}
        records[site] = pool.take(who[pool.patients])
        reference = trained_together(study, records, multiplier, make, randomness)
        rows.append(patient_confidences(losses_under(study, reference), pool))
    everybody = np.vstack([was_inside, members])
    found = score(np.stack(rows), everybody)[:1]
    console.print(f"    {references} reference models for the run's own", markup=False)
    attack = Attack(
        training=OWN_MODEL,
        steps=study.training.steps,
        found=measure(name, found, everybody[:1], randomness.random),
    )
    return (attack,)


def _attack_on(study: Study, few: int) -> tuple[str, Callable[[Floats, Members], Floats], int]:
    """Returns which attack fits, by name, and how many models it may cost."""
    small = isinstance(study.cohort, TableCohort) and study.training.steps <= _LIRA_STEPS
    return ("LiRA", lira, _LIRA_MODELS) if small else ("RMIA", rmia, few)


def _shortened(study: Study) -> tuple[int, int]:
    """Returns how many rounds of how many steps are attacked."""
    steps = whole_cycles(study, _MAX_STEPS)
    return max(1, min(study.training.rounds, _MAX_STEPS // steps)), steps


def _sure(logits: Floats, pool: Records) -> Floats:
    """Returns each patient's margin, finite whatever an unprotected training did."""
    labels = np.zeros(pool.num_patients)
    np.maximum.at(labels, pool.patients, pool.labels[:])
    return np.nan_to_num(margins(logits, labels), posinf=1e6, neginf=-1e6)
