"""A step of a task that couples patients: the gradient of all of a step's records together."""

import numpy as np
import pytest
import torch

from pipelines.networks.networks import build
from pipelines.tasks.registry import task_of
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.vectors.tensors import flatten
from silos.training.steps.step_form import PatientRecords, StepForm
from silos.training.worker import Worker
from tests.support.simulated.studies import SURVIVAL_STUDY

PRIVATE = "{mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}"


def cox_study(micro_batch: int, records: int = 1) -> Study:
    text = SURVIVAL_STUDY.replace("kind: survival", "kind: survival\n  loss: cox")
    text = text.replace(PRIVATE, "{mode: none, sampling_rate: 1.0}")
    text = text.replace("min_patients: 4", f"min_patients: 4\n  max_records_per_patient: {records}")
    return read_study(text.replace("micro_batch: 8", f"micro_batch: {micro_batch}"))


@pytest.mark.parametrize("records", [1, 2])
@pytest.mark.parametrize("micro_batch", [4, 8, 64])
def test_its_sum_is_the_gradient_of_coxs_loss_over_the_whole_step(
    micro_batch: int, records: int
) -> None:
    study, random = cox_study(micro_batch, records), np.random.default_rng(0)
    form, patients = StepForm.of(study, "east"), np.repeat(np.arange(30), records)
    features = random.normal(size=(len(patients), 3)).astype(np.float32)
    labels = task_of(study.task, study.cohort).drawn_labels(random, len(patients))
    drawn = PatientRecords(patients, form.records).drawn(
        np.arange(30), form, np.zeros(1000, dtype=np.uint64)
    )
    module = build(study.task, study.cohort, study.seeds.model)
    parameters = flatten({n: p.detach().numpy() for n, p in module.named_parameters()})
    worker = Worker(study, form, features, labels)
    found = sum(worker.plain(parameters.astype(np.float64), drawn))
    weights = torch.full((len(patients),), 1 / records)
    loss = task_of(study.task, study.cohort).loss(
        module(torch.from_numpy(features)), torch.from_numpy(labels), weights
    )
    owned = [parameter for _, parameter in sorted(module.named_parameters())]
    expected = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, owned)])
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_a_step_without_an_event_changes_nothing() -> None:
    study, random = cox_study(8), np.random.default_rng(0)
    form = StepForm.of(study, "east")
    features = random.normal(size=(20, 3)).astype(np.float32)
    drawn = PatientRecords(np.arange(20), form.records).drawn(
        np.arange(20), form, np.zeros(1000, dtype=np.uint64)
    )
    worker = Worker(study, form, features, np.full(20, -1.0, np.float32))
    module = build(study.task, study.cohort, study.seeds.model)
    size = sum(p.numel() for p in module.parameters())
    assert not np.any(sum(worker.plain(np.zeros(size), drawn)))
