"""Correlated noise: its matrix, its step-by-step form, what a patient can move, what it leaves."""

import doctest
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.privacy.noise import (
    CorrelatedSums,
    DiscreteGaussian,
    NoiseMatrix,
    correlated,
    error_left,
    noise_matrix,
)
from protocol.vectors.keystream import Keystream, derive_key

NOISE = 100.0


def stream(number: int) -> Keystream:
    return Keystream(derive_key(b"correlated", salt=b"test", info=str(number).encode()))


def matrix(bands: int, *, rounds: int = 5, cycles: int = 2, momentum: float = 0.0) -> NoiseMatrix:
    real, _ = noise_matrix(rounds=rounds, steps=cycles * bands, bands=bands, momentum=momentum)
    return NoiseMatrix.of(real, NOISE)


shapes = st.tuples(
    st.integers(1, 12), st.integers(1, 4), st.integers(1, 30), st.sampled_from([0.0, 0.5, 0.9])
)


def test_examples_hold() -> None:
    assert doctest.testmod(correlated).failed == 0


@settings(max_examples=15, deadline=None)
@given(shapes)
def test_no_column_of_a_matrix_is_longer_than_a_patient_pays_for(shape) -> None:  # type: ignore[no-untyped-def]
    bands, cycles, rounds, momentum = shape
    found = matrix(bands, rounds=rounds, cycles=cycles, momentum=momentum)
    assert max(found.column_squares) <= found.scale**2
    assert np.linalg.norm(found.dense, axis=0).max() <= 1
    assert found.dense.min() >= 0 and np.diag(found.dense).min() > 0


@settings(max_examples=15, deadline=None)
@given(shapes, st.integers(0, 2**32))
def test_steps_one_by_one_are_what_solving_the_whole_cycle_gives(shape, seed: int) -> None:  # type: ignore[no-untyped-def]
    bands, cycles, rounds, momentum = shape
    found = matrix(bands, rounds=rounds, cycles=cycles, momentum=momentum)
    random = np.random.default_rng(seed)
    sums = random.integers(-(10**6), 10**6, size=(bands, 3))
    cycle = CorrelatedSums(found, NOISE)
    steps = np.stack([cycle.noised(row, stream(place)) for place, row in enumerate(sums)])
    noise = DiscreteGaussian(NOISE * found.scale)
    drawn = np.stack([noise.sample(stream(place), 3) for place in range(bands)])
    whole = np.linalg.solve(found.dense, found.dense @ sums + drawn / found.scale)
    assert np.allclose(steps, whole, rtol=1e-9, atol=1e-4)
    with pytest.raises(ValueError, match="no further step"):
        cycle.noised(sums[0], stream(bands))


def test_one_band_is_todays_noise_bit_for_bit() -> None:
    found = matrix(1, cycles=8)
    assert (found.rows, found.dense.tolist()) == (((found.scale,),), [[1.0]])
    plain = NoiseMatrix(rows=((1,),), scale=1)
    sums = np.arange(1000)
    made = CorrelatedSums(plain, NOISE).noised(sums, stream(0))
    assert (made == sums + DiscreteGaussian(NOISE).sample(stream(0), 1000)).all()
    assert error_left(rounds=5, steps=8, bands=1, momentum=0.5) == pytest.approx(1)


def test_the_noise_of_a_cycle_has_the_covariance_of_its_matrix() -> None:
    found, size = matrix(4), 40_000
    cycle, nothing = CorrelatedSums(found, NOISE), np.zeros(size, dtype=np.int64)
    noise = np.stack([cycle.noised(nothing, stream(place)) for place in range(4)])
    undone = NOISE * np.linalg.inv(found.dense)
    wanted = undone @ undone.T
    each = np.sqrt(np.outer(np.diag(wanted), np.diag(wanted)))
    assert np.abs((noise @ noise.T / size - wanted) / each).max() < 5 / np.sqrt(size)


