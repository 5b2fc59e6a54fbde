"""Rows of runs: the table, its filters, runs beside each other, progress in words."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from compliance.estimates.interval import Interval
from compliance.facts.figures import TASK_FIGURES
from coordinator.runs.monitoring.progress import RunProgress
from coordinator.views.one_run.run_summary import RunSummary
from dashboard.rows.runs import (
    RunFilter,
    asks_the_same,
    compared_figures,
    differing_settings,
    elapsed_seconds,
    found_runs,
    hospital_rows,
    remaining,
    run_rows,
    share_done,
)
from tests.support.simulated import dossiers
from tests.support.simulated.studies import small_study

AUROC = TASK_FIGURES["binary_classification"].headline
RELEASED = Interval(value=0.81, low=0.78, high=0.84)


def a_run(name: str = "run-1", **given: object) -> RunSummary:
    told: dict[str, object] = {
        "run_id": name, "study_name": "heart", "question": "q", "state": "finished",
        "started_at": "2026-11-01T10:00:00.000Z", "ended_at": "2026-11-01T11:30:00.000Z", "seed": 1,
        "simulation": True, "test_noise": False, "mode": "per_site", "epsilon": 2.0,
        "figure": AUROC, "exact": 0.83, "released": RELEASED, "sweep": None, "rounds": 10,
        "rounds_done": 10, "hospitals": 4,
    }  # fmt: skip
    return RunSummary(**told | given)  # type: ignore[arg-type]


def test_a_row_holds_figures_as_numbers_and_says_what_is_not_there() -> None:
    rows = run_rows(
        [
            a_run(),
            a_run("run-2", released=Interval(value=None, low=None, high=None, note="too few")),
            a_run("run-3", released=None, state="running", ended_at=None),
            a_run("run-4", mode="none", epsilon=None, simulation=False, exact=None),
            a_run("run-5", test_noise=True, epsilon=None),
        ],
        {"run-1": ("best",)},
    )
    assert [row["interval"] for row in rows[:3]] == [
        "0.780 to 0.840", "withheld: too few", "nothing released",
    ]  # fmt: skip
    assert [row["released"] for row in rows[:3]] == [0.81, None, None]
    assert [row["minutes"] for row in rows[:3]] == [90.0, 90.0, None]
    assert [row["mode"] for row in rows[2:]] == [
        "per-site noise", "no privacy", "none: test noise",
    ]  # fmt: skip
    assert rows[3]["exact"] is None and rows[0]["exact"] == 0.83
    assert rows[0]["tags"] == ["best"] and rows[1]["tags"] == []


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (RunFilter(), {"a", "b", "c"}),
        (RunFilter(text="HEART sweep-1"), {"b"}),
        (RunFilter(text="quorum"), {"c"}),
        (RunFilter(text="best"), {"a"}),
        (RunFilter(states=("failed",)), {"c"}),
        (RunFilter(modes=("no privacy",)), {"b"}),
        (RunFilter(tags=("best", "other")), {"a"}),
        (RunFilter(epsilon=(1.5, 3.0)), {"a"}),
        (RunFilter(studies=("lung",)), {"c"}),
        (RunFilter(states=("failed",), epsilon=(0.0, 0.5)), set()),
    ],
)
def test_a_filter_lets_through_what_fits_all_of_it(wanted: RunFilter, found: set[str]) -> None:
    runs = [
        a_run("a"),
        a_run("b", mode="none", epsilon=None, sweep="sweep-1"),
        a_run("c", study_name="lung", state="failed", failure="QuorumLost: x", epsilon=8.0),
    ]
    assert {run.run_id for run in found_runs(runs, {"a": ("best",)}, wanted)} == found


def test_only_settings_that_differ_stand_beside_each_other() -> None:
    one = replace(dossiers.finished(), study=small_study().model_dump(mode="json"))
    study = {**one.study, "title": "Another", "training": {**one.study["training"], "rounds": 99}}
    study["seeds"] = {**one.study["seeds"], "extra": 1}
    other = replace(one, run_id="other", study=study)
    rows = {row["setting"]: row for row in differing_settings([one, other])}
    assert set(rows) == {"training.rounds", "seeds.extra"}
    assert rows["training.rounds"]["other"] == "99"
    assert rows["seeds.extra"][one.run_id] == "—"
    assert differing_settings([one, replace(one, run_id="same")]) == []


def test_figures_of_one_kind_stand_on_one_scale_and_other_questions_are_seen() -> None:
    error = TASK_FIGURES["regression"].headline
    runs = [a_run("a"), a_run("b", released=None), a_run("c", figure=error, question="other")]
    (first, rows), (second, _) = compared_figures(runs)
    assert (first, second) == (AUROC, error)
    assert [(name, found.value, found.note) for name, found in rows] == [
        ("a", 0.81, ""), ("b", None, "nothing released"),
    ]  # fmt: skip
    assert not asks_the_same(runs) and asks_the_same(runs[:2])


def test_what_is_left_of_a_run_is_estimated_and_it_is_said_how() -> None:
    now = datetime(2026, 11, 1, 10, 10, tzinfo=UTC)
    run = a_run(state="running", rounds_done=4, ended_at=None)
    assert elapsed_seconds(run, now) == 600
    assert remaining(run, now) == (900.0, "average")
    assert share_done(run) == 0.4
    assert remaining(replace(run, rounds_done=1), now) == (None, "unknown")
    told = RunProgress(state="running", round=4, rounds=10, seconds_left=77.0)
    assert remaining(replace(run, progress=told), now) == (77.0, "newest")
    assert share_done(replace(run, rounds=0)) == 0.0
    assert elapsed_seconds(run, now - timedelta(days=1)) == 0.0


def test_hospitals_are_silent_asked_or_ready() -> None:
    told = RunProgress(
        state="waiting", round=1, rounds=2, silent={"east": "2026-11-01T10:00:00.000Z"},
        asked={"north": "2026-11-01T10:01:00.000Z"},
    )  # fmt: skip
    rows = hospital_rows(a_run(progress=told), ["east", "north", "south"])
    assert [row["state"] for row in rows] == ["silent", "asked", "ready"]
    assert rows[0]["since"] and not rows[2]["since"]
    assert hospital_rows(a_run(), ["east"]) == []
