"""What every task promises: its gradient, its scores, and the bound on one patient."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses.dice import DiceLoss
from monai.metrics.meandice import DiceMetric
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)
from torch.nn import functional

from compliance.facts.figures import TASK_FIGURES
from coordinator.rounds.evaluation.registry import READERS
from pipelines.tasks.task import TaskDefinition
from protocol.study.task.task import LABEL_FORMS, Task
from protocol.vectors.evaluation import COUNT_UNITS, EVALUATION_VECTORS
from tests.support.simulated.tasks import CLASSES, COX, DEFINITIONS, GROUPS, MASK

#: The kinds of all members of the union that a study's section ``task`` is.
KINDS = {
    get_args(get_args(member)[0].model_fields["kind"].annotation)[0]
    for member in get_args(get_args(Task)[0])
}


def test_every_kind_that_a_study_may_name_is_defined_in_every_room() -> None:
    for declared in (LABEL_FORMS, READERS, TASK_FIGURES):
        assert set(declared) == KINDS
    for declared in (DEFINITIONS, EVALUATION_VECTORS):  # what counts columns has no network
        assert set(declared) == KINDS - {"statistics", "monitoring"}


def labels_of(task: TaskDefinition, random: np.random.Generator, *shape: int) -> np.ndarray:
    drawn = task.drawn_labels(random, int(np.prod(shape)))
    return drawn.reshape(*shape, *drawn.shape[1:])


def outputs_of(task: TaskDefinition, random: np.random.Generator, records: int) -> torch.Tensor:
    """What a network may give for so many records: of a segmentation for each of their pixels."""
    labels = task.drawn_labels(random, 1)
    pixels = labels.shape[1:] if labels.ndim > 2 else ()
    drawn = random.normal(0, 3, (records, task.outputs, *pixels))
    return torch.from_numpy(drawn.astype(np.float32))


def scores_of(
    task: TaskDefinition, random: np.random.Generator, values: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Patients' scores and labels; ``values`` are taken as they are where a task allows it."""
    if labels.ndim <= 2:
        if task.outputs > 1:
            values = values[:, None] * random.normal(size=(1, task.outputs))
        return values, labels.astype(np.float64)
    outputs = outputs_of(task, random, len(labels)).flatten(1)[:, None].numpy().astype(np.float64)
    ones = np.ones((len(labels), 1), np.float32)
    return task.scores(outputs, labels[:, None].astype(np.float32), ones)


