"""The counts of one hospital's test patients by a network, which the evaluation noises."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pipelines.gradients.device import enough_memory
from pipelines.networks.networks import load_parameters
from pipelines.networks.reference_inputs import reference_inputs
from pipelines.recipes.loading import recipe_failures
from pipelines.records import Records
from pipelines.tasks.registry import task_of
from protocol.encoding import digest
from protocol.study.study import Study
from protocol.vectors.tensors import Tensors
from silos.training.counting.patient_scores import PatientScores

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class ModelScorer:
    """Scores a hospital's test patients for one study.

    Args:
        study: the study.
        site: the hospital.
        test: its test records.
        module: the study's network, on the device where it is evaluated; its parameters are
            overwritten by those of the model that is scored.

    Raises:
        DeviceRefused: the device's memory does not hold the evaluation.
    """

    def __init__(self, study: Study, site: str, test: Records, module: nn.Module) -> None:
        self._study, self._site, self._module = study, site, module
        self._learned = task_of(study.task, study.cohort)
        with recipe_failures(), enough_memory("evaluation"):
            self._scores = PatientScores(
                module,
                self._learned,
                test,
                places=study.site(site).patients,
                most=study.records_per_patient,
                groupings=study.groupings_of(site),
            )

    @property
    def groups(self) -> Ints:
        """The (patients, groupings) places of test patients' groups, -1 for none."""
        return self._scores.groups

    def digests(self, *read: str) -> list[str]:
        """Returns digests of what was read, with that of the groups where any are counted."""
        counts_groups = bool(self._study.groupings_of(self._site))
        return [*read, *([digest(self.groups.tobytes())] if counts_groups else [])]

    def leave_out(self, test: Ints) -> None:
        """Counts these patients, by their numbers in the test part, no more from now on."""
        self._scores.leave_out(test)

    @recipe_failures()
    @enough_memory("evaluation")
    def counts(self, model: Tensors, own: Tensors | None = None) -> tuple[Ints, Ints, Ints]:
        """Returns the task's counts for the secure sum, the hospital's own, and its public numbers.

        Patients are scored by the hospital's ``own`` model where it has one; bins lie where the
        global model puts them, and so are all hospitals'.

        Guarantee: one patient changes each of the first two by the bound of
        ``study.evaluation_vector`` at most, and the third not at all. A patient with several
        records counts once.
        """
        scores, labels = self.patient_scores(model if own is None else own)
        evaluation = self._study.evaluation
        inputs = reference_inputs(self._study.cohort, self._study.seeds.model)
        load_parameters(self._module, model)
        reference = self._scores.of_records(inputs).astype(np.float64)
        counts = [self._learned.counts(scores, labels, reference, self._study.score_bins)]
        for group in self._members():
            members = scores[group], labels[group], reference
            counts.append(self._learned.group(*members, evaluation.group_bins))
        return (
            np.concatenate(counts),
            self._learned.own(scores, labels, reference, evaluation.site_bins),
            self._learned.grid(reference),
        )

    def _members(self) -> Iterator[NDArray[np.bool_]]:
        """Yields who of those that are scored is in each group, grouping by grouping.

        Nobody, where the hospital has declined to count groups.
        """
        found = self._scores.groups
        declined = not self._study.groupings_of(self._site)
        for at, grouping in enumerate(self._study.evaluation.groups.values()):
            for group in range(len(grouping.groups)):
                yield np.zeros(len(found), dtype=bool) if declined else found[:, at] == group

    @recipe_failures()
    @enough_memory("evaluation")
    def patient_scores(self, model: Tensors) -> tuple[Floats, Floats]:
        """Returns each test patient's score and label; they stay in the hospital."""
        load_parameters(self._module, model)
        return self._scores()
