"""No sum wraps: certain limits, limits that fail with a stated chance, and sums that are noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from protocol.errors import SumRefused
from protocol.vectors.fixed_point import decode, encode, encode_counts
from protocol.vectors.keystream import Keystream
from protocol.vectors.ring_bounds import (
    COUNT_LIMIT,
    FAILURE,
    Batch,
    finest_frac_bits,
    fits,
    least_ring_bits,
    max_in_batch,
    max_sum_of_counts,
    max_sum_of_updates,
    most_of_batches,
    require_sum_of_counts,
    require_sum_of_updates,
)


@given(st.integers(1, 100), st.floats(0.1, 15.9))
def test_largest_sum_that_is_allowed_does_not_wrap(sites: int, bound: float) -> None:
    assert fits(max_sum_of_updates(sites=sites, bound=bound, frac_bits=20), 32)
    worst = encode(np.array([1e9]), weight=1.0, bound=bound, frac_bits=20)
    total = sum(int(worst[0]) for _ in range(sites)) % 2**32
    summed = decode(np.array([total], dtype=np.uint32), frac_bits=20)[0]
    assert summed == pytest.approx(sites * bound, rel=1e-4)


@pytest.mark.parametrize(
    ("sites", "bound", "frac_bits", "bits"),
    [(127, 16.0, 20, 32), (128, 16.0, 20, 64), (1, 2.0**31, 0, 64), (4, 1000.0, 20, 64)],
)
def test_ring_has_64_bits_where_32_could_wrap(
    sites: int, bound: float, frac_bits: int, bits: int
) -> None:
    most = max_sum_of_updates(sites=sites, bound=bound, frac_bits=frac_bits)
    assert least_ring_bits(most) == bits


@pytest.mark.parametrize("bound", [float("nan"), float("inf"), 0.0, -1.0])
def test_bound_that_is_no_length_is_a_mistake(bound: float) -> None:
    with pytest.raises(ValueError, match="finite and positive"):
        max_sum_of_updates(sites=3, bound=bound, frac_bits=20)


def test_sum_that_could_wrap_64_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="could wrap 64 bits"):
        least_ring_bits(max_sum_of_updates(sites=4, bound=2.0**41, frac_bits=20))
    with pytest.raises(ValueError, match="16, 32 or 64 bits"):
        fits(1, 8)


@given(st.integers(1, 3000), st.floats(0.001, 1.0), st.sampled_from([0.05, 1e-6, 1e-12]))
@settings(max_examples=200)
def test_batches_exceed_their_limit_no_more_often_than_stated(
    patients: int, rate: float, failure: float
) -> None:
    most = max_in_batch(Batch(patients=patients, rate=rate), failure)
    assert binom.sf(most, patients, rate) <= failure * (1 + 1e-9)
    exact = binom.isf(failure, patients, rate)  # Chernoff costs a few patients, not a multiple
    assert most <= exact + 2 + 0.6 * (exact - patients * rate)


def test_real_batches_and_noise_stay_within_the_limit() -> None:
    generator = np.random.default_rng(1)
    batches = [Batch(patients=500, rate=0.1), Batch(patients=80, rate=0.4)]
    failure, clip, deviation, dim = 1e-3, 1000, 20_000.0, 50
    most = most_of_batches(batches, clip=clip, deviation=deviation, dim=dim, failure=failure)
    drawn = sum(generator.binomial(b.patients, b.rate, 4000) for b in batches) * clip
    noise = np.abs(generator.normal(0, deviation, (4000, dim))).max(axis=1)
    assert (drawn + noise > most).mean() <= failure
    assert most < 3 * np.median(drawn + noise)


def test_less_failure_more_noise_and_more_coordinates_need_more_room() -> None:
    batches = [Batch(patients=1000, rate=0.1)] * 4
    usual = most_of_batches(batches, clip=1024, deviation=1e5, dim=1000)
    assert most_of_batches(batches, clip=1024, deviation=2e5, dim=1000) > usual
    assert most_of_batches(batches, clip=1024, deviation=1e5, dim=10**7) > usual
    assert most_of_batches(batches, clip=1024, deviation=1e5, dim=1000, failure=1e-3) < usual
    assert FAILURE == 2.0**-64


@pytest.mark.parametrize("rate", [0.0, 1.1, float("nan")])
def test_batch_that_cannot_be_drawn_is_a_mistake(rate: float) -> None:
    with pytest.raises(ValueError, match="at a rate in"):
        Batch(patients=10, rate=rate)


# --- a sum that is noise ---------------------------------------------------------------------


@pytest.mark.parametrize("words", [np.uint32, np.uint64])
def test_uniform_sum_is_refused_and_the_longest_honest_one_is_not(words: type) -> None:
    bits = 8 * np.dtype(words).itemsize
    noise = np.random.default_rng(2).integers(0, 2**bits, 40, dtype=words)
    with pytest.raises(SumRefused, match="longer than its updates can be"):
        require_sum_of_updates(noise, sites=4, bound=16.0, frac_bits=20)
    update = np.full(40, 16.0 / 40**0.5)
    one = encode(update, weight=1.0, bound=16.0, frac_bits=20, ring_bits=bits)
    longest = one * words(4)
    require_sum_of_updates(longest, sites=4, bound=16.0, frac_bits=20)
    with pytest.raises(SumRefused):
        require_sum_of_updates(longest, sites=3, bound=16.0, frac_bits=20)


def test_uniform_counts_are_refused_and_the_largest_honest_ones_are_not() -> None:
    noise = np.random.default_rng(3).integers(0, 2**64, 40, dtype=np.uint64)
    with pytest.raises(SumRefused, match="more patients than there are"):
        require_sum_of_counts(noise, sites=256)
    largest = encode_counts(np.array([COUNT_LIMIT, -COUNT_LIMIT])) * np.uint64(256)
    require_sum_of_counts(largest, sites=256)
    assert fits(max_sum_of_counts(sites=256), 64)


@pytest.mark.parametrize("bits", [16, 32, 64])
@given(st.integers(3, 256), st.floats(1e-3, 60.0), st.sampled_from([1.0, -1.0]), st.booleans())
def test_no_sum_wraps_at_the_extremes_with_the_finest_step(
    bits: int, sites: int, bound: float, sign: float, at_random: bool
) -> None:
    """All sites push one coordinate as far as the bound allows, all in one direction."""
    frac_bits = finest_frac_bits(sites=sites, bound=bound, ring_bits=bits, most=30)
    assert frac_bits is not None
    rounding = Keystream(bytes(32)) if at_random else None
    one = encode(
        np.array([sign * bound * 2, 0.0]), weight=1.0, bound=bound, frac_bits=frac_bits,
        ring_bits=bits, rounding=rounding,
    )  # fmt: skip
    total = np.sum([one] * sites, axis=0, dtype=one.dtype)
    assert decode(total, frac_bits=frac_bits)[0] == sites * decode(one, frac_bits=frac_bits)[0]
    if frac_bits < 30:  # one step finer could wrap
        most = max_sum_of_updates(sites=sites, bound=bound, frac_bits=frac_bits + 1)
        assert not fits(most, bits)


def test_units_of_1_that_could_wrap_have_no_finest_step() -> None:
    assert finest_frac_bits(sites=4, bound=8192.0, ring_bits=16, most=20) is None
    assert finest_frac_bits(sites=4, bound=8191.0, ring_bits=16, most=20) == 0
