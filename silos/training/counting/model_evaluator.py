"""The evaluator of a given model, in the place that a trainer has in other studies.

The model's parameters came with the study, whose text the hospital approved and which names them
by their digest. No gradient is ever computed, and no record of a training patient is scored.
"""

from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray

from compliance.privacy.events import SampledGaussian
from pipelines.gradients.device import enough_memory, processor
from pipelines.networks.given_network import given_network
from pipelines.records import Records
from protocol.encoding import digest_json
from protocol.errors import OutOfOrder, StudyRefused
from protocol.study.study import Study
from protocol.vectors.tensors import Tensors
from silos.training.counting.model_scorer import ModelScorer
from silos.training.randomness import Entropy, RoundInput

Ints = NDArray[np.int64]


class ModelEvaluator:
    """Counts one hospital's test patients by the scores of a study's given model.

    Args:
        study: the study, which trains nothing.
        site: the hospital.
        train, test: its parts of the records, by the study's split; the first is not scored.
        device: where the model is evaluated; the processor when None.

    Raises:
        StudyRefused: the model's file is not at hand, or is not of the study's network.
        DeviceRefused: the device's memory does not hold the evaluation.
    """

    def __init__(
        self,
        study: Study,
        site: str,
        train: Records,
        test: Records,
        device: torch.device | None = None,
    ) -> None:
        if study.task.pretrained is None:
            raise StudyRefused("task.pretrained: the study names no model to evaluate")
        self._model = study.task.pretrained.tensors
        with enough_memory("the network"):
            module = given_network(study.task, study.cohort).to(device or processor())
        self._scorer = ModelScorer(study, site, test, module)
        self.num_train_patients, self.num_test_patients = train.num_patients, test.num_patients
        self.engine = ""
        self.dataset_digest = digest_json(self._scorer.digests(train.digest, test.digest))

    def leave_out(self, train: Ints, test: Ints) -> None:
        """Counts these patients, by their numbers in each part, no more from now on."""
        self._scorer.leave_out(test)

    def initial_model(self) -> Tensors:
        """Returns the parameters of the study's file, as they are."""
        return dict(self._model)

    def second_opinion(
        self, event: SampledGaussian | None, delta: float
    ) -> dict[str, str | float | None]:
        """Returns nothing: there are no gradients to compare."""
        return {}

    def update(self, given: RoundInput, entropy: Entropy) -> NoReturn:
        """Refuses: nothing is trained.

        Raises:
            OutOfOrder: always.
        """
        raise OutOfOrder("a study that evaluates a given model has no round of training")

    noised_sum = update

    def counts(self, model: Tensors, own: Tensors | None = None) -> tuple[Ints, Ints, Ints]:
        """Returns the counts of the test patients; see ``ModelScorer.counts``."""
        return self._scorer.counts(model, own)

    def groups(self) -> Ints:
        """Returns the (patients, groupings) places of test patients' groups, -1 for none.

        They stay in the hospital.
        """
        return self._scorer.groups

    def patient_scores(self, model: Tensors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns each test patient's score and label; they stay in the hospital."""
        return self._scorer.patient_scores(model)
