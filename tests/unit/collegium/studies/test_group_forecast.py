"""What an evaluation will say of groups is said beforehand, and holds of simulated patients."""

import math
from collections.abc import Mapping
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from rich.console import Console

from collegium.studies.forecast import group_forecast, group_text, study_forecast
from collegium.studies.preflight import describe_study
from compliance.estimates.interval import Interval
from compliance.estimates.largest_gap import largest_gap
from compliance.planning.group_forecast import GroupForecast
from coordinator.rounds.evaluation.registry import group_figures
from coordinator.rounds.evaluation.released import PartCounts
from pipelines.tasks.binary_classification import binary_classification
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.vectors.evaluation import COUNT_UNITS
from protocol.vectors.score_grid import ScoreGrid
from tests.support.simulated.studies import TABLE_STUDY

AUROC, DRAWS = 0.8, 40
APART = NormalDist().inv_cdf(AUROC) * math.sqrt(2)
TASK = binary_classification(None)


def study_with(groups: str, *, epsilon: float = 2.0, patients: int = 3000, more: str = "") -> Study:
    text = TABLE_STUDY.replace("patients: 40}", f"patients: {patients}}}").replace(
        "epsilon: 4, delta: 1e-3", f"epsilon: {epsilon}, delta: 1e-5"
    )
    return read_study(text.replace("{bins: 8}", f"{{bins: 8{groups}{more}}}"))


SEX = ", groups: {sex: {column: sex, values: {women: F, men: M}}}"
STUDY = study_with(SEX)


def forecast(study: Study = STUDY) -> GroupForecast:
    found = group_forecast(study, auroc=AUROC)
    assert found is not None
    return found


def simulated(
    random: np.random.Generator, patients: float, deviation: float, above: float = 0.0
) -> Mapping[str, Interval]:
    """Returns what is released of a group of drawn patients; ``above`` raises the ill's scores."""
    labels = (random.random(round(patients)) < 0.5).astype(np.float64)
    logits = APART * (random.normal(size=len(labels)) + (APART + above * 2) * (labels - 0.5))
    reference = APART * np.linspace(-2.5, 2.5, 60)[:, None]
    cells = TASK.group(logits, labels, reference, STUDY.evaluation.group_bins) / COUNT_UNITS
    grid = ScoreGrid.around(reference[:, 0])
    noised = cells + random.normal(0, deviation, len(cells))
    return group_figures(STUDY, PartCounts(noised, deviation, grid))


@pytest.mark.parametrize("figure", ["sensitivity", "specificity", "auroc"])
def test_a_group_is_shown_from_the_forecast_size_on_and_not_below(figure: str) -> None:
    found, random = forecast(), np.random.default_rng(3)
    smallest = found.smallest[figure]
    assert smallest is not None

    def shown(patients: float) -> float:
        drawn = (simulated(random, patients, found.deviation)[figure] for _ in range(DRAWS))
        return sum(one.value is not None for one in drawn) / DRAWS

    assert shown(0.6 * smallest) < 0.2 and shown(1.5 * smallest) > 0.8


@pytest.mark.parametrize(
    "draws", [pytest.param(60, id="quick"), pytest.param(400, marks=pytest.mark.long, id="long")]
)
def test_a_gap_of_the_forecast_size_is_seen_four_times_in_five(draws: int) -> None:
    found, random = forecast(), np.random.default_rng(5)
    (sex,) = found.groupings
    gap = sex.gaps["sensitivity"]
    assert gap is not None and (sex.groups, sex.size) == (2, found.patients / 2)
    usual = NormalDist(APART / 2)
    low, high = (1 - usual.cdf(0) + side * gap / 2 for side in (-1, 1))
    shifts = [NormalDist().inv_cdf(share) - APART / 2 for share in (low, high)]
    seen = 0
    for _ in range(draws):
        released = {
            str(shift): simulated(random, sex.size, found.deviation, shift)["sensitivity"]
            for shift in shifts
        }
        told = largest_gap(released)
        seen += told is not None and told.is_shown
    assert 0.65 < seen / draws < 0.97


def test_more_noise_and_more_groups_need_larger_groups_and_larger_gaps() -> None:
    loud = forecast(study_with(SEX, epsilon=0.5))
    both = forecast(study_with(SEX.replace("}}}", "}}, age: {column: age, edges: [40, 60]}}")))
    for worse in (loud, both):
        assert worse.deviation > forecast().deviation
        assert worse.smallest["auroc"] > forecast().smallest["auroc"]  # type: ignore[operator]
        gaps = {one.grouping: one.gaps["auroc"] for one in worse.groupings}
        assert gaps["sex"] > forecast().groupings[0].gaps["auroc"]  # type: ignore[operator]
    assert [one.groups for one in both.groupings] == [3, 2]


def test_the_noise_of_groups_is_in_the_forecast_of_all_patients_too() -> None:
    alone, beside = study_forecast(study_with("")), study_forecast(STUDY)
    assert alone is not None and beside is not None
    assert beside.deviation == pytest.approx(alone.deviation * STUDY.evaluation_vector.influence)
    assert beside.table_deviations == alone.table_deviations
    assert beside.half_width > alone.half_width


def test_a_hospital_that_declines_adds_noise_and_no_patients() -> None:
    text = {site.name: site for site in STUDY.sites}["west"]
    declined = STUDY.replaced(sites=(*STUDY.sites[:3], text.model_copy(update={"groups": False})))
    assert forecast(declined).patients == pytest.approx(0.75 * forecast().patients)
    assert forecast(declined).deviation == forecast().deviation


def test_check_says_it_in_words_and_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    told = describe_study(STUDY, Console(width=300))
    said = capsys.readouterr().out
    assert "patients in each count of one group: sensitivity from " in said
    assert "sex: 2 groups of 2572 test patients, if all are of one size: the smallest gap" in said
    assert told["evaluation"]["groups"]["smallest"]["auroc"] == forecast().smallest["auroc"]
    few = study_with(SEX, epsilon=0.1, patients=100)
    assert "too few to be shown" in "\n".join(group_text(group_forecast(few)))
    table = forecast(study_with(SEX, more=", group_bins: 2"))
    assert [*table.smallest] == ["sensitivity", "specificity"]
    assert group_forecast(study_with("")) is None and group_text(None) == []
    never = group_text(replace(forecast(), smallest={"auroc": None}))
    assert "count of one group: AUROC of none, if" in never[0]
