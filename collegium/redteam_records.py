"""Attacks on the records: who trained a model, and what an update shows of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from collegium.redteam_bench import Chances, Floats, MakeTrainer, build_model, varied
from pipelines.cohort import Records
from pipelines.inversion import best_match, first_layer, recover
from pipelines.membership import (
    Membership,
    halves,
    lira,
    margins,
    measure,
    overtrained,
    patient_logits,
    rmia,
)
from pipelines.networks import build
from protocol.contract import TableCohort
from protocol.study import Study
from protocol.tensors import Tensors, flatten, layout_of, unflatten
from silos.trainer import Trainer

_POOL = 128
_LIRA_MODELS, _RMIA_MODELS = 32, 6
_LIRA_STEPS = 200  # longer trainings are attacked with few models
_MOST_STEPS = 300
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
    z: float,
    site: str,
    hospital: tuple[Records, Records],
    make: MakeTrainer,
    chances: Chances,
    console: Console,
) -> tuple[Attack, ...]:
    """Attacks models trained far too long, as in the study without noise, and as in the study.

    The first is a control: where even that gives nothing, the attack has no teeth.
    """
    pool = _pool(hospital, chances.random)
    small = isinstance(study.cohort, TableCohort) and study.training.steps <= _LIRA_STEPS
    name, score = ("LiRA", lira) if small else ("RMIA", rmia)
    models = _LIRA_MODELS if small else _RMIA_MODELS
    members = halves(models, pool.num_patients, chances.random)
    labels = np.zeros(pool.num_patients)
    np.maximum.at(labels, pool.patients, pool.labels)
    steps = min(study.training.local_steps, _MOST_STEPS)
    rounds = max(1, min(study.training.rounds, _MOST_STEPS // steps))
    own = varied(study, rounds=rounds, local_steps=steps)
    bare = own.with_epsilon(None)

    def control(records: Records) -> Floats:
        module = overtrained(
            lambda: build(study.task, study.cohort, study.seeds.model), records, _OVERTRAINING
        )
        return patient_logits(module, pool)

    def trained(planned: Study, noise: float | None) -> Callable[[Records], Floats]:
        def logits(records: Records) -> Floats:
            trainer = make(planned, site, records, pool)
            model = trained_model(trainer, planned, noise, chances)
            return trainer.patient_scores(model)[0]

        return logits

    ways: list[tuple[str, int, Callable[[Records], Floats]]] = [
        ("control: trained far too long, no noise", _OVERTRAINING, control),
        ("as in the study, but without clipping and noise", rounds * steps, trained(bare, None)),
        ("as in the study", rounds * steps, trained(own, z)),
    ]
    attacks = []
    for training, taken, logits in ways:
        sure = np.zeros((models, pool.num_patients))
        for number, who in enumerate(members):
            with np.errstate(over="ignore", invalid="ignore"):
                sure[number] = np.nan_to_num(
                    margins(logits(pool.take(who[pool.patients])), labels), posinf=1e6, neginf=-1e6
                )
        found = measure(name, score(sure, members), members, chances.random)
        attacks.append(Attack(training=training, steps=taken, found=found))
        console.print(f"    {models} models: {training}", markup=False)
    return tuple(attacks)


def trained_model(trainer: Trainer, study: Study, noise: float | None, chances: Chances) -> Tensors:
    """Returns the model that this hospital alone would train: the attacker's best case."""
    model: Tensors = trainer.initial_model()
    layout = layout_of(model)
    for number in range(study.training.rounds):
        update = trainer.update(model, number, 0, noise, chances.entropy)
        model = unflatten(layout, flatten(model).astype(np.float64) + update)
    return model


def _pool(hospital: tuple[Records, Records], random: np.random.Generator) -> Records:
    """Returns at most 128 of a hospital's patients, training and test together."""
    train, test = hospital
    both = Records(
        features=np.concatenate([train.features, test.features]),
        labels=np.concatenate([train.labels, test.labels]),
        patients=np.concatenate([train.patients, test.patients + train.num_patients]),
        patient_keys=train.patient_keys + test.patient_keys,
        rows=np.concatenate([train.rows, test.rows]),
    )
    kept = random.permutation(both.num_patients) < _POOL
    return both.take(kept[both.patients])


def inversion(
    study: Study,
    z: float,
    site: str,
    hospitals: dict[str, tuple[Records, Records]],
    make: MakeTrainer,
    chances: Chances,
) -> tuple[Inversion, ...]:
    """Reads records from updates, from the easiest case to what really leaves a hospital.

    Empty when the network does not begin with a linear layer. Every patient is
    in the batch, which is the attacker's best case.
    """
    module = build(study.task, study.cohort, study.seeds.model)
    cohort = study.cohort
    layer = first_layer(module, cohort.width) if isinstance(cohort, TableCohort) else None
    if layer is None:
        return ()
    full = varied(study, local_steps=1, momentum=0.0, learning_rate=1.0)
    full = full.model_copy(
        update={"privacy": full.privacy.model_copy(update={"sampling_rate": 1.0})}
    )
    model = build_model(study)
    layout = layout_of(model)

    def read(name: str, records: Records, noise: float | None, number: int = 0) -> Floats:
        trainer = make(full, name, records, records)
        update = trainer.update(model, number, 0, noise, chances.entropy)
        return recover(update, layout, layer)

    train, test = hospitals[site]
    inside, outside = _equally_many(train, test, chances.random)
    chosen = chances.random.permutation(train.num_patients)[:_DRAWS]
    found: dict[str, list[tuple[float, float]]] = {}

    def note(seen: str, recovered: Floats, true: NDArray[np.float32]) -> None:
        others = outside if len(true) > 1 else outside[:1]
        pair = best_match(recovered, true), best_match(recovered, others)
        found.setdefault(seen, []).append(pair)

    for patient in chosen:
        single = train.take(train.patients == patient)
        note("one patient's update, bare", read(site, single, None), single.features[:1])
        note(
            "one patient's update, noised", read(site, single, z, int(patient)), single.features[:1]
        )
    note("one hospital's sum, bare", read(site, train, None), inside)
    total = _sum_of_hospitals(full, hospitals, make, model, chances)
    note("all hospitals' sum, bare", recover(total, layout, layer), inside)
    for number in range(_DRAWS // 4):
        note("one hospital's update, noised", read(site, train, z, number), inside)
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
    hospitals: dict[str, tuple[Records, Records]],
    make: MakeTrainer,
    model: Tensors,
    chances: Chances,
) -> Floats:
    parts = [
        study.weights[name]
        * make(study, name, train, train).update(model, 0, 0, None, chances.entropy)
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
