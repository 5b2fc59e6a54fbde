"""Scores the test patients of one hospital: as much work as it declares, for any patients."""

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pipelines.gradients.batch_invariance import RecordOutputs
from pipelines.records import Records
from pipelines.tasks.task import TaskDefinition
from silos.training.step_form import Index, PatientRecords

#: Patients whose records are in memory at once.
_AT_ONCE = 64

Floats = NDArray[np.float64]


class PatientScores:
    """The score and the label of every test patient, by a network and its task.

    Of a patient with more records than ``most`` the first count. ``places`` patients are
    scored, zeros in place of those who are not there, so that neither the time nor
    the form of the work tells how many the hospital has.
    """

    def __init__(
        self, module: nn.Module, learned: TaskDefinition, test: Records, *, places: int, most: int
    ) -> None:
        none = np.zeros((1, *test.features.shape[1:]), dtype=np.float32)
        self._features = test.features if len(test) else none
        self._labels = test.labels if len(test) else none.reshape(1, -1)[:, 0]
        self._count = test.num_patients
        self._learned = learned
        self._outputs = RecordOutputs(module, test.features.shape[1:])
        index, weights = PatientRecords(test.patients, most).all(max(places, self._count))
        self._index, self._weights = index, weights

    def __call__(self) -> tuple[Floats, Floats]:
        """Returns each patient's score and label, by what the module holds now."""
        outputs = np.zeros((*self._index.shape, self._learned.outputs))
        for begin in range(0, len(outputs), _AT_ONCE):
            part = slice(begin, begin + _AT_ONCE)
            outputs[part] = self._outputs_at(self._index[part], self._weights[part] > 0)
        own = self._labels[self._index]
        scores, labels = self._learned.scores(outputs, own, self._weights)
        return scores[: self._count], labels[: self._count]

    def of_records(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the (records, outputs) outputs for encoded inputs that belong to no patient."""
        return self._outputs(features)

    def _outputs_at(self, index: Index, present: NDArray[np.bool_]) -> NDArray[np.float32]:
        features = self._features[index]
        features *= present.reshape(*present.shape, *[1] * (features.ndim - 2))
        return self._outputs(features.reshape(-1, *features.shape[2:])).reshape(*index.shape, -1)
