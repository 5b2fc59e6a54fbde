"""The alarm's rules: what sets each off, and that ordinary series do not."""

import numpy as np
import pytest

from silos.results.inference.extraction_alarm import (
    BOUNDARY,
    LINE,
    PAIRS,
    UNIFORM,
    ExtractionWatch,
)

NUMBERS = np.array([True, True, True, True, False])
FAR = 0.4


def patients(count: int, seed: int = 1) -> np.ndarray:
    """Places as patients have them: crowded in a part of each range."""
    random = np.random.default_rng(seed)
    numbers = np.clip(random.normal(0.4, 0.07, (count, 4)), 0, 1)
    return np.column_stack([numbers, random.integers(0, 2, count)])


def looked(places: np.ndarray, margins: np.ndarray | None = None) -> frozenset[str]:
    far = np.full(len(places), FAR) if margins is None else margins
    return ExtractionWatch(NUMBERS).look(places, far)


@pytest.mark.parametrize("seed", range(3))
def test_patients_set_off_nothing(seed: int) -> None:
    margins = np.abs(np.random.default_rng(seed).normal(0, 0.2, 600))
    assert looked(patients(600, seed), margins) == frozenset()


def test_a_patient_asked_again_with_some_values_changed_sets_off_nothing() -> None:
    places = np.repeat(patients(60), 2, axis=0)
    places[1::6, 1] += 0.01
    assert looked(places) == frozenset()


def test_one_number_swept_is_a_line() -> None:
    line = np.repeat(patients(1), 8, axis=0)
    line[:, 2] = np.linspace(0, 1, 8)
    assert looked(line[:7]) == frozenset() and looked(line) == {LINE}
    other = np.repeat(patients(1), 8, axis=0)
    assert looked(other) == frozenset()  # the same record, asked eight times


def test_a_line_is_found_across_requests_and_among_other_records() -> None:
    line = np.repeat(patients(1), 8, axis=0)
    line[:, 0] = np.linspace(0, 1, 8)
    mixed = patients(80, 3)
    mixed[::10] = line
    watch = ExtractionWatch(NUMBERS)
    found = [watch.look(mixed[at : at + 5], np.full(5, FAR)) for at in range(0, 80, 5)]
    assert not any(found[:-2]) and frozenset({LINE}) in found


def test_pairs_that_differ_in_one_number_are_found_by_their_share() -> None:
    first = patients(40)
    second = first.copy()
    second[:, 1] += 0.05
    assert looked(np.stack([first, second], axis=1).reshape(80, 5)) == {PAIRS}


@pytest.mark.parametrize(("low", "high", "count"), [(0.0, 1.0, 32), (0.3, 0.7, 160)])
def test_numbers_drawn_evenly_are_found(low: float, high: float, count: int) -> None:
    random = np.random.default_rng(4)
    drawn = np.column_stack([random.uniform(low, high, (count, 4)), np.zeros(count)])
    assert looked(drawn) == {UNIFORM}


def test_records_that_crowd_at_the_decision_are_found() -> None:
    margins = np.tile(0.5 ** np.arange(1.0, 11.0), 6)
    assert looked(patients(60), margins) == {BOUNDARY}
    assert looked(patients(60), np.full(60, np.nan)) == frozenset()


def test_a_model_of_images_alone_is_watched_by_its_decisions() -> None:
    margins = np.tile(0.5 ** np.arange(1.0, 11.0), 6)
    watch = ExtractionWatch(np.zeros(0, dtype=np.bool_))
    assert watch.look(np.zeros((60, 0)), np.full(60, FAR)) == frozenset()
    assert watch.look(np.zeros((60, 0)), margins) == frozenset()  # equal inputs count once
