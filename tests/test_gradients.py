"""Per-patient gradients against one backward at a time; clipping against rational arithmetic."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipelines.gradients import ENGINES, _shorten, clip_to_integers, scores
from protocol.noise_shares import units_for
from pipelines.networks import build, parameters_of
from protocol.contract import ImageCohort, Label, NumberColumn, TableCohort
from protocol.study import ConvClassifier, FullyConnected, Task
from protocol.tensors import flatten
from tests.reference.per_patient_gradients import (
    clipped_exactly,
    exact_norm_squared,
    one_at_a_time,
)

TABLE = TableCohort(
    kind="table",
    patient_key="row",
    columns=tuple(NumberColumn(name=f"x{i}", kind="number", range=(-9, 9)) for i in range(5)),
    label=Label(column="y", positive=(1,), negative=(0,)),
)
IMAGES = ImageCohort.model_validate(
    {
        "kind": "images",
        "patient_key": "row",
        "label": {"positive": [1], "negative": [0]},
        "image": {"shape": [8, 9], "range": [0, 1], "centre": 0, "scale": 1},
    }
)
LOGISTIC = (Task(network=FullyConnected(name="FullyConnectedNet")), TABLE, (5,))
HIDDEN = (Task(network=FullyConnected(name="FullyConnectedNet", hidden=(7, 3))), TABLE, (5,))
PRELU = (
    Task(network=FullyConnected(name="FullyConnectedNet", hidden=(4,), activation="prelu")),
    TABLE,
    (5,),
)
CONVOLUTION = (
    Task(network=ConvClassifier(name="Classifier", channels=(3, 4), strides=(2, 1))),
    IMAGES,
    (1, 8, 9),
)


def batch(shape, counts, seed=0):
    """Returns features, labels and shuffled patients with the given numbers of records."""
    random = np.random.default_rng(seed)
    patients = random.permutation(np.repeat(np.arange(len(counts)), counts))
    features = torch.from_numpy(random.normal(size=(len(patients), *shape)).astype(np.float32))
    labels = torch.from_numpy(random.integers(0, 2, len(patients)).astype(np.float32))
    return features, labels, torch.from_numpy(patients)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", [LOGISTIC, HIDDEN, PRELU, CONVOLUTION])
@pytest.mark.parametrize("counts", [range(1, 21), [1] * 6, [20], [3, 1, 2]])
def test_engine_equals_one_backward_per_record(engine, case, counts):
    task, cohort, shape = case
    module = build(task, cohort, seed=3)
    features, labels, patients = batch(shape, list(counts))
    fast = ENGINES[engine]()(module, features, labels, patients)
    slow = one_at_a_time(module, features, labels, patients.tolist())
    assert fast.dtype == np.float32 and fast.shape == slow.shape
    assert np.abs(fast - slow).max() <= 1e-5 * np.linalg.norm(slow, axis=1).max()


@pytest.mark.parametrize("engine", ENGINES)
def test_engine_leaves_module_and_batch_as_they_were(engine):
    module = build(HIDDEN[0], TABLE, seed=3).eval()
    before = flatten(parameters_of(module))
    features, labels, patients = batch((5,), [2, 1])
    ENGINES[engine]()(module, features, labels, patients)
    assert np.array_equal(flatten(parameters_of(module)), before)
    assert not module.training and not features.requires_grad
    assert all(p.grad is None and not hasattr(p, "grad_sample") for p in module.parameters())


@pytest.mark.parametrize("engine", ENGINES)
def test_engine_answers_an_empty_batch_with_no_rows(engine):
    module = build(HIDDEN[0], TABLE, seed=3)
    features, labels, patients = batch((5,), [])
    rows = ENGINES[engine]()(module, features, labels, patients.long())
    assert rows.shape == (0, flatten(parameters_of(module)).size)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", [HIDDEN, CONVOLUTION])
def test_one_patients_nan_stays_with_that_patient(engine, case):
    task, cohort, shape = case
    module = build(task, cohort, seed=3)
    features, labels, patients = batch(shape, [1, 2, 1])
    clean = ENGINES[engine]()(module, features, labels, patients)
    broken = features.clone()
    broken[0] = float("nan")
    rows = ENGINES[engine]()(module, broken, labels, patients)
    assert not np.isfinite(rows[0]).all()
    assert np.allclose(rows[1:], clean[1:], atol=1e-6)


FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)
ROWS = arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=FLOATS)


@given(rows=ROWS, clip=st.floats(1e-3, 1e3), units=st.sampled_from([1, 3, 100, 2**17, 2**20]))
@settings(max_examples=300, deadline=None)
def test_one_patient_changes_the_sum_by_at_most_units_exactly(rows, clip, units):
    whole, _ = clip_to_integers(rows, clip=clip, units=units)
    for place in range(len(rows)):
        without, _ = clip_to_integers(np.delete(rows, place, axis=0), clip=clip, units=units)
        assert exact_norm_squared(whole - without) <= units**2


@given(
    row=arrays(np.float64, st.integers(1, 8), elements=st.floats(-50, 50)),
    clip=st.floats(0.01, 100),
)
@settings(max_examples=200, deadline=None)
def test_clipping_equals_rational_arithmetic_within_one_unit(row, clip):
    total, _ = clip_to_integers(row[None], clip=clip, units=2**17)
    assert np.abs(total - np.array(clipped_exactly(row, clip, 2**17))).max() <= 1


ADVERSARIAL = {
    "float32 rounds its norm": np.full(10**6, 1e-3, np.float32),
    "equal entries just over": np.full(10**5, np.float32(1 / np.sqrt(10**5)) * np.float32(1.0001)),
    "one giant": np.array([3e38, 1.0, -1.0], np.float32),
    "float64 giant": np.array([1e300, -1e300]),
    "subnormal": np.array([1e-45, 0.0], np.float32),
    "exactly on the bound": np.array([0.6, 0.8]),
    "alternating": np.tile(np.array([1.0, -1.0]), 5000),
}


@pytest.mark.parametrize("units", [2**17, 2**20])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_vector_keeps_the_exact_norm(name, units):
    total, _ = clip_to_integers(ADVERSARIAL[name][None], clip=1.0, units=units)
    assert exact_norm_squared(total) <= units**2


@given(
    rows=arrays(np.int64, (3, 6), elements=st.integers(-(2**22), 2**22)),
    units=st.integers(1, 2**20),
)
def test_exact_check_alone_brings_any_integers_within_the_bound(rows, units):
    shortened = _shorten(rows.copy(), units)
    for before, after in zip(rows, shortened, strict=True):
        assert exact_norm_squared(after) <= units**2
        if exact_norm_squared(before) <= units**2:
            assert np.array_equal(before, after)


def test_exact_check_sees_a_single_unit_too_much():
    rows = np.array([[3, 4, 0], [3, 4, 1]])
    assert np.array_equal(_shorten(rows.copy(), 5)[0], rows[0])
    assert exact_norm_squared(_shorten(rows.copy(), 5)[1]) <= 25


def test_vectors_on_the_bound_lose_almost_nothing():
    row = np.array([[0.6, -0.8]])
    total, unclipped = clip_to_integers(row, clip=1.0, units=2**20)
    assert unclipped == 1
    assert np.allclose(total / 2**20, row[0], atol=3e-6)


def test_truncation_goes_toward_zero_so_that_no_norm_grows():
    total, _ = clip_to_integers(np.array([[0.19, -0.19, 0.05]]), clip=1.0, units=10)
    assert total.tolist() == [1, -1, 0]


def test_clipping_keeps_the_direction_of_a_long_vector():
    row = np.random.default_rng(0).normal(size=(1, 50)) * 1e6
    total, unclipped = clip_to_integers(row, clip=2.0, units=2**20)
    assert unclipped == 0
    assert np.allclose(total / 2**20, row[0] / np.linalg.norm(row), atol=3e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_patient_with_a_value_that_is_not_finite_becomes_zeros(value):
    rows = np.array([[0.5, value], [0.25, 0.0]])
    total, unclipped = clip_to_integers(rows, clip=1.0, units=2**17)
    assert total.tolist() == [2**15, 0] and unclipped == 1


def test_sum_does_not_depend_on_order_or_blocks():
    rows = np.random.default_rng(0).normal(size=(300, 40_000)).astype(np.float32)  # three blocks
    whole, _ = clip_to_integers(rows, clip=1.0, units=2**17)
    halves = [clip_to_integers(half, clip=1.0, units=2**17)[0] for half in (rows[7:], rows[:7])]
    assert np.array_equal(whole, halves[0] + halves[1])


def test_no_patients_sum_to_zeros():
    total, unclipped = clip_to_integers(np.zeros((0, 3), np.float32), clip=1.0, units=4)
    assert total.dtype == np.int64 and total.tolist() == [0, 0, 0] and unclipped == 0


@pytest.mark.parametrize("clip", [0.0, -1.0, float("nan"), float("inf")])
def test_clip_that_bounds_nothing_is_a_mistake(clip):
    with pytest.raises(ValueError, match="clip must be finite and positive"):
        clip_to_integers(np.zeros((1, 1)), clip=clip, units=4)


def test_units_grow_with_the_model():
    assert [units_for(d) for d in (1, 10**6, 10**6 + 1)] == [2**17, 2**17, 2**20]


def test_scores_are_the_networks_logits_in_any_number_of_batches():
    module = build(HIDDEN[0], TABLE, seed=3)
    features = np.random.default_rng(0).normal(size=(1100, 5)).astype(np.float32)
    logits = scores(module, features)
    with torch.no_grad():
        expected = module(torch.from_numpy(features)).reshape(-1).numpy()
    assert logits.dtype == np.float32 and np.allclose(logits, expected, atol=1e-6)
    assert module.training and len(scores(module, features[:0])) == 0
