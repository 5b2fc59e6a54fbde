"""Batches that take turns and groups under a robust rule: who is summed, what is refused."""

import pytest

from protocol.errors import StudyRefused
from protocol.study.study import RobustRule, SiteBatches, Study, SumOfSites
from protocol.study.study_file import read_study
from tests.support.simulated.nine_hospitals import grouped_study, grouped_text
from tests.support.simulated.studies import STATISTICS_STUDY, TABLE_STUDY, small_study

#: Five rounds; a hospital in both batches, and one in the first alone.
TURNS = "participation: {batches: [[east, north, south], [north, south, west]]}\n"
SHARED = (
    "{mode: distributed, noise_multiplier: 30, epsilon: 4, delta: 1e-3, clip: 1.0, "
    "sampling_rate: 1.0}"
)


def turns(rounds: int = 5, batches: str = TURNS) -> Study:
    return read_study(TABLE_STUDY.replace("rounds: 2", f"rounds: {rounds}") + batches)


def distributed(text: str) -> str:
    return text.replace(
        "{mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}", SHARED
    ).replace("{rounds: 2, local_steps: 2,", "{strategy: fedsgd, rounds: 2, local_steps: 1,")


def test_a_study_without_batches_and_groups_is_what_it_was() -> None:
    study = small_study()
    assert not {"robust", "participation"} & study.model_dump(mode="json").keys()
    assert study.sums("training", 1) == (study.whole_sum,)
    assert study.whole_sum == SumOfSites(sites=study.site_names, threshold=3)
    assert study.rounds_of("east") == 2 and study.priced_steps_of("east") == study.priced_steps


def test_round_r_is_of_batch_r_mod_number_and_the_evaluation_of_all() -> None:
    study = turns()
    found = ["".join(site[0] for site in study.sums("training", r)[0].sites) for r in range(5)]
    assert found == ["ens", "nsw", "ens", "nsw", "ens"]
    assert study.sums("evaluation", 5) == (study.whole_sum,)
    assert study.sum_with("west", "training", 0) is None
    assert study.sums("training", 0)[0].threshold == 3


def test_a_hospital_plans_and_pays_the_rounds_of_its_batches_alone() -> None:
    study = turns()
    assert {site: study.rounds_of(site) for site in study.site_names} == {
        "east": 3, "north": 5, "south": 5, "west": 2,
    }  # fmt: skip
    steps, spare = study.training.local_steps, study.aggregation.spare_draws
    assert study.steps_of("west") == 2 * steps
    assert study.priced_steps_of("west") == (2 + spare) * steps
    assert study.priced_steps == study.priced_steps_of("north") == (5 + spare) * steps


def test_the_rounds_of_a_batch_are_counted_as_they_come() -> None:
    batches = SiteBatches(batches=(("a", "b", "c"), ("b", "c", "d"), ("a", "c", "d")))
    for rounds in range(1, 9):
        for site in "abcd":
            counted = [site in batches.of_round(number) for number in range(rounds)]
            assert batches.rounds_of(site, rounds) == sum(counted)


def test_groups_are_sums_of_every_round_with_thresholds_of_their_own() -> None:
    study = grouped_study("abcde", "fghij", "klm")
    assert [(len(one.sites), one.threshold) for one in study.sums("training", 7)] == [
        (5, 4), (5, 4), (3, 3),
    ]  # fmt: skip
    assert study.sum_with("g", "training", 0) == study.sums("training", 0)[1]
    assert study.sums("evaluation", 2) == (study.whole_sum,)
    assert (study.fewest_with("a"), study.fewest_with("m")) == (4, 3)


@pytest.mark.parametrize(
    ("groups", "rule", "bears", "least"),
    [
        (("abc", "def", "ghi"), "rule: median", 1, 3),
        (("abc", "def", "ghi", "jkl"), "rule: median", 1, 3),
        (("abc", "def", "ghi", "jkl", "mno"), "rule: median", 2, 3),
        (("abc", "def", "ghi", "jkl", "mno"), "rule: trimmed_mean, trim: 2", 2, 5),
    ],
)
def test_a_rule_bears_fewer_wrong_groups_than_half(
    groups: tuple[str, ...], rule: str, bears: int, least: int
) -> None:
    robust = grouped_study(*groups, rule=rule).robust
    assert robust is not None
    assert (robust.bears, robust.least_groups) == (bears, least)


