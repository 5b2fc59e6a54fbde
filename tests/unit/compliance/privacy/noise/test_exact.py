"""Exact noise: what the samples promise, against the formula and against opendp."""

import doctest
import itertools
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chi2, chi2_contingency, chisquare, norm

from compliance.privacy.noise import DiscreteGaussian, poisson_sample
from compliance.privacy.noise import exact as noise
from protocol.vectors.keystream import Keystream, derive_key
from tests.support.reference.discrete_gaussian import pmf, pmf_of_sum


def stream(label: str) -> Keystream:
    return Keystream(derive_key(b"fixed for tests", salt=b"", info=label.encode()))


def p_value(samples: NDArray[np.int64], expected: dict[int, float]) -> float:
    """Chi-square of the samples against a pmf, rare values pooled to at least 10 expected."""
    counts = {int(x): int(n) for x, n in zip(*np.unique(samples, return_counts=True), strict=True)}
    observed, wanted, seen, due = [], [], 0, 0.0
    for x, chance in expected.items():
        seen, due = seen + counts.get(x, 0), due + chance * len(samples)
        if due >= 10:
            observed.append(seen)
            wanted.append(due)
            seen, due = 0, 0.0
    observed[-1] += len(samples) - sum(observed)
    wanted[-1] += len(samples) - sum(wanted)
    statistic = sum((o - w) ** 2 / w for o, w in zip(observed, wanted, strict=True))
    return float(chi2.sf(statistic, len(observed) - 1))


class ScriptedStream(Keystream):
    """A keystream whose words a test has chosen."""

    def __init__(self, *words: int) -> None:
        super().__init__(bytes(32))
        self._script = list(words)

    def words(self, count: int, dtype: type = np.uint64) -> NDArray[np.uint64]:  # type: ignore[override]
        taken, self._script = self._script[:count], self._script[count:]
        return np.array(taken, dtype=np.uint64)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.0, 16.0, 200.0])
def test_samples_follow_the_exact_pmf(sigma: float) -> None:
    expected = {x: float(p) for x, p in pmf(sigma, int(8 * sigma) + 2).items()}
    samples = DiscreteGaussian(sigma).sample(stream(f"pmf {sigma}"), 400_000)
    assert p_value(samples, expected) > 1e-3


def test_chi_square_notices_a_sigma_wrong_by_two_percent() -> None:
    expected = {x: float(p) for x, p in pmf(16.0, 130).items()}
    samples = DiscreteGaussian(16.32).sample(stream("wrong"), 400_000)
    assert p_value(samples, expected) < 1e-6


@pytest.mark.parametrize("sigma", [0.3, 1.0, 7.25, 64.0])
def test_table_is_within_2_to_minus_100_of_the_exact_distribution(sigma: float) -> None:
    table = noise._table(Fraction(sigma) ** 2)
    thresholds = [
        (int(high) << 64) + int(rest) for high, rest in zip(table.high, table.rest, strict=True)
    ]
    edges = [0, *thresholds, 1 << 128]
    exact = pmf(sigma, int(20 * sigma) + 2)
    with mpmath.workprec(400):
        gaps = {x: mpmath.mpf(0) for x in exact}
        for place, (begin, end) in enumerate(itertools.pairwise(edges)):
            gaps[table.low + place] = mpmath.mpf(end - begin) / mpmath.mpf(2) ** 128
        distance = mpmath.fsum(abs(gaps[x] - exact[x]) for x in exact) / 2
    assert 0 < distance < mpmath.mpf(2) ** -100


