"""Noised histograms: what is compared of them, and the distribution that fits them best."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.estimates.drift.histograms import NoisedHistogram, fitted_shares
from tests.support.simulated.drifts import release

COUNTS = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20)


@given(counts=COUNTS, patients=st.floats(-10, 1e6))
def test_fitted_shares_are_a_distribution_whatever_noise_makes_of_the_counts(
    counts: list[float], patients: float
) -> None:
    shares = fitted_shares(np.array(counts), patients)
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(1)


@given(counts=COUNTS, others=COUNTS)
def test_no_other_distribution_lies_nearer(counts: list[float], others: list[float]) -> None:
    size = min(len(counts), len(others))
    own, patients = np.array(counts[:size]), 1000.0
    weights = np.abs(others[:size]) + 1e-3
    other = patients * weights / weights.sum()
    found = patients * fitted_shares(own, patients)
    assert np.linalg.norm(found - own) <= np.linalg.norm(other - own) * (1 + 1e-9)


def test_without_noise_the_counts_themselves_are_fitted() -> None:
    assert fitted_shares(np.array([30.0, 0.0, 70.0]), 100.0).tolist() == [0.3, 0.0, 0.7]


def test_missing_is_a_part_of_a_feature_and_left_out_of_a_label() -> None:
    made = release(0, np.random.default_rng(1), deviation=0.0)
    found = {one.name: one for one in made.histograms}
    assert len(found["lab"].compared) == 9
    assert found["lab"].compared_patients == found["lab"].patients == 2000
    assert len(found["label"].compared) == 2
    assert found["label"].compared_patients == 2000 - found["label"].missing


def test_a_histogram_is_the_same_after_json() -> None:
    for one in release(0, np.random.default_rng(1)).histograms:
        assert NoisedHistogram.from_json(json.loads(json.dumps(one.to_json()))) == one
