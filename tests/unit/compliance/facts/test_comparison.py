"""What one mode is worth against another: paired, with the intervals that scipy gives."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from collegium.output.sweep_summary import summarise_sweep
from compliance.charts.descriptions import (
    describe_comparison,
    describe_utility,
    gap_text,
    interval_text,
)
from compliance.charts.run import to_svg, utility_against_epsilon
from compliance.facts.comparison.modes import (
    SEEDS,
    SPLITS,
    comparison_json,
    differences,
    estimate,
    gaps,
    reached,
)
from compliance.facts.privacy_utility import (
    DISTRIBUTED,
    EXACT,
    NONE,
    PER_SITE,
    POOLED,
    RELEASED,
    UtilityPoint,
    Withheld,
    compares_modes,
)
from compliance.reports.document import Figure
from compliance.reports.sections.utility import difference_table, utility_section
from coordinator.database.workspace import Workspace
from tests.support.simulated import dossiers


def runs(mode: str, *aurocs: float, epsilon: float | None = 1.0) -> list[UtilityPoint]:
    """Returns exact points of one mode, seeds counted from 1."""
    return [
        UtilityPoint(epsilon=epsilon, seed=seed, value=value, kind=EXACT, mode=mode)
        for seed, value in enumerate(aurocs, start=1)
    ]


@pytest.mark.parametrize("count", [3, 10, 30])
def test_interval_is_students_t_over_the_seeds(count: int) -> None:
    values = np.random.default_rng(count).normal(0.9, 0.02, count)
    low, high = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    found = estimate(values.tolist())
    assert (found.mean, found.low, found.high) == pytest.approx((values.mean(), low, high))


def test_one_seed_has_a_mean_and_no_interval() -> None:
    found = estimate([0.9])
    assert (found.mean, found.low, found.high, found.count) == (0.9, None, None, 1)
    with pytest.raises(ValueError, match="at least one value"):
        estimate([])


def test_two_seeds_have_no_interval_and_it_is_said() -> None:
    """Student's t with one degree of freedom would span everything."""
    assert (estimate([0.8, 0.82]).low, estimate([0.8, 0.82]).high) == (None, None)
    said = describe_comparison([*runs(PER_SITE, 0.8, 0.82), *runs(DISTRIBUTED, 0.9, 0.91)])
    assert said == ("shared noise - per-site noise at ε = 1: +0.095 (2 seeds: no interval, it "
                    "needs 3).",)  # fmt: skip


def test_difference_is_scipys_paired_test() -> None:
    generator = np.random.default_rng(7)
    local, shared = generator.uniform(0.8, 0.9, 6), generator.uniform(0.85, 0.95, 6)
    (found,) = differences([*runs(PER_SITE, *local), *runs(DISTRIBUTED, *shared)])
    oracle = stats.ttest_rel(shared, local).confidence_interval(0.95)
    assert (found.mode, found.than) == (DISTRIBUTED, PER_SITE)
    assert (found.value.low, found.value.high) == pytest.approx((oracle.low, oracle.high))


def test_only_seeds_of_both_modes_are_paired() -> None:
    (found,) = differences([*runs(PER_SITE, 0.8, 0.9), *runs(DISTRIBUTED, 0.85)])
    assert (found.value.mean, found.value.count) == (pytest.approx(0.05), 1)


def test_modes_at_different_epsilons_are_not_compared() -> None:
    points = [*runs(PER_SITE, 0.8, epsilon=1.0), *runs(DISTRIBUTED, 0.9, epsilon=2.0)]
    assert differences(points) == ()
    assert [(level.mode, level.epsilon) for level in reached(points)] == [
        (PER_SITE, 1.0),
        (DISTRIBUTED, 2.0),
    ]


def test_part_of_the_gap_that_shared_noise_closes() -> None:
    points = [
        *runs(PER_SITE, 0.80, 0.82, 0.81),
        *runs(DISTRIBUTED, 0.88, 0.90, 0.89),
        *runs(POOLED, 0.90, 0.92, 0.91),
    ]
    (gap,) = gaps(points)
    assert gap.lost.mean == pytest.approx(0.1)
    assert gap.closed == pytest.approx(0.8)
    assert "shared noise closes 80% of that gap" in gap_text(gap)


