"""The tables of docs/results.md: FLamby's figures are the published ones, and ours reach them."""

import pytest

from collegium.simulation.baselines.scoring import TestPatients
from collegium.simulation.comparison.plan import POOLED_RECORDS, variants
from tests import ROOT
from tests.long.personalisation.table import ROWS
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


@pytest.mark.parametrize("epsilon", [1, 4])
def test_the_table_under_privacy_has_every_row_and_its_leads_agree_with_its_means(
    epsilon: int,
) -> None:
    part = PAGE.split("## MR-MTL under privacy")[1].split(f"**Epsilon {epsilon}**")[1]
    lines = [line[1:-1].split("|") for line in part.splitlines() if line.startswith("|")]
    found = {first.strip(): [cell.strip() for cell in rest] for first, *rest in lines[2:10]}
    assert [*found] == [*ROWS]
    for keys, mean, worst, lead, lead_worst, _ in found.values():
        assert keys.split(", ")[0].startswith(("pull", "rounds"))
        for value, told, base in ((mean, lead, 1), (worst, lead_worst, 2)):
            if told:
                apart = float(value) - float(found["fedavg"][base])
                assert float(told.split(" ")[0]) == pytest.approx(apart, abs=0.0015)
