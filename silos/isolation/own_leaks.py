"""The leaks of the federation's model about a hospital's own training patients, for itself alone.

It runs in the process that trains (``training_process.py``); only figures come back. They are
exact: a release that no budget has paid for, so they stay in the hospital.
"""

from dataclasses import asdict
from typing import Any

import numpy as np

from pipelines.attacks.extraction import exposure_of_own
from pipelines.attacks.losses import LossOf, couples_records, losses_under, patient_confidences
from pipelines.attacks.membership import Membership, halves, measure, rmia
from pipelines.gradients.local_training import train_alone
from pipelines.networks.networks import build, parameters_of
from pipelines.recipes.loading import recipe_failures
from pipelines.records import Records
from pipelines.tasks.registry import task_of
from protocol.errors import PolicyRefused
from protocol.study.study import Study
from protocol.vectors.tensors import Tensors

#: Models that are trained here, without the others, to compare the federation's with.
_REFERENCES = 4
#: Of each part so many patients at most.
_MOST = 500
_FEWEST = 10


@recipe_failures()
def leaks(
    study: Study,
    site: str,
    train: Records,
    test: Records,
    model: Tensors,
    _personalised: Tensors | None = None,
) -> dict[str, Any]:
    """Returns how well the model tells training patients from test patients, and extraction.

    Args:
        study: the network, and the seed of what is drawn: equal arguments give equal figures.
        site: whose records these are.
        train, test: the hospital's parts: members, and patients whom no step has drawn.
        model: the federation's final parameters.

    Raises:
        PolicyRefused: the task couples records, or a part has too few patients.
        MessageRefused: the parameters are not this network's.
    """
    if couples_records(study):
        raise PolicyRefused(
            "the study's loss of a record depends on other records: no patient's can be looked at "
            "alone"
        )
    if min(train.num_patients, test.num_patients) < _FEWEST:
        raise PolicyRefused(
            f"site {site}: {train.num_patients} training and {test.num_patients} test patients: "
            f"{_FEWEST} of each are needed to tell them apart"
        )
    random = np.random.default_rng(study.seeds.model)
    inside, outside = (_some(part, random) for part in (train, test))
    losses = losses_under(study, model)
    exposure = exposure_of_own(losses, study.cohort, train, test, random)
    by_loss, by_references = _membership(study, losses, inside, outside, random)
    return {
        "training_patients": inside.num_patients,
        "test_patients": outside.num_patients,
        "membership": {"loss": _told(by_loss), "references": _told(by_references)},
        "extraction": None if exposure is None else asdict(exposure),
    }


def _membership(
    study: Study, losses: LossOf, inside: Records, outside: Records, random: np.random.Generator
) -> tuple[Membership, Membership]:
    """Returns the attack by loss alone, and with reference models that are trained here."""
    both = _together(inside, outside)
    members = np.arange(both.num_patients) < inside.num_patients
    own = patient_confidences(losses, both)
    by_loss = measure("LOSS", own[None], members[None], random)
    learned, rows = task_of(study.task, study.cohort), [own]
    halved = halves(_REFERENCES, both.num_patients, random)
    for place, who in enumerate(halved):
        module = build(study.task, study.cohort, study.seeds.model)
        train_alone(module, learned, both.take(who[both.patients]), study.seeds.model + place)
        reference = losses_under(study, parameters_of(module))
        rows.append(patient_confidences(reference, both))
    everybody = np.vstack([members, halved])
    found = rmia(np.stack(rows), everybody)[:1]
    return by_loss, measure("RMIA", found, members[None], random)


def _some(part: Records, random: np.random.Generator) -> Records:
    kept = random.permutation(part.num_patients) < _MOST
    return part.take(kept[part.patients])


def _together(inside: Records, outside: Records) -> Records:
    """Returns both parts as one, read into memory: they are few."""
    parts = (inside, outside)
    return Records(
        features=np.concatenate([part.features[:] for part in parts]),
        labels=np.concatenate([part.labels[:] for part in parts]),
        patients=np.concatenate([inside.patients, outside.patients + inside.num_patients]),
        patient_keys=tuple(
            f"{place}/{key}" for place, part in enumerate(parts) for key in part.patient_keys
        ),
        rows=np.concatenate([part.rows for part in parts]),
    )


def _told(found: Membership) -> dict[str, Any]:
    return {
        "attack": found.attack,
        "auroc": asdict(found.auroc),
        "true_alarms_at_1_percent": asdict(found.true_alarms),
        "advantage": asdict(found.advantage),
    }