def test_a_round_needs_as_many_groups_as_the_rule() -> None:
    study = grouped_study("abc", "def", "ghi", "jkl")
    assert study.enough("training", 0, "abcdefghij")
    assert not study.enough("training", 0, "abcdefgh")
    assert study.enough("evaluation", 2, "abcdefghi")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("participation: {batches: [[east, north]]}", "batch 1 has 2 hospitals.*at least 3"),
        ("participation: {batches: [[east, north, south]]}", "west is in none of the batches"),
        ("participation: {batches: [[east, north, moon, south, west]]}", "names moon"),
        ("participation: {batches: [[east, east, north, south, west]]}", "names east twice"),
        ("participation: {batches: [[east, north, south, west], [east, north, south], "
         "[north, south, west]]}", "3 batches take turns in 2 rounds"),
        ("participation: {batches: []}", "participation.batches"),
    ],
)  # fmt: skip
def test_batches_that_cannot_be_summed_are_refused(more: str, message: str) -> None:
    with pytest.raises(StudyRefused, match=message):
        read_study(TABLE_STUDY + more + "\n")


def test_each_batch_bears_the_colluders_and_the_minimum_of_the_study() -> None:
    for old, new, message in (
        ("colluders: 1", "colluders: 2", "C = 2 colluders 2t > n"),
        ("colluders: 1", "colluders: 1, min_sites: 4", "aggregation.min_sites asks for 4"),
    ):
        text = TABLE_STUDY.replace("threshold: 3", "threshold: 4").replace(old, new)
        with pytest.raises(StudyRefused, match=message):
            read_study(text + TURNS)


@pytest.mark.parametrize(
    ("groups", "rule", "message"),
    [
        (("abc", "def"), "rule: median", "the study has 6 hospitals.*at least 9"),
        (("abcde", "fghij"), "rule: median", "there are 2 groups: a rule needs at least 3"),
        (("abcde", "fgh", "ij"), "rule: median", "group 3 has 2 hospitals"),
        (("abc", "def", "ghia"), "rule: median", "a is in 2 groups: each hospital is in one"),
        (("abc", "def", "ghi"), "rule: median, trim: 1", "a median has nothing to trim"),
        (("abc", "def", "ghi"), "rule: trimmed_mean", "how many groups are left out"),
        (("abc", "def", "ghi"), "rule: trimmed_mean, trim: 2", "3 groups leave none"),
        (("abc", "def", "ghi"), "rule: krum", "robust.rule"),
    ],
)
def test_groups_that_no_rule_can_take_are_refused(
    groups: tuple[str, ...], rule: str, message: str
) -> None:
    with pytest.raises(StudyRefused, match=message):
        grouped_study(*groups, rule=rule)


def test_every_hospital_is_in_a_group() -> None:
    with pytest.raises(StudyRefused, match="i is in none of the groups"):
        read_study(grouped_text().replace("[g, h, i]]", "[g, h, a]]"))


def test_neither_goes_with_noise_that_the_hospitals_share() -> None:
    with pytest.raises(StudyRefused, match="robust groups need privacy.mode per_site"):
        read_study(distributed(grouped_text()))
    with pytest.raises(StudyRefused, match="leave participation out"):
        read_study(distributed(TABLE_STUDY) + TURNS)


def test_groups_are_of_all_hospitals_and_of_a_study_that_trains() -> None:
    both = "participation: {batches: [[a, b, c, d, e, f, g, h, i]]}\n"
    with pytest.raises(StudyRefused, match="groups are of all hospitals in every round"):
        read_study(grouped_text(more=both))
    with pytest.raises(StudyRefused, match="this study trains nothing"):
        read_study(STATISTICS_STUDY + TURNS)


def test_a_strategy_that_needs_more_than_the_mean_is_refused_under_a_rule() -> None:
    text = grouped_text().replace(
        "{mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}",
        "{mode: none, sampling_rate: 1.0}",
    )
    with pytest.raises(StudyRefused, match="fedexp needs the mean of numbers beside"):
        read_study(text.replace("{rounds: 2", "{strategy: fedexp, rounds: 2"))


def test_a_rule_trims_as_it_says_whatever_the_number_of_groups_that_came() -> None:
    groups = tuple((f"a{n}", f"b{n}", f"c{n}") for n in range(5))
    median = RobustRule(rule="median", groups=groups)
    assert [median.trimmed(came) for came in (3, 4, 5)] == [1, 1, 2]
    assert RobustRule(rule="trimmed_mean", trim=1, groups=groups).trimmed(5) == 1
