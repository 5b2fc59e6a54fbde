"""Attacks on the records: who trained a model, and what an update shows of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from collegium.redteam.adversary import Hospital, View, hospital_at
from collegium.redteam.harness import (
    AttackRandomness,
    Floats,
    MakeTrainer,
    build_model,
    declaring,
    sampled_at,
    varied,
    whole_cycles,
    with_independent_noise,
)
from collegium.simulation.records import joined
from coordinator.rounds.means import round_mean, summed
from pipelines.attacks.inversion import best_match, first_layer, recover
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
from pipelines.networks.networks import build, load_parameters
from protocol.study.cohort.cohort import TableCohort
from protocol.study.strategies.server_state import begun, model_of, next_state
from protocol.study.study import Study
from protocol.vectors.tensors import Tensors, layout_of
from silos.training.randomness import RoundInput

#: A hospital's training and test records.
Parts = tuple[Records, Records]

_POOL = 128
_LIRA_MODELS, _RMIA_MODELS, _RMIA_REFERENCES = 32, 6, 4
_LIRA_STEPS = 200  # longer trainings are attacked with few models
_MAX_STEPS = 300
_OVERTRAINING = 300

_DRAWS = 20


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One membership attack, on models trained in one way."""

    training: str
    steps: int
    found: Membership


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """The best cosine of a recovered record: with patients in the update, and with others."""

    seen: str
    inside: float
    outside: float


def membership(
    study: Study,
    view: View,
    parts: Parts,
    make: MakeTrainer,
    randomness: AttackRandomness,
    console: Console,
) -> tuple[Attack, ...]:
    """Attacks models trained far too long, as in the study without noise, and as in the study.

    The first is a control: where even that gives nothing, the attack has no
    teeth. The others are trained by this hospital alone, with the noise of the
    view: the attacker knows everybody else's part.
    """
    site = view.sites[0]
    pool, _ = _pool(parts, _POOL, randomness.random)
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
        ("as in the study", rounds * steps, trained(own, view.deviation)),
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
    view: View,
    hospitals: Mapping[str, Parts],
    make: MakeTrainer,
    randomness: AttackRandomness,
    console: Console,
) -> tuple[Attack, ...]:
    """Attacks a run's own final model, with reference models that all hospitals train anew.

    In each of those the view's first hospital has a random half of its patients;
    in the run it had its training patients, and not its test patients: without
    any of those there is nobody to tell them from.
    """
    site = view.sites[0]
    pool, was_inside = _pool(hospitals[site], 2 * _POOL, randomness.random)
    if was_inside.all():
        return ()
    name, score, references = _attack_on(study, _RMIA_REFERENCES)
    members = halves(references, pool.num_patients, randomness.random)
    module = build(study.task, study.cohort, study.seeds.model)

    def logits(final: Tensors) -> Floats:
        load_parameters(module, final)
        return patient_logits(module, pool)

    rows = [_sure(logits(model), pool)]
    for who in members:
        records = {name: train for name, (train, _) in hospitals.items()}
        records[site] = pool.take(who[pool.patients])
        together = {
            name: hospital_at(study, name, make(study, name, train, train), randomness.entropy)
            for name, train in records.items()
        }
        rows.append(_sure(logits(trained_model(study, together, view.multiplier)), pool))
    everybody = np.vstack([was_inside, members])
    found = score(np.stack(rows), everybody)[:1]
    console.print(f"    {references} reference models for the run's own", markup=False)
    attack = Attack(
        training="this run's own final model",
        steps=study.training.steps,
        found=measure(name, found, everybody[:1], randomness.random),
    )
    return (attack,)


def trained_model(
    study: Study, hospitals: Mapping[str, Hospital], multiplier: float | None
) -> Tensors:
    """Returns the model that these hospitals train together; masks change nothing in a sum."""
    training, model = study.training, build_model(study)
    layout, state = layout_of(model), begun(training, model)
    for number in range(training.rounds):
        given = RoundInput(
            model=model_of(training, layout, state), number=number, noise_multiplier=multiplier
        )
        released = {site: h.ring_elements(given) for site, h in hospitals.items()}
        sums = summed(study, number, hospitals, released.__getitem__)
        state = next_state(training, state, round_mean(study, given.model, number, sums).mean)
    return model_of(training, layout, state)


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