@pytest.mark.parametrize("sigma", [601.0, 131072.0 * 2.184])
def test_sum_of_two_tables_has_the_shape_of_one_gaussian(sigma: float) -> None:
    k, first, second = noise._split(sigma)
    assert k * k * first + second == Fraction(sigma) ** 2
    values = [0, 1, k // 2, k, int(sigma), int(3 * sigma) + 1]
    found = pmf_of_sum(first, second, k, values)
    with mpmath.workprec(400):
        scale = 2 * mpmath.mpf(sigma) ** 2
        ratios = [p * mpmath.exp(x * x / scale) for x, p in zip(values, found, strict=True)]
        assert max(abs(ratio / ratios[0] - 1) for ratio in ratios) < mpmath.mpf(2) ** -110


def cells(samples: NDArray[np.int64], edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts samples below the first edge, from each edge to the next, and from the last on."""
    found = np.searchsorted(edges, samples, side="right")
    return np.bincount(found, minlength=len(edges) + 1)


def even_edges(sigma: float, count: int) -> NDArray[np.int64]:
    """Returns whole numbers that cut the distribution into about equal parts."""
    return np.unique(np.rint(sigma * norm.ppf(np.arange(1, count) / count)).astype(np.int64))


@pytest.mark.parametrize("sigma", [601.0, 5_000.0, 2.184 * 2**17])
def test_samples_of_a_large_sigma_follow_the_exact_pmf(sigma: float) -> None:
    """In 200 cells, and in each by residue of the factor k of the sum k X1 + X2."""
    k, reach = noise._split(sigma)[0], int(10 * sigma)
    values = np.arange(-reach, reach + 1)
    weights = np.exp(-((values / sigma) ** 2) / 2)
    edges, where = even_edges(sigma, 200), np.searchsorted(even_edges(sigma, 200), values, "right")
    samples = DiscreteGaussian(sigma).sample(stream(f"cells {sigma}"), 400_000)
    due = np.bincount(where, weights) / weights.sum() * len(samples)
    assert chisquare(cells(samples, edges), due).pvalue > 1e-3
    residues = np.bincount(values % k, weights) / weights.sum() * len(samples)
    assert chisquare(np.bincount(samples % k, minlength=k), residues).pvalue > 1e-3


@pytest.mark.parametrize("sigma", [0.5, 3.0, 200.0, 2.184 * 2**17])
def test_opendp_draws_from_the_same_distribution(sigma: float) -> None:
    dp = pytest.importorskip("opendp.prelude")
    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T=int)), dp.l2_distance(T=float)
    theirs = np.array(dp.m.make_gaussian(*space, scale=sigma)([0] * 50_000))
    ours = DiscreteGaussian(sigma).sample(stream(f"opendp {sigma}"), 400_000)
    counted = np.array([cells(drawn, even_edges(sigma, 50)) for drawn in (ours, theirs)])
    counted = counted[:, counted.sum(0) > 0]
    assert chi2_contingency(counted).pvalue > 1e-9  # their key is secret: a miss must stay rare


@pytest.mark.parametrize("sigma", [601.0, 2.184 * 2**17, 1e7])
def test_large_sigma_has_the_gaussian_moments(sigma: float) -> None:
    scaled = DiscreteGaussian(sigma).sample(stream(f"moments {sigma}"), 1_000_000) / sigma
    assert abs(scaled.mean()) < 5e-3
    assert abs(scaled.var() - 1) < 7e-3
    assert abs((scaled**4).mean() - 3) < 0.05


@pytest.mark.parametrize("modulus", [2, 3, 16])
def test_large_sigma_reaches_every_residue_equally(modulus: int) -> None:
    samples = DiscreteGaussian(1e6).sample(stream("residues"), 300_000)
    counts = np.bincount(samples % modulus, minlength=modulus)
    due = len(samples) / modulus
    assert chi2.sf(((counts - due) ** 2 / due).sum(), modulus - 1) > 1e-3


def test_coordinates_are_independent() -> None:
    samples = DiscreteGaussian(5e5).sample(stream("independent"), 400_000).astype(float)
    scaled = samples / samples.std()
    for lag in (1, 2, 7, noise._CHUNK):
        assert abs((scaled[lag:] * scaled[:-lag]).mean()) < 8e-3
        assert abs((scaled[lag:] ** 2 * scaled[:-lag] ** 2).mean() - 1) < 2e-2


@pytest.mark.parametrize("sigma", [3.0, 1e6])
def test_equal_keys_repeat_and_different_keys_differ(sigma: float) -> None:
    sampler = DiscreteGaussian(sigma)
    first, again = (sampler.sample(stream("one"), 200_000) for _ in range(2))
    other = sampler.sample(stream("two"), 200_000)
    assert (first == again).all()
    assert (first == other).mean() < 0.2


def test_sixty_four_more_bits_decide_a_tie() -> None:
    table = noise._table(Fraction(9))
    place = len(table.high) // 2
    word, rest = int(table.high[place]), int(table.rest[place])
    below = table.draw(ScriptedStream(word, rest - 1), 1)[0]
    at = table.draw(ScriptedStream(word, rest), 1)[0]
    assert (below, at) == (table.low + place, table.low + place + 1)


def test_extreme_words_give_the_outermost_values() -> None:
    table = noise._table(Fraction(9))
    last = len(table.high)
    lowest = table.draw(ScriptedStream(0, 0), 1)[0]
    highest = table.draw(ScriptedStream(2**64 - 1, 2**64 - 1), 1)[0]
    assert (lowest, highest) == (table.low, table.low + last)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50))
def test_guided_search_equals_plain_search(words: list[int]) -> None:
    table = noise._table(Fraction(200) ** 2)
    drawn = np.array(words, dtype=np.uint64)
    index, _ = table._locate(drawn)
    assert (index == np.searchsorted(table.high, drawn, side="left")).all()


def test_tiny_sigma_gives_zeros() -> None:
    assert not DiscreteGaussian(0.05).sample(stream("tiny"), 10_000).any()


def test_no_samples_are_an_empty_array() -> None:
    assert DiscreteGaussian(3.0).sample(stream("none"), 0).shape == (0,)


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf"), 2.0**31])
def test_sigma_outside_its_range_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match="sigma must lie in"):
        DiscreteGaussian(sigma)


@pytest.mark.parametrize("rate", [0.001, 0.032, 0.5, 0.999])
def test_poisson_sample_keeps_its_rate(rate: float) -> None:
    chosen = poisson_sample(stream(f"rate {rate}"), rate, 1_000_000)
    spread = (rate * (1 - rate) / len(chosen)) ** 0.5
    assert abs(chosen.mean() - rate) < 4 * spread


def test_poisson_sample_compares_64_bits_and_never_exceeds_the_rate() -> None:
    edge = int(Fraction(0.3) * 2**64)
    assert list(poisson_sample(ScriptedStream(edge - 1, edge), 0.3, 2)) == [True, False]


def test_poisson_sample_of_rate_zero_and_one() -> None:
    assert not poisson_sample(stream("zero"), 0.0, 1000).any()
    assert poisson_sample(stream("one"), 1.0, 1000).all()


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_poisson_sample_refuses_a_rate_outside_its_range(rate: float) -> None:
    with pytest.raises(ValueError, match=r"rate must lie in \[0, 1\]"):
        poisson_sample(stream("bad"), rate, 10)


def test_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(noise).failed == 0