@pytest.mark.parametrize("kind", DEFINITIONS)
@pytest.mark.parametrize("records", [1, 63, 64, 65, 200])
def test_errors_are_the_gradient_of_the_loss(kind: str, records: int) -> None:
    task, random = DEFINITIONS[kind], np.random.default_rng(records)
    outputs = outputs_of(task, random, records)
    labels = torch.from_numpy(labels_of(task, random, records))
    weights = torch.from_numpy(random.random(records).astype(np.float32))
    before = outputs.clone()
    errors = task.errors(outputs, labels, weights)
    assert torch.equal(outputs, before)
    (slow,) = torch.autograd.grad(task.loss(outputs.requires_grad_(), labels, weights), outputs)
    assert errors.shape == outputs.shape
    torch.testing.assert_close(errors, slow, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_a_row_of_errors_follows_from_that_row_alone(kind: str) -> None:
    task, random = DEFINITIONS[kind], np.random.default_rng(0)
    outputs = outputs_of(task, random, 100)
    labels, weights = torch.from_numpy(labels_of(task, random, 100)), torch.ones(100)
    whole = task.errors(outputs, labels, weights)
    for first in (1, 37, 99):
        less = task.errors(outputs[first:], labels[first:], weights[first:])
        assert torch.equal(less, whole[first:])


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_a_place_of_weight_0_does_not_count_for_its_patient(kind: str) -> None:
    task, random = DEFINITIONS[kind], np.random.default_rng(0)
    outputs = outputs_of(task, random, 15).reshape(5, 3, -1).numpy().astype(np.float64)
    labels = labels_of(task, random, 5, 3)
    weights = np.tile(np.array([0.5, 0.5, 0.0], np.float32), (5, 1))
    found = task.scores(outputs, labels, weights)
    outputs[:, 2], labels[:, 2] = np.nan, 1.0
    for given_, again in zip(found, task.scores(outputs, labels, weights), strict=True):
        np.testing.assert_array_equal(given_, again)


@pytest.mark.parametrize("kind", DEFINITIONS)
@given(
    scores=st.lists(st.floats(allow_nan=True, width=32), min_size=1, max_size=12),
    seed=st.integers(0, 2**16),
    bins=st.sampled_from([4, 7, 16]),
)
@settings(deadline=None, max_examples=60)
def test_one_patient_changes_the_counts_by_the_declared_bound(
    kind: str, scores: list[float], seed: int, bins: int
) -> None:
    task, pooled = DEFINITIONS[kind], EVALUATION_VECTORS[kind](bins, GROUPS[kind])
    vector = pooled.with_parts(site_bins=bins, groups=(2,), group_bins=bins)
    random = np.random.default_rng(seed)
    values, labels = scores_of(task, random, np.array(scores), labels_of(task, random, len(scores)))
    reference = random.normal(size=(8, task.outputs))
    gone = int(random.integers(len(values)))
    stay = np.arange(len(values)) != gone
    by_group = math.sqrt(vector.influence**2 - pooled.influence**2)
    for count, size, bound in (
        (task.counts, pooled.size, pooled.influence),
        (task.own, math.prod(vector.own_shape), vector.own_influence),
        (task.group, math.prod(vector.group_shape), by_group),
    ):
        whole = count(values, labels, reference, bins)
        rest = count(values[stay], labels[stay], reference, bins)
        assert whole.size == size
        assert np.linalg.norm(whole - rest) <= bound * COUNT_UNITS + 1e-6
    assert task.grid(reference).size == 2


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_figures_of_no_patient_are_not_available(kind: str) -> None:
    task, none = DEFINITIONS[kind], np.array([])
    scores = none if task.outputs == 1 else np.zeros((0, 6))
    assert set(task.exact(scores, none).values()) == {None}


def test_exact_figures_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(4)
    classes, numbers = DEFINITIONS["multiclass_classification"], DEFINITIONS["regression"]
    labels = labels_of(classes, random, 300).astype(np.float64)
    scores = random.normal(size=(300, CLASSES)) + 2 * np.eye(CLASSES)[labels.astype(int)]
    found, told = classes.exact(scores, labels), scores.argmax(axis=1)
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, told))
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, told))
    values = labels_of(numbers, random, 300).astype(np.float64)
    predicted = np.clip(values + random.normal(0, 0.3, 300), -2.5, 2.5)
    found = numbers.exact(predicted, values)
    assert found["r2"] == pytest.approx(r2_score(values, predicted))
    assert found["mae"] == pytest.approx(20 * mean_absolute_error(values, predicted))
    assert found["rmse"] == pytest.approx(20 * root_mean_squared_error(values, predicted))


def test_the_mean_auroc_is_that_of_scikit_learn() -> None:
    task, random = DEFINITIONS["multilabel_classification"], np.random.default_rng(5)
    labels = labels_of(task, random, 200).astype(np.float64)
    scores = labels + random.normal(size=labels.shape)
    found = task.exact(scores, labels)
    assert found["mean_auroc"] == pytest.approx(roc_auc_score(labels, scores))
    labels[:, 1] = 0
    assert task.exact(scores, labels)["mean_auroc"] is None


def test_errors_beyond_the_bound_count_as_the_bound() -> None:
    task = DEFINITIONS["regression"]
    far, end = np.array([50.0, -50.0]), np.array([5.0, -5.0])
    labels = np.array([1.0, -1.0])
    assert task.exact(far, labels) == task.exact(end, labels)
    for count in (task.counts, task.own):
        one, other = (count(s, labels, s[:, None], 8) for s in (far, end))
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("records", [1, 2, 65, 200])
def test_coxs_errors_are_the_gradient_of_its_loss(records: int) -> None:
    random = np.random.default_rng(records)
    outputs = torch.from_numpy(random.normal(0, 2, (records, 1)).astype(np.float32))
    labels = torch.from_numpy(labels_of(COX, random, records).round(1))  # with ties
    weights = torch.from_numpy(random.integers(0, 3, records).astype(np.float32) / 2)
    errors = COX.errors(outputs, labels, weights)
    (slow,) = torch.autograd.grad(COX.loss(outputs.requires_grad_(), labels, weights), outputs)
    torch.testing.assert_close(errors, slow, rtol=1e-4, atol=1e-6)


