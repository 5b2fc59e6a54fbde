"""What every attack needs: the attacker's randomness, the trainer, and studies a little changed."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.canaries import canary_records
from pipelines.cohort import Records
from pipelines.networks import build, parameters_of
from protocol.contract import TableCohort
from protocol.study import LocalPrivacy, Study
from protocol.tensors import Tensors
from silos.entropy import Entropy, SecretEntropy
from silos.trainer import Trainer

Floats: TypeAlias = NDArray[np.float64]
MakeTrainer: TypeAlias = Callable[[Study, str, Records, Records], Trainer]


@dataclass(frozen=True, kw_only=True)
class Chances:
    """The attacker's randomness: the trainer's noise and the coins, and what needs no secrecy."""

    entropy: Entropy = field(default_factory=SecretEntropy)
    random: np.random.Generator = field(
        default_factory=lambda: np.random.default_rng(secrets.randbits(128))
    )


def local_privacy(study: Study) -> LocalPrivacy:
    """Returns the study's privacy, which must be mode local."""
    if not isinstance(study.privacy, LocalPrivacy):
        raise ValueError("the red team attacks studies of mode local")
    return study.privacy


def build_model(study: Study) -> Tensors:
    """Returns the parameters that the study's seed gives."""
    return parameters_of(build(study.task, study.cohort, study.seeds.model))


def varied(study: Study, **training: object) -> Study:
    """Returns the study with other training settings; what privacy rests on stays."""
    return study.model_copy(update={"training": study.training.model_copy(update=training)})


def canary_trainer(
    study: Study, site: str, count: int, make: MakeTrainer
) -> tuple[Trainer, Tensors]:
    """Returns a site's trainer over canaries, and its first model."""
    cohort = study.cohort
    shape = (cohort.width,) if isinstance(cohort, TableCohort) else (1, *cohort.image.shape)
    records = canary_records(count, shape)
    trainer = make(study, site, records, records)
    return trainer, trainer.initial_model()
