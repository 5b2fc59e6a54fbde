"""The tables of docs/robustness.md: what they show holds, and a line is what its command gives."""

import pytest

from tests import ROOT
from tests.long.poisoning import roll_back
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


# --- rounds that are taken back --------------------------------------------------------------

ROLLED_BACK = {
    HEART: "**Heart disease, evaluated after every five rounds**",
    BREAST_CANCER: "**Breast cancer, evaluated after every five rounds**",
}
FIRST, HALF = roll_back.STARTS


def rolled_back(cohort: str) -> dict[tuple[str, str, str], tuple[float, float, float]]:
    """Returns the mean AUROC without and with roll_back, and how often a run went back."""
    return {
        (noise, attack, start): (
            float(plain.split(" ± ")[0]), float(back.split(" ± ")[0]), float(times),
        )
        for noise, attack, start, plain, back, times in table(ROLLED_BACK[cohort])
    }  # fmt: skip


def test_the_page_measures_what_it_says_it_measures() -> None:
    assert (roll_back.EVERY, roll_back.WORSE) == (5, 0.1)
    wanted = [(CLEAN, ""), *((a, s) for a in roll_back.WANTED for s in roll_back.STARTS)]
    for cohort in ROLLED_BACK:
        assert [*rolled_back(cohort)] == [(n, *one) for n in NOISES for one in wanted]


def test_a_run_that_is_poisoned_from_some_round_on_is_saved_and_one_from_the_first_is_not() -> None:
    found = rolled_back(HEART)
    for noise in NOISES:
        clean = found[noise, CLEAN, ""][0]
        for attack in roll_back.WANTED:
            plain, back, times = found[noise, attack, HALF]
            assert back > clean - 0.03 > plain and times >= 1
            assert found[noise, attack, FIRST][1] < 0.5


def test_the_page_names_what_going_back_loses_and_costs() -> None:
    found = rolled_back(HEART)
    worst = max(
        found[noise, CLEAN, ""][0] - found[noise, attack, HALF][1]
        for noise in NOISES
        for attack in roll_back.WANTED
    )
    cost = max(
        rolled_back(c)[noise, CLEAN, ""][0] - rolled_back(c)[noise, CLEAN, ""][1]
        for c in ROLLED_BACK
        for noise in NOISES
    )
    assert f"within {100 * worst:.1f} points of its clean run" in PAGE
    assert f"going back costs {100 * cost:.1f} points at most" in PAGE


@pytest.mark.long
def test_a_line_of_going_back_is_what_its_command_gives() -> None:
    attack = roll_back.WANTED[1]
    line = roll_back.row(HEART, NOISES[0], attack, HALF)
    assert line in PAGE
