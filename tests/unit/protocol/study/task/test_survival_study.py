"""A study of survival: what it must say, and the line that a refusal names."""

import pytest

from protocol.errors import StudyRefused
from protocol.study.cohort.labels import SurvivalLabel
from protocol.study.study_file import read_study
from tests.support.simulated.studies import SURVIVAL_STUDY

NONE = "{mode: none, sampling_rate: 1.0}"
PRIVATE = "{mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}"


def changed(old: str, new: str) -> str:
    assert old in SURVIVAL_STUDY
    return SURVIVAL_STUDY.replace(old, new, 1)


def test_it_counts_by_event_interval_and_bin_and_reads_two_columns() -> None:
    study = read_study(SURVIVAL_STUDY)
    assert study.evaluation_vector.shape == (2, 4, 8)
    assert study.evaluation_vector.influence == 1.0
    assert isinstance(study.cohort.label, SurvivalLabel)
    assert study.cohort.label.columns == ("years", "died")
    assert study.task.hazards == pytest.approx((0.1, 1 / 9, 0.25))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("times: [1, 2, 4]", "times: [1, 2, 40]", "40 lies beyond the label's range"),
        ("times: [1, 2, 4]", "times: [1, 4, 2]", "times must rise"),
        ("[0.9, 0.8, 0.6]", "[0.9, 0.8]", "a share for each of the 3 times"),
        ("[0.9, 0.8, 0.6]", "[0.9, 0.95, 0.6]", "event_free must fall"),
        ("event: died", "event: dead", "no column is called 'dead'"),
        ("censored: [0]", "censored: [1]", "both occurred and censored: 1"),
        ("range: [0, 10]", "range: [-1, 10]", "from 0 or later"),
        ("range: [0, 10]", "range: [0, 1.0e300]", "to 1e.09 at most"),
        ("[0.9, 0.8, 0.6]", "[0.9, 0.8, 1.0e-17]", "by too little, or to nothing"),
        ("event: died", "event: years", "and event another column"),
    ],
)
def test_a_contradiction_is_refused_where_it_stands(old: str, new: str, said: str) -> None:
    with pytest.raises(StudyRefused, match=said):
        read_study(changed(old, new))


def test_cox_is_refused_under_privacy_with_the_remedy() -> None:
    text = changed("kind: survival", "kind: survival\n  loss: cox")
    with pytest.raises(StudyRefused, match=r"cox compares patients.*use loss: hazard"):
        read_study(text)
    assert read_study(text.replace(PRIVATE, NONE)).task.loss == "cox"


def test_a_label_of_another_task_is_refused() -> None:
    label = "{column: years, event: died, occurred: [1], censored: [0], range: [0, 10]}"
    with pytest.raises(StudyRefused, match="task survival needs a label with a time and an event"):
        read_study(changed(label, "{column: died, positive: [1], negative: [0]}"))
