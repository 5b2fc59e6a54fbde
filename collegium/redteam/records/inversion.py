"""Inversion of the first layer: what an update shows of the records in it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collegium.redteam.adversary import View
from collegium.redteam.harness import (
    AttackRandomness,
    Floats,
    MakeTrainer,
    build_model,
    sampled_at,
    varied,
    with_independent_noise,
)
from collegium.redteam.records.together import Parts
from pipelines.attacks.inversion import best_match, first_layer, recover
from pipelines.cohort.loading import Records
from pipelines.networks.networks import build
from protocol.study.study import Study
from protocol.vectors.tensors import Tensors, layout_of
from silos.training.randomness import RoundInput

_DRAWS = 20


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """The best cosine of a recovered record: with patients in the update, and with others."""

    seen: str
    inside: float
    outside: float


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
