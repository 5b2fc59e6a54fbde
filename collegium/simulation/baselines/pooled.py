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

from protocol.errors import FederationError
from protocol.study.study import Study
from silos.training.ray_runtime import ray

if TYPE_CHECKING:
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
    from collegium.simulation.baselines.plan import together
    from collegium.simulation.baselines.training import plan_in_one_place, trained_in_one_place
    from pipelines.tasks.registry import task_of
    from silos.training.trainer import Trainer

    study = together(study)
    plan = plan_in_one_place(study)
    trainer = Trainer(study, study.site_names[0], train, test)
    model = trained_in_one_place(study, trainer, plan, entropy)
    scores, labels = trainer.patient_scores(model)
    return {
        **task_of(study.task, study.cohort).exact(scores, labels),
        "train_patients": train.num_patients,
        "test_patients": test.num_patients,
        "epsilon": plan.epsilon if plan else None,
        "delta": plan.delta if plan else None,
        "noise_multiplier": plan.training.noise_multiplier if plan else None,
    }
