"""Every mistake in a study document is refused with its line and what is wrong."""

from time import process_time

import pytest

from protocol.errors import StudyRefused
from protocol.study.study_file import MAX_BYTES, read_study
from tests.support.simulated.studies import TABLE_STUDY, changed

MISTAKES = [
    ("title: A small study", r'title: "Small\nepsilon 0.1"', 3, "title: a text of one line"),
    ("title: A small study", r'title: "Small\e[8m"', 3, "title: a text holds no control character"),
    ("To be tested.", r'"To\u202e be"', 4, "purpose: a text holds no control character"),
    ("name: age", r'name: "age\e[2J"', 11, "name: a text holds no control character"),
    ("epsilon: 4", "epsilonn: 4", 24, "privacy.epsilonn: unknown key; did you mean 'epsilon'?"),
    (
        "epsilon: 4", "epsilon: 0", 24,
        "privacy.epsilon: input should be greater than or equal to 0.000001, got 0",
    ),
    (
        "epsilon: 4", "epsilon: -1", 24,
        "privacy.epsilon: input should be greater than or equal to 0.000001",
    ),
    ("epsilon: 4", "epsilon: .nan", 24, "privacy.epsilon: input should be a finite number"),
    ("epsilon: 4", "epsilon: .inf", 24, "privacy.epsilon: input should be a finite number"),
    ("epsilon: 4", "epsilon: four", 24,
     "privacy.epsilon: input should be a valid number, got 'four'"),
    ("delta: 1e-3", "delta: 0.1", 24, "delta must be below 1/n; east declares 40 patients"),
    ("clip: 1.0", "clip: 5e-324", 24, "a clip lies between 1e-20 and 1e15: others are"),
    ("clip: 1.0", "clip: 1e20", 24, "a clip lies between 1e-20 and 1e15: others are"),
    ("range: [0, 120]", "range: [0, 1e18]", 10, "1e+18 is too large a number for a study"),
    ("delta: 1e-3", "delta: 5e-324", 24, "4.94066e-324 is nothing: 1e-300 is the least"),
    ("sampling_rate: 1.0", "sampling_rate: 1e-4", 24, "draws a patient with a chance of delta"),
    ("sampling_rate: 1.0", "sampling_rate: 5e-324", 24, "so nothing is learned: raise sampling_"),
    ("{name: west, ", "{name: west, sampling_rate: 1e-9, ", 15, "sites: in its whole training we"),
    ("epsilon: 4", "noise: fast, epsilon: 4", 24, "privacy.noise: unknown key"),
    ("delta: 1e-3", "delta: 1", 24, "privacy.delta: input should be less than 1"),
    ("values: [A, B, C]", "values: [A], replace: {B: 1}", 12,
     "replace: this key does not belong here: category has no such key"),
    ("epsilon: 4", "epsilon: 4, bins: 3", 24, "privacy.bins: this key does not belong here: per_s"),
    ("threshold: 3", "threshold: 2", 25, "2t > n + C and t - C >= 2 must hold"),
    ("threshold: 3", "threshold: 5", 25, "threshold 5 exceeds the 4 sites"),
    ("colluders: 1", "colluders: 2", 25, "with n = 4 sites and C = 2 colluders"),
    ("mode: per_site", "mode: per_sit", 24,
     "'mode' is 'per_sit', not one of 'per_site', 'distributed'"),
    ("patient_key: patient", "", 5, "cohort.patient_key: this key is required and missing"),
    ("patient_key: patient", "patient_key: patientt", 7,
     "cohort.patient_key: no column is called 'patientt': the columns are age, ward, patient, "
     "ill; add {name: patientt, kind: other} if the files have it; did you mean 'patient'?"),
    ("column: ill", "column: dead", 8, "cohort.label.column: no column is called 'dead': the col"),
    ("title: A small study", "title: 2026-12-05", 3, "put '2026-12-05' in quotes"),
    ("epsilon: 4", "epsilon: 0.5, 5: 1", 24, "a key is a text: put 5 in quotes"),
    ("range: [0, 120]", "range: [120, 0]", 11, "range must rise"),
    ("values: [A, B, C]", "values: [A, A]", 12, "entries are repeated: A"),
    ("name: west", "name: east", 15, "site names are repeated: east"),
    ("name: west", "name: coordinator", 15, "no site may be called coordinator"),
    ("name: west", "name: 'a b'", 19, "a name has lower-case letters, digits, "),
    ("west.csv", "../west.csv", 19, "must be a relative path that stays inside its folder"),
    ("rounds: 2", "rounds: ten", 23, "training.rounds: input should be a valid integer"),
    ("FullyConnectedNet, hidden_channels: [4]", "Classifier, channels: [4], strides: [2]", 22,
     "a cohort of table needs FullyConnectedNet"),
    ("learning_rate: 0.5", "learning_rate: 0.5, learning_rate: 1", 23,
     "the key 'learning_rate' stands here a second time: keep one"),
    ("collegium: 1", "collegium: 2", 1, "collegium: input should be 1, got 2"),
    ("bins: 8}", "bins: 8}\nhospital: x", 27, "hospital: unknown key"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "said"), MISTAKES, ids=[m[1] for m in MISTAKES])
