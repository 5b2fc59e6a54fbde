"""The course of a run: by the rule as it stands, by an oracle, and by what nobody may send."""

from fractions import Fraction
from random import Random
from typing import Any, get_args

import pytest

from compliance.facts.figures import TASK_FIGURES
from protocol.errors import MessageRefused
from protocol.study.rounds.course import (
    MAX_COURSE_BYTES,
    Course,
    EvaluatedModel,
    best_of,
    figure_in_millionths,
    goes_on_from,
    parse_course,
    require_whole,
)
from protocol.study.study import EvaluationSchedule, Study
from protocol.study.study.rules.interim_rules import MOST_INTERIM
from protocol.study.study_file import read_study
from protocol.study.task.task import (
    BinaryClassification,
    MulticlassClassification,
    MultilabelClassification,
    Regression,
    Segmentation,
    Survival,
)
from tests.support.simulated.studies import changed, small_study

MODEL_TASKS = (
    BinaryClassification
    | MulticlassClassification
    | MultilabelClassification
    | Regression
    | Segmentation
    | Survival
)


def study_of(roll_back: float, rounds: int = 20, every: int = 2) -> Study:
    text = changed("{bins: 8}", f"{{bins: 8, every: {every}, roll_back: {roll_back}}}")
    return read_study(text.replace("rounds: 2", f"rounds: {rounds}"))


def course_of(*figures: int | None) -> Course:
    """Evaluations after 2, 4, 6 rounds, each of a model of its own."""
    return Course(
        evaluations=tuple(
            EvaluatedModel(rounds=2 * (place + 1), model=f"{place:064x}", figure=figure)
            for place, figure in enumerate(figures)
        )
    )


def in_points(*figures: float | None) -> Course:
    return course_of(*(None if one is None else round(one * 10_000) for one in figures))


def after(study: Study, *points: float | None) -> int:
    """After how many rounds the model is that the run goes on from, by figures in points."""
    return goes_on_from(study, in_points(*points)).rounds


def test_a_run_goes_back_only_if_a_figure_is_worse_by_more_than_the_study_says() -> None:
    study = study_of(0.05)
    assert after(study, 80) == 2
    assert after(study, 80, 75) == 4  # by no more
    assert after(study, 80, 74.9999) == 2
    assert after(study, 70, 80, 90, 84) == 6
    assert after(study, 90, 70, 86) == 6  # not held against what was taken back
    assert after(study, 80, 80, 70) == 4  # of equal ones the latest


def test_a_figure_that_is_withheld_takes_nothing_back_and_is_no_best_one() -> None:
    study = study_of(0.05)
    assert after(study, 80, None) == 4
    assert after(study, None, 10) == 4
    assert after(study, 80, None, 60) == 2
    assert best_of(study, in_points(None, None).evaluations) is None


def test_an_error_is_worse_when_it_is_larger() -> None:
    label = "{column: ill, range: [0, 90], centre: 30, scale: 10}"
    text = changed("{column: ill, positive: [1], negative: [0]}", label)
    text = text.replace("task:\n", "task:\n  kind: regression\n").replace("rounds: 2", "rounds: 9")
    study = read_study(text.replace("{bins: 8}", "{bins: 8, every: 2, roll_back: 1.5}"))
    assert after(study, 2000, 2151) == 2
    assert after(study, 2000, 2150) == 4
    assert after(study, 2000, 1000, 1140) == 6


def test_each_tasks_headline_is_compared_the_way_it_is_drawn() -> None:
    tasks: dict[str, Any] = {
        get_args(task.model_fields["kind"].annotation)[0]: task for task in get_args(MODEL_TASKS)
    }
    assert len(tasks) == 6
    for kind, task in tasks.items():
        assert task.lower_is_better is not TASK_FIGURES[kind].headline.higher_is_better


def oracle(figures: list[int | None], worse: Fraction) -> int:
    """The rule in other words: which place a run goes on from, by a run through all of them."""
    *earlier, last = figures
    known = [(figure, place) for place, figure in enumerate(earlier) if figure is not None]
    if last is None or not known:
        return len(earlier)
    best = max(figure for figure, _ in known)
    if Fraction(best - last, 10**6) <= worse:
        return len(earlier)
    return max(place for figure, place in known if figure == best)


