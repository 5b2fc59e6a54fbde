"""Scores of one hospital's test patients: as much work as it declares, for any patients."""

import math
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pipelines.evaluation.groups import groups_of_patients
from pipelines.gradients.batch_invariance import RecordOutputs
from pipelines.records import Records
from pipelines.tasks.task import TaskDefinition
from protocol.study.task.evaluation import Grouping
from silos.training.steps.step_form import Index, PatientRecords

#: Patients whose records and outputs are in memory at once: so many, or fewer of so many numbers.
_AT_ONCE, _NUMBERS = 64, 1 << 23

Floats = NDArray[np.float64]


class PatientScores:
    """The score and the label of every test patient, by a network and its task.

    Of a patient with more records than ``most`` the first count. ``places`` patients are
    scored, zeros in place of those who are not there, so that neither the time nor
    the form of the work tells how many the hospital has. ``groupings`` tell patients apart.
    """

    def __init__(
        self,
        module: nn.Module,
        learned: TaskDefinition,
        test: Records,
        *,
        places: int,
        most: int,
        groupings: Collection[Grouping] = (),
    ) -> None:
        self._features, self._labels = (
            values if len(test) else np.zeros((1, *values.shape[1:]), dtype=np.float32)
            for values in (test.features, test.labels)
        )
        self._count = test.num_patients
        self._counted = np.ones(self._count, dtype=bool)
        self._groups = groups_of_patients(test, groupings)
        self._learned = learned
        self._outputs = RecordOutputs(module, test.features.shape[1:])
        index, weights = PatientRecords(test.patients, most).all(max(places, self._count))
        self._index, self._weights = index, weights
        largest = most * max(self._outputs.size, math.prod(test.features.shape[1:]))
        self._at_once = max(1, min(_AT_ONCE, _NUMBERS // largest))

    def leave_out(self, patients: Index) -> None:
        """Counts these patients no more; zeros stand in their places, as where nobody is."""
        self._counted[patients] = False
        self._weights[patients] = 0

    def __call__(self) -> tuple[Floats, Floats]:
        """Returns each patient's score and label, by what the module holds now."""
        found = []
        for begin in range(0, len(self._index), self._at_once):
            part = slice(begin, begin + self._at_once)
            index, weights = self._index[part], self._weights[part]
            outputs = self._outputs_at(index, weights > 0).astype(np.float64)
            found.append(self._learned.scores(outputs, self._labels[index], weights))
        scores, labels = (
            np.concatenate(each)[: self._count][self._counted] for each in zip(*found, strict=True)
        )
        return scores, labels

    @property
    def groups(self) -> NDArray[np.int64]:
        """The (patients, groupings) places of the groups of those who are scored."""
        return self._groups[self._counted]

    def of_records(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the (records, outputs) outputs for encoded inputs that belong to no patient."""
        return self._outputs(features)

    def _outputs_at(self, index: Index, present: NDArray[np.bool_]) -> NDArray[np.float32]:
        features = self._features[index]
        features *= present.reshape(*present.shape, *[1] * (features.ndim - 2))
        return self._outputs(features.reshape(-1, *features.shape[2:])).reshape(*index.shape, -1)
