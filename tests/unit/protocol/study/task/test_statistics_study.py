"""A statistics study says what is counted, and nothing of how to learn."""

import pytest

from protocol.errors import StudyRefused
from protocol.study.study_file import read_study
from protocol.study.task.statistics import Statistics
from tests.support.simulated.studies import STATISTICS_STUDY, TABLE_STUDY, small_study

COUNTED = "{name: ward, kind: category, values: [A, B, C]}"


def test_it_needs_no_network_no_training_and_no_split() -> None:
    study = read_study(STATISTICS_STUDY)
    assert not study.trains
    assert (study.training.rounds, study.training.steps, study.priced_steps) == (0, 0, 1)
    assert study.task.network.targets == ()
    assert study.evaluation_epsilon == 4
    assert small_study().trains


def test_features_are_counted_in_order_then_the_label() -> None:
    study = read_study(STATISTICS_STUDY)
    assert isinstance(study.task, Statistics)
    age, ward, ill = study.task.columns(study.cohort)
    assert (age.name, age.range, len(age.parts)) == ("age", (0, 120), 4)
    assert age.parts[0] == "0 to 30"
    assert (ward.parts, ill.parts) == (("A", "B", "C"), ("negative", "positive"))
    # one patient, then three of a number with its histogram, and one of each category
    assert study.evaluation_vector.influence**2 == pytest.approx(1 + 3 + 1 + 1)
    assert study.evaluation_vector.size == 1 + (1 + 2 + 4) + (1 + 3) + (1 + 2)


def test_without_histograms_a_patient_changes_less() -> None:
    study = read_study(STATISTICS_STUDY.replace(", bins: 4", ""))
    assert study.evaluation_vector.influence**2 == pytest.approx(5)


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("{column: ill, classes: {mild: [1], severe: [2]}}", [("ill", ("mild", "severe"))]),
        (
            "{findings: {cough: {column: ill, positive: [1], negative: [0]}, fever: "
            "{column: patient, positive: [1], negative: [0]}}}",
            [("cough", ("negative", "positive")), ("fever", ("negative", "positive"))],
        ),
        ("{column: ill, range: [0, 8]}", [("ill", ("0 to 2", "2 to 4", "4 to 6", "6 to 8"))]),
    ],
)
def test_labels_of_other_tasks_are_counted_too(
    label: str, parts: list[tuple[str, tuple[str, ...]]]
) -> None:
    text = STATISTICS_STUDY.replace("{column: ill, positive: [1], negative: [0]}", label)
    study = read_study(text.replace("patient_key: patient", "patient_key: row"))
    assert isinstance(study.task, Statistics)
    counted = study.task.columns(study.cohort)[2:]
    assert [(column.name, column.parts) for column in counted] == parts


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("privacy:", "training: {rounds: 1, local_steps: 1, learning_rate: 1}\nprivacy:",
         "nothing is trained: leave it out"),
        ("privacy:", "split: {method: file, file: s.csv}\nprivacy:", "every patient is counted"),
        ("sampling_rate: 1.0", "sampling_rate: 0.5", "sampling_rate: 1"),
        ("sampling_rate: 1.0", "sampling_rate: 1.0, noise_multiplier: 9", "are of training"),
        ("{site_share: 0.1}", "{site_share: 0.1, epsilon: 1}", "every patient pays privacy.epsil"),
        ("mode: per_site,", "mode: distributed, noise_multiplier: 9,", "mode per_site"),
        (COUNTED, COUNTED.replace("C]", "C], impute: A"), "impute would hide"),
        ("{kind: statistics, bins: 4}", "{kind: statistics, bins: 99}", "less than or equal to 64"),
        ("{kind: statistics, bins: 4}", "{kind: statistics, network: {}}", "does not belong here"),
    ],
)  # fmt: skip
def test_whatever_says_how_to_learn_is_refused(old: str, new: str, said: str) -> None:
    assert old in STATISTICS_STUDY
    with pytest.raises(StudyRefused, match=said):
        read_study(STATISTICS_STUDY.replace(old, new, 1))


def test_a_study_of_a_model_still_needs_its_training_and_every_cell() -> None:
    training = "training: {rounds: 2, local_steps: 2, learning_rate: 0.5, micro_batch: 8}\n"
    for text, said in (
        (TABLE_STUDY.replace(training, ""), "write rounds, local_steps and learning_rate"),
        (TABLE_STUDY.replace("rounds: 2", "rounds: 0"), "no round of training"),
        (
            TABLE_STUDY.replace("  min_patients", "  on_missing: count\n  min_patients"),
            "a model needs every cell",
        ),
    ):
        with pytest.raises(StudyRefused, match=said):
            read_study(text)


def test_survival_times_and_images_are_not_counted() -> None:
    text = STATISTICS_STUDY.replace(
        "{column: ill, positive: [1], negative: [0]}",
        "{column: ill, event: patient, occurred: [1], censored: [0], range: [0, 9]}",
    )
    with pytest.raises(StudyRefused, match="task statistics needs a label with positive"):
        read_study(text)
