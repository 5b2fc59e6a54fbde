"""Comparison of two sides: what is within tolerance, and where courses part."""

from dataclasses import replace

import pytest

from collegium.models.reproduction.answer import DIFFERENT, IDENTICAL, WITHIN
from collegium.models.reproduction.comparison import (
    ROUNDING,
    CourseStep,
    KeptSums,
    RunSide,
    compare_recomputed,
    compare_redrawn,
    compare_repeated,
)
from collegium.models.reproduction.differences import RunInputs
from compliance.estimates.interval import Interval

SITES = ("east", "north")


def side(*results: str, low: float = 0.6, high: float = 0.7) -> RunSide:
    """A run with a result for each round, and the interval of its figure."""
    return RunSide(
        run_id="run-1",
        inputs=RunInputs(study={"name": "small"}, manifest=None),
        steps=tuple(
            CourseStep(name=f"training round {place + 1}", result=result, sites=SITES)
            for place, result in enumerate(results)
        ),
        model=results[-1],
        exact=None,
        figure=("AUROC", Interval(value=(low + high) / 2, low=low, high=high)),
    )


KEPT = KeptSums(right=("training round 2",), gone=("training round 1",))


def test_figures_of_secret_noise_are_within_tolerance_where_intervals_overlap() -> None:
    found = compare_redrawn(side("a", "b"), side("c", "d", low=0.69, high=0.8), KEPT)
    assert found.kind == WITHIN
    assert found.sentence.endswith("intervals of AUROC overlap: 0.600 to 0.700 and 0.690 to 0.800")


def test_intervals_apart_are_different_and_the_answer_says_what_they_do_not_count() -> None:
    found = compare_redrawn(side("a", "b"), side("c", "d", low=0.71, high=0.8), KEPT)
    assert (found.kind, found.first) == (DIFFERENT, "the released AUROC")
    assert "new noise in training moves a figure by more than its interval counts" in found.cause


def test_a_withheld_figure_is_told_to_be_compared_with_nothing() -> None:
    withheld = replace(side("c"), figure=("AUROC", Interval.withheld("too few patients")))
    found = compare_redrawn(side("a"), withheld, KEPT)
    assert found.kind == WITHIN
    assert "AUROC has no interval to be compared" in found.sentence


def noise_of_a_test(one: RunSide) -> RunSide:
    return replace(one, inputs=replace(one.inputs, test_noise=True))


@pytest.mark.parametrize("first", [True, False])
def test_a_tests_noise_and_a_studys_own_are_never_within_tolerance(first: bool) -> None:
    fixed, own = noise_of_a_test(side("a", "b")), side("c", "d")
    if first:
        found = compare_repeated(fixed, own, KEPT, ROUNDING / 2)
    else:
        found = compare_redrawn(own, fixed, KEPT)
    assert found.kind == DIFFERENT and "the noise was a" in found.cause


def test_of_a_run_without_a_final_model_none_is_said_to_be_compared() -> None:
    stopped = replace(side("a"), model=None)
    found = compare_repeated(stopped, side("a", "b"), KEPT, None)
    assert found.kind == IDENTICAL
    assert found.compared[-1] == "the results of 1 round, bit by bit"
    found = compare_repeated(replace(side("a"), exact="x"), side("a"), KEPT, 0.0)
    assert (found.kind, found.first) == (DIFFERENT, "the exact figures")


@pytest.mark.parametrize("apart", [0.99 * ROUNDING, 1.01 * ROUNDING])
def test_models_are_within_tolerance_up_to_the_stated_rounding(apart: float) -> None:
    found = compare_repeated(side("a", "b"), side("a", "c"), KEPT, apart)
    assert found.first == "training round 2"
    assert found.kind == (WITHIN if apart <= ROUNDING else DIFFERENT)


def test_rounding_excuses_no_other_study() -> None:
    other = replace(side("c"), inputs=RunInputs(study={"name": "large"}, manifest=None))
    found = compare_repeated(side("a"), other, KEPT, 0.0)
    assert found.sentence == (
        "different: first at training round 1, because the study says name large, it was small"
    )


def test_rounding_excuses_no_other_figures_of_an_equal_model() -> None:
    """A round or a figure that alone differs was changed: the models were not rounded otherwise."""
    for before in (side("a", "b"), replace(side("x", "b"), exact="f")):
        after = replace(side("x", "b"), exact="e")
        found = compare_repeated(before, after, KEPT, 0.0)
        assert found.kind == DIFFERENT


def test_another_sum_is_the_cause_before_any_input() -> None:
    after = side("c")
    alone = replace(after, steps=(replace(after.steps[0], sites=("east",)),))
    found = compare_repeated(side("a"), alone, KEPT, 0.0)
    assert found.kind == DIFFERENT
    assert found.cause == "its sum is of east, before of east, north"


def test_a_run_that_ended_early_is_compared_as_far_as_it_came() -> None:
    ended = replace(side("a"), model=None)
    found = compare_repeated(ended, side("a", "b"), KEPT, None)
    assert found.kind == IDENTICAL
    assert found.not_compared[-1] == "what came after training round 1: the run ended there"


def test_kept_sums_decide_about_real_hospitals_and_a_fault_before_all_else() -> None:
    assert compare_recomputed(side("a", "b"), KEPT).kind == IDENTICAL
    fault = KeptSums(fault=("training round 2", "masked vector ab was changed"))
    found = compare_repeated(side("a", "b"), side("a", "b"), fault, 0.0)
    assert found.sentence == (
        "different: first at training round 2, because masked vector ab was changed"
    )
