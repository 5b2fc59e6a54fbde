"""The counter of one hospital's columns, in the place that a trainer has in other studies.

It has no network: its model is empty, and no gradient is ever computed. What it counts goes the
way of an evaluation's counts.
"""

from collections.abc import Iterator
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from compliance.privacy.events import SampledGaussian
from pipelines.cohort.column_counter import ColumnCounter
from pipelines.records import Records
from protocol.encoding import digest_json
from protocol.errors import OutOfOrder
from protocol.study.study import Study
from protocol.study.task.statistics import Statistics
from protocol.vectors.column_counts import PATIENTS, size_of
from protocol.vectors.tensors import Tensors
from silos.training.randomness import Entropy, RoundInput
from silos.training.steps.step_form import PatientRecords

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

#: Numbers of patients' records that are in memory at once.
_NUMBERS = 1 << 21


class ColumnTrainer:
    """Counts every patient of one hospital, for one study.

    As many places are counted as the study declares patients, zeros in place of those who are not
    there, so that neither the time nor the form of the work tells how many the hospital has. Of a
    patient with more records than the study uses the first count.

    Args:
        study: the study, whose task is ``statistics``.
        site: the hospital.
        train, test: its parts of the records: none, and all.
    """

    def __init__(self, study: Study, site: str, train: Records, test: Records) -> None:
        if not isinstance(study.task, Statistics):
            raise ValueError(f"task {study.task.kind} counts no columns")
        self._counter = ColumnCounter(study.task, study.cohort)
        self._features, self._labels = (
            values if len(test) else np.zeros((1, *values.shape[1:]), dtype=np.float32)
            for values in (test.features, test.labels)
        )
        self.num_train_patients, self.num_test_patients = train.num_patients, test.num_patients
        places, most = study.site(site).patients, study.records_per_patient
        laid_out = PatientRecords(test.patients, most).all(max(places, test.num_patients))
        self._index, self._weights = laid_out
        self._counted = np.ones(test.num_patients, dtype=bool)
        self._at_once = max(1, _NUMBERS // (most * max(1, test.features.shape[1])))
        self.engine = ""
        self.dataset_digest = digest_json([train.digest, test.digest])

    def leave_out(self, train: Ints, test: Ints) -> None:
        """Counts these patients, by their numbers in each part, no more from now on."""
        self._counted[test] = False
        self._weights[test] = 0
        self._index[test] = 0

    def initial_model(self) -> Tensors:
        """Returns the model of a study that learns nothing: no parameter."""
        return {}

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
        raise OutOfOrder("a statistics study has no round of training")

    noised_sum = update

    def counts(self, model: Tensors, own: Tensors | None = None) -> tuple[Ints, Ints, Ints]:
        """Returns the columns' counts for the secure sum, the hospital's patients, and zeros.

        Guarantee: one patient changes the first by the influence of ``study.evaluation_vector``
        at most, and the second by one.
        """
        counts = np.zeros(size_of(self._counter.columns), dtype=np.int64)
        begin = 0
        for values in self._values():
            counted = self._counted[begin : begin + len(values)]
            counts += self._counter.counts(values[: len(counted)][counted])
            begin += len(values)
        return counts, np.array([counts[PATIENTS], 0, 0, 0]), np.zeros(2, dtype=np.int64)

    def patient_scores(self, model: Tensors) -> tuple[Floats, Floats]:
        """Returns each patient's (columns,) values, and zeros; they stay in the hospital."""
        values = np.concatenate(list(self._values()))[: self.num_test_patients][self._counted]
        return values, np.zeros(len(values))

    def groups(self) -> Ints:
        """Returns no groups of patients: (patients, 0)."""
        return np.zeros((int(self._counted.sum()), 0), dtype=np.int64)

    def _values(self) -> Iterator[Floats]:
        """Yields the (places, columns) values, some places at a time."""
        for features, labels, weights in self._parts():
            yield self._counter.values(features, labels, weights)

    def _parts(self) -> Iterator[tuple[Singles, Singles, Singles]]:
        """Yields features, labels and weights of some places at a time."""
        for begin in range(0, len(self._index), self._at_once):
            part = slice(begin, begin + self._at_once)
            index = self._index[part]
            shape = (*index.shape, -1)
            features = self._features[index.reshape(-1)].reshape(shape)
            labels = self._labels[index.reshape(-1)].reshape(shape)
            yield features, labels, self._weights[part]
