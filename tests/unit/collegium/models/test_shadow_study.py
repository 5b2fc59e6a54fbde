"""The study of a canary's evaluation is derived from the version's own study, or refused."""

import pytest

from collegium.models.shadow_study import ShadowModel, shadow_text
from coordinator.rounds.ending.canary_figures import _testing
from protocol.errors import StudyRefused
from protocol.study.privacy import NoPrivacy
from protocol.study.study import Study
from protocol.study.study_file import read_study
from tests.support.simulated.studies import TABLE_STUDY, changed, small_study

SITES = ("east", "north", "south")
MODEL = ShadowModel(
    role="canary", file="canary-1.safetensors", sha256="ab" * 32, snapshot="cd" * 32, run="run-1"
)


def shadow(own: Study, canary: Study | None = None, sites: tuple[str, ...] = SITES) -> Study:
    return read_study(shadow_text(own, canary or own, sites, MODEL))


def test_columns_label_split_and_evaluation_stay_and_nothing_is_trained() -> None:
    own = read_study(changed("{bins: 8}", "{bins: 8, site_share: 0.3, attempts: 2}"))
    made = shadow(own)
    assert made.cohort == own.cohort
    assert (made.split, made.evaluation, made.seeds) == (own.split, own.evaluation, own.seeds)
    assert made.site_names == SITES
    assert made.task.network == own.task.network
    assert made.has_model and not made.trains
    assert made.task.pretrained is not None
    assert (made.task.pretrained.file, made.task.pretrained.sha256) == (MODEL.file, MODEL.sha256)
    assert made.threshold == 3


def test_test_patients_are_promised_what_the_evaluation_promised_them() -> None:
    text = changed("{bins: 8}", "{bins: 8, epsilon: 3}")
    text = text.replace("north.csv, patients: 40", "north.csv, patients: 40, epsilon: 2")
    own = read_study(text)
    made = shadow(own)
    for site in SITES:
        assert made.evaluation_epsilon_of(site) == own.evaluation_epsilon_of(site)
    assert [made.evaluation_epsilon_of(site) for site in SITES] == [3, 2, 3]


def test_what_says_how_to_learn_is_left_out() -> None:
    text = changed("{bins: 8}", "{bins: 8, every: 1, roll_back: 0.1}")
    text = text.replace("clip: 1.0, sampling_rate: 1.0", "clip: 1.0, sampling_rate: 0.5")
    text += "release: {licence: CC0-1.0, permitted_use: any}\ncommunication: {ring_bits: auto}\n"
    made = shadow(read_study(text))
    assert (made.evaluation.every, made.release, made.communication) == (None, None, None)
    assert made.privacy.sampling_rate == 1


def test_without_privacy_there_is_none_to_promise() -> None:
    made = shadow(small_study().with_epsilon(None))
    assert isinstance(made.privacy, NoPrivacy)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("task:\n", "task:\n  trained_layers: [output]\n", "needs the whole network"),
        ("learning_rate: 0.5", "learning_rate: 0.5, strategy: ditto, pull: 0.1", "of its own"),
    ],
)
def test_a_model_that_is_in_no_single_file_is_refused(old: str, new: str, why: str) -> None:
    own = read_study(changed(old, new))
    with pytest.raises(StudyRefused, match=why):
        shadow(own)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("test_fraction: 0.3", "test_fraction: 0.5", "split"),
        ("positive: [1]", "positive: [1, 2]", "cohort.label"),
        ("split: 1}", "split: 2}", "seeds.split"),
    ],
)
def test_a_version_of_another_split_or_label_is_not_compared(old: str, new: str, key: str) -> None:
    with pytest.raises(StudyRefused, match=f"another {key}"):
        shadow(read_study(changed(old, new)), small_study())


def test_fewer_than_three_hospitals_are_no_secure_sum() -> None:
    with pytest.raises(StudyRefused, match="a secure sum needs three hospitals"):
        shadow(small_study(), sites=("east", "north"))


def test_records_that_are_dealt_at_random_are_not_dealt_to_fewer_hospitals() -> None:
    how = "{records: all.csv, how: {rule: label_skew, shares: [1, 1, 1, 1], seed: 1}}"
    text = TABLE_STUDY + f"partition: {how}\n"
    for site in ("east", "north", "south", "west"):
        text = text.replace(f", records: {site}.csv", "")
    own = read_study(text)
    assert shadow(own, sites=own.site_names).partition == own.partition
    with pytest.raises(StudyRefused, match="dealt to all its hospitals at random"):
        shadow(own)


def test_of_records_in_one_file_those_of_other_hospitals_are_left_out() -> None:
    text = TABLE_STUDY + "partition: {records: all.csv, how: {rule: column, column: ward}}\n"
    for site in ("east", "north", "south", "west"):
        text = text.replace(f", records: {site}.csv", "")
    own = read_study(text)
    assert shadow(own, sites=own.site_names).partition == own.partition
    made = shadow(own).partition
    assert made is not None and own.partition is not None
    assert made.how.model_dump() == own.partition.how.model_dump() | {"others": "leave_out"}
    assert _testing(shadow(own), SITES) == _testing(own, SITES)  # the same patients, so it counts
