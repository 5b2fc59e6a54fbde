"""The coordinates of a round: drawn from a key, without replacement, each as likely as any."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.vectors.keystream import Keystream
from protocol.vectors.tensors import Layout
from protocol.vectors.update import UpdateVector, chosen_coordinates


@given(st.binary(min_size=32, max_size=32), st.integers(1, 60), st.data())
def test_they_are_the_places_of_the_smallest_words(
    key: bytes, size: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, size))
    words = Keystream(key).words(size, np.uint64).tolist()
    expected = sorted(sorted(range(size), key=lambda place: (words[place], place))[:count])
    found = chosen_coordinates(key, size, count)
    assert found.tolist() == expected == chosen_coordinates(key, size, count).tolist()


def test_every_set_of_places_is_as_likely_as_any() -> None:
    sets = dict.fromkeys(combinations(range(5), 2), 0)
    trials = 4000
    for trial in range(trials):
        sets[tuple(chosen_coordinates(trial.to_bytes(32, "big"), 5, 2).tolist())] += 1
    expected = trials / comb(5, 2)
    chi_squared = sum((seen - expected) ** 2 / expected for seen in sets.values())
    assert chi_squared < 27.9  # 9 degrees of freedom, one in a thousand; the keys are fixed


@pytest.mark.parametrize(("size", "count"), [(3, 4), (3, 0), (0, 1)])
def test_more_places_than_there_are_are_a_mistake(size: int, count: int) -> None:
    with pytest.raises(ValueError, match="cannot be chosen"):
        chosen_coordinates(bytes(32), size, count)


def test_other_coordinates_have_another_layout_digest() -> None:
    layout = Layout(names=("w",), shapes=((4,),))
    digests = {
        UpdateVector(
            parameters=layout,
            scalars={},
            coordinates=None if places is None else np.array(places, dtype=np.int64),
        ).digest
        for places in (None, [0, 1], [0, 2], [0, 1, 2, 3])
    }
    assert len(digests) == 4 and layout.digest in digests


def test_what_is_not_sent_does_not_shorten_what_is() -> None:
    layout = Layout(names=("w",), shapes=((3,),))
    vector = UpdateVector(parameters=layout, scalars={}, coordinates=np.array([0, 1]))
    words = vector.encode(np.array([3.0, 4.0, 1e6]), weight=1.0, bound=5.0, frac_bits=2)
    assert words.tolist() == [12, 16]
