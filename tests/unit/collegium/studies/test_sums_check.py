"""The study check says who is summed with whom, what each pays, what a robust rule cannot do."""

from io import StringIO

from rich.console import Console

from collegium.simulation.baselines.plan import all_but
from collegium.studies.preflight import describe_study
from protocol.study.study_file import read_study
from tests.support.simulated.nine_hospitals import grouped_study, grouped_text, without_noise
from tests.support.simulated.studies import TABLE_STUDY

TURNS = "participation: {batches: [[east, north, south], [north, south, west]]}\n"


def said(text: str) -> str:
    out = StringIO()
    describe_study(read_study(text), Console(file=out, width=500))
    return out.getvalue()


def test_the_price_of_each_hospital_is_of_its_own_rounds() -> None:
    found = said(TABLE_STUDY.replace("rounds: 2", "rounds: 3") + TURNS)
    assert "batch 1: east, north, south; 3 must answer" in found
    assert "west: in 1 of 3 rounds, and pays 4 steps, spare ones included" in found
    assert "north, south: each in 3 of 3 rounds, and pays 8 steps" in found
    assert "  noise multiplier in the evaluation" in found  # in training each has its own


def test_a_rule_says_what_it_bears_whom_it_silences_and_that_nothing_is_rolled_back() -> None:
    text = without_noise(grouped_text(("abc", "def", "ghi")))
    found = said(text.replace("a.csv, patients: 40}", "a.csv, patients: 400}"))
    assert "it bears 1 group with poisoned hospitals, and a round needs 3 groups" in found
    assert "group 2: d, e, f; 3 must answer, 1 may collude in it" in found
    assert "the groups declare 120 to 480 patients, and count alike" in found
    assert "patients whom nobody else treats" in found
    assert "not rolled back: the study does not say evaluation.roll_back" in found
    text = text.replace("rounds: 2", "rounds: 4").replace(
        "{bins: 8}", "{bins: 8, every: 2, roll_back: 0.1}"
    )
    assert "not rolled back" not in said(text)


def test_the_baseline_without_a_hospital_leaves_it_out_of_its_group() -> None:
    robust = all_but(grouped_study(), "e").robust
    assert robust is not None and robust.groups[1] == ("d", "f")
