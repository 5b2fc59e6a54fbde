"""The page Utility and privacy: figures against epsilon, budgets with a forecast, what-if."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from collegium.simulation.baselines.report import write_report
from collegium.simulation.comparison.report import write_report as write_strategies
from collegium.studies.bundled import bundled_study
from compliance.estimates.withholding import TOO_FEW
from compliance.facts.dossier import Dossier
from compliance.facts.privacy_utility import PER_SITE, Withheld
from compliance.storage.clock import utc_now
from coordinator.database.store import Store
from tests.support.machine.patience import PATIENCE
from tests.support.simulated import dossiers
from tests.support.simulated.baselines import few_findings
from tests.support.simulated.folder_page import FolderPage, rows
from tests.support.simulated.shown_page import again, sentences, show
from tests.support.simulated.stored_runs import StoredRuns
from tests.support.simulated.strategies import compared_strategies


def planned() -> Dossier:
    """A finished run of a study that can be planned."""
    study = bundled_study("heart-disease").study
    sites = tuple(
        replace(one, site=name)
        for one, name in zip(dossiers.finished().sites, study.site_names, strict=True)
    )
    return replace(
        dossiers.finished(), study=study.model_dump(mode="json"), study_digest=study.digest,
        sites=sites,
    )  # fmt: skip


def ago(dossier: Dossier, days: int, name: str, booked: float) -> Dossier:
    """The run so many days ago, when so much of each budget was booked."""
    at = (utc_now() - timedelta(days=days)).isoformat(timespec="milliseconds")
    sites = tuple(
        replace(s, privacy=replace(s.privacy, budget_share=booked)) for s in dossier.sites
    )
    return replace(dossier, run_id=name, started_at=at, ended_at=at, sites=sites)


def test_an_empty_store_says_how_to_start() -> None:
    page = show(StoredRuns(), "utility")
    assert "No run yet. Start one with" in sentences(page)
    assert not page.selectbox


def test_a_study_is_chosen_and_its_runs_are_drawn_with_why_there_is_no_training_curve() -> None:
    page = show(StoredRuns(dossiers.finished(), points=dossiers.sweep()), "utility")
    said = sentences(page)
    assert page.selectbox[0].options == ["heart-disease · 1 run, the newest of 2026-11-21"]
    assert "Verified at entry 11" in said
    assert "Why there is no training curve: a loss for every round" in said
    assert len(page.get("vega_lite_chart")) == 2  # utility and budgets


def test_means_that_noise_could_have_drawn_are_not_joined_and_the_page_says_why() -> None:
    points = [p for p in dossiers.sweep() if p.kind == "released"]
    wide = [replace(p, low=p.value - 0.3, high=min(1.0, p.value + 0.3)) for p in points]
    said = sentences(show(StoredRuns(dossiers.finished(), points=wide), "utility"))
    assert "No line joins the released means" in said
    joined = sentences(show(StoredRuns(dossiers.finished(), points=dossiers.sweep()), "utility"))
    assert "No line joins" not in joined


def test_studies_of_one_name_are_told_apart_and_each_can_be_looked_at() -> None:
    other = replace(dossiers.statistics(), run_id="run-2", started_at="2026-11-20T10:00:00.000Z")
    views = StoredRuns(
        dossiers.finished(), other, questions={"run-2": "b" * 64}, points=dossiers.sweep()
    )
    page = show(views, "utility")
    assert page.selectbox[0].options[1].startswith("heart-disease (bbbbbbbb)")
    page.selectbox[0].set_value("b" * 64)
    said = sentences(again(page))
    assert "counts columns and trains no model" in said


def test_runs_without_a_mark_are_counted_by_why() -> None:
    noise = replace(dossiers.finished(), run_id="noise", test_noise=True)
    views = StoredRuns(
        dossiers.finished(), dossiers.failed(), dossiers.running(), noise, points=dossiers.sweep()
    )
    said = sentences(show(views, "utility"))
    assert (
        "Runs of this study without a mark: 1 failed; 1 still at work; 1 with fixed test noise"
        in said
    )


@pytest.mark.parametrize("state", ["failed", "running", "interrupted", "stopped", "refused"])
def test_a_study_of_which_nothing_finished_says_so_and_why(state: str) -> None:
    run = replace(dossiers.failed(), state=state)
    said = sentences(show(StoredRuns(run), "utility"))
    assert "No finished run of this study has a figure to show yet." in said
    assert "Runs of this study without a mark: 1 " in said


def test_withheld_figures_are_told_with_their_reason() -> None:
    withheld = [Withheld(epsilon=0.1, seed=1, mode=PER_SITE, why=TOO_FEW)]
    said = sentences(show(StoredRuns(dossiers.finished(), withheld=withheld), "utility"))
    assert f"withheld: {TOO_FEW}" in said


def test_a_run_without_privacy_claims_none_and_has_no_epsilon_to_change() -> None:
    said = sentences(show(StoredRuns(dossiers.without_privacy()), "utility"))
    assert "No privacy is claimed" in said
    run = replace(planned(), sites=dossiers.without_privacy().sites)
    run = replace(run, study=bundled_study("heart-disease").study.with_epsilon(None).model_dump(
        mode="json"))  # fmt: skip
    said = sentences(show(StoredRuns(run), "utility"))
    assert "there is no ε to change" in said


def test_a_study_whose_code_is_not_at_hand_cannot_be_planned_here() -> None:
    said = sentences(show(StoredRuns(dossiers.finished()), "utility"))
    assert "cannot be planned here" in said


def test_runs_that_fit_are_those_of_the_hospital_with_the_least_left() -> None:
    run = dossiers.finished()
    sites = (
        replace(run.sites[0], privacy=replace(run.sites[0].privacy, budget_share=0.7)),
        *run.sites[1:],
    )
    said = sentences(show(StoredRuns(replace(run, sites=sites)), "utility"))
    assert "At this study's price 2 more runs fit at east" in said  # 0.3 of 0.11 each
    assert "No day is forecast" in said or "At the pace since" in said


def test_the_first_budget_to_end_is_forecast_from_runs_spread_over_the_last_90_days() -> None:
    views = StoredRuns(
        ago(dossiers.finished(), 60, "first", 0.21), ago(dossiers.finished(), 30, "mid", 0.3),
        ago(dossiers.finished(), 2, "last", 0.4),
    )  # fmt: skip
    page = show(views, "utility")
    said = sentences(page)
    # From 0.10 before the first run to 0.40 in 60 days: 0.60 more take another 120 days.
    end = (utc_now() + timedelta(days=120)).date()
    assert f"is that of east, on {end}" in said
    assert "at most 15 % of a budget in 30 days" in said
    assert "This assumes that runs go on as they did" in said
    first, *_ = rows(page, 0)
    assert list(first)[:3] == ["Hospital", "Further runs that fit", "Ends at this pace"]
    assert first["Ends at this pace"] == end.isoformat()


def test_without_a_pace_no_day_is_forecast() -> None:
    page = show(StoredRuns(ago(dossiers.finished(), 3, "only", 0.3)), "utility")
    assert "No day is forecast: a pace needs a run of the last 90 days" in sentences(page)
    assert "Ends at this pace" not in rows(page, 0)[0]


def test_another_epsilon_is_computed_only_when_it_is_asked_for() -> None:
    page = show(StoredRuns(planned(), points=dossiers.sweep()), "utility")
    assert "What would another ε cost us?" in sentences(page)
    assert [list(one.value.columns)[0] for one in page.table] == ["Further runs that fit"]
    assert page.number_input[0].value == 2.0
    assert page.number_input[1].value == 0.89  # what the runs without privacy reached
    page.number_input[0].set_value(4.0)
    page.button[0].click()
    again(page)
    figures = page.table[1].value.reset_index().to_dict("records")
    assert list(figures[0]) == ["Quantity", "As it is: ε = 1", "Asked: ε = 4"]
    shares = page.table[2].value.reset_index().to_dict("records")
    assert [row["Hospital"] for row in shares] == ["cleveland", "hungarian", "switzerland", "va"]
    assert "times as much of a budget" in sentences(page)


def test_an_epsilon_that_cannot_be_had_is_a_sentence() -> None:
    page = show(StoredRuns(planned()), "utility")
    page.number_input[0].set_value(0.001)
    page.button[0].click()
    said = sentences(again(page))
    assert "nothing could be learned" in said
    assert len(page.table) == 1  # what is left of budgets


@pytest.mark.parametrize(("language", "title"), [("de", "Lebensbudgets"), ("fr", "Budgets à vie")])
def test_the_page_speaks_other_languages(language: str, title: str) -> None:
    assert title in sentences(show(StoredRuns(dossiers.finished()), "utility", language))


def test_baselines_are_a_part_of_their_own_with_matrix_and_paired_differences() -> None:
    page = show(StoredRuns(dossiers.finished(), compared=few_findings()), "utility")
    page.button_group[0].set_value("Baselines")
    said = sentences(again(page))
    assert "None of it is differentially private" in said
    assert said.count("better at east, north, south; too few test patients to say at west") == 3
    assert len(page.get("vega_lite_chart")) == 5  # the gains; of each level matrix and four ways
    leads = page.dataframe[-1].value
    assert set(leads["The first is"]) >= {"better", "too few"}
    labels = [button.label for button in page.get("download_button")]
    assert labels[-3:] == ["Download as HTML", "Download as JSON", "Download as CSV"]


def folder(out: Path) -> AppTest:
    def script(out: str) -> None:
        from dashboard import app

        app.run(["--out", out])

    return again(AppTest.from_function(script, args=(str(out),), default_timeout=PATIENCE))


def test_a_folder_that_holds_baselines_alone_shows_them(tmp_path: Path) -> None:
    write_report(few_findings(), tmp_path)
    page = folder(tmp_path)
    assert "A federation beside its baselines" in page.title[0].value
    assert not page.error


def test_strategies_are_a_part_of_their_own_and_stand_alone_where_no_run_is(
    tmp_path: Path,
) -> None:
    findings = compared_strategies((0.01, 0.05), (None, None))
    beside = show(StoredRuns(dossiers.finished(), strategies=findings), "utility")
    beside.button_group[0].set_value("Strategies").run()
    write_strategies(findings, tmp_path)
    for page in (beside, folder(tmp_path)):
        assert not page.exception and not page.error
        said = sentences(page)
        assert "nothing of this page is differentially private" in said
        assert "Better than first: s0, lead 0.000 (0.010 to 0.050)." in said
        assert list(page.dataframe[0].value["Strategy"]) == ["first", "s0", "s1"]
        assert len(page.get("vega_lite_chart")) == 1


def test_a_damaged_comparison_is_a_sentence_beside_the_runs(tmp_path: Path) -> None:
    Store(tmp_path / "collegium.db").close()
    (tmp_path / "baselines.json").write_text('{"models": []}')
    page = FolderPage(tmp_path).look("utility")
    assert "No run yet." in sentences(page)
    page.button_group[0].set_value("Baselines").run()
    assert not page.exception
    assert "is damaged, or no comparison at all" in page.error[0].value
