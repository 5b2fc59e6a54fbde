"""Models that hospitals train together in this process, and the patients who are attacked."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from collegium.redteam.adversary import Hospital, hospital_at
from collegium.redteam.harness import AttackRandomness, MakeTrainer, build_model
from collegium.simulation.records import joined
from coordinator.rounds.means import round_mean, summed
from pipelines.cohort.loading import Records
from protocol.study.strategies.server_state import begun, model_of, next_state
from protocol.study.study import Study
from protocol.vectors.tensors import Tensors, layout_of
from silos.training.randomness import RoundInput

#: A hospital's training and test records.
Parts = tuple[Records, Records]


def trained_together(
    study: Study,
    training: Mapping[str, Records],
    multiplier: float | None,
    make: MakeTrainer,
    randomness: AttackRandomness,
) -> Tensors:
    """Returns the model that hospitals with these training records train, see ``trained_model``."""
    together = {
        name: hospital_at(study, name, make(study, name, train, train), randomness.entropy)
        for name, train in training.items()
    }
    return trained_model(study, together, multiplier)


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


def pool_of(
    parts: Parts, most: int, random: np.random.Generator
) -> tuple[Records, NDArray[np.bool_]]:
    """Returns some of a hospital's patients, and which of them are training patients."""
    both = joined(parts)
    kept = random.permutation(both.num_patients) < most
    inside = np.arange(both.num_patients) < parts[0].num_patients
    return both.take(kept[both.patients]), inside[kept]