def test_a_gap_that_may_be_chance_is_not_said_to_close() -> None:
    points = [
        *runs(PER_SITE, 0.80, 0.90, 0.85),
        *runs(DISTRIBUTED, 0.88, 0.90, 0.89),
        *runs(POOLED, 0.91, 0.89, 0.85),
    ]
    (gap,) = gaps(points)
    assert gap.closed is None
    assert gap_text(gap).endswith("which over these seeds may be chance.")


def test_a_lost_gap_without_shared_noise_stands_alone() -> None:
    (gap,) = gaps([*runs(PER_SITE, 0.80, 0.81, 0.82), *runs(POOLED, 0.90, 0.92, 0.91)])
    assert gap.closed is None
    assert gap_text(gap) == "At ε = 1 per-site noise loses 0.100 to the pooled reference."


def test_exact_figures_are_compared_where_there_are_any() -> None:
    noised = [
        UtilityPoint(epsilon=1.0, seed=1, value=0.1, kind=RELEASED, mode=mode)
        for mode in (PER_SITE, DISTRIBUTED)
    ]
    exact = [*runs(PER_SITE, 0.8), *runs(DISTRIBUTED, 0.9)]
    assert differences([*noised, *exact]) == differences(exact)
    assert differences(noised)[0].value.mean == 0.0


def test_without_privacy_the_consortium_is_held_against_the_ceiling() -> None:
    said = describe_comparison(dossiers.modes(None))
    assert said == ("consortium - pooled, without privacy: -0.001 (95 % interval -0.001 to "
                    "-0.001 over 3 seeds).",)  # fmt: skip


def rows_of(chart: dict[str, Any], data: dict[str, Any]) -> list[Any]:
    found: list[Any] = data["values"] if "values" in data else chart["datasets"][data["name"]]
    return found


def split(points: list[UtilityPoint], *splits: int) -> list[UtilityPoint]:
    return [replace(p, split=number) for p, number in zip(points, splits, strict=True)]


def test_seeds_of_one_split_are_one_value_where_there_are_several_splits() -> None:
    """Six runs of three splits are three values: the seeds of a split share its patients."""
    points = split(runs(PER_SITE, 0.90, 0.92, 0.70, 0.72, 0.94, 0.96), 7, 7, 8, 8, 9, 9)
    (found,) = reached(points)
    three = estimate([0.91, 0.71, 0.95], SPLITS)
    assert three.high is not None and three.high > 1  # three splits say little
    assert found.value == replace(three, high=1.0)  # and no AUROC is more than 1
    (of_one,) = reached(runs(PER_SITE, 0.80, 0.82, 0.70, 0.72))
    assert (of_one.value.over, of_one.value.count) == (SEEDS, 4)


def test_modes_are_paired_within_a_split() -> None:
    local = split(runs(PER_SITE, 0.80, 0.70, 0.90), 7, 8, 9)
    shared = split(runs(DISTRIBUTED, 0.85, 0.76, 0.5), 7, 8, 10)
    (found,) = differences([*local, *shared])
    assert found.value.mean == pytest.approx(0.055)
    assert (found.value.over, found.value.count) == (SPLITS, 2)


def test_it_is_said_over_what_the_interval_is() -> None:
    seeds = runs(PER_SITE, 0.80, 0.82)
    splits = split(seeds, 7, 8)
    assert "does not contain its variance" in interval_text(seeds)
    assert "contain the variance of the split" in interval_text(splits)
    for points, over in ((seeds, "seeds"), (splits, "splits")):
        assert comparison_json(points)["intervals_over"] == over
        assert interval_text(points) in describe_utility(points)
        section = utility_section(points)
        (figure,) = section.blocks
        assert isinstance(figure, Figure) and interval_text(points) in figure.caption
    assert "seeds only" not in describe_utility(seeds[:1])  # one run has no interval


def test_one_mode_alone_is_no_comparison() -> None:
    assert not compares_modes(dossiers.sweep())
    assert describe_comparison(dossiers.sweep()) == ()
    assert "shared noise - per-site noise at ε = 0.3: +0.040" in describe_utility(
        dossiers.modes(0.3)
    )