def test_a_mistake_is_refused_with_its_line(old: str, new: str, line: int, said: str) -> None:
    with pytest.raises(StudyRefused) as refusal:
        read_study(changed(old, new), source="study.yaml")
    assert f"study.yaml:{line}:" in str(refusal.value)
    assert said in str(refusal.value)
    assert len(str(refusal.value).splitlines()) <= 2


def test_fewer_than_three_sites_are_refused() -> None:
    two = "\n".join(line for line in TABLE_STUDY.splitlines() if "south" not in line)
    two = "\n".join(line for line in two.splitlines() if "west" not in line)
    with pytest.raises(StudyRefused, match="at least three sites are needed, got 2"):
        read_study(two)


def test_what_is_not_yaml_is_refused_without_a_traceback() -> None:
    for text in ("", "[1", "a: b: c", "\t x", "!!python/object:os.system x: 1", "\x00", "- 1\n- 2"):
        with pytest.raises(StudyRefused, match="^study.yaml"):
            read_study(text, source="study.yaml")


def test_an_endless_document_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(StudyRefused, match="larger than"):
        read_study("a: " + "x" * MAX_BYTES)


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 100_000,
        "a: " + "{b: " * 100_000,
        "a:\n" + "- " * 100_000,
        "\n".join(f"{' ' * depth}a:" for depth in range(1000)),
    ],
)
def test_a_document_that_is_too_deep_is_refused_before_it_is_parsed(text: str) -> None:
    begun = process_time()
    with pytest.raises(StudyRefused, match="lie deeper within each other than anything of a study"):
        read_study(text)
    assert process_time() - begun < 1  # seconds: it took half a minute


def test_yaml_12_is_read_not_yaml_11() -> None:
    study = read_study(changed("values: [A, B, C]", "values: [NO, YES, 010]"))
    ward = study.cohort.columns[1]
    assert ward.kind == "category"
    assert ward.tokens == ("NO", "YES", "10")


def test_a_missing_noise_multiplier_of_shared_noise_says_where_to_get_it() -> None:
    text = changed("mode: per_site", "mode: distributed").replace(
        "local_steps: 2, ", "local_steps: 1, strategy: fedsgd, "
    )
    with pytest.raises(
        StudyRefused,
        match="privacy.noise_multiplier: this key is required and missing: collegium study plan "
        "shows it",
    ):
        read_study(text)


def test_many_problems_are_counted_not_all_shown() -> None:
    text = changed("epsilon: 4, delta: 1e-3, clip: 1.0", "a: 1, b: 2, c: 3, d: 4, e: 5, f: 6")
    with pytest.raises(StudyRefused, match=r"and \d+ more"):
        read_study(text)


NOT_YAML = [
    ("  kind: table", "\tkind: table", "6:1: a tab stands here: write blanks instead"),
    ("title: A", "title: @A", "3:8: a text cannot begin with '@': put the text in quotes"),
    ("title: A", "title: ? A", "3:8: a text cannot begin with '?'"),
    ("title: A", "title: * A", "3:9: a text cannot begin with '*', '&' or '%'"),
    ("title: A", "title: *A", "3: a study has no anchors and aliases"),
    ("title: A", "title:A", "3:1: a key is missing here, or the ':' and the blank"),
    ("title: A", "title: B: A", "3:9: a ':' was not expected here"),
    ("title: A", "title: 'A", "3:8: the quote that opens here is never closed"),
    ("title: A", 'title: "A" b #', "3:12: this does not belong to what stands before it"),
    ("title: A", r'title: "C:\data"', "3:12: a backslash within double quotes"),
    ("title: A", "title: >5 A", "3:11: after '>' or '|' the text begins on the next line"),
    ("title: A", "title: , A", "3:8: a value is missing here"),
    ("title: A", "title: \x01A", "3:8: a character that no text holds"),
    ("sites:\n", "sites: ", "15:10: a list begins on the line after its key"),
    ("[0, 120]", "[0, 120", "11:70: a ',' is missing before this, or a ']' that closes the bra"),
    ("seeds:", "name: other\nseeds:", "27:1: the key 'name' stands here a second time"),
    ("seeds:", "---\nseeds:", "27:1: a second document begins here"),
]


@pytest.mark.parametrize(("old", "new", "said"), NOT_YAML, ids=[m[1] for m in NOT_YAML])
def test_what_is_not_yaml_is_told_in_plain_words_with_line_and_column(
    old: str, new: str, said: str
) -> None:
    with pytest.raises(StudyRefused) as refusal:
        read_study(changed(old, new), source="study.yaml")
    assert str(refusal.value).startswith(f"study.yaml:{said}")
    for jargon in ("scalar", "token", "block", "mapping", "stream"):
        assert jargon not in str(refusal.value)
