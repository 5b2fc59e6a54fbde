"""Clipping to integers against rational arithmetic; scores."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from pipelines.gradients.clipping import (
    _COLUMNS,
    _IntegerSums,
    _most_lost,
    clip_to_integers,
    clipped_on_device,
    scores,
)
from protocol.study.rounds.noise_shares import units_for
from tests.support.reference.per_patient_gradients import clipped_exactly, exact_norm_squared


def on_the_processor(rows, *, clip, units):
    return clip_to_integers(torch.from_numpy(rows), clip=clip, units=units).numpy()


def as_on_a_gpu(rows, *, clip, units):
    """The same operations as on a GPU, which every device has."""
    return clipped_on_device(torch.from_numpy(rows), clip=clip, units=units).numpy()


ON_EACH = pytest.mark.parametrize("clipped", [on_the_processor, as_on_a_gpu])

FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)
ROWS = arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=FLOATS)


@ON_EACH
@given(rows=ROWS, clip=st.floats(1e-3, 1e3), units=st.sampled_from([1, 3, 100, 2**17, 2**20]))
@settings(max_examples=300, deadline=None)
def test_one_patient_changes_the_sum_by_at_most_units_exactly(clipped, rows, clip, units):
    whole = clipped(rows, clip=clip, units=units)
    for place in range(len(rows)):
        without = clipped(np.delete(rows, place, axis=0), clip=clip, units=units)
        assert exact_norm_squared(whole - without) <= units**2


@ON_EACH
@given(
    row=arrays(np.float32, st.integers(1, 8), elements=st.floats(-50, 50, width=32)),
    clip=st.floats(0.01, 100),
)
@settings(max_examples=200, deadline=None)
def test_clipping_equals_rational_arithmetic_within_one_unit(clipped, row, clip):
    total = clipped(row[None], clip=clip, units=2**17)
    assert np.abs(total - np.array(clipped_exactly(row, clip, 2**17))).max() <= 1


ADVERSARIAL = {
    "float32 rounds its norm": np.full(10**6, 1e-3, np.float32),
    "equal entries just over": np.full(10**5, np.float32(1 / np.sqrt(10**5)) * np.float32(1.0001)),
    "one giant": np.array([3e38, 1.0, -1.0], np.float32),
    "all giants": np.full(1000, 3e38, np.float32),
    "longer than one piece": np.linspace(-1, 1, 2**15 + 1, dtype=np.float32),
    "subnormal": np.array([1e-45, 0.0], np.float32),
    "exactly on the bound": np.array([0.6, 0.8], np.float32),
    "alternating": np.tile(np.array([1.0, -1.0], np.float32), 5000),
}


@ON_EACH
@pytest.mark.parametrize("units", [2**17, 2**20])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_vector_keeps_the_exact_norm(clipped, name, units):
    total = clipped(ADVERSARIAL[name][None], clip=1.0, units=units)
    assert exact_norm_squared(total) <= units**2


def summed(rows, units):
    """Rows that are integers already, through the exact check alone."""
    one = np.ones(len(rows), np.float32)
    return _IntegerSums(rows.shape[1], units).sum_of(rows, one, one > 0)


@given(
    rows=arrays(np.float32, (3, 6), elements=st.integers(-(2**22), 2**22).map(float)),
    units=st.integers(1, 2**20),
)
def test_exact_check_alone_keeps_any_integers_within_the_bound(rows, units):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.gradients.clipping._COLUMNS", 4)
        for row in rows:
            found = summed(row[None], units).astype(np.int64)
            assert exact_norm_squared(found) <= units**2
            assert np.array_equal(found, row) or not found.any()


def test_exact_check_leaves_out_a_row_that_is_over_and_no_other():
    within, over = (summed(np.array([row], np.float32), 5) for row in ([3, 3, 0], [3, 4, 1]))
    assert (within.tolist(), over.tolist()) == ([3, 3, 0], [0, 0, 0])
    assert summed(np.array([[3, 3], [30, 40]], np.float32), 5).tolist() == [3, 3]


@pytest.mark.parametrize("entry", [1, 7, 1449, 4095])
@pytest.mark.parametrize("length", [_COLUMNS, 3 * _COLUMNS + 5])
def test_row_of_one_unit_more_than_the_bound_is_not_summed(entry, length):
    row = np.full((1, length), entry, np.float32)
    units = math.isqrt(length * entry**2) + 1
    row[0, 0] = math.isqrt(units**2 - (length - 1) * entry**2) + 1
    assert exact_norm_squared(row[0].astype(np.int64)) > units**2
    assert not summed(row, units).any()


@pytest.mark.parametrize("units", [2**17, 2**20])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_no_row_that_was_shortened_fails_the_exact_check(name, units, monkeypatch):
    """A second pass would show in the time: the margin makes it unnecessary, for any values."""
    passes = []
    whole = _IntegerSums._integers
    monkeypatch.setattr(
        _IntegerSums, "_integers", lambda self, *given: passes.append(1) or whole(self, *given)
    )
    row = ADVERSARIAL[name][None]
    for factor in (1.0, 1e-3, 1e6):
        passes.clear()
        with np.errstate(over="ignore", under="ignore"):
            on_the_processor(row * np.float32(factor), clip=1.0, units=units)
        assert len(passes) == -(-row.shape[1] // _COLUMNS)


@ON_EACH
@given(
    row=arrays(np.float32, st.integers(1, 50), elements=st.floats(-1, 1, width=32)),
    exponent=st.integers(-8, 12),
)
def test_a_shortened_row_ends_within_a_thousandth_of_the_bound(clipped, row, exponent):
    row = row * np.float32(10.0**exponent)
    norm = float(np.linalg.norm(row.astype(np.float64)))
    if norm < 1 or norm > 1e14:
        return
    length = math.sqrt(exact_norm_squared(clipped(row[None], clip=1.0, units=2**20)))
    assert 0.999 * 2**20 - math.sqrt(len(row)) <= length <= 2**20


@given(
    row=arrays(np.float32, st.integers(1, 400), elements=st.integers(-(2**24), 2**24).map(float)),
    repeats=st.integers(1, 20),
)
def test_no_exact_norm_exceeds_what_the_rounded_one_proves(row, repeats):
    whole = np.tile(row, repeats)
    proven = float(np.vecdot(whole, whole)) * _most_lost(len(whole))
    assert exact_norm_squared(whole.astype(np.int64)) <= proven


@ON_EACH
@pytest.mark.parametrize("units", [100, 2**17, 2**20, 2**24])
def test_sum_of_many_equal_rows_is_their_number_times_one_exactly(clipped, units):
    rows = np.tile(np.float32([[1e3, 7.0, -0.3]]), (1000, 1))
    one = clipped(rows[:1], clip=1.0, units=units)
    many = clipped(rows, clip=1.0, units=units)
    assert many.tolist() == [1000 * entry for entry in one.tolist()]


@ON_EACH
@pytest.mark.parametrize("length", [481, 2033, 40_000])
def test_clipped_row_follows_from_that_row_alone_bit_for_bit(clipped, length):
    """Whatever stands beside it, and wherever in memory it begins."""
    rows = np.random.default_rng(1).normal(size=(40, length)).astype(np.float32)
    alone = [clipped(row[None], clip=1.0, units=2**17) for row in rows]
    memory = np.zeros(rows.size + 16, np.float32)
    for offset in (1, 2, 3, 5, 8, 13):
        moved = memory[offset : offset + rows.size].reshape(rows.shape)
        moved[:] = rows[::-1]
        assert np.array_equal(clipped(moved, clip=1.0, units=2**17), sum(alone))


@ON_EACH
@pytest.mark.parametrize("length", [1e-13, 1e16, 3e38])
def test_gradient_whose_squares_vanish_or_overflow_becomes_zeros(clipped, length):
    rows = np.float32([[length, 0.0], [0.25, 0.0]])
    assert clipped(rows, clip=1.0, units=2**17).tolist() == [2**15, 0]


TEN_MILLION = 10**7


@ON_EACH
@pytest.mark.parametrize("kind", ["one giant among dust", "long tail"])
def test_ten_million_parameters_keep_the_exact_norm(clipped, kind):
    row = np.full((1, TEN_MILLION), 1e-3, np.float32)  # 1e-3 x sqrt(1e7) is 3.16: over the bound
    if kind == "one giant among dust":
        row[0, 0] = 1e14
    if kind == "long tail":
        row *= np.linspace(0, 2, TEN_MILLION, dtype=np.float32)
    total = clipped(row, clip=1.0, units=2**20)
    assert sum(int(part @ part) for part in np.split(total, 100)) <= 2**40  # int64: exact
    assert np.abs(total).max() > 0


@ON_EACH
def test_two_rows_of_ten_million_add_up(clipped):
    rows = np.full((2, TEN_MILLION), 1.0, np.float32)
    rows[1] *= -1
    total = clipped(rows, clip=1.0, units=2**20)
    assert not total.any()


@ON_EACH
def test_vectors_on_the_bound_lose_almost_nothing(clipped):
    row = np.array([[3, -4]], np.float32)
    total = clipped(row, clip=5.0, units=2**20)
    assert np.allclose(total / 2**20, row[0] / 5, atol=3e-6)


@ON_EACH
def test_truncation_goes_toward_zero_so_that_no_norm_grows(clipped):
    total = clipped(np.float32([[0.19, -0.19, 0.05]]), clip=1.0, units=10)
    assert total.tolist() == [1, -1, 0]


@ON_EACH
def test_clipping_keeps_the_direction_of_a_long_vector(clipped):
    row = np.random.default_rng(0).normal(size=(1, 50)).astype(np.float32) * 1e6
    total = clipped(row, clip=2.0, units=2**20)
    assert np.allclose(total / 2**20, row[0] / np.linalg.norm(row), atol=3e-6)


@ON_EACH
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_patient_with_a_value_that_is_not_finite_becomes_zeros(clipped, value):
    rows = np.float32([[0.5, value], [0.25, 0.0]])
    total = clipped(rows, clip=1.0, units=2**17)
    assert total.tolist() == [2**15, 0]


@ON_EACH
def test_sum_does_not_depend_on_order_or_blocks(clipped):
    rows = np.random.default_rng(0).normal(size=(300, 40_000)).astype(np.float32)  # many blocks
    whole = clipped(rows, clip=1.0, units=2**17)
    halves = [clipped(half, clip=1.0, units=2**17) for half in (rows[7:], rows[:7])]
    assert np.array_equal(whole, halves[0] + halves[1])


@ON_EACH
def test_no_patients_sum_to_zeros(clipped):
    total = clipped(np.zeros((0, 3), np.float32), clip=1.0, units=4)
    assert total.dtype == np.int64 and total.tolist() == [0, 0, 0]


@pytest.mark.parametrize("clip", [0.0, -1.0, float("nan"), float("inf")])
def test_clip_that_bounds_nothing_is_a_mistake(clip):
    with pytest.raises(ValueError, match="clip must be finite and positive"):
        on_the_processor(np.zeros((1, 1), np.float32), clip=clip, units=4)


def test_gradients_of_another_kind_are_a_mistake():
    with pytest.raises(TypeError, match="must be float32, got torch.float64"):
        on_the_processor(np.zeros((1, 1)), clip=1.0, units=4)


def test_units_grow_with_the_model():
    assert [units_for(d) for d in (1, 10**6, 10**6 + 1)] == [2**17, 2**17, 2**20]


def test_scores_are_the_networks_logits_in_any_number_of_batches():
    module = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 1)).train()
    features = np.random.default_rng(0).normal(size=(1100, 5)).astype(np.float32)
    logits = scores(module, features)
    with torch.no_grad():
        expected = module(torch.from_numpy(features)).reshape(-1).numpy()
    assert logits.dtype == np.float32 and np.allclose(logits, expected, atol=1e-6)
    assert module.training and len(scores(module, features[:0])) == 0
