"""The harness of every attack: its randomness, the trainer, and studies a little changed."""

import secrets
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.attacks.canaries import canary_records
from pipelines.cohort.loading import Records
from pipelines.gradients.clipping import PatientGradients
from pipelines.networks.networks import build, parameters_of
from protocol.study.privacy import PatientPrivacy
from protocol.study.strategies.registry import changed, strategy_of
from protocol.study.study import Study
from protocol.vectors.tensors import Tensors
from silos.training.randomness import Entropy, SecretEntropy
from silos.training.steps.step_form import StepForm
from silos.training.trainer import Trainer
from silos.training.worker import GradientBackend, Worker

Floats: TypeAlias = NDArray[np.float64]


#: Records of a canary that has several, where the study allows so many.
MAX_RECORDS = 3


class MakeTrainer(Protocol):
    """Makes the trainer under attack; ``backend`` computes its gradients, else its own worker."""

    def __call__(
        self,
        study: Study,
        site: str,
        train: Records,
        test: Records,
        backend: GradientBackend | None = None,
        /,
    ) -> Trainer:
        """Returns one site's trainer."""


@dataclass(frozen=True, kw_only=True)
class AttackRandomness:
    """The attacker's randomness: the trainer's noise and the coins, and what needs no secrecy."""

    entropy: Entropy = field(default_factory=SecretEntropy)
    random: np.random.Generator = field(
        default_factory=lambda: np.random.default_rng(secrets.randbits(128))
    )


def patient_privacy(study: Study, site: str) -> PatientPrivacy:
    """Returns what a hospital promises its patients; the study must promise something."""
    privacy = study.privacy_of(site)
    if not isinstance(privacy, PatientPrivacy):
        raise ValueError("a study without privacy promises nothing")
    return privacy


def build_model(study: Study) -> Tensors:
    """Returns the parameters that the study's seed gives."""
    return parameters_of(build(study.task, study.cohort, study.seeds.model))


def varied(study: Study, **training: object) -> Study:
    """Returns the study with other training settings; what privacy rests on stays."""
    return study.model_copy(update={"training": study.training.model_copy(update=training)})


def whole_cycles(study: Study, most: int) -> int:
    """Returns the steps of a round, or fewer: whole cycles of correlated noise, one at least."""
    bands = study.privacy.bands
    return max(bands, min(study.training.local_steps, most) // bands * bands)


def with_independent_noise(study: Study) -> Study:
    """Returns the study without correlated noise: the same clip, rate and multiplier.

    One step then has less noise than the same step of a cycle, so an attack on it is no weaker.
    """
    privacy = study.privacy.model_copy(update={"correlated_noise": None})
    return study.model_copy(update={"privacy": privacy})


def with_shown_gradients(study: Study) -> Study:
    """Returns the study whose updates hold every noised gradient that its rounds make.

    A strategy that puts a part of them into what a hospital keeps is replaced by as many plain
    steps: its rule sees noised gradients alone, and whoever sees all of them sees no less.
    """
    training = study.training
    if strategy_of(training).shows_gradients:
        return study
    plain = changed(training, strategy="fedavg", local_steps=training.gradients_per_round)
    return study.model_copy(update={"training": plain})


def sampled_at(study: Study, rate: float) -> Study:
    """Returns the study with one sampling rate for every hospital."""
    privacy = study.privacy.model_copy(update={"sampling_rate": rate})
    sites = tuple(site.model_copy(update={"sampling_rate": None}) for site in study.sites)
    return study.model_copy(update={"privacy": privacy, "sites": sites})


def declaring(study: Study, site: str, patients: int) -> Study:
    """Returns the study in which this hospital declares so many patients: its mean is over them."""
    sites = tuple(
        place.model_copy(update={"patients": patients}) if place.name == site else place
        for place in study.sites
    )
    return study.model_copy(update={"sites": sites})


def canary_trainer(
    study: Study,
    site: str,
    numbers: NDArray[np.int64],
    make: MakeTrainer,
    gradients: PatientGradients,
) -> tuple[Trainer, Tensors]:
    """Returns a site's trainer over the canaries of these numbers, and its first model.

    The canaries' gradients are chosen; everything else is the hospital's own.
    """
    cohort = study.cohort
    shape = cohort.record_form
    records = canary_records(numbers, shape, min(MAX_RECORDS, study.records_per_patient))
    worker = Worker(study, StepForm.of(study, site), records.features, records.labels, gradients)
    trainer = make(study, site, records, records, worker)
    return trainer, trainer.initial_model()
