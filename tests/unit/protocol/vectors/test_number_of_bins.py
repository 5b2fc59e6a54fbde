"""The chosen number of bins is next to the best, and both institutions compute the same."""

import json

import pytest

from compliance.estimates.binned_scores.auroc import auroc_from_histogram
from compliance.estimates.binned_scores.release_rule import expected_counts
from compliance.estimates.withholding import WIDEST
from compliance.privacy.accounting import calibrate
from protocol.errors import StudyRefused
from protocol.study.study_file import read_study
from protocol.vectors.number_of_bins import NUMBERS, number_of_bins, roughly_noised
from tests.support.simulated.studies import small_study


def half_width(bins: int, patients: float, ill: float, deviation: float) -> float:
    found = auroc_from_histogram(expected_counts(patients, bins, 0.8, ill), deviation)
    return (found.high - found.low) / 2


@pytest.mark.parametrize("ill", [0.5, 0.3, 0.1, 0.03])
@pytest.mark.parametrize("patients", [100, 300, 1000, 5000, 20_000])
@pytest.mark.parametrize("deviation", [0.0, 0.5, 2.0, 10.0])
def test_no_other_number_makes_an_interval_much_narrower(
    ill: float, patients: float, deviation: float
) -> None:
    widths = {bins: half_width(bins, patients, ill, deviation) for bins in NUMBERS}
    if min(widths.values()) <= WIDEST:
        chosen = number_of_bins(patients, ill, deviation)
        assert widths[chosen] <= 1.06 * min(widths.values())


def test_without_noise_there_are_as_many_as_can_be_and_with_more_noise_fewer() -> None:
    assert number_of_bins(50, 0.5, 0.0) == 64
    chosen = [number_of_bins(1000, 0.3, deviation) for deviation in (0.1, 1, 3, 10, 100)]
    assert chosen == sorted(chosen, reverse=True) and chosen[-1] == 4
    assert number_of_bins(1000, 0.3, 1.0, rows=9) <= number_of_bins(1000, 0.3, 1.0)


@pytest.mark.parametrize("epsilon", [0.3, 1.0, 3.0, 8.0])
def test_the_rough_noise_is_near_that_which_hospitals_add(epsilon: float) -> None:
    exact = calibrate(epsilon=epsilon, delta=1e-5, sampling_rate=1.0, steps=1)
    assert 1.0 <= roughly_noised([epsilon], 1e-5, 1, 0.0) / exact < 1.5


def test_a_study_that_says_auto_names_a_number_and_one_that_does_not_keeps_its_digest() -> None:
    study = small_study()
    evaluation = study.evaluation.model_copy(update={"bins": "auto"})
    auto = study.model_copy(update={"evaluation": evaluation})
    assert auto.score_bins in NUMBERS and auto.evaluation_vector.shape == (2, auto.score_bins)
    assert study.evaluation_vector.shape == (2, study.evaluation.bins)
    assert auto.digest != study.digest
    again = read_study(auto.canonical_bytes.decode())
    assert (again.digest, again.score_bins) == (auto.digest, auto.score_bins)
    none = {"mode": "none", "clip": 1.0, "sampling_rate": 1.0}
    free = auto.model_dump() | {"privacy": none}
    assert type(study).model_validate(free).score_bins == 64


@pytest.mark.parametrize("bins", ["3", "many"])
def test_another_word_is_refused_and_auto_is_named(bins: str) -> None:
    document = small_study().model_dump(mode="json")
    document["evaluation"]["bins"] = bins
    with pytest.raises(StudyRefused, match="'auto'"):
        read_study(json.dumps(document))
