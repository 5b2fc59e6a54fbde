"""Runs the study of a worked template with several seeds; its figure comes of that.

Hospitals, coordinator, training and the secure sum are real, as in a simulation; only the line
between them is in memory, which saves the start of Ray. Noise is a test's: drawn from the seed, so
that the same versions on the same platform come to the same figures again, those of ``collegium
simulate --test-noise --seed SEED``. It is as wide as real noise.
"""

import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from collegium.simulation.exact import _exact_of
from collegium.simulation.settings import simulated_split_key
from collegium.studies.authoring.worked.catalogue import WorkedTemplate
from collegium.studies.authoring.worked.figures import MeasuredFigure
from compliance.facts.figures import TASK_FIGURES
from pipelines.records import Records
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study
from protocol.study.study_file import index_beside
from protocol.transport.privacy_summary import open_summary
from silos.rounds.participation import LocalTrainer
from silos.training.counting.column_trainer import ColumnTrainer
from silos.training.counting.model_evaluator import ModelEvaluator
from silos.training.trainer import Trainer
from tests.long.templates.records import write_records
from tests.support.simulated.federation import Federation, Summary

SEEDS = (1, 2, 3)
#: Seeds of templates that take minutes with each.
FEW_SEEDS: Mapping[str, tuple[int, ...]] = {
    "volumes": (1,), "images-and-table": (1,), "tabular-personalised": (1,),
}  # fmt: skip
_LIBRARIES = ("collegium", "torch", "monai", "numpy")
_BUDGET = 1000.0


@dataclass(frozen=True, kw_only=True)
class TemplateRun:
    """The headline of one run, exact and released, and of how many patients it is."""

    exact: float
    released: float | None
    patients: int


def measured(template: WorkedTemplate, seeds: tuple[int, ...] = ()) -> MeasuredFigure:
    """Returns what a template reaches with each seed; left out, with its usual ones."""
    seeds = seeds or FEW_SEEDS.get(template.name, SEEDS)
    with tempfile.TemporaryDirectory() as place:
        data = Path(place, "records")
        records = write_records(template, data)
        runs = [run_with(template, data, Path(place, f"seed-{seed}"), seed) for seed in seeds]
    study = template.study
    return MeasuredFigure(
        task=study.task.kind,
        epsilon=study.privacy.epsilon if isinstance(study.privacy, PatientPrivacy) else None,
        seeds=seeds,
        exact=tuple(round(run.exact, 6) for run in runs),
        released=tuple(None if run.released is None else round(run.released, 6) for run in runs),
        patients=runs[0].patients,
        study=study.digest,
        records=records,
        versions={"python": platform.python_version()}
        | {name: version(name) for name in _LIBRARIES},
        command=f"python -m tests.long.templates {template.name}",
    )


def run_with(template: WorkedTemplate, data: Path, folder: Path, seed: int) -> TemplateRun:
    """Returns what one run of a template's study comes to on the records in ``data``."""
    folder.mkdir()
    study = template.study.with_seed(seed)
    hospitals = TemplateFederation(template, study, data, folder)
    try:
        outcome = hospitals.run()
        return hospitals.reached(dict(outcome.model), outcome.released.figures)
    finally:
        hospitals.close()


class TemplateFederation(Federation):
    """The hospitals of a template's study, with its records and the keys of a simulation."""

    def __init__(self, template: WorkedTemplate, study: Study, data: Path, folder: Path) -> None:
        seed = study.seeds.model
        super().__init__(
            folder, study, fixed_noise=seed, budget=_BUDGET, trainer=_trainer,
            write=lambda *_: None,
        )  # fmt: skip
        index = index_beside(study, template.index_in or template.document.parent)
        self.invitation = replace(self.invitation, data=data, index_file=index)

    def join(self) -> dict[str, Summary]:
        """Lets every hospital join with its own key of the split."""
        for site, silo in self.silos.items():
            own = replace(self.invitation, split_key=simulated_split_key(self.study, site))
            self.signed_summaries[site] = silo.join(own)
        return {
            site: open_summary(said, self.roster.key_of(site))
            for site, said in self.signed_summaries.items()
        }

    def reached(
        self, model: Mapping[str, np.ndarray], released: Mapping[str, object]
    ) -> TemplateRun:
        """Returns the headline over all test patients, each by the model that its hospital uses."""
        headline = TASK_FIGURES[self.study.task.kind].headline.name
        scores, labels, patients = [], [], 0
        for silo in self.silos.values():
            trainer, own = silo.simulated_part(self.run_id), silo.personal_model(self.run_id, model)
            found = trainer.patient_scores(model if own is None else own)
            scores.append(found[0])
            labels.append(found[1])
            patients += trainer.num_test_patients
        exact = _exact_of(self.study)(np.concatenate(scores), np.concatenate(labels))
        value = getattr(released[headline], "value", None)
        return TemplateRun(
            exact=float(exact[headline]),
            released=None if value is None else float(value),
            patients=patients,
        )


def _trainer(study: Study, site: str, train: Records, test: Records) -> LocalTrainer:
    if not study.has_model:
        return ColumnTrainer(study, site, train, test)
    made = Trainer if study.trains else ModelEvaluator
    return made(study, site, train, test)
