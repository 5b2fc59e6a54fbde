"""No small count is shown, and none follows from what is shown."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.cohort.inspection.histograms import histogram
from pipelines.sources.faults.small_counts import (
    FEWER,
    HIDDEN,
    LEAST,
    ShownCount,
    is_small,
    part_of,
    shown,
)

#: The most patients of a cell in these tests, and in the tables that the oracle tries.
MOST, TRIED = 14, 24
COUNTS = st.integers(0, MOST)
SUMS = [
    ("train", ("train ill", "train well")),
    ("test", ("test ill", "test well")),
    ("ill", ("train ill", "test ill")),
    ("well", ("train well", "test well")),
    ("all", ("train", "test")),
    ("all", ("ill", "well")),
]
IMPLIED = frozenset({"well", "train well", "test well"})


def table(cells: dict[str, int]) -> dict[str, int]:
    counts = dict(cells)
    for total, parts in SUMS:
        counts[total] = sum(counts[part] for part in parts)
    return counts


def tables_that_fit(told: dict[str, ShownCount]) -> dict[str, np.ndarray]:
    """Every table of numbers in which all that is told holds: each count's possible values."""
    axes = np.meshgrid(*[np.arange(TRIED + 1)] * 4, indexing="ij")
    names = ("train ill", "train well", "test ill", "test well")
    every = {name: axis.ravel() for name, axis in zip(names, axes, strict=True)}
    for total, parts in SUMS:
        every[total] = sum(every[part] for part in parts)
    fits = np.ones(len(every["all"]), dtype=bool)
    for name, count in told.items():
        if count == FEWER:
            fits &= (every[name] >= 1) & (every[name] < LEAST)
        elif isinstance(count, int):
            fits &= every[name] == count
    return {name: values[fits] for name, values in every.items()}


@settings(max_examples=60, deadline=None)
@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_no_small_count_of_a_class_table_follows_from_what_is_shown(
    train_ill: int, train_well: int, test_ill: int, test_well: int
) -> None:
    """The oracle tries every table: of each small count at least two values stay possible."""
    cells = {"train ill": train_ill, "train well": train_well}
    counts = table(cells | {"test ill": test_ill, "test well": test_well})
    told = shown(counts, SUMS, IMPLIED)
    possible = tables_that_fit(told)
    for name, count in counts.items():
        if is_small(count):
            assert len(np.unique(possible[name])) > 1, (name, counts, told)
            assert told.get(name, FEWER) == FEWER
    for name, said in told.items():
        assert said in (counts[name], FEWER, HIDDEN)


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(10, 99), min_size=2))
def test_large_counts_and_zeros_are_all_shown(cells: dict[str, int]) -> None:
    counts = cells | {"none": 0, "all": sum(cells.values())}
    assert shown(counts, [("all", (*cells, "none"))]) == counts


def test_the_other_class_of_a_hospital_with_one_exception_is_hidden() -> None:
    told = shown(
        table({"train ill": 30, "train well": 0, "test ill": 15, "test well": 1}), SUMS, IMPLIED
    )
    assert told == {
        "train ill": 30, "test ill": HIDDEN, "train": 30, "test": 16, "ill": HIDDEN, "all": 46,
    }  # fmt: skip


@given(st.lists(st.integers(0, 40), max_size=60))
def test_no_bin_of_a_histogram_follows_from_the_number_of_all(numbers: list[int]) -> None:
    found = histogram("age", np.array(numbers, dtype=float), (0, 40))
    assert sum(found.counts) == len(numbers)
    hidden = [n for n, said in zip(found.counts, found.shown, strict=True) if said != n]
    assert not any(is_small(n) for n in found.counts if n not in hidden)
    small = [n for n in hidden if is_small(n)]
    assert len(hidden) != 1 or len(numbers) < LEAST or not small


@given(part=st.integers(0, 60), rest=st.integers(0, 60))
def test_a_sentence_tells_neither_a_small_part_nor_a_small_rest(part: int, rest: int) -> None:
    words = part_of(part, part + rest).split()
    for count in (part, rest, part + rest):
        assert not is_small(count) or str(count) not in words
