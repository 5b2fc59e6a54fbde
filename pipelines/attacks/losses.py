"""The loss of each record under given parameters: what attacks on a released model look at."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.networks.networks import build, load_parameters
from pipelines.recipes.loading import recipe_failures
from pipelines.records import Records
from pipelines.tasks.registry import task_of
from protocol.study.study import Study
from protocol.vectors.tensors import Tensors

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
#: Returns the (records,) losses of features and labels.
LossOf = Callable[[Singles, Singles], Floats]

_AT_ONCE = 256
#: Beyond this loss nothing is told apart; below it, a record is known by heart.
_LARGEST, _SMALLEST = 700.0, 1e-12


def couples_records(study: Study) -> bool:
    """Whether the study's loss of a record depends on other records, so that none has its own."""
    return task_of(study.task, study.cohort).couples


def losses_under(study: Study, model: Tensors) -> LossOf:
    """Returns what computes the loss of records under a study's network with these parameters.

    Raises:
        ValueError: the task couples records, see ``couples_records``.
        MessageRefused: the parameters are not this network's.
    """
    learned = task_of(study.task, study.cohort)
    if learned.couples:
        raise ValueError("where records are coupled, none has a loss of its own")
    module = build(study.task, study.cohort, study.seeds.model)
    load_parameters(module, model)
    module.eval()
    alone = torch.ones(1)

    @recipe_failures()
    def losses(features: Singles, labels: Singles) -> Floats:
        found = np.zeros(len(features))
        with torch.no_grad():
            for begin in range(0, len(features), _AT_ONCE):
                part = slice(begin, begin + _AT_ONCE)
                outputs = module(torch.from_numpy(np.ascontiguousarray(features[part])))
                known = torch.from_numpy(np.ascontiguousarray(labels[part]))
                found[part] = [
                    float(learned.loss(outputs[at : at + 1], known[at : at + 1], alone))
                    for at in range(len(known))
                ]
        return found

    return losses


def patient_confidences(losses: LossOf, records: Records) -> Floats:
    """Returns how sure the model is of each patient's labels: the logit of exp(-loss).

    Of a patient with several records by the mean of their losses. Of two classes and one record it
    is the logit of the true class.

    Source: Carlini et al. 2022, arXiv 2112.03570, section V.A.
    """
    each = losses(records.features[:], records.labels[:])
    means = np.bincount(records.patients, weights=each) / np.bincount(records.patients)
    finite = np.nan_to_num(means, nan=_LARGEST, posinf=_LARGEST)
    return np.asarray(-np.log(np.expm1(np.clip(finite, _SMALLEST, _LARGEST))))
