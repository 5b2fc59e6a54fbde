"""Extraction: what the model of a run, or of a training like it, gives away of single records."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from collegium.redteam.harness import AttackRandomness, MakeTrainer
from collegium.redteam.records.together import Parts, trained_together
from collegium.simulation.records import joined
from pipelines.attacks.extraction import (
    Exposure,
    canaries,
    exposure_of_inserted,
    exposure_of_own,
    num_canaries,
)
from pipelines.attacks.losses import losses_under
from pipelines.cohort.loading import Records
from protocol.study.study import Study
from protocol.vectors.tensors import Tensors


def own_exposure(
    model: Tensors, study: Study, parts: Parts, randomness: AttackRandomness
) -> Exposure | None:
    """Returns what a run's model gives away of one hospital's training patients beyond others.

    None where it has too few patients of either part.
    """
    train, test = parts
    losses = losses_under(study, model)
    return exposure_of_own(losses, study.cohort, train, test, randomness.random)


def inserted_exposure(
    study: Study,
    site: str,
    multiplier: float | None,
    hospitals: Mapping[str, Parts],
    make: MakeTrainer,
    randomness: AttackRandomness,
) -> Exposure | None:
    """Returns what a training like the study's gives away of records that were inserted for it.

    They take the places of training patients of one hospital, so that its number stays; the noise
    is the study's. None where that hospital has too few patients.

    Args:
        study: what is trained, of any task that does not couple records.
        site: where they are inserted.
        multiplier: the deviation of each hospital's noise; None where there is none.
        hospitals: all of them.
        make: makes their trainers.
        randomness: the attacker's.
    """
    train, random = hospitals[site][0], randomness.random
    count = num_canaries(train.num_patients)
    if train.num_patients < 2 * count:
        return None
    inserted = canaries(study.cohort, train, count, random)
    staying = random.permutation(train.num_patients) >= count
    kept = train.take(staying[train.patients])
    records = {name: part for name, (part, _) in hospitals.items()}
    records[site] = joined([kept, _as_patients(*inserted)])
    model = trained_together(study, records, multiplier, make, randomness)
    return exposure_of_inserted(losses_under(study, model), study.cohort, inserted, train, random)


def _as_patients(features: NDArray[np.float32], labels: NDArray[np.float32]) -> Records:
    """Returns records, each of a patient of its own."""
    places = np.arange(len(labels), dtype=np.int64)
    return Records(
        features=features,
        labels=labels,
        patients=places,
        patient_keys=tuple(f"inserted {place}" for place in places.tolist()),
        rows=places,
    )
