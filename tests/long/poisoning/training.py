"""Training of nine hospitals in the clear, one of which may be poisoned: sums of ring elements."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from collegium.simulation.baselines.scoring import TestPatients
from compliance.ledger.privacy_plan import PrivacyPlan
from coordinator.rounds.means import round_mean, summed
from pipelines.records import Records
from pipelines.tasks.registry import task_of
from protocol.study.rounds.round_vector import round_vector
from protocol.study.strategies.server_state import begun, model_of, next_state
from protocol.study.study import Study
from protocol.vectors.fixed_point import encode
from protocol.vectors.tensors import Tensors, layout_of
from silos.training.randomness import FixedEntropy, RoundInput
from silos.training.trainer import Trainer
from tests.long.poisoning.attacks import ATTACKS, Attack
from tests.long.poisoning.cohorts import NAMES, Cohort


def trained(
    study: Study, hospitals: Mapping[str, Records], test: Records, attacks: Mapping[str, Attack],
    seed: int,
) -> Tensors:  # fmt: skip
    """Returns the model after all rounds.

    Args:
        study: with a robust rule, or without.
        hospitals: each one's training records.
        test: any test records; training does not look at them.
        attacks: those of poisoned hospitals.
        seed: of the noise.
    """
    entropy, nobody = FixedEntropy(seed, simulated=True), Attack()
    plans = {site: PrivacyPlan.at(study, site) for site in hospitals}
    trainers = {
        site: Trainer(study, site, attacks.get(site, nobody).records(own), test)
        for site, own in hospitals.items()
    }
    initial = next(iter(trainers.values())).initial_model()
    layout, state = layout_of(initial), begun(study.training, initial)
    for number in range(study.training.rounds):
        model = model_of(study.training, layout, state)

        def contribution(
            site: str, model: Tensors = model, number: int = number
        ) -> NDArray[np.unsignedinteger]:
            plan = plans[site]
            noise = plan.training.noise_multiplier if plan else None
            given = RoundInput(model=model, number=number, noise_multiplier=noise)
            return contribution_of(study, trainers[site], attacks.get(site), given, entropy)

        sums = summed(study, number, trainers, contribution)
        found = round_mean(study, model, number, sums)
        state = next_state(study.training, state, found.mean)
    return model_of(study.training, layout, state)


def contribution_of(
    study: Study, trainer: Trainer, attack: Attack | None, given: RoundInput, entropy: FixedEntropy
) -> NDArray[np.unsignedinteger]:
    """Returns the ring elements that a hospital sends in a round, by its attack if any."""
    update = trainer.update(given, entropy).update
    vector = round_vector(study, given.model, given.number)
    if attack is None:
        return vector.encode(trainer._site, update)
    sent = attack.update(update, study)
    return encode(
        sent,
        weight=1.0,
        # As long as one vector of the ring can be: an honest hospital would have shortened it.
        bound=2.0 ** (vector.ring_bits - 2 - vector.frac_bits),
        frac_bits=vector.frac_bits,
        ring_bits=vector.ring_bits,
    )


def auroc_of(cohort: Cohort, study: Study, attack: str, seed: int) -> float:
    """Returns the AUROC on all test patients after one hospital's attack; ``none`` is a clean run.

    The seed partitions the patients, says which hospital is poisoned, and draws the noise.
    """
    poisoned = NAMES[seed % len(NAMES)]
    attacks = {} if attack == "none" else {poisoned: ATTACKS[attack]}
    return exact_auroc(
        cohort, study, trained(study, cohort.partitioned(seed), cohort.test, attacks, seed)
    )


def exact_auroc(cohort: Cohort, study: Study, model: Tensors) -> float:
    """Returns a model's AUROC on all test patients, without noise or bins."""
    found = task_of(study.task, study.cohort).exact(
        _scores(cohort, study, model), cohort.test.labels
    )
    return float(dict(found)["auroc"] or 0.0)


def risks_of(cohort: Cohort, study: Study, model: Tensors) -> NDArray[np.float64]:
    """Returns the risk that a model tells of each test patient."""
    return np.asarray(1 / (1 + np.exp(-_scores(cohort, study, model))))


def _scores(cohort: Cohort, study: Study, model: Tensors) -> NDArray[np.float64]:
    everybody = TestPatients(study, {NAMES[0]: (cohort.test, cohort.test)})
    return everybody.scored(model)[NAMES[0]]
