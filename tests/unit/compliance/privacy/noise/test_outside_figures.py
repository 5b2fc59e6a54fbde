"""Ours against jax-privacy: the price of cyclic sampling, sensitivities, the error of matrices."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compliance.privacy.accounting import epsilon
from compliance.privacy.events import SampledGaussian
from compliance.privacy.noise import NoiseMatrix, correlated, error_left

FIGURES: dict[str, Any] = json.loads(
    Path(__file__).with_name("outside_figures.json").read_text(encoding="utf-8")
)


def price(one: dict[str, Any]) -> float:
    bands = one["bands"]
    event = SampledGaussian(
        noise_multiplier=one["noise_multiplier"],
        sampling_rate=one["sampling_rate"] * bands,
        steps=-(-one["steps"] // bands),
    )
    return epsilon(event, 1e-5)


@pytest.mark.parametrize(
    "one",
    [
        one
        if one["sampling_rate"] * one["bands"] == 1
        else pytest.param(one, marks=pytest.mark.long)
        for one in FIGURES["prices"]
    ],
)
def test_a_cycle_costs_what_cyclic_poisson_sampling_costs_there(one: dict[str, Any]) -> None:
    assert price(one) == pytest.approx(one["epsilon"], rel=2e-3)


@pytest.mark.parametrize("one", FIGURES["sensitivities"])
def test_a_patient_moves_all_cycles_as_far_as_is_found_there(one: dict[str, Any]) -> None:
    rows = tuple(tuple(row) for row in one["rows"])
    matrix = NoiseMatrix(rows=rows, scale=64)
    once = np.sqrt(max(matrix.column_squares)) / matrix.scale
    assert once == pytest.approx(one["once"], rel=1e-6)
    assert once * np.sqrt(one["cycles"]) == pytest.approx(one["fixed_order"], rel=1e-6)


@pytest.mark.parametrize("one", FIGURES["errors"])
def test_the_matrix_of_a_cycle_is_as_good_as_the_best_that_is_found_there(
    one: dict[str, Any],
) -> None:
    shape = {name: one[name] for name in ("rounds", "bands", "momentum")}
    asked = correlated._workload(one["rounds"], one["bands"], one["bands"], one["momentum"])
    squared = np.trace(asked) * error_left(steps=one["bands"], **shape) ** 2
    if "optimal" in one:
        assert squared == pytest.approx(one["optimal"], rel=1e-3)
    if "toeplitz" in one:  # which goes on over rounds: within a tenth, as a root
        assert squared < 1.1**2 * one["toeplitz"]
