"""Fixed point: exact inverses, bounds that hold for every input, and refusals."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from protocol.errors import UpdateRefused
from protocol.vectors.fixed_point import (
    decode,
    decode_counts,
    encode,
    encode_counts,
)
from protocol.vectors.ring_bounds import COUNT_LIMIT

FLOATS = st.floats(-1e6, 1e6, allow_nan=False)
VECTORS = arrays(np.float64, st.integers(1, 20), elements=FLOATS)


@given(arrays(np.float64, st.integers(1, 20), elements=st.floats(-0.2, 0.2)))
def test_short_update_is_rounded_to_nearest(update: np.ndarray) -> None:
    encoded = encode(update, weight=1.0, bound=1.0, frac_bits=20)
    exact = [round(Fraction(float(value)) * 2**20) for value in update]
    assert encoded.view(np.int32).tolist() == exact
    assert np.abs(decode(encoded, frac_bits=20) - update).max() <= 2.0**-21


@given(VECTORS, st.floats(0.01, 1.0), st.floats(0.01, 15.0), st.sampled_from([32, 64]))
def test_encoded_update_never_exceeds_the_bound(
    update: np.ndarray, weight: float, bound: float, ring_bits: int
) -> None:
    encoded = encode(update, weight=weight, bound=bound, frac_bits=20, ring_bits=ring_bits)
    shortened = decode(encoded, frac_bits=20)
    rounding = 2.0**-21 * np.sqrt(len(update))
    assert np.linalg.norm(shortened) <= weight * bound * (1 + 1e-12) + rounding
    assert np.abs(shortened).max() <= np.ceil(bound * 2**20) / 2**20


def test_long_update_keeps_its_direction() -> None:
    update = np.array([300.0, -400.0])
    assert decode(encode(update, weight=0.5, bound=5.0, frac_bits=10), frac_bits=10).tolist() == [
        1.5,
        -2.0,
    ]


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_extreme_updates_are_neither_lost_nor_infinite(scale: float) -> None:
    shortened = decode(
        encode(np.array([3.0, -4.0]) * scale, weight=1.0, bound=5.0, frac_bits=20), frac_bits=20
    )
    expected = [3.0, -4.0] if scale > 1 else [0.0, 0.0]
    assert np.abs(shortened - expected).max() < 1e-5


def test_pieces_of_a_long_update_are_all_encoded() -> None:
    update = np.random.default_rng(0).normal(size=200_001).astype(np.float32) * 1e-3
    encoded = encode(update, weight=1.0, bound=16.0, frac_bits=20)
    assert (encoded.view(np.int32) == np.rint(update.astype(np.float64) * 2**20)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_update_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(UpdateRefused, match="a value that is not finite"):
        encode(np.array([0.0, bad, 1.0]), weight=1.0, bound=1.0, frac_bits=8)


def test_update_whose_norm_overflows_is_refused() -> None:
    with pytest.raises(UpdateRefused, match="norm is not finite"):
        encode(np.full(4, 1.5e308), weight=1.0, bound=1.0, frac_bits=8)


@pytest.mark.parametrize("weight", [0.0, -1.0, 1.1, np.nan, np.inf])
def test_weight_outside_its_range_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight must lie in"):
        encode(np.zeros(2), weight=weight, bound=1.0, frac_bits=8)


def test_update_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="an update is one vector"):
        encode(np.zeros((2, 2)), weight=1.0, bound=1.0, frac_bits=8)


def test_empty_update_stays_empty() -> None:
    assert encode(np.zeros(0), weight=1.0, bound=1.0, frac_bits=8).tolist() == []


@given(arrays(np.int64, (3, 7), elements=st.integers(-COUNT_LIMIT, COUNT_LIMIT)))
def test_counts_survive_the_ring(counts: np.ndarray) -> None:
    rows = [encode_counts(row) for row in counts]
    total = rows[0] + rows[1] + rows[2]
    assert (decode_counts(total) == counts.sum(axis=0)).all()


@pytest.mark.parametrize("count", [COUNT_LIMIT + 1, -COUNT_LIMIT - 1, 2**62])
def test_count_beyond_the_limit_is_refused(count: int) -> None:
    with pytest.raises(UpdateRefused, match="beyond what any hospital counts"):
        encode_counts(np.array([0, count]))


def test_other_number_types_are_refused() -> None:
    with pytest.raises(ValueError, match="signed integers"):
        encode_counts(np.zeros(2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected uint16, uint32 or uint64"):
        decode(np.zeros(2), frac_bits=2)  # type: ignore[arg-type]
