"""The page Fairness: hospitals, groups, the gaps that could have been seen, and runs over time."""

import tomllib
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest

from compliance.estimates.binned_scores.operating_points import operating_points
from compliance.estimates.withholding import TOO_FEW
from compliance.facts.dossier import Dossier
from compliance.reports.sections.fairness.gaps import (
    ENGLISH,
    gap_sentences,
    group_gap_sentences,
)
from protocol.vectors.score_grid import ScoreGrid
from tests.support.simulated import dossiers
from tests.support.simulated.folder_page import rows
from tests.support.simulated.shown_page import again, sentences, show
from tests.support.simulated.stored_runs import StoredRuns


def later(dossier: Dossier, count: int) -> list[Dossier]:
    """So many runs of a study, a day apart, that get better at the first hospital."""
    runs = []
    for place in range(count):
        first = dossiers.site_facts("east", 0.5 + 0.08 * place, 0.03)
        runs.append(
            replace(dossier, run_id=f"run-{place}", sites=(first, *dossier.sites[1:]),
                    started_at=f"2026-11-{10 + place}T10:00:00.000Z")
        )  # fmt: skip
    return runs


def test_an_empty_store_says_how_to_start() -> None:
    assert "No run yet." in sentences(show(StoredRuns(), "fairness"))


def test_hospitals_are_compared_with_the_smallest_gap_that_could_have_been_seen() -> None:
    page = show(StoredRuns(dossiers.finished()), "fairness")
    said = sentences(page)
    assert "Fairness across hospitals" in said
    assert "west has too few test patients for a figure of its own" in said
    accuracy = next(row for row in rows(page, 0) if row["Figure"] == "Accuracy, among hospitals")
    assert list(accuracy)[1] == "Is there a gap?"  # the verdict first: a narrow page shows it
    assert accuracy["Largest gap (95 %, for all pairs together)"].startswith("0.172 (")
    assert float(accuracy["Smallest gap that could have been seen"]) > 0.05
    assert "This study counts no groups of patients" in said


def test_groups_stand_with_what_may_be_concluded_and_who_declined() -> None:
    run = dossiers.with_groups()
    sites = [{"name": "east", "groups": False}, {"name": "north"}]
    page = show(StoredRuns(replace(run, study={**run.study, "sites": sites})), "fairness")
    said = sentences(page)
    assert "the largest gap, between below 50 and 50 and above, is 0.300" in said
    assert "Declined to count groups: east." in said
    verdict = {row["Figure"]: row["Is there a gap?"] for row in rows(page, 0)}
    assert verdict["Sensitivity, by age"] == "yes: find out why"
    assert verdict["Sensitivity, by sex"].startswith("not shown")


def test_runs_over_time_are_drawn_when_asked_for_on_one_scale_with_a_line_where_one_is() -> None:
    page = show(StoredRuns(*later(dossiers.finished(), 4)), "fairness")
    before = len(page.get("vega_lite_chart"))
    assert page.toggle[0].label == "Show the 4 newest runs that promise the same"
    page.toggle[0].set_value(True)
    said = sentences(again(page))
    assert len(page.get("vega_lite_chart")) == before + 3  # west has no figure in any run
    assert said.count("The line is the trend that the intervals allow") == 1
    assert said.count("No line is drawn: with these intervals") == 2


def test_only_runs_that_promise_the_same_are_compared_over_time() -> None:
    one, other = later(dossiers.finished(), 2)
    weaker = tuple(replace(s, privacy=dossiers.site_privacy(s.site, 4.0)) for s in other.sites)
    page = show(StoredRuns(one, replace(other, sites=weaker)), "fairness")
    assert "No other finished run of this study promises patients the same" in sentences(page)


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (dossiers.failed(), "This run did not finish"),
        (replace(dossiers.failed(), state="interrupted"), "This run did not finish"),
        (dossiers.running(), "This run is still at work"),
        (dossiers.statistics(), "counts columns and trains no model"),
        (replace(dossiers.finished(), sites=dossiers.finished().sites[:1]), "Only east took part"),
    ],
)
def test_where_nothing_can_be_compared_the_page_says_why(run: Dossier, why: str) -> None:
    page = show(StoredRuns(run), "fairness")
    assert why in sentences(page)
    assert not page.get("vega_lite_chart")


def test_withheld_figures_are_in_the_numbers_with_their_reason() -> None:
    sites = tuple(dossiers.site_facts(name, None) for name in dossiers.SITES)
    page = show(StoredRuns(replace(dossiers.finished(), sites=sites)), "fairness")
    assert TOO_FEW in str(page.dataframe[0].value.to_dict())


def test_a_run_without_privacy_or_with_test_noise_says_so_before_its_figures() -> None:
    said = sentences(show(StoredRuns(dossiers.without_privacy()), "fairness"))
    assert "trained without differential privacy" in said
    noise = replace(dossiers.finished(), test_noise=True)
    assert "fixed test noise" in sentences(show(StoredRuns(noise), "fairness"))


def test_thresholds_stand_beside_fairness() -> None:
    counts = np.array([[40.0, 30.0, 20.0, 10.0], [10.0, 20.0, 30.0, 40.0]])
    points = operating_points(counts, 2.0, (100.0, 100.0), ScoreGrid())
    page = show(StoredRuns(replace(dossiers.finished(), operating_points=points)), "fairness")
    assert "Thresholds" in [found.value for found in page.subheader]


def test_sentences_about_gaps_are_those_of_the_report_and_speak_the_pages_language() -> None:
    run = dossiers.with_groups()
    in_english, in_german, in_french = (
        sentences(show(StoredRuns(run), "fairness", language)) for language in ("en", "de", "fr")
    )
    told = [said for grouping in ("age", "sex") for _, said in group_gap_sentences(run, grouping)]
    assert all(said in in_english for said in (*told, *gap_sentences(run)))
    assert "Der größte Unterschied, zwischen below 50 und 50 and above, ist 0.300" in in_german
    assert "le plus grand écart, entre below 50 et 50 and above, est de 0.300" in in_french
    assert not any("largest gap" in said for said in (in_german, in_french))


def test_every_sentence_about_gaps_has_its_text() -> None:
    texts = tomllib.loads(files("dashboard.texts").joinpath("en.toml").read_text("utf-8"))
    assert texts["gaps"] == ENGLISH
