"""The federation's model beside one that a hospital trains alone, on its own test patients.

It runs in the process that trains (``training_process.py``); only figures come
back. They are exact, so they protect nobody and are for this hospital alone.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from compliance.facts.figures import TASK_FIGURES
from pipelines.evaluation.compared_models import compared_models
from pipelines.evaluation.exact_intervals import ExactFigure
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


@recipe_failures()
def compare(
    study: Study,
    site: str,
    train: Records,
    test: Records,
    model: Tensors,
    personalised: Tensors | None = None,
) -> dict[str, Any]:
    """Returns what the models reach on the test patients, and how the hospital's own was made.

    Args:
        study: the network, where it begins, and the seed of its own training.
        site: whose records these are.
        train, test: the hospital's parts, by the study's split.
        model: the federation's final parameters.
        personalised: the hospital's, where the run's strategy gave it one.

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
    scores, pairs = {"federated": [federated], "own": [own]}, [("federated", "own")]
    if personalised is not None:
        load_parameters(theirs, personalised)
        scores["personalised"] = [_scores(theirs, study, site, test)[0]]
        pairs += [("personalised", "federated"), ("personalised", "own")]
    headline = TASK_FIGURES[study.task.kind].headline
    found = compared_models(
        scores,
        labels,
        exact=learned.exact,
        headline=headline,
        pairs=pairs,
        seed=study.seeds.model,
    )
    is_binary = isinstance(study.task, BinaryClassification)
    return {
        "test_patients": len(labels),
        "test_positive": int((labels > 0).sum()) if is_binary else None,
        "headline": headline.name,
        **{name: _told(found.figures[name]) for name in scores},
        "own": _told(found.figures["own"]) | {"trained": vars(made)},
        **{f"{first}_less_{other}": vars(found.leads[first, other]) for first, other in pairs},
    }


def _scores(module: nn.Module, study: Study, site: str, test: Records) -> tuple[Floats, Floats]:
    places = study.site(site).patients
    learned, most = task_of(study.task, study.cohort), study.records_per_patient
    return PatientScores(module, learned, test, places=places, most=most)()


def _told(figures: Mapping[str, ExactFigure]) -> dict[str, Any]:
    return {name: vars(figure) for name, figure in figures.items()}
