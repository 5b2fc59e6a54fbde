"""Studies to choose from, the runs that tell budgets, and runs that may be compared over time."""

from dataclasses import replace
from datetime import UTC, datetime

from coordinator.views.one_run.run_summary import RunSummary
from dashboard.rows.figures.budgets import telling_runs
from dashboard.rows.figures.over_time import MOST, alike, heights, site_courses
from dashboard.rows.figures.studies import asked_studies, not_drawn, study_labels
from tests.support.simulated import dossiers
from tests.support.simulated.stored_runs import line_of

NOW = datetime(2026, 11, 29, tzinfo=UTC)


def run(name: str, started: str, **changes: object) -> RunSummary:
    line = replace(line_of(dossiers.finished()), run_id=name, started_at=f"{started}T10:00:00.000Z")
    return replace(line, **changes)  # type: ignore[arg-type]


def test_runs_that_ask_the_same_are_one_study_and_those_with_a_finished_run_come_first() -> None:
    studies = asked_studies([
        run("a", "2026-11-01"), run("b", "2026-11-03"),
        run("c", "2026-11-05", question="other", state="failed"),
    ])  # fmt: skip
    assert [[one.run_id for one in study.runs] for study in studies] == [["b", "a"], ["c"]]
    assert list(study_labels(studies).values()) == [
        "heart-disease (qqqqqqqq) · 2 runs, the newest of 2026-11-03",
        "heart-disease (other) · 1 run, the newest of 2026-11-05",
    ]


def test_the_newest_finished_run_under_privacy_stands_for_a_study() -> None:
    (study,) = asked_studies([
        run("old", "2026-11-01"), run("free", "2026-11-03", epsilon=None, mode="none"),
        run("lost", "2026-11-05", state="failed"),
    ])  # fmt: skip
    assert study.shown.run_id == "old"
    (study,) = asked_studies([run("lost", "2026-11-05", state="failed")])
    assert study.shown.run_id == "lost"
    assert not_drawn(study) == "Runs of this study without a mark: 1 failed."


def test_three_runs_tell_all_budgets_however_many_there_are() -> None:
    runs = [run(f"run-{day:02}", f"2026-11-{day:02}") for day in range(1, 29)]
    old = run("old", "2026-01-01")
    assert telling_runs([*runs, old], "run-10", NOW) == ("run-10", "run-28", "run-01")
    assert telling_runs([old], "old", NOW) == ("old",)
    free = run("free", "2026-11-29", epsilon=None)
    assert telling_runs([*runs, free], "run-10", NOW)[1] == "run-28"


def test_only_runs_that_promise_the_same_are_alike_and_the_newest_are_taken() -> None:
    runs = [run(f"run-{day:02}", f"2026-11-{day:02}") for day in range(1, 21)]
    other = run("weak", "2026-11-25", epsilon=8.0)
    (study,) = asked_studies([*runs, other, run("t", "2026-11-26", test_noise=True)])
    found = alike(study, runs[0])
    assert [one.run_id for one in found] == [f"run-{day:02}" for day in range(21 - MOST, 21)]


def test_hospitals_over_time_have_one_scale_and_one_without_a_figure_is_left_out() -> None:
    found = dossiers.finished()
    courses = site_courses([found, found], found.site_kinds[0])
    assert [course.site for course in courses] == ["east", "north", "south"]
    assert min(heights(courses)) < 0.7 - 0.08 and max(heights(courses)) > 0.9
    assert all(course.line is None for course in courses)
