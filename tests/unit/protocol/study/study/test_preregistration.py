"""The section preregistration of a study: what it adds to the digest, and what is refused."""

import pytest

from protocol.errors import StudyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.study.variants import question, rule_of_tests, settings, targets
from tests.support.simulated.preregistered import PREREGISTRATION, preregistered
from tests.support.simulated.studies import MONITORING_STUDY, TABLE_STUDY, changed, small_study


def refused(old: str, new: str) -> str:
    assert old in PREREGISTRATION
    with pytest.raises(StudyRefused) as found:
        read_study(TABLE_STUDY + PREREGISTRATION.replace(old, new, 1), "s.yaml")
    return str(found.value)


def test_a_study_without_the_section_is_what_it_was() -> None:
    assert "preregistration" not in small_study().model_dump(mode="json")


def test_the_section_is_covered_by_the_digest_and_changes_no_computation() -> None:
    plain, said = small_study(), preregistered()
    assert plain.digest != said.digest != preregistered("at_least: 0.6", "at_least: 0.7").digest
    assert settings(plain) == settings(said) and question(plain) == question(said)
    assert Study.model_validate_json(said.canonical_bytes).digest == said.digest


def test_the_primary_hypothesis_has_the_criteria_that_name_no_other() -> None:
    said = preregistered().preregistration
    assert said is not None and said.primary.name == "discriminates"
    named = {one.name: [each.name for each in said.criteria_of(one)] for one in said.hypotheses}
    assert named == {"discriminates": ["auroc"], "alike": ["gap", "accuracy"]}


def test_a_baseline_moves_the_threshold() -> None:
    said = preregistered().preregistration
    assert said is not None
    assert [round(one.threshold, 6) for one in said.success] == [0.6, 0.5, 0.65]


REFUSED = {
    "no primary": (", primary: true", "", "none is the primary one"),
    "two primary": (
        "{name: alike, ", "{name: alike, primary: true, ", "discriminates, alike are the primary"
    ),
    "a name twice": ("{name: alike", "{name: discriminates", "stands there 2 times"),
    "a criterion twice": ("{name: gap", "{name: auroc", "auroc stands there 2 times"),
    "nothing decides it": (
        "  success:", "    - {name: third, text: More.}\n  success:", "no criterion decides third"
    ),
    "unknown hypothesis": (
        "hypothesis: alike, figure: accuracy, of: h", "hypothesis: alik, figure: accuracy, of: h",
        "no hypothesis 'alik'; did you mean 'alike'",
    ),
    "the only criterion of a hypothesis names another": (
        "  success:",
        "    - {name: third, text: More.}\n  success:\n"
        "    - {name: sens, hypothesis: thirdd, figure: auroc, at_least: 0.5}",
        "no hypothesis 'thirdd'; did you mean 'third'",
    ),
    "no threshold": ("at_least: 0.6", "by: estimate", "either at_least or at_most"),
    "two thresholds": ("at_least: 0.6", "at_least: 0.6, at_most: 1", "either at_least or at_most"),
    "grouping alone": ("of: hospital_gap", "of: hospital_gap, grouping: sex", "grouping goes with"),
    "no such grouping": (
        "of: hospital_gap", "of: group_gap, grouping: sex", "counts no grouping 'sex'"
    ),
    "outcome alone": ("of: hospital_gap", "outcome: a", "outcome goes with"),
    "a gap's baseline": (
        "of: hospital_gap", "of: hospital_gap, baseline: {name: a, value: 0.1}", "has no baseline"
    ),
    "contradiction": (
        "  contingencies:",
        "    - {name: low, figure: auroc, at_most: 0.5}\n  contingencies:",
        "low and auroc cannot both be met",
    ),
    "no condition": ("when: figure_withheld, ", "", "either when"),
    "unknown event": ("when: figure_withheld", "when: figures_withheld", "figure_withheld"),
    "a text of two lines": (
        "alike, text: It does", 'alike, text: "a\\tb", x: It', "of one paragraph"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_decided_or_contradicts_itself_is_refused(
    old: str, new: str, why: str
) -> None:
    said = refused(old, new)
    assert why in said and said.startswith("s.yaml:")


def test_criteria_that_touch_do_not_contradict_each_other() -> None:
    more = "    - {name: low, figure: auroc, at_most: 0.6}\n  contingencies:"
    assert preregistered("  contingencies:", more).digest


def test_a_calendar_of_releases_is_not_preregistered() -> None:
    with pytest.raises(StudyRefused, match="one release of its calendar"):
        read_study(MONITORING_STUDY + PREREGISTRATION)


def test_the_rule_of_tested_patients_is_a_hospitals_own_key_whatever_the_share() -> None:
    plain = small_study()
    other = read_study(changed("test_fraction: 0.3", "test_fraction: 0.4"))
    assert (
        rule_of_tests(plain)
        == rule_of_tests(other)
        != rule_of_tests(read_study(changed("patient_key: patient", "patient_key: row")))
    )
    assert targets(plain) == targets(other)
    assert targets(plain) == targets(read_study(changed("positive: [1]", "positive: [1, 2]")))
    assert not targets(plain) & targets(read_study(TABLE_STUDY.replace(" ill", " died")))
