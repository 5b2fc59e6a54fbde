"""A monitoring study says what is watched, for how long, and with which model."""

import pytest

from protocol.errors import StudyRefused
from protocol.study.study_file import read_study
from protocol.study.task.monitoring import SCORE, Monitoring
from tests.support.simulated.studies import MONITORING_STUDY, STATISTICS_STUDY

MODEL = (
    "{kind: monitoring, releases: 2, bins: 4, model: {network: {_target_: FullyConnectedNet, "
    "hidden_channels: []}, pretrained: {file: model.safetensors, sha256: "
    f"{'a' * 64}, source: a run}}, centre: 0.5, spread: 2, bins: 4, impute: {{age: 50}}}}}}"
)
SCORED_STUDY = MONITORING_STUDY.replace("{kind: monitoring, releases: 2, bins: 4}", MODEL)


def columns(text: str) -> list[tuple[str, tuple[str, ...]]]:
    study = read_study(text)
    assert isinstance(study.task, Monitoring)
    return [(one.name, one.parts) for one in study.task.columns(study.cohort)]


def test_a_patient_adds_one_to_each_histogram_and_nothing_else() -> None:
    study = read_study(MONITORING_STUDY)
    assert not study.trains
    assert study.evaluation_vector.influence**2 == pytest.approx(1 + 1 + 1 + 1)
    assert study.evaluation_vector.size == 1 + (1 + 4) + (1 + 3) + (1 + 2)


def test_the_reference_and_every_release_are_priced_and_spare_draws_too() -> None:
    study = read_study(MONITORING_STUDY)
    assert (study.calendar, study.priced_evaluations, study.priced_steps) == (2, 3, 3)
    spare = read_study(MONITORING_STUDY.replace("{site_share: 0.1}", "{attempts: 2}"))
    assert spare.priced_evaluations == 4
    assert read_study(STATISTICS_STUDY).calendar is None
    assert read_study(STATISTICS_STUDY).priced_evaluations == 1


def test_numbers_are_counted_near_their_declared_centre() -> None:
    assert columns(MONITORING_STUDY)[0] == (
        "age", ("0 to 27.5", "27.5 to 55", "55 to 82.5", "82.5 to 110")
    )  # fmt: skip
    wide = MONITORING_STUDY.replace(", centre: 50, scale: 20", "")
    assert columns(wide)[0][1][-1] == "90 to 120"


def test_what_is_not_watched_is_not_counted_and_costs_nothing() -> None:
    text = MONITORING_STUDY.replace("bins: 4}", "bins: 4, watch: [ward]}")
    assert [name for name, _ in columns(text)] == ["ward", "ill"]
    assert read_study(text).evaluation_vector.influence ** 2 == pytest.approx(3)


def test_scores_are_one_more_column_on_the_grid_that_the_study_fixes() -> None:
    name, parts = columns(SCORED_STUDY)[-1]
    assert name == SCORE
    assert parts == ("below -0.85", "-0.85 to 0.5", "0.5 to 1.85", "above 1.85")
    study = read_study(SCORED_STUDY)
    assert study.evaluation_vector.influence**2 == pytest.approx(5)
    assert study.task.pretrained is not None
    assert study.task.pretrained.file == "model.safetensors"


def test_another_model_or_calendar_is_another_study() -> None:
    texts = (
        MONITORING_STUDY, SCORED_STUDY, SCORED_STUDY.replace("a" * 64, "b" * 64),
        MONITORING_STUDY.replace("releases: 2", "releases: 3"),
    )  # fmt: skip
    assert len({read_study(text).digest for text in texts}) == 4


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("bins: 4}", "bins: 4, watch: [heigth]}", "no feature is called heigth"),
        ("  on_missing: count\n", "", "missing values are watched: on_missing: count"),
        ("releases: 2", "releases: 0", "releases"),
        ("bins: 4}", "bins: 1}", "bins"),
    ],
)
def test_what_cannot_be_watched_is_refused_by_name(old: str, new: str, said: str) -> None:
    with pytest.raises(StudyRefused, match=said):
        read_study(MONITORING_STUDY.replace(old, new))


def test_scores_of_another_kind_of_label_are_refused() -> None:
    text = SCORED_STUDY.replace(
        "{column: ill, positive: [1], negative: [0]}", "{column: ill, range: [0, 8]}"
    )
    with pytest.raises(StudyRefused, match="scores are counted of a model that says ill or not"):
        read_study(text)
    with pytest.raises(StudyRefused, match="no feature is called height"):
        read_study(SCORED_STUDY.replace("impute: {age", "impute: {height"))