def _pool(
    parts: Parts, most: int, random: np.random.Generator
) -> tuple[Records, NDArray[np.bool_]]:
    """Returns some of a hospital's patients, and which of them are training patients."""
    both = joined(parts)
    kept = random.permutation(both.num_patients) < most
    inside = np.arange(both.num_patients) < parts[0].num_patients
    return both.take(kept[both.patients]), inside[kept]


def inversion(
    study: Study,
    view: View,
    hospitals: Mapping[str, Parts],
    make: MakeTrainer,
    randomness: AttackRandomness,
) -> tuple[Inversion, ...]:
    """Reads records from updates, from the easiest case to what is really released.

    Empty when the network does not begin with a linear layer that is trained. Every patient is
    in the batch, which is the attacker's best case. Of images with columns, the columns are read.
    """
    site = view.sites[0]
    module = build(study.task, study.cohort, study.seeds.model)
    cohort = study.cohort
    layer = first_layer(module, cohort.width) if cohort.width else None
    if layer is None:
        return ()
    one_step = varied(study, local_steps=1, momentum=0.0, learning_rate=1.0)
    full = sampled_at(with_independent_noise(one_step), 1.0)
    model = build_model(study)
    layout = layout_of(model)

    def read(name: str, records: Records, noise: float | None, number: int = 0) -> Floats:
        # In either mode one step of rate 1 moves the model by the mean gradient.
        trainer = make(full, name, records, records)
        given = RoundInput(model=model, number=number, noise_multiplier=noise)
        update = trainer.update(given, randomness.entropy).update
        return recover(update, layout, layer)

    train, test = hospitals[site]
    inside, outside = (
        rows[:, -cohort.width :] for rows in _equally_many(train, test, randomness.random)
    )
    chosen = randomness.random.permutation(train.num_patients)[:_DRAWS]
    found: dict[str, list[tuple[float, float]]] = {}

    def note(seen: str, recovered: Floats, true: NDArray[np.float32]) -> None:
        others = outside if len(true) > 1 else outside[:1]
        pair = best_match(recovered, true), best_match(recovered, others)
        found.setdefault(seen, []).append(pair)

    for patient in chosen:
        single = train.take(train.patients == patient)
        record, number = single.features[:1][:, -cohort.width :], int(patient)
        note("one patient, bare", read(site, single, None), record)
        note("one patient, noised", read(site, single, view.deviation, number), record)
    note("one hospital, bare", read(site, train, None), inside)
    for noise, seen in ((None, "bare"), (view.multiplier, "as released")):
        for number in range(1 if noise is None else _DRAWS // 4):
            total = _sum_of_hospitals(full, hospitals, noise, number, make, model, randomness)
            note(f"all hospitals, {seen}", recover(total, layout, layer), inside)
    for number in range(_DRAWS // 4):
        note("one hospital, noised", read(site, train, view.deviation, number), inside)
    return tuple(
        Inversion(
            seen=seen,
            inside=float(np.mean([pair[0] for pair in pairs])),
            outside=float(np.mean([pair[1] for pair in pairs])),
        )
        for seen, pairs in found.items()
    )


def _sum_of_hospitals(
    study: Study,
    hospitals: Mapping[str, Parts],
    noise: float | None,
    number: int,
    make: MakeTrainer,
    model: Tensors,
    randomness: AttackRandomness,
) -> Floats:
    given = RoundInput(model=model, number=number, noise_multiplier=noise)
    parts = [
        study.weights[name]
        * make(study, name, train, train).update(given, randomness.entropy).update
        for name, (train, _) in hospitals.items()
    ]
    return np.asarray(np.sum(parts, axis=0))


def _equally_many(
    train: Records, test: Records, random: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns equally many records of both, so that the best of either is as lucky."""
    number = max(1, min(len(train), len(test)))
    others = test.features if len(test) else random.normal(size=train.features.shape)
    return (
        train.features[random.permutation(len(train))[:number]],
        others[random.permutation(len(others))[:number]].astype(np.float32),
    )