def test_the_rule_is_the_oracles_whatever_was_released() -> None:
    random = Random(3)
    taken_back = 0
    for _ in range(2000):
        thousandths = random.randrange(1, 200)
        study = study_of_cached(thousandths)
        figures = [
            None if random.random() < 0.2 else random.randrange(40, 60) * 10_000
            for _ in range(random.randrange(1, 8))
        ]
        course = course_of(*figures)
        place = oracle(figures, Fraction(thousandths, 1000))
        assert goes_on_from(study, course) == course.evaluations[place]
        taken_back += place < len(figures) - 1
        # Decided by figures alone: it goes on at the end, or from a best one before.
        assert goes_on_from(study, course) in (
            course.last, best_of(study, course.evaluations[:-1])
        )  # fmt: skip
    assert 200 < taken_back < 1800


_STUDIES: dict[int, Study] = {}


def study_of_cached(thousandths: int) -> Study:
    if thousandths not in _STUDIES:
        base = _STUDIES.setdefault(0, study_of(0.05))
        evaluation = base.evaluation.model_copy(update={"roll_back": thousandths / 1000})
        _STUDIES[thousandths] = base.model_copy(update={"evaluation": evaluation})
    return _STUDIES[thousandths]


def test_without_roll_back_a_run_goes_on_from_whatever_was_evaluated() -> None:
    assert goes_on_from(small_study(), in_points(90, 10)).rounds == 4


def test_a_course_is_read_back_and_its_digest_is_of_those_bytes() -> None:
    course = course_of(800_000, None, 740_000)
    assert parse_course(course.canonical_bytes) == course
    assert course.digest != course_of(800_000, None, 740_001).digest


def test_a_course_out_of_order_or_without_evaluation_is_refused() -> None:
    one, two = course_of(1, 2).evaluations
    for wrong in ((), (two, one), (one, one)):
        with pytest.raises(ValueError, match="in order, each once"):
            Course(evaluations=wrong)
    with pytest.raises(MessageRefused):
        parse_course(b'{"evaluations":[]}')


def test_a_course_has_every_evaluation_that_is_due_and_no_other() -> None:
    study = study_of(0.05, rounds=6)
    require_whole(study, course_of(1, 2), 4)
    require_whole(study, course_of(1, 2, 3), 6)
    for course, rounds in ((course_of(1), 4), (course_of(1, 2, 3), 4)):
        with pytest.raises(MessageRefused, match="not of the evaluations that its study names"):
            require_whole(study, course, rounds)


def test_the_longest_course_fits_its_field() -> None:
    longest = Course(
        evaluations=tuple(
            EvaluatedModel(rounds=9_899 + n, model="f" * 64, figure=-(10**15))
            for n in range(MOST_INTERIM + 1)
        )
    )
    assert len(longest.canonical_bytes) < MAX_COURSE_BYTES / 2
    assert parse_course(longest.canonical_bytes) == longest


def test_figures_are_compared_in_millionths_and_never_overflow() -> None:
    assert figure_in_millionths(0.8123456789) == 812_346
    assert figure_in_millionths(None) is None
    assert figure_in_millionths(-1e30) == -(10**15)


def test_every_round_has_a_number_and_a_place_of_its_own() -> None:
    for rounds in range(1, 12):
        for every in [None, *range(1, rounds)]:
            schedule = EvaluationSchedule(rounds=rounds, every=every)
            walked, due = [("training", 0)], ("training", 0)
            while (after_it := schedule.round_after(*due)) != due:
                walked.append(due := after_it)
            numbers = [number for _, number in walked]
            assert len(set(numbers)) == len(numbers) == rounds + 1 + schedule.interim
            assert [n for kind, n in walked if kind == "evaluation"] == list(schedule.numbers)
            assert [n for kind, n in walked if kind == "training"] == list(range(rounds))
            left = [schedule.left(kind, number) for kind, number in walked]
            assert left == list(range(len(walked), 0, -1))
            for number in schedule.numbers:
                behind = schedule.rounds_before("evaluation", number)
                assert schedule.number_after(behind) == number
                assert behind == rounds or behind % (every or 1) == 0
