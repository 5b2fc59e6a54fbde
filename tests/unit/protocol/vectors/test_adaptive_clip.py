"""An adaptive clip's count: part of the bound, priced as one mechanism, and led to the median."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from compliance.privacy.accounting import calibrate, epsilon
from compliance.privacy.events import SampledGaussian
from pipelines.gradients.clipping import clip_to_integers, within_less_longer
from protocol.vectors.adaptive_clip import (
    CLIP,
    MAX_LOG_CLIP,
    NOISE_PART,
    bounded_log_clip,
    can_be_reached,
    clip_of,
    count_units_for,
    counted_mean,
    felt_multiplier,
    gradient_units,
    with_clip,
    without_clip,
)
from protocol.vectors.tensors import layout_of

UNITS = 2**17
EVENT = {"sampling_rate": 64 / 2000, "steps": 1000}


@given(
    z=st.floats(0.3, 50),
    part=st.floats(0.001, 0.85),
    clip=st.floats(1e-6, 1e6),
    length=st.sampled_from([0.0, 1e-30, 0.5, 1.0, 1 + 1e-7, 3.0, 1e20, math.inf, math.nan]),
    seed=st.integers(0, 10**6),
)
def test_a_patient_changes_the_whole_vector_by_the_units_of_a_fixed_clip_at_most(
    z: float, part: float, clip: float, length: float, seed: int
) -> None:
    count = count_units_for(UNITS, noise_multiplier=z, deviation=z / 2 / part)
    units = gradient_units(UNITS, count)
    row = np.random.default_rng(seed).normal(size=(1, 50))
    row *= length * clip / np.linalg.norm(row)
    with np.errstate(over="ignore"):
        rows = torch.from_numpy(row.astype(np.float32))
    gradient = clip_to_integers(rows, clip=clip, units=units).tolist()
    counted = count * within_less_longer(rows, torch.tensor([True]), clip=clip)
    assert abs(counted) == count
    assert sum(int(each) ** 2 for each in gradient) + counted**2 <= UNITS**2
    assert within_less_longer(rows, torch.tensor([False]), clip=clip) == 0


@given(st.floats(0.1, 100), st.floats(0.01, 0.9))
def test_gradient_and_count_together_are_one_gaussian_mechanism_of_the_priced_multiplier(
    z: float, part: float
) -> None:
    deviation = z / 2 / part
    count = count_units_for(UNITS, noise_multiplier=z, deviation=deviation)
    noise = z * UNITS  # in every coordinate
    felt, of_count = noise / gradient_units(UNITS, count), noise / (2 * count)
    together = (felt**-2 + (2 * of_count) ** -2) ** -0.5
    assert together == pytest.approx(z, rel=2 / UNITS)
    assert together >= z * (1 - 1e-12)  # never less noise than is priced
    assert felt == pytest.approx(felt_multiplier(z, deviation), rel=1e-3)
    assert of_count == pytest.approx(deviation, rel=1 / count)


def test_a_count_of_nothing_or_one_would_cost_what_the_ruling_says() -> None:
    z = calibrate(epsilon=2.0, delta=1e-5, **EVENT)
    deviation = 64 * NOISE_PART
    felt = felt_multiplier(z, deviation)
    half = (felt**-2 + (2 * deviation) ** -2) ** -0.5
    whole = (felt**-2 + deviation**-2) ** -0.5
    costs = [
        epsilon(SampledGaussian(noise_multiplier=each, **EVENT), 1e-5) for each in (half, whole)
    ]
    assert costs == pytest.approx([2.0, 2.43], abs=0.005)
    assert 10 * z == pytest.approx(21.8, abs=0.1)  # no smaller batch leaves a gradient
    assert math.isinf(felt_multiplier(z, 21 * NOISE_PART))
    with pytest.raises(ValueError, match="leave no gradient"):
        count_units_for(UNITS, noise_multiplier=z, deviation=21 * NOISE_PART)


@given(st.integers(1, 400), st.floats(0, 1), st.floats(0.1, 1))
def test_fewer_patients_than_declared_make_steps_shorter_and_never_wrong(
    drawn: int, share: float, part: float
) -> None:
    within, count = round(drawn * share), 1000
    total = count * (2 * within - drawn)
    noised = np.array([0.0, total])
    moves = counted_mean(
        noised, units=UNITS, count=count, clip=1.0, expected=drawn / part, rate=0.2
    ).log_step
    assert moves == pytest.approx(-0.2 * part * (within / drawn - 0.5))


@given(st.floats(-1e12, 1e12))
def test_a_step_is_at_most_half_of_the_rate_whatever_the_noise(total: float) -> None:
    found = counted_mean(
        np.array([1.0, total]), units=UNITS, count=10, clip=2.0, expected=50.0, rate=0.4
    )
    assert abs(found.log_step) <= 0.2
    assert found.gradient == pytest.approx([2.0 / gradient_units(UNITS, 10) / 50])


def test_the_clip_is_a_models_last_parameter_and_leaves_it_again() -> None:
    network: dict[str, NDArray[np.float32]] = {
        name: np.zeros(2, dtype=np.float32) for name in ("zz.weight", "A", "_z", "net.9.bias")
    }
    model = with_clip(network, 0.25)
    assert layout_of(model).names[-1] == CLIP
    assert clip_of(model, 2.0) == pytest.approx(2 * math.exp(0.25), rel=1e-6)
    assert clip_of(network, 2.0) == clip_of(with_clip(network), 2.0) == 2.0
    assert without_clip(model).keys() == network.keys()


def test_no_clip_leaves_its_limits() -> None:
    assert bounded_log_clip(11.0) == MAX_LOG_CLIP
    assert bounded_log_clip(-11.0) == -MAX_LOG_CLIP
    assert can_be_reached(0.0, rate=0.2, steps=0)
    assert can_be_reached(-0.3, rate=0.2, steps=3)
    assert not can_be_reached(0.31, rate=0.2, steps=3)
    assert not can_be_reached(MAX_LOG_CLIP + 1, rate=1.0, steps=10**6)