def test_coxs_loss_is_the_partial_likelihood_that_breslow_gives_for_ties() -> None:
    outputs = torch.tensor([[0.5], [-1.0], [0.3], [2.0]])
    labels, one = torch.tensor([1.0, 1.0, -1.0, 3.0]), torch.ones(4)
    among = float(outputs.logsumexp(dim=0))
    expected = (among - 0.5) + (among + 1.0) + (2.0 - 2.0)
    assert float(COX.loss(outputs, labels, one)) == pytest.approx(expected, abs=1e-5)


def test_the_linear_form_of_a_task_that_couples_has_its_gradient_and_keeps_records_apart() -> None:
    random = np.random.default_rng(0)
    outputs = torch.from_numpy(random.normal(size=(50, 1)).astype(np.float32))
    labels, weights = torch.from_numpy(labels_of(COX, random, 50)), torch.ones(50)
    own, one = COX.errors(outputs, labels, weights), COX.by_record
    assert not one.couples and one.by_record is one
    torch.testing.assert_close(one.errors(outputs, own[:, 0], weights), own)
    (slow,) = torch.autograd.grad(one.loss(outputs.requires_grad_(), own[:, 0], weights), outputs)
    torch.testing.assert_close(slow, own)


def test_a_hazard_counts_intervals_that_were_observed_whole_or_hold_the_event() -> None:
    task = DEFINITIONS["survival"]
    logits = torch.tensor([np.log(h / (1 - h)) for h in (0.1, 1 / 9, 0.25)])
    risk = logits.sigmoid()
    cases = {  # signed time: the gradient at output 0, for times 1, 2 and 4
        0.5: risk[0] - 1,
        -0.5: 0.0,
        1.0: risk[0] + risk[1] - 1,
        -1.0: risk[0],
        -3.9: risk[0] + risk[1],
        4.0: risk.sum(),
        -9.0: risk.sum(),
    }
    labels = torch.tensor(list(cases))
    errors = task.errors(torch.zeros(len(cases), 1), labels, torch.ones(len(cases)))
    torch.testing.assert_close(errors[:, 0], torch.tensor([float(x) for x in cases.values()]))


def test_a_patients_label_is_that_of_the_record_observed_longest() -> None:
    task, weights = DEFINITIONS["survival"], np.full((3, 2), 0.5, np.float32)
    labels = np.array([[-5.0, 3.0], [2.0, -2.0], [-1.0, -4.0]], np.float32)
    _, own = task.scores(np.zeros((3, 2, 1)), labels, weights)
    assert own.tolist() == [-5.0, 2.0, -4.0]


def test_a_segmentation_is_scored_as_monai_does() -> None:
    task, random = DEFINITIONS["segmentation"], np.random.default_rng(3)
    labels = np.where(random.random((20, *MASK)) < 0.1, 2.0, random.integers(2, size=(20, *MASK)))
    outputs = outputs_of(task, random, 20) + 4 * functional.one_hot(
        torch.from_numpy(labels).long(), CLASSES
    ).movedim(-1, 1)
    metric = DiceMetric(include_background=False, reduction="mean_batch")
    chosen = functional.one_hot(outputs.argmax(dim=1), CLASSES).movedim(-1, 1)
    metric(chosen, functional.one_hot(torch.from_numpy(labels).long(), CLASSES).movedim(-1, 1))
    scores, own = task.scores(
        outputs.flatten(1)[:, None].numpy().astype(np.float64),
        labels[:, None].astype(np.float32),
        np.ones((20, 1), np.float32),
    )
    expected = float(metric.aggregate().mean())
    assert task.exact(scores, own)["dice"] == pytest.approx(expected, abs=1e-6)


def test_a_segmentations_loss_is_monais_dice_and_cross_entropy() -> None:
    task, random = DEFINITIONS["segmentation"], np.random.default_rng(3)
    outputs, labels = outputs_of(task, random, 1), torch.from_numpy(labels_of(task, random, 1))
    dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True)
    expected = dice(outputs, labels[:, None]) + functional.cross_entropy(outputs, labels.long())
    assert float(task.loss(outputs, labels, torch.ones(1))) == pytest.approx(
        float(expected), abs=1e-5
    )


def test_coxs_errors_of_logits_far_apart_are_numbers() -> None:
    outputs, labels = torch.tensor([[0.0], [-800.0], [700.0]]), torch.tensor([1.0, 2.0, 3.0])
    errors = COX.errors(outputs, labels, torch.ones(3))
    (slow,) = torch.autograd.grad(
        COX.loss(outputs.requires_grad_(), labels, torch.ones(3)), outputs
    )
    assert errors.isfinite().all()
    torch.testing.assert_close(errors, slow, atol=1e-6, rtol=1e-4)
