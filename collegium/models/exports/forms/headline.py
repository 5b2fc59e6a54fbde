"""Exact figures of forms over a simulation's test patients: the price of a form, where known.

Only a simulation has all hospitals' records in one place, and only there an exact figure may leave.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from collegium.models.exports.forms.form import Outputs, WrittenForm
from collegium.models.exports.forms.network import BuiltModel, outputs_of
from collegium.models.exports.released import ReleasedModel
from compliance.facts.figures import TASK_FIGURES
from protocol.errors import PolicyRefused
from protocol.study.study_file import index_beside

if TYPE_CHECKING:
    from pipelines.records import Records


class SimulatedHeadline:
    """The headline of a simulation's test patients, by the model and by forms of it.

    Args:
        released: the model, of a simulated run.
        data: the folder of the records that the study names.

    Raises:
        PolicyRefused: the run is no simulation.
        CohortRefused: the records do not fit the study.
    """

    def __init__(self, released: ReleasedModel, data: Path) -> None:
        from collegium.simulation.records import joined, read_hospitals

        if not released.dossier.simulation:
            raise PolicyRefused(
                f"run {released.snapshot.run} is no simulation: what a form costs on patients is "
                "measured in the hospitals, and leave --data out here"
            )
        self._study = released.study
        hospitals = read_hospitals(self._study, index_beside(self._study, data), data)
        self._test: Records = joined(test for _, test in hospitals.values())
        self.name = TASK_FIGURES[self._study.task.kind].headline.name

    def compared(self, built: BuiltModel, written: WrittenForm) -> dict[str, str | float | None]:
        """Returns the exact headline by the model and by a form; None where there is none."""
        return {
            "figure": self.name,
            "model": self._of(lambda inputs: outputs_of(built.module, inputs)),
            "form": self._of(written.run),
            "patients": self._test.num_patients,
        }

    def _of(self, run: Callable[[Outputs], Outputs]) -> float | None:
        from pipelines.tasks.registry import task_of
        from silos.training.steps.step_form import PatientRecords

        learned = task_of(self._study.task, self._study.cohort)
        most = self._study.records_per_patient
        test = self._test
        index, weights = PatientRecords(test.patients, most).all(test.num_patients)
        inputs = np.asarray(test.features[index.reshape(-1)], dtype=np.float32)
        outputs = run(inputs).reshape(*index.shape, -1).astype(np.float64)
        scores, labels = learned.scores(outputs, test.labels[index], weights)
        return learned.exact(scores, labels).get(self.name)
