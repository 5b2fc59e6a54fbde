"""The tables of docs/results.md: FLamby's figures are the published ones, and ours reach them."""

from itertools import product

import pytest

from collegium.simulation.baselines.scoring import TestPatients
from collegium.simulation.comparison.plan import POOLED_RECORDS, variants
from tests import ROOT
from tests.long.personalisation.cohorts import X_RAYS
from tests.long.personalisation.table import ALONE, AVERAGED, EPSILONS, ROWS, grid, setting
from tests.long.results.choosing import STRATEGIES, figures
from tests.long.results.cohorts import BREAST_CANCER, HEART, PUBLISHED, heart_disease

PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
HEADINGS = {HEART: "## Heart disease", BREAST_CANCER: "## Breast cancer"}


def rows(cohort: str) -> dict[str, list[str]]:
    """Returns the cells of each strategy's line: settings, all patients, FLamby's, by hospital."""
    section = PAGE.split(HEADINGS[cohort])[1].split("\n## ")[0]
    lines = [line.strip("| ").split("|") for line in section.splitlines() if line.startswith("|")]
    return {first.strip(): [cell.strip() for cell in rest] for first, *rest in lines[2:]}


def mean_of(cell: str) -> float:
    return float(cell.split(" ± ")[0])


@pytest.mark.parametrize("cohort", HEADINGS)
def test_every_strategy_reaches_what_flamby_published_and_the_best_what_pooled_records_do(
    cohort: str,
) -> None:
    found = rows(cohort)
    assert [*found] == [*STRATEGIES, POOLED_RECORDS]
    for name, (_, reached, published, _) in found.items():
        mean, deviation = PUBLISHED[cohort].get(name, (0.0, 0.0))
        assert published == (f"{mean:.3f} ± {deviation:.3f}" if mean else "")
        assert mean_of(reached) >= mean - deviation
    best = max(mean_of(found[name][1]) for name in STRATEGIES)
    assert best >= mean_of(found[POOLED_RECORDS][1]) - 0.01


@pytest.mark.parametrize("strategy", ["fedavg", "mrmtl"])
def test_a_line_of_the_page_is_what_its_settings_reach(strategy: str) -> None:
    cohort = heart_disease()
    settings, reached, *_ = rows(HEART)[strategy]
    setting = ":".join([strategy, *(one.replace(" ", "=") for one in settings.split(", "))])
    (variant, *_) = variants(cohort.study, [setting], 1)
    patients = TestPatients(cohort.study, cohort.hospitals)
    _, found = figures(cohort.study, cohort.hospitals, patients, variant)
    assert found[""][cohort.figure] == pytest.approx(mean_of(reached), abs=0.006)


PRIVATE = {"Heart disease": HEART, "Breast cancer": BREAST_CANCER, "Chest X-rays": X_RAYS}


def cells_after(heading: str) -> dict[str, list[str]]:
    """Returns the cells of each line of the table behind a heading, by the first of them."""
    lines = [line for line in PAGE.split(heading)[1].split("\n\n")[1].splitlines()][2:]
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    return {first: rest for first, *rest in rows}


@pytest.mark.parametrize("cohort", PRIVATE)
@pytest.mark.parametrize("epsilon", EPSILONS)
def test_a_table_under_privacy_has_every_row_from_its_grid_and_leads_that_agree_with_its_means(
    cohort: str, epsilon: float
) -> None:
    found = cells_after(f"**{cohort}, epsilon {epsilon:g}**")
    lengths, rates = grid(PRIVATE[cohort])
    settings = {
        row: {setting(row, *length, rate) for length, rate in product(lengths, rates)}
        for row in ROWS
    }
    assert [*found] == [*ROWS]
    for row, (keys, mean, worst, lead, lead_worst, _) in found.items():
        strategy = AVERAGED if row == AVERAGED else "mrmtl"
        named = ":".join([strategy, *(one.replace(" ", "=") for one in keys.split(", "))])
        assert named in settings[row]
        for value, told, base in ((mean, lead, 1), (worst, lead_worst, 2)):
            if told:
                apart = float(value) - float(found[AVERAGED][base])
                assert float(told.split(" ")[0]) == pytest.approx(apart, abs=0.0015)


def test_the_best_pulls_are_those_of_the_tables_and_no_further_behind_than_the_page_says() -> None:
    lines = PAGE.split("The best pull of each table")[1].split("\n\n")[1].splitlines()[2:]
    told = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    assert len(told) == len(PRIVATE) * len(EPSILONS)
    for cohort, epsilon, alone, averaged, pull, mean, lead, averaged_worst, worst, behind in told:
        found = cells_after(f"**{cohort}, epsilon {epsilon}**")
        pulled = {row: cells for row, cells in found.items() if row not in {ALONE, AVERAGED}}
        assert found[pull][1:5] == [mean, worst, lead, behind]
        assert float(mean) == max(float(cells[1]) for cells in pulled.values())
        assert (found[ALONE][1], *found[AVERAGED][1:3]) == (alone, averaged, averaged_worst)
        assert float(mean) > float(alone)
        assert (
            float(mean) >= float(averaged) - 0.001 and float(worst) >= float(averaged_worst) - 0.006
        )
