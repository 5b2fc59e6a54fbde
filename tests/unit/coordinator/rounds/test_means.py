"""The mean of a round: robust rules held to their definitions, and how groups lie to it."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.rounds import means
from coordinator.rounds.means import RoundMean, SummedSites, middle_mean, round_mean
from protocol.study.rounds.mean import mean_of
from protocol.study.rounds.round_vector import round_vector
from protocol.study.strategies.strategy import Mean
from protocol.study.study import Study
from protocol.vectors.tensors import Tensors
from tests.support.reference.robust_means import coordinate_median, trimmed_mean
from tests.support.simulated.nine_hospitals import grouped_study

#: Of 24 bits, so that sums of a few are exact in float64.
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False, width=32)
MODEL: Tensors = {"weight": np.zeros(3, np.float32)}


@given(st.integers(3, 7).flatmap(
    lambda groups: st.lists(
        st.lists(NUMBERS, min_size=4, max_size=4), min_size=groups, max_size=groups
    )
))  # fmt: skip
def test_the_rules_are_their_definitions(vectors: list[list[float]]) -> None:
    arrays, groups = [np.array(one) for one in vectors], len(vectors)
    median = middle_mean(arrays, (groups - 1) // 2)
    assert median.tolist() == coordinate_median(vectors)
    trimmed = middle_mean(arrays, 1)
    assert np.allclose(trimmed, trimmed_mean(vectors, 1), rtol=1e-12, atol=1e-9)


def test_long_vectors_are_sorted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(means, "_CHUNK", 3)
    vectors = [np.random.default_rng(n).normal(size=10) for n in range(5)]
    assert np.array_equal(middle_mean(vectors, 2), np.median(vectors, axis=0))


def test_groups_that_a_rule_leaves_none_of_are_refused() -> None:
    with pytest.raises(ValueError, match="3 vectors leave none without 2"):
        middle_mean([np.zeros(1)] * 3, 2)


def summed_group(study: Study, sites: str, updates: dict[str, list[float]]) -> SummedSites:
    vector = round_vector(study, MODEL, 0)
    encoded = [vector.encode(site, np.array(updates.get(site, [0.0, 0.0, 0.0]))) for site in sites]
    total = np.sum(encoded, axis=0, dtype=encoded[0].dtype)
    return SummedSites(survivors=tuple(sites), total=total)


def test_a_rounds_mean_is_the_rule_over_the_groups_weighted_means() -> None:
    study = grouped_study()
    sites = tuple(
        site.model_copy(update={"patients": 120}) if site.name == "a" else site
        for site in study.sites
    )
    study = study.replaced(sites=sites)
    updates = {"a": [1.0, 0.0, 2.0], "d": [3.0, 3.0, 3.0], "g": [-9.0, 9.0, 0.0]}
    sums = [summed_group(study, group, updates) for group in ("abc", "def", "ghi")]
    found = round_mean(study, MODEL, 0, sums)
    group_means = [[0.6, 0.0, 1.2], [1.0, 1.0, 1.0], [-3.0, 3.0, 0.0]]
    assert np.allclose(found.mean.update, coordinate_median(group_means), atol=1e-5)
    assert found.mean.attendance == 1.0
    expected = np.linalg.norm(np.array(group_means) - found.mean.update, axis=1)
    assert found.distances == pytest.approx(expected, rel=1e-4)
    assert found.norm == pytest.approx(np.linalg.norm(found.mean.update), rel=1e-4)


def test_a_group_that_is_lost_counts_as_absent() -> None:
    study = grouped_study("abc", "def", "ghi", "jkl")
    sums = [summed_group(study, group, {}) for group in ("abc", "def", "jkl")]
    assert round_mean(study, MODEL, 0, sums).mean.attendance == float(Fraction(9, 12))


def test_one_group_moves_no_coordinate_beyond_the_others() -> None:
    study, random = grouped_study(), np.random.default_rng(1)
    honest = {site: random.normal(size=3).tolist() for site in "abcdef"}
    bad = {"g": [15.0, -15.0, 0.1], "h": [9.0, 9.0, 9.0], "i": [-1.0, 5.0, 8.0]}
    sums = [summed_group(study, g, {**honest, **bad}) for g in ("abc", "def", "ghi")]
    found = round_mean(study, MODEL, 0, sums).mean.update
    first, second = (mean_of(study, MODEL, 0, one.survivors, one.total).update for one in sums[:2])
    assert np.all(found <= np.maximum(first, second))
    assert np.all(found >= np.minimum(first, second))


def test_the_direction_is_the_cosine_with_the_round_before() -> None:
    def mean(update: list[float], coordinates: list[int] | None = None) -> Mean:
        sent = None if coordinates is None else np.array(coordinates)
        return Mean(update=np.array(update), scalars={}, bound=1.0, coordinates=sent)

    def found(update: list[float], coordinates: list[int] | None = None) -> RoundMean:
        return RoundMean(mean=mean(update, coordinates), of_sums=())

    assert found([1.0, 0.0]).direction(None) is None
    assert found([1.0, 0.0]).direction(mean([0.0, 0.0])) is None
    assert found([1.0, 0.0]).direction(mean([-2.0, 0.0])) == -1.0
    assert found([1.0, 1.0]).direction(mean([1.0, 0.0])) == 0.70711
    assert found([1.0, 1.0], [0, 2]).direction(mean([1.0, 0.0], [0, 2])) == 0.70711
    assert found([1.0, 1.0], [0, 2]).direction(mean([1.0, 0.0], [1, 2])) is None