def test_a_reference_that_diverged_is_compared_with_nothing_and_marked() -> None:
    points = [
        *runs(PER_SITE, 0.70, 0.72, 0.71),
        *runs(POOLED, 0.80, 0.36, 0.80),
        *runs(POOLED, 0.36, 0.80, 0.80, epsilon=None),
        *runs(NONE, 0.80, 0.80, 0.80, epsilon=None),
    ]
    assert differences(points) == () and gaps(points) == ()
    found = {(one["mode"], one["epsilon"]): one for one in comparison_json(points)["levels"]}
    assert found[POOLED, None]["next_to_chance"] == 1 and found[NONE, None]["next_to_chance"] == 0
    said = " ".join(describe_comparison(points))
    assert said.count("1 of 3 runs no better than chance, so nothing is compared with it") == 2
    drawn = to_svg(utility_against_epsilon(points))
    assert "no better than chance" in drawn and "no privacy: 0.653" not in drawn
    alone = [*runs(PER_SITE, 0.7), *runs(NONE, 0.36, epsilon=None)]
    chart = utility_against_epsilon(alone).to_dict()
    rules = [layer for layer in chart["layer"] if layer["mark"]["type"] == "rule"]
    assert rules and not any(rows_of(chart, layer["data"]) for layer in rules)
    assert "without privacy: no better than chance" in to_svg(utility_against_epsilon(alone))
    assert "without privacy: 0.360" not in to_svg(utility_against_epsilon(alone))


def test_the_terminal_says_of_how_many_runs_a_figure_is(tmp_path: Path) -> None:
    released = [
        UtilityPoint(epsilon=1.0, seed=seed, value=0.7, low=0.6, high=0.8, kind=RELEASED,
                     mode=PER_SITE) for seed in (1, 2)
    ]  # fmt: skip
    withheld = [Withheld(epsilon=1.0, seed=3, mode=PER_SITE, why="too few patients")]
    points = [*released, *runs(PER_SITE, 0.70, 0.72), *runs(NONE, 0.36, epsilon=None)]
    console, workspace = Console(width=120, no_color=True), Workspace(tmp_path / "out")
    with console.capture() as caught:
        summarise_sweep(points, withheld, workspace, "r", console)
    text = caught.get()
    assert "needs 3 seeds" in text and "0.360 no better than chance" in text
    assert "1 withheld: too few patients" in text
    assert "same training, clip, rate and steps, without the noise" in text
    with console.capture() as caught:
        summarise_sweep(released, withheld, workspace, "r", console)
    assert "2 of 3, 1 withheld" in caught.get()


def test_json_says_what_the_words_say() -> None:
    found = comparison_json(dossiers.modes(0.3))
    assert [level["mode"] for level in found["levels"]] == [PER_SITE, DISTRIBUTED, POOLED]
    assert found["differences"][0]["auroc"]["mean"] == pytest.approx(0.04)
    assert found["gaps"][0]["closed"] == pytest.approx(0.8)
    assert comparison_json(runs(PER_SITE, 0.9))["levels"][0]["auroc"]["interval"] is None


def test_levels_and_differences_say_how_many_runs_were_withheld() -> None:
    points = [
        UtilityPoint(epsilon=1.0, seed=seed, value=0.7 + 0.01 * seed, kind=RELEASED, mode=mode)
        for mode in (PER_SITE, DISTRIBUTED)
        for seed in (1, 2)
    ]
    withheld = [Withheld(epsilon=1.0, seed=3, mode=PER_SITE, why="too few patients")]
    found = comparison_json(points, withheld)
    assert {level["mode"]: level["withheld"] for level in found["levels"]} == {
        PER_SITE: 1, DISTRIBUTED: 0,
    }  # fmt: skip
    assert [one["withheld"] for one in found["differences"]] == [1]
    assert "without 1 that were withheld" in describe_comparison(points, withheld)[0]
    assert difference_table(points, withheld).rows[0][-1] == 1
    exact = [*points, *runs(PER_SITE, 0.8), *runs(DISTRIBUTED, 0.9)]
    assert comparison_json(exact, withheld)["differences"][0]["withheld"] == 0
