"""What columns are made of in clinical records: refused with line and remedy where it cannot be."""

import pytest

from protocol.errors import StudyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from tests.support.hospital.clinical_tables import STUDY
from tests.support.simulated.studies import small_study


def changed(old: str, new: str) -> str:
    assert old in STUDY
    return STUDY.replace(old, new, 1)


def test_a_study_without_clinical_meanings_says_nothing_of_them() -> None:
    dumped = small_study().model_dump(mode="json")["cohort"]
    assert "index" not in dumped and "clinical" not in dumped["label"]
    assert all("clinical" not in column for column in dumped["columns"])


def test_meanings_are_part_of_the_digest() -> None:
    study = read_study(STUDY)
    assert Study.model_validate_json(study.canonical_bytes).digest == study.digest
    other = read_study(changed("window: [-365, 0]", "window: [-366, 0]"))
    assert other.digest != study.digest


WRONG = [
    (
        "clinical: {what: age}",
        "clinical: {what: agee}",
        "columns[0].clinical: 'what' is 'agee', not one of 'age'",
    ),
    (
        "values: [female, male]",
        "values: [f, m]",
        "sex is one of the words female, male, other: values must be of them",
    ),
    (
        "what: condition, take: exists",
        "what: condition, take: last",
        "take: last is of values, and a condition has none",
    ),
    (
        "values: [no, yes]",
        "values: [absent, present]",
        "take: exists makes the words no and yes: they must be the column's",
    ),
    ("window: [-365, 0]", "window: [0, -365]", "window must rise"),
    ("window: [1, 30]", "window: [1, null]", "window must have an end"),
    ("concepts: [3004249],\n", "concepts: [0],\n", "concept 0 stands for records without"),
    ('http://loinc.org|8480-6"', '8480-6"', "codes[0]: string should match pattern"),
    (
        "values: [never, former, current]",
        "values: [never, former, often]",
        "answers must be of the column's words",
    ),
    (
        'unit: "mm[Hg]"',
        'unit: "kPa"',
        "unit_concepts must hold the column's own unit",
    ),
    (
        "{what: condition, take: exists, window: [null, 0], concepts: [201820],",
        "{what: condition, take: exists, window: [null, 0],",
        "descendants are those of concepts",
    ),
    (
        ", clinical: {what: sex}",
        "",
        "column 'sex' says no clinical, column 'age' does: every feature and the label must",
    ),
    ("take: first, at: end", "take: first, at: middle", "index.at: input should be 'start' or"),
    ("  on_missing: drop_row", "  on_missing: drop_row\n  missing: []", "missing is empty"),
]


@pytest.mark.parametrize(("old", "new", "said"), WRONG, ids=[each[2][:30] for each in WRONG])
def test_what_cannot_be_is_refused_with_its_line(old: str, new: str, said: str) -> None:
    with pytest.raises(StudyRefused) as refused:
        read_study(changed(old, new))
    assert said in str(refused.value) and ":" in str(refused.value).split(" ")[0]


def test_days_need_a_day_zero() -> None:
    begin, end = STUDY.index("  index:"), STUDY.index("  label:")
    with pytest.raises(StudyRefused, match="counts days, and nothing says from when"):
        read_study(STUDY[:begin] + STUDY[end:])
