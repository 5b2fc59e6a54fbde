"""What interim evaluations cost and can tell is said before anybody trains."""

from dataclasses import replace

import pytest

from collegium.studies.forecast import study_forecast
from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.planning.interim_forecast import interim_facts, interim_text
from compliance.privacy.accounting import epsilon
from compliance.privacy.events import SampledGaussian
from protocol.study.study import Study
from protocol.study.study_file import read_study
from tests.support.simulated.nine_hospitals import without_noise
from tests.support.simulated.studies import TABLE_STUDY, small_study


def study(roll_back: float = 0.05, text: str = TABLE_STUDY) -> Study:
    text = text.replace("{bins: 8}", f"{{bins: 8, every: 5, roll_back: {roll_back}}}")
    return read_study(text.replace("rounds: 2", "rounds: 20"))


def test_the_price_is_of_all_evaluations_and_the_noise_next_to_that_of_one() -> None:
    found = interim_facts(study())
    assert found is not None
    assert (found["after_rounds"], found["priced_evaluations"]) == ([5, 10, 15, 20], 4)
    assert found["noise_times"] == pytest.approx(2, rel=0.02)  # the root of four
    assert 3.9 < found["evaluation_epsilon"] <= 4
    said = interim_text(study())[0]
    assert "evaluated after every 5 rounds: 4 evaluations, the last after round 20" in said
    assert "each has 2 times the noise of a single one" in said


def test_the_price_is_the_accountants_for_that_many_releases() -> None:
    plan, found = PrivacyPlan.at(study(), "east"), interim_facts(study())
    assert plan is not None and found is not None
    single = SampledGaussian(
        noise_multiplier=plan.evaluation.noise_multiplier, sampling_rate=1.0, steps=1
    )
    assert found["evaluation_epsilon"] == epsilon(replace(single, steps=4), 1e-3)


def test_a_threshold_below_what_noise_alone_does_is_warned_of() -> None:
    forecast = study_forecast(study())
    assert forecast is not None
    noise = 2**0.5 * forecast.by_noise
    narrow, wide = study(round(noise / 2, 3)), study(round(min(noise * 2, 0.99), 3))
    assert any("taken back for nothing" in line for line in interim_text(narrow, forecast))
    assert not any("warning" in line for line in interim_text(wide, forecast))


def test_without_noise_nothing_is_priced_and_nothing_warned_of() -> None:
    free = study(0.001, without_noise(TABLE_STUDY))
    found = interim_facts(free)
    assert found is not None
    assert (found["priced_evaluations"], found["evaluation_epsilon"]) == (0, None)
    assert interim_text(free)[0].endswith("the last after round 20")


def test_a_study_that_is_evaluated_once_says_nothing_of_it() -> None:
    assert interim_facts(small_study()) is None and interim_text(small_study()) == []
