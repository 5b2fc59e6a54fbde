"""Figures of survival: the c-index of the intervals, its interval, and when it is withheld."""

import numpy as np
import pytest
from numpy.typing import NDArray

from compliance.estimates.outcomes.concordance import concordance_from_counts
from compliance.estimates.withholding import TOO_FEW
from coordinator.rounds.evaluation.registry import released_of
from coordinator.rounds.evaluation.released import NoisedCounts, Released
from pipelines.evaluation.concordance import concordance
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.vectors.evaluation import COUNT_UNITS
from protocol.vectors.score_grid import ScoreGrid
from tests.support.machine.short_form import short_form
from tests.support.simulated.studies import SURVIVAL_STUDY
from tests.support.simulated.tasks import DEFINITIONS, SURVIVAL

Floats = NDArray[np.float64]
TASK = DEFINITIONS["survival"]
#: The grid around these is the usual one.
REFERENCE = np.array([[-1.0], [1.0]])
BINS = 8


def drawn(random: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Returns scores and signed times of one population; some are censored."""
    scores = random.normal(size=count)
    times = random.exponential(4 * np.exp(-0.8 * scores))
    last = random.uniform(0.5, 8, count)
    return scores, np.where(times < last, times, -last)


def grouped(labels: Floats) -> Floats:
    """Returns the number of each time's interval, from 1."""
    return np.searchsorted(SURVIVAL.times, np.abs(labels), side="right") + 1.0


def study() -> Study:
    return read_study(SURVIVAL_STUDY)


def released(
    scores: Floats,
    labels: Floats,
    noise: float,
    random: np.random.Generator,
    own_noise: float | None = None,
) -> Released:
    """What one hospital's evaluation releases; its own counts have the same noise or another."""
    given, of_own = (scores, labels, REFERENCE, BINS), noise if own_noise is None else own_noise
    counts, own = TASK.counts(*given), TASK.own(*given)
    shape = (2, len(SURVIVAL.times) + 1, BINS)
    noised = NoisedCounts(
        pooled=counts.reshape(shape) / COUNT_UNITS + random.normal(0, noise, shape),
        deviation=noise,
        tables={"east": own / COUNT_UNITS + random.normal(0, of_own, 4)},
        table_deviations={"east": of_own},
        grids={"east": ScoreGrid.of_cells(tuple(map(int, TASK.grid(REFERENCE))))},
        groups=(),
    )
    return released_of(study(), noised)


def by_pairs(scores: Floats, labels: Floats) -> float:
    """The figure by a loop over patients: pairs of one interval halfway between 0.5 and others."""
    times, won, compared, unknown = grouped(labels), 0.0, 0, 0.0
    for own in np.flatnonzero(labels > 0):
        later = times > times[own]
        compared += int(later.sum())
        won += (scores[later] < scores[own]).sum() + (scores[later] == scores[own]).sum() / 2
        unknown += ((times == times[own]).sum() - 1) / 2
    ordered = won / compared
    return (compared * ordered + unknown * (ordered + 0.5) / 2) / (compared + unknown)


def exact(scores: Floats, labels: Floats) -> float:
    return concordance(scores, np.abs(labels), labels > 0)


def test_without_noise_it_follows_from_the_pairs_of_binned_scores() -> None:
    random = np.random.default_rng(1)
    scores, labels = drawn(random, 300)
    edges = ScoreGrid.around(REFERENCE[:, 0]).edges(BINS)
    binned = np.searchsorted(edges, scores, side="right").astype(float)
    found = released(scores, labels, 0.0, random).figures["c_index"]
    assert found.value == pytest.approx(by_pairs(binned, labels), abs=1e-12)
    assert found.low < exact(scores, labels) < found.high


def test_the_table_says_who_lies_above_the_middle() -> None:
    random = np.random.default_rng(1)
    scores, labels = drawn(random, 300)
    site = released(scores, labels, 0.0, random).sites["east"]
    events = labels > 0
    assert site["events_above"].value == pytest.approx((scores[events] > 0).mean())
    assert site["censored_below"].value == pytest.approx((scores[~events] <= 0).mean())


@pytest.mark.parametrize("noise", short_form([2.0, 0.0], 2))
def test_intervals_hold_the_populations_c_index(noise: float) -> None:
    random = np.random.default_rng(3)
    truth = exact(*drawn(random, 20_000))
    shown = held = 0
    for _ in range(200):
        found = released(*drawn(random, 400), noise, random).figures["c_index"]
        if found.low is not None and found.high is not None:
            shown += 1
            held += found.low <= truth <= found.high
    assert shown > 190
    assert held / shown >= 0.92


def test_a_c_index_that_noise_drowns_is_withheld_with_the_reason() -> None:
    random = np.random.default_rng(5)
    found = released(*drawn(random, 60), 40.0, random)
    figures = [*found.figures.values(), *found.sites["east"].values()]
    assert {(one.value, one.note) for one in figures} == {(None, TOO_FEW)}


def test_without_an_event_before_others_there_is_none() -> None:
    counts = np.zeros((2, 4, BINS))
    counts[0], counts[1, 3] = 5, 5
    found = concordance_from_counts(counts, 0.0)
    assert found.value is None and "no event" in found.note


def test_pairs_of_one_interval_do_not_make_it_too_high() -> None:
    scores, labels = drawn(np.random.default_rng(7), 2000)
    assert by_pairs(scores, labels) == pytest.approx(exact(scores, labels), abs=0.01)
