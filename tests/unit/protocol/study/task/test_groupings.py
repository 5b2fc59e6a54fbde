"""Groupings of a study: names in one order, values told apart, and no digest moved by default."""

import pytest

from protocol.errors import StudyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.study.task.evaluation import Grouping
from tests.support.simulated.studies import STATISTICS_STUDY, TABLE_STUDY, changed, small_study

GROUPS = (
    "{bins: 8, groups: {ward: {column: ward, values: {others: [B, C], first: A}}, "
    "age: {column: age, edges: [40, 65]}}}"
)


def study_with(evaluation: str) -> Study:
    return read_study(changed("{bins: 8}", evaluation))


def test_groups_stand_in_one_order_whatever_the_order_of_the_file() -> None:
    found = study_with(GROUPS)
    assert [*found.evaluation.groups] == ["age", "ward"]
    assert found.evaluation.groups["age"].groups == ("below 40", "40 to below 65", "65 and above")
    assert found.evaluation.groups["ward"].groups == ("first", "others")
    assert Study.model_validate_json(found.canonical_bytes).digest == found.digest
    vector = found.evaluation_vector
    assert (vector.groups, vector.group_shape) == ((3, 2), (17,))
    assert vector.size == 16 + 5 * 17 and vector.own_cells == 6
    assert vector.influence**2 == pytest.approx(1 + 2 * 1.25)


def test_bands_have_names_of_their_own_however_near_their_edges() -> None:
    births = Grouping(column="born", edges=(20200101, 20200102, 20200103.5)).groups
    assert births[0] == "below 20200101" and births[-1] == "20200103.5 and above"
    assert len(set(births)) == 4


def test_a_study_without_groups_keeps_its_digest() -> None:
    plain = small_study().model_dump(mode="json")
    assert {"groups", "group_bins", "site_bins"}.isdisjoint(plain["evaluation"])
    assert all("groups" not in site for site in plain["sites"])
    assert study_with("{bins: 8, site_bins: 2, group_bins: 8}").digest == small_study().digest


@pytest.mark.parametrize(
    ("evaluation", "said"),
    [
        ("{groups: {age: {column: age}}}", "give either values or edges"),
        ("{groups: {age: {column: age, edges: [50, 40]}}}", "the edges must rise"),
        ("{groups: {age: {column: age, edges: [50], values: {a: 1, b: 2}}}}", "give either"),
        ("{groups: {w: {column: ward, values: {one: A}}}}", "name 2 to 16 groups"),
        ("{groups: {w: {column: ward, values: {one: [A, B], two: B}}}}", "stands in two groups"),
        ("{groups: {w: {column: ward, values: {one: 1, two: '1.0'}}}}", "stands in two groups"),
        ("{groups: {who: {column: patient, edges: [5]}}}", "a patient's key makes no group"),
        ("{groups: {'a: b': {column: age, edges: [5]}}}", "a grouping's name has no colon"),
        (r'{groups: {w: {column: ward, values: {"a\x1b[2J": A, b: B}}}}', "can be seen"),
        (r'{groups: {w: {column: ward, values: {"a\u202Eb": A, b: B}}}}', "can be seen"),
        ("{site_bins: 17}", "less than or equal to 16"),
    ],
)
def test_a_grouping_that_says_nothing_is_refused_where_it_stands(
    evaluation: str, said: str
) -> None:
    with pytest.raises(StudyRefused, match=said) as refusal:
        study_with(evaluation)
    assert ":26:" in str(refusal.value) or "evaluation" in str(refusal.value)


def test_without_noise_no_two_groupings_are_of_one_column() -> None:
    """Of ages from 50 to below 52 the groups beside them would tell, however few they are."""
    twice = "{bins: 8, groups: {age: {column: age, edges: [50]}, more: {column: age, edges: [52]}}}"
    assert len(study_with(twice).evaluation.groups) == 2
    text = changed("{bins: 8}", twice)
    begin, end = text.index("privacy:"), text.index("aggregation:")
    bare = text[:begin] + "privacy: {mode: none, sampling_rate: 1.0}\n" + text[end:]
    with pytest.raises(StudyRefused, match="would follow from more and age, which are of one"):
        read_study(bare)


def test_what_has_no_scores_or_no_model_has_no_bins_or_groups() -> None:
    regression = TABLE_STUDY.replace(
        "{column: ill, positive: [1], negative: [0]}",
        "{column: ill, range: [0, 1], centre: 0, scale: 1}",
    ).replace("task:\n", "task:\n  kind: regression\n")
    with pytest.raises(StudyRefused, match="only binary classification has them"):
        read_study(regression.replace("{bins: 8}", "{site_bins: 8}"))
    grouped = STATISTICS_STUDY.replace(
        "{site_share: 0.1}", "{site_share: 0.1, groups: {age: {column: age, edges: [50]}}}"
    )
    with pytest.raises(StudyRefused, match="statistics are of columns"):
        read_study(grouped)
