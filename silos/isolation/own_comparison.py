"""The federation's model beside one that a hospital trains alone, on its own test patients.

It runs in the process that trains (``training_process.py``); only figures come
back. They are exact, so they protect nobody and are for this hospital alone.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from compliance.facts.figures import TASK_FIGURES
from pipelines.evaluation.exact_intervals import (
    ExactFigure,
    auroc_difference,
    auroc_interval,
    bootstrapped,
    share_interval,
)
from pipelines.evaluation.metrics import auroc
from pipelines.gradients.local_training import train_alone
from pipelines.networks.networks import build, load_parameters
from pipelines.recipes.loading import recipe_failures
from pipelines.records import Records
from pipelines.tasks.registry import task_of
from protocol.study.study import Study
from protocol.study.task.task import BinaryClassification
from protocol.vectors.tensors import Tensors
from silos.training.counting.patient_scores import PatientScores

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@recipe_failures()
def compare(
    study: Study, site: str, train: Records, test: Records, model: Tensors
) -> dict[str, Any]:
    """Returns what both models reach on the test patients, and how the hospital's own was made.

    Args:
        study: the network, where it begins, and the seed of its own training.
        site: whose records these are.
        train, test: the hospital's parts, by the study's split.
        model: the federation's final parameters.

    Raises:
        MessageRefused: the parameters are not this network's.
    """
    ours = build(study.task, study.cohort, study.seeds.model)
    theirs = build(study.task, study.cohort, study.seeds.model)
    load_parameters(theirs, model)
    learned = task_of(study.task, study.cohort)
    made = train_alone(ours, learned, train, study.seeds.model)
    federated, labels = _scores(theirs, study, site, test)
    own, _ = _scores(ours, study, site, test)
    headline = TASK_FIGURES[study.task.kind].headline
    found = {"test_patients": len(labels), "headline": headline.name}
    if isinstance(study.task, BinaryClassification):
        return {
            **found,
            "test_positive": int((labels > 0).sum()),
            "federated": _reached(federated, labels),
            "own": _reached(own, labels) | {"trained": vars(made)},
            "federated_less_own": vars(auroc_difference(federated, own, labels)),
        }
    seed, count = study.seeds.model, len(labels)

    def exact(scores: Floats, places: Places) -> Mapping[str, float | None]:
        return learned.exact(scores[places], labels[places])

    def lead(places: Places) -> dict[str, float | None]:
        first, second = (exact(scores, places)[headline.name] for scores in (federated, own))
        if first is None or second is None:
            return {headline.name: None}
        return {headline.name: headline.lead(first, second)}

    def redrawn(scores: Floats) -> dict[str, Any]:
        figures = bootstrapped(partial(exact, scores), count, seed)
        return {name: vars(figure) for name, figure in figures.items()}

    return {
        **found,
        "test_positive": None,
        "federated": redrawn(federated),
        "own": redrawn(own) | {"trained": vars(made)},
        "federated_less_own": vars(bootstrapped(lead, count, seed)[headline.name]),
    }


def _scores(module: nn.Module, study: Study, site: str, test: Records) -> tuple[Floats, Floats]:
    places = study.site(site).patients
    learned, most = task_of(study.task, study.cohort), study.records_per_patient
    return PatientScores(module, learned, test, places=places, most=most)()


def _reached(logits: Floats, labels: Floats) -> dict[str, Any]:
    positives = int((labels > 0).sum())
    right = int(((logits > 0) == (labels > 0)).sum())
    area: ExactFigure = auroc_interval(auroc(logits, labels), positives, len(labels) - positives)
    return {"auroc": vars(area), "accuracy": vars(share_interval(right, len(labels)))}
