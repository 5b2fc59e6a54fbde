"""Groups that are too small are withheld, and nothing leads back to them."""

from compliance.estimates.groups import (
    COMPLEMENTARY,
    SMALL,
    GroupFigures,
    number_of_patients,
    with_small_groups_withheld,
)
from compliance.estimates.interval import Interval


def found(**sizes: float) -> dict[str, dict[str, Interval]]:
    half = Interval(value=0.5, low=0.4, high=0.6)
    return {
        group: {"patients": number_of_patients(size, 1.0), "accuracy": half}
        for group, size in sizes.items()
    }


def notes(groups: tuple[GroupFigures, ...]) -> dict[str, set[str]]:
    return {one.group: {figure.note for figure in one.figures.values()} for one in groups}


def test_one_small_group_takes_the_smallest_other_with_it() -> None:
    said = notes(with_small_groups_withheld("race", found(a=400.0, b=9.9, c=50.0, d=90.0)))
    assert said == {"a": {""}, "b": {SMALL}, "c": {COMPLEMENTARY}, "d": {""}}


def test_two_small_groups_hide_each_other() -> None:
    said = notes(with_small_groups_withheld("race", found(a=400.0, b=9.0, c=7.0, d=90.0)))
    assert said == {"a": {""}, "b": {SMALL}, "c": {SMALL}, "d": {""}}


def test_small_groups_that_are_few_together_take_the_smallest_other_with_them() -> None:
    said = notes(with_small_groups_withheld("sex", found(women=400.0, men=3.0, unknown=-2.0)))
    assert said == {"women": {COMPLEMENTARY}, "men": {SMALL}, "unknown": {SMALL}}
    said = notes(with_small_groups_withheld("race", found(a=400.0, b=4.0, c=5.0, d=90.0)))
    assert said == {"a": {""}, "b": {SMALL}, "c": {SMALL}, "d": {COMPLEMENTARY}}


def test_of_two_groups_a_small_one_leaves_none() -> None:
    groups = with_small_groups_withheld("sex", found(men=400.0, women=3.0))
    assert notes(groups) == {"men": {COMPLEMENTARY}, "women": {SMALL}}
    assert all(figure.value is None for one in groups for figure in one.figures.values())


def test_what_is_kept_of_a_group_is_read_back() -> None:
    (group, *_) = with_small_groups_withheld("sex", found(men=400.0, women=300.0))
    assert GroupFigures.from_json(group.to_json()) == group
