"""The tables of docs/robustness.md: what they show holds, and a line is what its command gives."""

import pytest

from tests import ROOT
from tests.long.poisoning.attacks import ATTACKS
from tests.long.poisoning.cohorts import BREAST_CANCER, HEART
from tests.long.poisoning.minority import MINORITIES
from tests.long.poisoning.table import NOISES, SEEDS, aurocs

PAGE = (ROOT / "docs" / "robustness.md").read_text(encoding="utf-8")
HEADINGS = {HEART: "**Heart disease**", BREAST_CANCER: "**Breast cancer**"}
CLEAN = "none"


def table(heading: str) -> list[list[str]]:
    """Returns the cells of each line of the table behind a heading."""
    lines = PAGE.split(heading)[1].split("\n\n")[1].splitlines()
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines[2:]]


def reached(cohort: str) -> dict[tuple[str, str], tuple[float, float]]:
    """Returns the mean AUROC with the mean and with the median, by noise and attack."""
    return {
        (noise, attack): (float(mean.split(" ± ")[0]), float(median.split(" ± ")[0]))
        for noise, attack, mean, median in table(HEADINGS[cohort])
    }


@pytest.mark.parametrize("cohort", HEADINGS)
def test_with_the_median_no_attack_costs_two_points_and_with_the_mean_some_cost_all(
    cohort: str,
) -> None:
    found = reached(cohort)
    assert [*found] == [(noise, attack) for noise in NOISES for attack in ATTACKS]
    for noise in NOISES:
        clean, of_median = found[noise, CLEAN]
        assert of_median >= clean - 0.02
        for attack in ATTACKS:
            assert found[noise, attack][1] >= clean - 0.02
        for attack in ATTACKS:
            if "ten times" in attack or "as long" in attack:
                assert found[noise, attack][0] < 0.5


def test_the_page_names_the_largest_losses_of_its_own_table() -> None:
    found = reached(HEART)
    most = max(found[n, CLEAN][0] - found[n, a][1] for n in NOISES for a in ATTACKS)
    lost = max(found[n, CLEAN][0] - found[n, CLEAN][1] for n in NOISES)
    assert f"within {100 * most:.1f} points of the clean run" in PAGE
    assert f"the median costs {100 * lost:.1f} points of heart disease at most" in PAGE


def test_a_median_tells_a_minority_worse_risks_than_a_mean() -> None:
    rows = {name: [float(cell) for cell in cells] for name, *cells in table("20 rounds")}
    assert [*rows] == [*MINORITIES]
    for ill, by_mean, right_by_mean, by_median, right_by_median in rows.values():
        assert by_median - ill > by_mean - ill > 0
        assert right_by_median < right_by_mean


@pytest.mark.long
def test_a_line_of_the_page_is_what_its_command_gives() -> None:
    attack = "sign flipped, ten times the update"
    plain, median = aurocs(HEART, NOISES[0], attack, range(SEEDS))
    said = reached(HEART)[NOISES[0], attack]
    assert (sum(plain) / SEEDS, sum(median) / SEEDS) == pytest.approx(said, abs=0.006)
