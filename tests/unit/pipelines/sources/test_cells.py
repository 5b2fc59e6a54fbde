"""Cells of a column, each spelling kept once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.cells import Cells

TEXTS = st.lists(st.sampled_from(["", "1", "1.0", "x", " y", "12,5"]), max_size=30)


@given(TEXTS)
def test_cells_are_the_texts_that_they_were_made_of(texts: list[str]) -> None:
    cells = Cells.of(texts)
    assert list(cells) == texts and len(cells) == len(texts)
    assert sorted(cells.spellings) == sorted(set(texts))


@given(TEXTS, st.data())
def test_cells_taken_keep_no_spelling_that_none_of_them_has(
    texts: list[str], data: st.DataObject
) -> None:
    kept = np.array([data.draw(st.booleans()) for _ in texts], dtype=bool)
    taken = Cells.of(texts).take(kept)
    expected = [text for text, is_kept in zip(texts, kept, strict=True) if is_kept]
    assert list(taken) == expected and set(taken.spellings) == set(expected)


@given(TEXTS, TEXTS)
def test_joined_cells_stand_one_after_the_other(first: list[str], second: list[str]) -> None:
    joined = Cells.joined([Cells.of(first), Cells.of(second)])
    assert list(joined) == first + second
    assert len(set(joined.spellings)) == len(joined.spellings)


@given(TEXTS)
def test_respelled_cells_have_no_spelling_twice(texts: list[str]) -> None:
    cells = Cells.of(texts).respelled(str.strip)
    assert list(cells) == [text.strip() for text in texts]
    assert len(set(cells.spellings)) == len(cells.spellings)


@given(TEXTS)
def test_among_says_of_each_cell_whether_it_is_one_of_some_spellings(texts: list[str]) -> None:
    found = Cells.of(texts).among({"1", "x", "never"})
    assert found.tolist() == [text in {"1", "x"} for text in texts]
