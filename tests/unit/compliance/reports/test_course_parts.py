"""Interim figures and what was rolled back: on the page, in the report, in JSON and in tables."""

from dataclasses import replace

import pytest

from collegium.api.frames import course_frame
from compliance.charts import run as charts
from compliance.charts.descriptions import describe_course
from compliance.estimates.interval import Interval
from compliance.facts.dossier import Dossier, EvaluationFacts, run_json
from compliance.reports.one_run.run_page import run_page
from compliance.reports.run_tables import course_table
from compliance.reports.sections.run import rounds_section
from tests.support.simulated.dossiers import NOTHING, finished, with_course
from tests.support.simulated.reports import privacy_report


def course_of(dossier: Dossier) -> tuple[EvaluationFacts, ...]:
    assert dossier.course is not None
    return dossier.course.evaluations


def test_a_run_says_which_rounds_were_taken_back_and_to_which_model() -> None:
    dossier = with_course()
    assert dossier.course is not None
    assert dossier.course.sentences == (
        "3 evaluations of 3; each was paid for.",
        "Rolled back after round 4: AUROC 0.620 (0.570 to 0.670) was worse by more than 0.05 than "
        "after round 2, whose model the run went on from.",
    )
    final = dossier.course.final
    assert final is not None and final.rounds == 6
    for document in (run_page(dossier, ()), privacy_report(dossier)):
        text = str(document)
        assert "Rolled back after round 4" in text
        assert "Released AUROC by round" in text


def test_a_run_that_ended_with_an_earlier_model_says_that_its_figures_are_rather_too_good() -> None:
    first, second, last = course_of(with_course())
    back = replace(last, goes_on=2, released=Interval(value=0.7, low=0.6, high=0.8))
    dossier = with_course(evaluations=(first, second, back))
    assert dossier.course is not None and dossier.course.final == first
    assert dossier.course.sentences[-1] == (
        "The run ended with the model after round 2, and its figures are those that were released "
        "then: the best of several, so rather too good."
    )
    for page in (run_page(dossier, ()), privacy_report(dossier)):  # beside the figure that it is of
        assert dossier.course.sentences[-1] in [statement.detail for statement in page.banner]
    assert dossier.course.earlier_end is not None and with_course().course is not None
    assert "Rounds were taken back." not in [one.text for one in run_page(with_course(), ()).banner]


def test_a_run_under_way_has_no_final_evaluation_and_a_calm_one_took_nothing_back() -> None:
    first, *_ = course_of(with_course())
    dossier = with_course(evaluations=(first,))
    assert dossier.course is not None and dossier.course.final is None
    assert dossier.course.sentences == (
        "1 evaluation of 3; each was paid for.", "No round was taken back.",
    )  # fmt: skip


def test_without_noise_nothing_is_said_to_be_paid_for() -> None:
    dossier = with_course()
    free = replace(dossier, study={**dossier.study, "privacy": {"mode": "none"}})
    assert free.course is not None and free.course.sentences[0] == "3 evaluations of 3."


def test_the_table_has_a_row_for_each_evaluation_and_where_the_run_went_back_to() -> None:
    dossier = with_course()
    assert dossier.course is not None
    table = course_table(dossier.course)
    assert [column.title for column in table.columns][:2] == ["After round", "AUROC, released"]
    assert [(row[0], row[3]) for row in table.rows] == [(2, None), (4, 2), (6, None)]


def test_json_and_frame_hold_the_same_figures() -> None:
    dossier = with_course()
    told = run_json(dossier)["course"]
    assert [one["after_round"] for one in told["evaluations"]] == [2, 4, 6]
    assert [one["rolled_back_to"] for one in told["evaluations"]] == [None, 2, None]
    frame = course_frame(dossier.course)
    assert list(frame["released"]) == [0.85, 0.62, 0.868]
    assert frame["rolled_back_to"].dropna().to_dict() == {4: 2}
    assert frame.loc[4, "released_low"] == pytest.approx(0.57)


def test_a_study_that_is_evaluated_once_says_nothing_of_a_course() -> None:
    dossier = finished()
    assert dossier.course is None and "course" not in run_json(dossier)
    assert "by round" not in str(rounds_section(dossier))
    assert course_frame(None).empty


def test_the_drawing_has_every_released_figure_and_says_it_in_words() -> None:
    dossier = with_course()
    assert dossier.course is not None
    drawn = charts.to_svg(charts.figure_by_round(dossier.course))
    assert "rolled back" in drawn and "after training round" in drawn
    assert describe_course(dossier.course) == (
        "Released AUROC: 0.850 (0.820 to 0.880) after round 2; 0.620 (0.570 to 0.670) after round "
        "4, rolled back to that after round 2; 0.868 (0.837 to 0.899) after round 6."
    )


def test_figures_that_are_withheld_are_a_table_and_no_drawing() -> None:
    evaluations = tuple(
        replace(one, released=NOTHING, goes_on=one.rounds) for one in course_of(with_course())
    )
    dossier = with_course(evaluations=evaluations)
    assert dossier.course is not None
    with pytest.raises(ValueError, match="no evaluation has released a figure"):
        charts.figure_by_round(dossier.course)
    shown = str(rounds_section(dossier))
    assert "Evaluations" in shown and "Released AUROC by round" not in shown


def test_interim_evaluations_have_their_own_bars_in_the_timeline() -> None:
    drawn = charts.to_svg(charts.rounds_timeline(with_course().rounds))
    assert ">eval 2<" in drawn and ">eval 4<" in drawn and ">eval<" in drawn
