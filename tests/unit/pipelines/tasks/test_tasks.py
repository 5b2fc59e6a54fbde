"""What every task promises: its gradient, its scores, and the bound on one patient."""

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.tasks.registry import TASKS
from protocol.study.task import Task
from protocol.vectors.evaluation import EVALUATION_VECTORS

KINDS = get_args(Task.model_fields["kind"].annotation)


def test_every_kind_that_a_study_may_name_is_defined_in_both_rooms() -> None:
    assert set(TASKS) == set(EVALUATION_VECTORS) == set(KINDS)


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("records", [1, 63, 64, 65, 200])
def test_errors_are_the_gradient_of_the_loss(kind: str, records: int) -> None:
    task, random = TASKS[kind], np.random.default_rng(records)
    outputs = torch.from_numpy(random.normal(0, 3, (records, task.outputs)).astype(np.float32))
    labels = torch.from_numpy((random.random(records) < 0.5).astype(np.float32))
    weights = torch.from_numpy(random.random(records).astype(np.float32))
    before = outputs.clone()
    errors = task.errors(outputs, labels, weights)
    assert torch.equal(outputs, before)
    (slow,) = torch.autograd.grad(task.loss(outputs.requires_grad_(), labels, weights), outputs)
    assert errors.shape == outputs.shape
    torch.testing.assert_close(errors, slow, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", TASKS)
def test_a_row_of_errors_follows_from_that_row_alone(kind: str) -> None:
    task, random = TASKS[kind], np.random.default_rng(0)
    outputs = torch.from_numpy(random.normal(0, 3, (100, task.outputs)).astype(np.float32))
    labels, weights = torch.zeros(100), torch.ones(100)
    whole = task.errors(outputs, labels, weights)
    for first in (1, 37, 99):
        less = task.errors(outputs[first:], labels[first:], weights[first:])
        assert torch.equal(less, whole[first:])


@pytest.mark.parametrize("kind", TASKS)
def test_a_place_of_weight_0_does_not_count_for_its_patient(kind: str) -> None:
    task, random = TASKS[kind], np.random.default_rng(0)
    outputs = random.normal(size=(5, 3, task.outputs))
    labels = (random.random((5, 3)) < 0.5).astype(np.float32)
    weights = np.tile(np.array([0.5, 0.5, 0.0], np.float32), (5, 1))
    found = task.scores(outputs, labels, weights)
    outputs[:, 2], labels[:, 2] = np.nan, 1.0
    for given_, again in zip(found, task.scores(outputs, labels, weights), strict=True):
        np.testing.assert_array_equal(given_, again)


@pytest.mark.parametrize("kind", TASKS)
@given(
    scores=st.lists(st.floats(allow_nan=True, width=32), min_size=1, max_size=12),
    seed=st.integers(0, 2**16),
    bins=st.sampled_from([4, 7, 16]),
)
@settings(deadline=None, max_examples=60)
def test_one_patient_changes_the_counts_by_the_declared_bound(
    kind: str, scores: list[float], seed: int, bins: int
) -> None:
    task, vector = TASKS[kind], EVALUATION_VECTORS[kind](bins)
    random = np.random.default_rng(seed)
    values, labels = np.array(scores), (random.random(len(scores)) < 0.5).astype(np.float64)
    reference = random.normal(size=(8, task.outputs))
    *whole, public = task.counts(values, labels, reference, bins)
    assert whole[0].shape == vector.shape
    gone = int(random.integers(len(values)))
    stay = np.arange(len(values)) != gone
    *rest, same = task.counts(values[stay], labels[stay], reference, bins)
    np.testing.assert_array_equal(public, same)
    for before, after in zip(whole, rest, strict=True):
        assert np.linalg.norm(before - after) <= vector.influence


@pytest.mark.parametrize("kind", TASKS)
def test_figures_of_no_patient_are_not_available(kind: str) -> None:
    none = np.array([])
    assert set(TASKS[kind].exact(none, none).values()) == {None}