@pytest.mark.parametrize("bands", [2, 3])
def test_any_two_cycles_cost_a_patient_two_releases_and_never_more(bands: int) -> None:
    """Brute force over where a patient takes part, once in each of two cycles, and which way."""
    found = matrix(bands, cycles=2)
    both = np.kron(np.eye(2), found.dense)
    far = [
        np.linalg.norm(first * both[:, one] + second * both[:, bands + other])
        for one, other in itertools.product(range(bands), repeat=2)
        for first, second in itertools.product((-1, 1), repeat=2)
    ]
    assert max(far) <= np.sqrt(2) + 1e-12


def test_the_matrix_leaves_less_than_any_other_that_was_tried() -> None:
    real, left = noise_matrix(rounds=4, steps=6, bands=3, momentum=0.5)
    asked, random = correlated._workload(4, 6, 3, 0.5), np.random.default_rng(0)

    def error(other: np.ndarray) -> float:  # type: ignore[type-arg]
        undone = np.linalg.inv(np.tril(other) / np.linalg.norm(np.tril(other), axis=0))
        return float(np.sqrt(np.trace(undone.T @ asked @ undone) / np.trace(asked)))

    assert error(real) == pytest.approx(left)
    near = [real + 0.02 * random.normal(size=real.shape) for _ in range(200)]
    assert min(map(error, near)) >= left - 1e-9 and left < error(np.eye(3)) == pytest.approx(1)


@pytest.mark.parametrize(("rounds", "steps", "bands", "momentum"), [(3, 8, 4, 0.0), (2, 6, 2, 0.7)])
def test_the_workload_is_the_training_step_by_step(
    rounds: int, steps: int, bands: int, momentum: float
) -> None:
    """All steps of all rounds are taken, with velocity that begins anew in each round."""
    moved = np.zeros((rounds * steps, rounds * steps))
    for noise in range(rounds * steps):
        model = velocity = 0.0
        for step in range(rounds * steps):
            velocity = momentum * velocity * (step % steps > 0) + (step == noise)
            model += velocity
            moved[step, noise] = model
    gram = moved.T @ moved / (rounds * steps)
    blocks = [gram[at : at + bands, at : at + bands] for at in range(0, len(gram), bands)]
    asked = correlated._workload(rounds, steps, bands, momentum)
    assert np.allclose(asked, np.sum(blocks, axis=0))


@pytest.mark.parametrize("bands", [2, 4])
def test_where_everybody_is_in_every_step_independent_noise_is_best(bands: int) -> None:
    """Why ``sampling_rate`` 1 has no correlated noise: of Toeplitz matrices none leaves less."""
    steps, random = 32, np.random.default_rng(bands)
    summed = np.tril(np.ones((steps, steps)))

    def error(coefficients: np.ndarray) -> float:  # type: ignore[type-arg]
        matrix = sum(np.diag(np.full(steps - k, c), -k) for k, c in enumerate(coefficients))
        moved = np.linalg.norm(np.sum(matrix, axis=1))  # by a patient who is always drawn
        return float(np.linalg.norm(summed @ np.linalg.inv(matrix)) * moved)

    alone = error(np.eye(bands)[0])
    tried = [[1, *random.random(bands - 1) * 10.0 ** -random.integers(4)] for _ in range(200)]
    assert min(error(np.array(one)) for one in tried) > alone


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (((64,), (1, 64)), "longer than"),
        (((60,), (-1, 60)), "are positive"),
        (((60,), (1, 0)), "are positive"),
        (((60, 1), (1, 60)), "t \\+ 1 numbers"),
    ],
)
def test_a_matrix_that_a_patient_does_not_pay_for_is_refused(
    rows: tuple[tuple[int, ...], ...], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        NoiseMatrix(rows=rows, scale=64)


@pytest.mark.parametrize("noise", [2.0**17, 128 * 2.0**17, 128 * 2.0**20])
def test_the_sampler_holds_the_noise_of_any_matrix(noise: float) -> None:
    real, _ = noise_matrix(rounds=5, steps=16, bands=8, momentum=0.9)
    found = NoiseMatrix.of(real, noise)
    assert 8 <= found.scale <= 64 and found.scale * noise <= 2**30
