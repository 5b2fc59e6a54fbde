"""Studies with interim evaluations: what they are, what they pay, and which are refused."""

from typing import Any

import pytest

from compliance.ledger.privacy_plan import PrivacyPlan
from protocol.errors import StudyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.study.variants import as_distributed
from tests.support.simulated.studies import MONITORING_STUDY, STATISTICS_STUDY, TABLE_STUDY

TEN = TABLE_STUDY.replace("rounds: 2", "rounds: 10")


def study(keys: str = "every: 2, roll_back: 0.05", text: str = TEN) -> Study:
    return read_study(text.replace("{bins: 8}", f"{{bins: 8, {keys}}}"))


def test_a_study_without_the_keys_is_what_it_was() -> None:
    plain = read_study(TEN)
    assert not {"every", "roll_back"} & plain.model_dump(mode="json")["evaluation"].keys()
    assert (plain.evaluations.interim, plain.priced_evaluations) == (0, 1)
    assert plain.digest == study("attempts: 1").digest


def test_every_evaluation_is_priced_once_and_spare_ones_are_of_all_of_them_together() -> None:
    found = study("every: 2, attempts: 3")
    assert found.evaluations.numbers == (11, 12, 13, 14, 10)
    assert found.priced_evaluations == 4 + 3
    assert found.spare_draws["evaluation"] == 2
    plan = PrivacyPlan.at(found, "east")
    assert plan is not None and plan.evaluation.steps == 7
    assert plan.training == PrivacyPlan.at(read_study(TEN), "east").training  # type: ignore[union-attr]


def test_the_last_evaluation_is_not_made_twice() -> None:
    assert study("every: 5").priced_evaluations == 2
    assert study("every: 4").evaluations.numbers == (11, 12, 10)
    assert study("every: 9").evaluations.numbers == (11, 10)


def test_noise_grows_with_the_number_of_evaluations_at_one_epsilon() -> None:
    noise = []
    for keys in ("attempts: 1", "every: 5", "every: 1"):
        plan = PrivacyPlan.at(study(keys), "east")
        assert plan is not None and plan.evaluation_epsilon <= 4
        noise.append(plan.evaluation.noise_multiplier)
    # Gaussian noise for n releases is about the root of n times that for one.
    assert noise[1] / noise[0] == pytest.approx(2**0.5, rel=0.02)
    assert noise[2] / noise[0] == pytest.approx(10**0.5, rel=0.02)


TRAINING = "{rounds: 10, local_steps: 2, learning_rate: 0.5, micro_batch: 8}"
COMMUNICATION = "communication: {ring_bits: auto, coordinates: 0.5}\n"
REFUSED = {
    "no every": ("roll_back: 0.05", "", "", "no round but the last is evaluated"),
    "as many as rounds": ("every: 10", "", "", "the last is evaluated anyway"),
    "more than can be": ("every: 2, roll_back: 1", "", "", "becomes worse by more than 1"),
    "nothing": ("every: 2, roll_back: 0", "", "", "greater than 0"),
    "no rounds between": ("every: 0", "", "", "greater than or equal to 1"),
    "a server that remembers": (None, "strategy: fedadam, ", "", "server of fedadam remembers"),
    "momentum": (None, "strategy: fedavgm, momentum: 0.9, ", "", "server of fedavgm remembers"),
    "scaffold": (None, "strategy: scaffold, ", "", "with scaffold each hospital keeps"),
    "own models": (None, "strategy: ditto, pull: 0.1, ", "", "with ditto each hospital keeps"),
    "averages": (None, "average_last: 2, ", "", "has dropped some of them"),
    "late updates": (
        None, "late_discount: 0.5, ", "communication: {ring_bits: auto}\n", "comes late",
    ),
    "some coordinates": (None, "", COMMUNICATION, "waits at the hospital"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_course_that_is_not_defined_is_refused(name: str) -> None:
    keys, training, more, said = REFUSED[name]
    text = TEN.replace(TRAINING, f"{{{training}{TRAINING[1:]}")
    with pytest.raises(StudyRefused, match=said):
        study(keys or "every: 2, roll_back: 0.05", text + more)


def test_more_evaluations_than_hospitals_are_shown_at_once_are_refused() -> None:
    long = TABLE_STUDY.replace("rounds: 2", "rounds: 1000")
    with pytest.raises(StudyRefused, match="499 evaluations before the last one.*at most 100"):
        study("every: 2", long)
    assert study("every: 10", long).evaluations.interim == 99


@pytest.mark.parametrize("text", [STATISTICS_STUDY, MONITORING_STUDY])
@pytest.mark.parametrize("keys", ["every: 1", "roll_back: 0.05"])
def test_a_study_that_trains_nothing_has_no_interim_evaluation(text: str, keys: str) -> None:
    with pytest.raises(StudyRefused, match="trains nothing: leave it out"):
        read_study(text.replace("{site_share: 0.1}", f"{{site_share: 0.1, {keys}}}"))


@pytest.mark.parametrize(
    "training", ["strategy: fedadam, ", "strategy: scaffold, ", "average_last: 2, "]
)
def test_evaluations_alone_go_with_every_strategy(training: str) -> None:
    found: Any = study("every: 3", TEN.replace(TRAINING, f"{{{training}{TRAINING[1:]}"))
    assert found.evaluations.interim == 3


def test_in_mode_distributed_a_study_is_evaluated_as_often() -> None:
    found = as_distributed(study("every: 2, roll_back: 0.05"))
    assert (found.training.rounds, found.evaluation.every) == (20, 4)
    assert found.evaluations.interim == 4
    heavy = study(text=TEN.replace("learning_rate: 0.5", "learning_rate: 0.5, momentum: 0.5"))
    with pytest.raises(StudyRefused, match="its momentum is the server's"):
        as_distributed(heavy)
