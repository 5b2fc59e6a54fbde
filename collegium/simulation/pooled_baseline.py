"""The pooled reference: the same study trained with all hospitals' records in one place.

Central DP-SGD with the study's clip, sampling rate, steps, optimiser, bound and
epsilon, and full noise once: what privacy alone costs, when no hospital has to
be hidden from another. Without privacy the noise is left out and the clip stays,
where the study has one: a rate for clipped gradients diverges with whole ones.
Nobody but a simulation could compute it, so no hospital's ledger is charged. It
happens in processes of its own: the coordinator holds neither torch nor records.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from protocol.errors import FederationError
from protocol.study.privacy import DistributedPrivacy, PatientPrivacy
from protocol.study.study import Study
from protocol.study.variants import without_choices
from silos.training.ray_runtime import ray

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipelines.records import Records
    from silos.training.randomness import Entropy


@ray.remote(num_cpus=0, max_restarts=0)
class PooledTrainer:
    """Holds all hospitals' records and trains references on them, one after the other."""

    def __init__(self, data: Path | None, index: bytes | None) -> None:
        self._data = data
        self._index = index
        self._records: Any = None
        self._split: int | None = None

    def train(self, study: Study) -> "dict[str, Any] | FederationError":
        """See ``train_pooled``; a refusal comes back as a value."""
        from collegium.simulation.records import joined, read_hospitals
        from silos.training.randomness import SecretEntropy

        try:
            if self._split != study.seeds.split:
                hospitals = read_hospitals(study, self._index, self._data).values()
                self._records = tuple(joined(part) for part in zip(*hospitals, strict=True))
                self._split = study.seeds.split
            train, test = self._records
            return train_pooled(study, train, test, SecretEntropy())
        except FederationError as error:
            return error


def train_pooled(
    study: Study, train: "Records", test: "Records", entropy: "Entropy"
) -> dict[str, Any]:
    """Returns what central training reaches, and what it would cost one patient.

    Args:
        study: priced like a run; where a hospital promises more than the study,
            the reference does not.
        train, test: all hospitals' records, each patient once.
        entropy: where sampling and noise come from.

    Raises:
        StudyRefused: the declared noise multiplier does not keep the promised epsilon.
    """
    from compliance.ledger.privacy_plan import PrivacyPlan
    from coordinator.rounds.training import shared_mean
    from pipelines.tasks.registry import task_of
    from protocol.study.strategies.registry import next_state, strategy_of
    from protocol.study.strategies.strategy import Mean, ServerState
    from protocol.vectors.tensors import Tensors, flatten, layout_of, unflatten
    from silos.training.randomness import RoundInput
    from silos.training.trainer import Trainer

    study = together(without_choices(study))
    privacy, training, bound = study.privacy, study.training, study.aggregation.bound
    plan = PrivacyPlan.of(study, privacy) if isinstance(privacy, PatientPrivacy) else None
    noise_multiplier = plan.training.noise_multiplier if plan else None
    shared = privacy if isinstance(privacy, DistributedPrivacy) else None
    place = study.site_names[0]
    trainer = Trainer(study, place, train, test)
    model = trainer.initial_model()
    layout, strategy = layout_of(model), strategy_of(training)

    def mean(model: Tensors, number: int) -> Mean:
        noise = shared.noise_multiplier if shared else noise_multiplier
        given = RoundInput(model=model, number=number, noise_multiplier=noise)
        if shared:
            noised = trainer.noised_sum(given, entropy)
            expected = study.expected_batch(place)
            return shared_mean(study, shared, model, noised.astype(np.float64), expected)
        update = _shortened(trainer.update(given, entropy), bound)
        scalars = {name: scalar(update, bound) for name, scalar in strategy.scalars.items()}
        return Mean(update=update, scalars=scalars, bound=bound)

    state = ServerState(parameters=flatten(model))
    for number in range(training.rounds):
        found = mean(unflatten(layout, state.parameters), number)
        state = next_state(training, state, found)
    scores, labels = trainer.patient_scores(unflatten(layout, state.parameters))
    return {
        **task_of(study.task, study.cohort).exact(scores, labels),
        "train_patients": train.num_patients,
        "test_patients": test.num_patients,
        "epsilon": plan.epsilon if plan else None,
        "delta": plan.delta if plan else None,
        "noise_multiplier": noise_multiplier,
    }


def together(study: Study) -> Study:
    """Returns the study in which each site declares the patients of all of them."""
    patients = sum(site.patients for site in study.sites)
    sites = tuple(site.model_copy(update={"patients": patients}) for site in study.sites)
    return study.model_copy(update={"sites": sites})


def _shortened(update: "NDArray[np.float64]", bound: float) -> "NDArray[np.float64]":
    """Returns the update within the bound that the secure sum keeps hospitals to."""
    length = float(np.linalg.norm(update))
    return update * (bound / length) if length > bound else update
