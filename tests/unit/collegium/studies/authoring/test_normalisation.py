"""A study that counts another's columns, and one that takes its centres and scales from there."""

from dataclasses import replace
from pathlib import Path

import pytest

from collegium.studies.authoring.normalisation import normalised_text
from collegium.studies.authoring.statistics_study import statistics_text
from compliance.estimates.interval import Interval
from compliance.estimates.withholding import TOO_FEW
from compliance.facts.dossier import Dossier
from protocol.errors import StudyRefused
from protocol.study.cohort.columns import NumberColumn
from protocol.study.study_file import read_study
from protocol.study.task.statistics import Statistics
from tests import ROOT
from tests.support.machine.commands import ask
from tests.support.simulated import dossiers
from tests.support.simulated.studies import SURVIVAL_STUDY, TABLE_STUDY, changed

HEART = (ROOT / "examples/heart-disease/study.yaml").read_text()


def released(mean: Interval, deviation: Interval) -> Dossier:
    whole = dossiers.statistics()
    age = replace(whole.columns[0], mean=mean, deviation=deviation)
    return replace(whole, columns=(age, *whole.columns[1:]))


def of(value: float, half: float) -> Interval:
    return dossiers.interval_of(value, half)


def numbers(text: str) -> dict[str, tuple[float, float]]:
    features = read_study(text).cohort.features
    return {c.name: (c.centre, c.scale) for c in features if isinstance(c, NumberColumn)}


def test_the_statistics_study_counts_within_three_scales_of_the_declared_centre() -> None:
    study = read_study(statistics_text(read_study(HEART)))
    assert isinstance(study.task, Statistics)
    ranges = {c.name: c.range for c in study.task.columns(study.cohort) if c.range}
    assert ranges == {
        "age": (20, 80), "trestbps": (70, 190), "chol": (0, 500), "thalach": (75, 225),
        "oldpeak": (-2, 4),
    }  # fmt: skip
    assert (study.privacy.mode, study.evaluation_epsilon) == ("per_site", 1)
    assert study.site("va").patients == 170


def test_it_keeps_who_pays_what_and_asks_for_another_epsilon_where_that_is_said() -> None:
    text = changed("clip: 1.0", "unit: record")
    study = read_study(statistics_text(read_study(text), epsilon=0.5, bins=8))
    assert study.privacy.model_dump()["unit"] == "record"
    assert (study.evaluation_epsilon, study.privacy.model_dump()["delta"]) == (0.5, 1e-3)
    assert isinstance(study.task, Statistics)
    assert study.task.bins == 8


def test_of_survival_the_event_is_counted() -> None:
    study = read_study(statistics_text(read_study(SURVIVAL_STUDY)))
    assert isinstance(study.task, Statistics)
    assert [column.name for column in study.task.columns(study.cohort)] == ["age", "ward", "died"]


def test_imputed_columns_are_counted_as_missing_and_replaced_words_stay_in_range() -> None:
    text = changed("scale: 20}", "scale: 20, impute: 50, replace: {old: 119}}")
    cohort = read_study(statistics_text(read_study(text))).cohort
    (age,) = [c for c in cohort.features if isinstance(c, NumberColumn)]
    assert (age.impute, age.replace, age.range) == (None, {"old": 110}, (0, 110))


DATED = (
    changed(
        "{column: ill, positive: [1], negative: [0]}",
        "{event_date: ill, index_date: entry, observed_until: '2020-12-31', within_days: 30, "
        "unobserved: drop}",
    )
    .replace("{name: ill, kind: other}", "{name: ill, kind: date}")
    .replace(
        "    - {name: patient,",
        "    - {name: born, kind: date}\n    - {name: entry, kind: date, since: born, unit: years, "
        "range: [0, 120], centre: 60, scale: 15}\n    - {name: patient,",
    )
)


