"""A study that evaluates a given model says nothing of how to learn."""

import pytest

from protocol.errors import StudyRefused
from protocol.study.privacy import PatientPrivacy
from protocol.study.study_file import read_study
from protocol.study.task.task import BinaryClassification
from tests.support.simulated.studies import TABLE_STUDY, changed, evaluation_study

GIVEN = evaluation_study("ab" * 32)


def test_it_has_a_model_and_one_round_which_is_the_evaluation() -> None:
    study = read_study(GIVEN)
    assert study.has_model
    assert not study.trains
    assert study.evaluations.numbers == (0,)
    assert (study.training.steps, study.priced_steps, study.priced_evaluations) == (0, 1, 1)
    assert study.evaluation_epsilon_of("east") == 4


def test_the_rounds_left_out_are_those_that_rounds_zero_means() -> None:
    training = "training: {rounds: 0, local_steps: 1, learning_rate: 1}\n"
    written = GIVEN.replace("privacy:", f"{training}privacy:")
    assert read_study(written).digest == read_study(GIVEN).digest


def test_a_study_without_rounds_and_without_a_given_model_is_refused() -> None:
    text = changed("training: {rounds: 2,", "training: {rounds: 0,")
    with pytest.raises(StudyRefused, match=r"no round of training: .*task\.pretrained"):
        read_study(text)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("privacy:", "training: {rounds: 0, local_steps: 3, learning_rate: 1}\nprivacy:",
         "training: nothing is trained"),
        ("task:\n", "task:\n  trained_layers: [output]\n", "task.trained_layers: nothing"),
        ("task:\n", "task:\n  adapters: {rank: 2, layers: [output]}\n", "task.adapters: nothing"),
        ("sampling_rate: 1.0", "sampling_rate: 0.5", "every test patient is counted"),
        ("patients: 40}\nsplit", "patients: 40, sampling_rate: 0.5}\nsplit", "every test patient"),
        ("mode: per_site", "mode: distributed, noise_multiplier: 20", "privacy.mode"),
        ("sampling_rate: 1.0", "sampling_rate: 1.0, noise_multiplier: 5", "are of training"),
        ("{bins: 8}", "{bins: 8, epsilon: 2}", "test patients pay privacy.epsilon"),
        ("{bins: 8}", "{bins: 8, every: 1}", "this study trains nothing"),
        ("seeds:", "release: {licence: CC0-1.0, permitted_use: none}\nseeds:", "no model is made"),
        ("seeds:", "participation: {batches: [[east, north, south], [east, south, west]]}\nseeds:",
         "this study trains nothing"),
    ],
)  # fmt: skip
def test_whatever_says_how_to_learn_is_refused(old: str, new: str, why: str) -> None:
    assert old in GIVEN
    with pytest.raises(StudyRefused, match=why):
        read_study(GIVEN.replace(old, new, 1))


def test_groups_of_patients_and_hospitals_own_promises_are_as_in_any_evaluation() -> None:
    text = GIVEN.replace("{bins: 8}", "{bins: 8, groups: {age: {column: age, edges: [50]}}}")
    text = text.replace("patients: 40}\nsplit", "patients: 40, epsilon: 2}\nsplit")
    study = read_study(text)
    assert isinstance(study.task, BinaryClassification)
    assert isinstance(study.privacy, PatientPrivacy)
    assert study.evaluation_epsilon_of("west") == 2
    assert len(study.groupings_of("west")) == 1


def test_the_small_study_still_trains() -> None:
    study = read_study(TABLE_STUDY)
    assert study.trains
    assert study.has_model
