"""The forecast of correlated noise: it names bands that are possible, and none that are worse."""

import numpy as np
import pytest
from rich.console import Console

import compliance.planning.correlated_noise as forecasts
from collegium.studies.forecast import correlated_forecast, correlated_text
from collegium.studies.planning.settings import asked_of, own_settings
from collegium.studies.preflight import describe_study
from collegium.studies.question import PlanOptions
from compliance.planning.correlated_noise import WORTH_IT, best_forecast, forecast_of
from compliance.planning.expected_auroc import Descent, _noises
from compliance.privacy.noise import error_left
from protocol.study.study import Study
from protocol.study.study_file import read_study
from tests.support.simulated.studies import TABLE_STUDY


def study(bands: int | None = None, *, rate: float = 0.25, steps: int = 4, more: str = "") -> Study:
    noise = "" if bands is None else f", correlated_noise: {{bands: {bands}}}"
    return read_study(
        TABLE_STUDY.replace("sampling_rate: 1.0", f"sampling_rate: {rate}{noise}{more}")
        .replace("local_steps: 2", f"local_steps: {steps}")
        .replace("epsilon: 4, delta: 1e-3", "epsilon: 12, delta: 1e-5")
        .replace("hidden_channels: [4]", "hidden_channels: []")
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter more noise for everybody than for nearly nobody, in place of an accountant."""
    monkeypatch.setattr(forecasts, "calibrate", lambda **asked: 1 + asked["sampling_rate"] / 4)


@pytest.mark.long
def test_what_is_left_is_the_larger_noise_of_which_more_is_taken_back() -> None:
    found = forecast_of(study(), 4)
    taken = error_left(rounds=2, steps=4, bands=4, momentum=0.0)
    assert found.noise_multiplier > found.independent_multiplier
    ratio = found.noise_multiplier / found.independent_multiplier
    assert found.noise_left == pytest.approx(taken * ratio)
    assert found.is_worth_it == (found.noise_left <= WORTH_IT)


@pytest.mark.usefixtures("quick")
def test_the_study_is_told_what_it_could_have_and_what_it_has() -> None:
    best = correlated_forecast(study(rate=0.125, steps=8))
    assert best is not None and best.bands == 8
    told = correlated_text(best, study(rate=0.125, steps=8))
    assert "less noise in the model than independent noise" in told
    assert f"correlated_noise: {{bands: {best.bands}}}" in told
    little = correlated_forecast(study(rate=0.5, steps=2))
    assert little is not None and little.bands == 2
    assert "not enough to be offered" in correlated_text(little, study(rate=0.5, steps=2))
    own = study(4)
    has = correlated_forecast(own)
    assert has is not None and has.bands == 4
    assert "the study's correlated noise of 4 bands leaves" in correlated_text(has, own)


@pytest.mark.parametrize(
    "other", [study(rate=1.0), study(more=", adaptive_clip: {}"), study(steps=1)]
)
def test_no_bands_are_offered_where_none_are_possible(other: Study) -> None:
    assert best_forecast(other) is None


@pytest.mark.usefixtures("quick")
def test_the_check_says_how_noise_is_correlated_and_what_is_left() -> None:
    console = Console(record=True, width=400)
    result = describe_study(study(4), console)
    said = console.export_text()
    assert "correlated in cycles of 4 steps (banded matrix mechanism, 4 bands)" in said
    assert "A patient's chance of a cycle is 1" in said
    assert result["correlated_noise"]["bands"] == 4


def test_the_plan_simulates_the_noise_that_the_study_has() -> None:
    own = study(4, steps=8)
    asked = asked_of(own, PlanOptions())
    settings = own_settings(asked, own, PlanOptions())
    assert settings is not None and settings.bands == 4
    assert settings.event.sampling_rate == 1.0
    batch = 0.25 * 160
    assert settings.noise == pytest.approx(settings.event.noise_multiplier * 2 / batch)
    descent = Descent(
        steps=16, sampling_rate=0.25, clip=1, learning_rate=1, noise=1, bands=4, round_steps=8
    )
    noises = np.stack([*_noises(descent, (4000, 1), np.random.default_rng(0))])[..., 0]
    assert noises.shape == (16, 4000)
    ends = noises.reshape(4, 4, -1).sum(axis=1).std()
    assert ends < 0.8 * 2  # of four independent steps it would be 2
