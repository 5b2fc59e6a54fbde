"""A monitoring plan: what it watches, what it costs, what it would see, and when it is refused."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collegium.output.console import console
from collegium.simulation.settings import SimulationSettings
from collegium.studies.authoring.monitoring_study import (
    CalendarWish,
    WatchedModel,
    can_be_scored,
    monitoring_text,
)
from collegium.studies.monitoring.plan import (
    NOT_ENOUGH,
    PlanPlaces,
    forecast_of,
    plan_monitoring,
    pooled_deviation,
)
from collegium.studies.monitoring.series import next_release
from compliance.privacy.accounting import calibrate
from protocol.encoding import digest
from protocol.errors import BudgetSpent, StudyRefused, WorkspaceRefused
from protocol.study.cohort.columns import NumberColumn
from protocol.study.study import Study
from protocol.study.study_file import read_study, read_study_file
from protocol.study.task.monitoring import Monitoring
from protocol.vectors.score_grid import ScoreGrid
from protocol.vectors.tensors import encode_tensors
from tests import ROOT
from tests.support.simulated.calendars import CALENDAR_STUDY, CalendarRuns
from tests.support.simulated.studies import STATISTICS_STUDY, SURVIVAL_STUDY, TABLE_STUDY, changed

HEART = read_study((ROOT / "examples/heart-disease/study.yaml").read_text())
WISH = CalendarWish(releases=4, epsilon=8.0, watch=("age", "cp"))
MODEL = WatchedModel(
    run_id="20270101-080000-abcd",
    data=encode_tensors({"weight": np.ones(3, dtype=np.float32)}),
    grid=ScoreGrid(centre=-0.5, spread=2.0),
)


def plan(folder: Path, study: Study = HEART, wish: CalendarWish = WISH, **kept: Any) -> Any:
    return plan_monitoring(study, wish, PlanPlaces(to=folder / "plan.yaml"), console(), **kept)


def test_the_plan_reads_records_as_the_model_does_but_for_what_is_missing_or_out_of_range() -> None:
    made = read_study(monitoring_text(HEART, WISH))
    assert isinstance(made.task, Monitoring)
    before = {c.name: c for c in HEART.cohort.features}
    for column in made.cohort.features:
        if isinstance(column, NumberColumn):
            own = before[column.name]
            assert isinstance(own, NumberColumn)
            assert (column.centre, column.scale) == (own.centre, own.scale)
            assert column.outside == "clip"
    assert made.cohort.record_form == HEART.cohort.record_form
    assert [c.name for c in made.task.columns(made.cohort)] == ["age", "cp", "num"]
    assert (made.calendar, made.evaluation_epsilon, made.site("va").patients) == (4, 8, 170)


def test_what_stands_for_missing_cells_goes_to_the_model_and_out_of_the_columns() -> None:
    imputing = read_study(changed("scale: 20}", "scale: 20, impute: 44}"))
    made = read_study(monitoring_text(imputing, CalendarWish(releases=1), MODEL))
    assert isinstance(made.task, Monitoring)
    assert made.task.model is not None
    assert made.task.model.impute == {"age": 44}
    assert made.task.model.pretrained.sha256 == digest(MODEL.data)
    assert (made.task.model.centre, made.task.model.spread) == (-0.5, 2.0)
    assert all(getattr(c, "impute", None) is None for c in made.cohort.features)


def test_a_hospitals_smaller_epsilon_stays_and_one_that_is_none_goes() -> None:
    text = changed("patients: 40}", "patients: 40, epsilon: 2}")
    for epsilon, kept in ((4.0, 2.0), (1.0, None)):
        made = read_study(
            monitoring_text(read_study(text), CalendarWish(releases=1, epsilon=epsilon))
        )
        assert made.site("east").epsilon == kept


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (STATISTICS_STUDY, "columns of a study of a table"),
        (SURVIVAL_STUDY, None),
    ],
)
def test_only_columns_of_a_study_of_a_table_are_watched(text: str, said: str | None) -> None:
    study = read_study(text)
    if said is None:
        made = read_study(monitoring_text(study, CalendarWish(releases=1)))
        assert "died" in [c.name for c in made.task.columns(made.cohort)]  # type: ignore[union-attr]
        assert "ill or not" in can_be_scored(study)
        return
    with pytest.raises(StudyRefused, match=said):
        monitoring_text(study, CalendarWish(releases=1))


def test_enough_budget_gives_a_plan_with_price_and_forecast(tmp_path: Path) -> None:
    found = plan(tmp_path, patients=920)
    assert found["outcome"] == "planned"
    made = read_study_file(tmp_path / "plan.yaml")
    assert found["plan"] == str(tmp_path / "plan.yaml")
    assert found["price"]["releases_priced"] == 5
    assert 7.9 < found["price"]["epsilon"] <= 8
    assert found["price"]["epsilon_of_one_release"] < 4
    own = calibrate(epsilon=8, delta=1e-4, sampling_rate=1.0, steps=5) * 2 / math.sqrt(0.95)
    assert found["noise_in_each_count"] == pytest.approx(2 * own)  # four hospitals
    assert pooled_deviation(made) == found["noise_in_each_count"]
    seen = {one["column"]: one for one in found["smallest_drift_seen"]}
    assert set(seen) == {"age", "cp", "num"}
    assert seen["num"]["kind"] == "label"
    assert seen["num"]["psi"] < 0.1


def test_not_enough_budget_is_an_outcome_with_its_reason_and_leaves_no_plan(tmp_path: Path) -> None:
    found = plan(tmp_path, wish=CalendarWish(releases=6))
    assert found["outcome"] == NOT_ENOUGH
    assert "no watched column would show a shift of PSI 0.25" in found["why"]
    assert found["plan"] is None
    assert not list(tmp_path.iterdir())


def test_a_ledger_that_has_not_so_much_left_is_the_reason(tmp_path: Path) -> None:
    runs = CalendarRuns(tmp_path)  # hospitals with a budget of 40
    study = read_study(TABLE_STUDY.replace("patients: 40}", "patients: 350}"))
    places = PlanPlaces(to=tmp_path / "plan.yaml", out=runs.hospitals.workspace.root)
    wish = CalendarWish(releases=2, epsilon=60.0)
    found = plan_monitoring(study, wish, places, console())
    assert found["outcome"] == NOT_ENOUGH
    assert found["why"].startswith("east: ")
    fits = plan_monitoring(study, replace(wish, epsilon=16.0), places, console())
    assert fits["outcome"] == "planned"


def test_a_forecast_follows_a_declared_prevalence() -> None:
    made = read_study(monitoring_text(HEART, WISH))
    rare = HEART.replaced(task=HEART.task.model_copy(update={"prevalence": 0.1}))
    (label,) = [one for one in forecast_of(made, 900, rare).columns if one.kind == "label"]
    assert label.share == pytest.approx(0.1)


def test_a_plan_is_never_written_over_another(tmp_path: Path) -> None:
    plan(tmp_path, patients=920)
    with pytest.raises(WorkspaceRefused, match="is there already"):
        plan(tmp_path, patients=920)


def test_one_release_too_many_and_a_study_without_a_calendar_are_refused_at_once(
    tmp_path: Path,
) -> None:
    runs = CalendarRuns(tmp_path)
    for _ in range(3):
        runs.release()
    root, settings = runs.hospitals.workspace.root, SimulationSettings(data=runs.hospitals.data)

    def nobody(*_: object) -> None:
        raise AssertionError("it went on")

    with pytest.raises(BudgetSpent, match="all 2 releases of small are made"):
        next_release(read_study(CALENDAR_STUDY), tmp_path, root, settings, nobody)
    with pytest.raises(StudyRefused, match="is no monitoring plan"):
        next_release(read_study(STATISTICS_STUDY), tmp_path, root, settings, nobody)
