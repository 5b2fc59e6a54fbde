"""What came of the patients by each time, beside what the study declares and the model says."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from compliance.estimates.outcomes.event_free import event_free_shares
from compliance.estimates.withholding import TOO_FEW
from coordinator.rounds.evaluation.released import Released, released_from, released_json
from protocol.vectors.score_grid import ScoreGrid
from tests.long.evaluation.censoring import EIGHT, LEAVE, TIMES, shares_of
from tests.long.evaluation.censoring import held as held_without_noise
from tests.support.machine.short_form import short_form
from tests.support.reference.kaplan_meier import event_free_at
from tests.support.simulated.tasks import SURVIVAL
from tests.unit.coordinator.rounds.evaluation.test_survival_figures import (
    BINS,
    REFERENCE,
    drawn,
    grouped,
    released,
)

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], tuple[Floats, Floats]]
PARTS = ("low scores", "middle scores", "high scores")


def figures(found: Released, name: str) -> dict[str, object]:
    return {one.outcome: one.figures[name] for one in found.outcomes if name in one.figures}


def part_of(scores: Floats) -> NDArray[np.int64]:
    """Returns the number of each score's part: of eight bins three, three and two."""
    edges = ScoreGrid.around(REFERENCE[:, 0]).edges(BINS)
    return np.minimum(np.searchsorted(edges, scores, side="right") // 3, 2)


def censored_early(random: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Returns patients of whom most are censored, many in the first interval."""
    scores = random.normal(size=count)
    times, last = random.exponential(4 * np.exp(-0.8 * scores)), random.exponential(1.5, count)
    return scores, np.where(times < last, times, -last)


def test_without_noise_the_interval_reaches_beyond_the_figures_of_uneven_censoring() -> None:
    random = np.random.default_rng(1)
    scores, labels = drawn(random, 300)
    found, events = figures(released(scores, labels, 0.0, random), "event_free"), labels > 0
    for place, time in enumerate(SURVIVAL.times, start=1):
        figure, numbers = found[f"at {time:g}"], grouped(labels)
        shares = [life_table(numbers, events, place, observed) for observed in (0.23, 0.5, 0.75)]
        assert figure.low < shares[0] < figure.value < shares[2] < figure.high
        assert figure.value == pytest.approx(shares[1])
        longest = float(event_free_at(numbers, events, place))
        # those censored in an interval leave at its beginning
        left = np.where(events, numbers, numbers - 0.5)
        shortest = float(event_free_at(left, events, place))
        assert shortest < shares[0] and shares[2] < longest
        exact = float(event_free_at(np.abs(labels), events, time))
        assert figure.value == pytest.approx(exact, abs=0.02)
        assert figure.low < exact < figure.high


def life_table(numbers: Floats, events: NDArray[np.bool_], place: int, observed: float) -> float:
    """Returns the share at the end of an interval, where the censored count for a part of one."""
    share = 1.0
    for own in range(1, place + 1):
        inside = numbers == own
        at_risk = (numbers >= own).sum() - (1 - observed) * (inside & ~events).sum()
        share *= 1 - (inside & events).sum() / at_risk
    return share


@pytest.mark.parametrize("leave", ["in the first half", "in the last half"])
def test_where_the_censored_leave_in_one_half_of_each_interval_it_holds(leave: str) -> None:
    assert min(held_without_noise(5000, 100, LEAVE[leave])) >= 0.91


@pytest.mark.long
@pytest.mark.parametrize("leave", ["anywhere", "in the first half", "in the last half"])
@pytest.mark.parametrize("patients", [300, 1000, 5000])
def test_of_500_draws_it_holds_in_93_of_100(leave: str, patients: int) -> None:
    assert min(held_without_noise(patients, 500, LEAVE[leave])) >= 0.93 - 0.011  # one deviation


def test_with_more_times_less_is_hidden_of_the_last() -> None:
    random, widths = np.random.default_rng(9), []
    for times in (TIMES, EIGHT):
        one = shares_of(random, 5000, 0.0, times)[-1]
        widths.append(one.high - one.low)
    assert widths[1] < 0.7 * widths[0]


def test_where_nobody_is_censored_within_an_interval_it_is_the_kaplan_meier_estimate() -> None:
    counts = np.array([[0.0, 0.0, 0.0, 30.0], [20.0, 10.0, 5.0, 0.0]])
    numbers = np.repeat([1.0, 2.0, 3.0, 4.0], counts.sum(axis=0).astype(int))
    found = event_free_shares(counts, 0.0, None)
    for place, figure in enumerate(found, start=1):
        assert figure.value == float(event_free_at(numbers, numbers < 4, place))


def test_declared_shares_and_those_still_observed_stand_beside() -> None:
    random = np.random.default_rng(2)
    scores, labels = drawn(random, 300)
    found = released(scores, labels, 0.0, random)
    assert released_from(released_json(found)) == found
    declared = {one.outcome: one.declared for one in found.outcomes if one.declared is not None}
    assert declared == {"at 1": 0.9, "at 2": 0.8, "at 4": 0.6}
    still = figures(found, "still_observed")
    for time in SURVIVAL.times:
        longer, part = np.abs(labels) >= time, part_of(scores)
        assert still[f"at {time:g}"].value == longer.sum()
        for number, name in enumerate(PARTS):
            assert still[f"at {time:g}, {name}"].value == (longer & (part == number)).sum()


def test_what_the_model_predicts_is_told_up_to_the_bins() -> None:
    random = np.random.default_rng(3)
    scores, labels = drawn(random, 2000)
    logits = [math.log(hazard / (1 - hazard)) for hazard in SURVIVAL.hazards]
    each = np.cumprod([1 / (1 + np.exp(logit + scores)) for logit in logits], axis=0)
    found = figures(released(scores, labels, 0.0, random), "predicted_event_free")
    for place, time in enumerate(SURVIVAL.times):
        groups = {"": np.full(len(scores), fill_value=True)}
        groups |= {f", {name}": part_of(scores) == number for number, name in enumerate(PARTS)}
        for name, chosen in groups.items():
            figure, mean = found[f"at {time:g}{name}"], each[place, chosen].mean()
            assert figure.value == pytest.approx(mean, abs=0.02)
            assert figure.low < mean < figure.high


def held(draw: Draw, patients: int, noise: float, draws: int) -> dict[str, tuple[int, int]]:
    """How many draws released a share, and how many of these intervals held the truth."""
    random, counted = np.random.default_rng(4), dict[str, tuple[int, int]]()
    scores = random.normal(size=400_000)
    times = random.exponential(4 * np.exp(-0.8 * scores))
    truth = {}
    for time in SURVIVAL.times:
        truth[f"at {time:g}"] = (times >= time).mean()
        for number, name in enumerate(PARTS):
            truth[f"at {time:g}, {name}"] = (times[part_of(scores) == number] >= time).mean()
    for _ in range(draws):
        found = figures(released(*draw(random, patients), noise, random), "event_free")
        for name, figure in found.items():
            if figure.value is not None:
                shown, right = counted.get(name, (0, 0))
                counted[name] = shown + 1, right + (figure.low <= truth[name] <= figure.high)
    return counted


@pytest.mark.parametrize("draw", short_form([drawn, censored_early], 2))
@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_intervals_hold_the_populations_shares(draw: Draw, noise: float) -> None:
    found = held(draw, 400, noise, 100)
    assert min(found[f"at {time:g}"][0] for time in SURVIVAL.times) > 60
    for name, (shown, right) in found.items():
        assert shown < 30 or right / shown >= 0.89, (name, shown, right)


@pytest.mark.long
@pytest.mark.parametrize("draw", [drawn, censored_early])
@pytest.mark.parametrize(
    ("patients", "noise"), [(100, 0.0), (400, 0.0), (400, 4.0), (2000, 5.0), (2000, 20.0)]
)
def test_intervals_hold_them_in_500_draws_where_noise_withholds_some_too(
    draw: Draw, patients: int, noise: float
) -> None:
    for name, (shown, right) in held(draw, patients, noise, 500).items():
        # two deviations of a count of draws below 93 of 100
        assert right / shown >= 0.93 - 2 * math.sqrt(0.93 * 0.07 / shown), (name, shown, right)


def test_shares_that_noise_drowns_are_withheld_with_the_reason() -> None:
    random = np.random.default_rng(5)
    found = released(*drawn(random, 60), 40.0, random)
    for name in ("event_free", "predicted_event_free"):
        assert {(one.value, one.note) for one in figures(found, name).values()} == {(None, TOO_FEW)}


def test_where_nobody_is_observed_so_long_that_is_what_is_said() -> None:
    counts = np.array([[10.0, 0.0, 0.0], [10.0, 0.0, 0.0]])
    first, second = event_free_shares(counts, 0.0, None)
    assert first.value == pytest.approx(1 / 3)  # of 10 with the event and half of the censored
    assert second.note == "nobody is observed until then"