def test_units_and_codes_for_missing_are_those_of_the_study_that_is_counted() -> None:
    text = changed(
        "scale: 20}",
        "scale: 20, impute: 50, missing: [-9], unit: years, units: {months: 0.08333}}",
    )
    before = read_study(text).cohort.features[0].model_dump()
    after = read_study(statistics_text(read_study(text))).cohort.features[0].model_dump()
    for key in ("missing", "unit", "units"):
        assert after[key] == before[key]
    assert after["impute"] is None


def test_ages_at_a_day_are_counted_near_the_declared_ones_and_so_are_events() -> None:
    study = read_study(statistics_text(read_study(DATED)))
    assert isinstance(study.task, Statistics)
    columns = {column.name: column for column in study.task.columns(study.cohort)}
    assert columns["entry"].range == (15, 105)
    assert columns["ill"].parts == ("negative", "positive")


def test_minimum_counts_of_classes_are_a_models_and_times_to_an_event_are_not_counted() -> None:
    text = changed("min_patients: 4", "min_patients: 4\n  min_per_class: 5")
    assert read_study(statistics_text(read_study(text))).cohort.min_per_class is None
    survival = DATED.replace("within_days: 30", "range: [0, 900]").replace(
        "task:\n", "task:\n  kind: survival\n  times: [90]\n  event_free: [0.9]\n"
    )
    with pytest.raises(StudyRefused, match="count no times to an event"):
        statistics_text(read_study(survival))


def test_a_study_of_columns_or_images_has_no_statistics_of_its_own() -> None:
    counted = read_study(statistics_text(read_study(HEART)))
    with pytest.raises(StudyRefused, match="of the columns of a study of a table"):
        statistics_text(counted)


def test_released_figures_become_centre_and_scale_to_two_digits_and_the_run_is_named() -> None:
    text, found = normalised_text(HEART, "study.yaml", released(of(53.87, 1.7), of(9.469, 1.5)))
    assert numbers(text) == numbers(HEART) | {"age": (53.9, 9.5)}
    assert text.splitlines()[:2] == [
        "# Centre and scale of age:",
        "# released by run 20261121-140000-c01c01 of heart-disease (epsilon 1),",
    ]
    assert "# mm ST depression" in text
    changed_lines = set(HEART.splitlines()) - set(text.splitlines())
    assert len(changed_lines) == 1
    kept = {each.column: each.kept_because for each in found if each.kept_because}
    assert kept["chol"] == "the run did not count it as a number"


@pytest.mark.parametrize(
    ("mean", "deviation", "why"),
    [
        (of(53.9, 6.0), of(9.4, 1.5), "mean is too uncertain, 53.9 \\(47.9 to 59.9\\)"),
        (of(53.9, 1.0), of(9.4, 6.0), "deviation is too uncertain"),
        (of(53.9, 1.0), Interval(value=0.0, low=0.0, high=0.0), "deviation is too uncertain"),
        (of(53.9, 1.0), Interval(value=None, low=None, high=None, note=TOO_FEW), "too few patie"),
    ],
)
def test_a_column_whose_interval_is_too_wide_is_refused_by_name(
    mean: Interval, deviation: Interval, why: str
) -> None:
    with pytest.raises(StudyRefused, match=f"no column's figures can be used: age: its.*{why}"):
        normalised_text(TABLE_STUDY, "study.yaml", released(mean, deviation))


def test_only_a_finished_run_of_a_statistics_study_is_taken() -> None:
    stopped = replace(dossiers.statistics(), state="stopped")
    for dossier in (dossiers.finished(), stopped):
        with pytest.raises(StudyRefused, match="a finished run of a statistics study"):
            normalised_text(TABLE_STUDY, "study.yaml", dossier)


def test_the_command_writes_the_statistics_study_and_the_check_says_what_it_will_tell(
    tmp_path: Path,
) -> None:
    to = tmp_path / "statistics.yaml"
    made = ask("study", "statistics", ROOT / "examples/heart-disease/study.yaml", "--to", to)
    assert made.returncode == 0, made.stderr
    checked = ask("study", "check", to)
    assert checked.returncode == 0, checked.stderr
    assert "every patient is counted, once; nothing is trained" in checked.stdout
    assert "age: mean +- " in checked.stdout
