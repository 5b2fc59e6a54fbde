"""Statistics that hold a privacy claim against what was really released.

Rules:

1. The conformance checks compare released noise with the exact distribution
   that was promised. They are strong: a deviation wrong by 2 % is seen.
2. What one patient may do to a sum is a bound, not a distribution: a single
   excess is a failure.
3. A check that fails is tested again with fresh randomness.
4. What a run left behind cannot be drawn anew: it fails only below the level
   of two failures, ``CHECK_LEVEL`` squared.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]  # ships no types

#: An honest release fails one check in ten thousand, and then again as rarely.
CHECK_LEVEL = 1e-4
_CELLS = 64
_MODULUS = 16
_LAGS = (1, 2, 3)
#: Rounding of double precision stays a thousand times below, one of float32 far above.
_OFF_LATTICE = 1e-4
_EXACT_SUM = 1000.0
#: A difference of masked words below this counts as near zero.
_NEAR_ZERO = 2**28
_PRICE_ROUNDING = 1e-6

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class AuditCheck:
    """One question to what was released. A ``p_value`` below ``level`` contradicts the promise."""

    name: str
    found: str
    expected: str
    p_value: float
    level: float = CHECK_LEVEL

    @property
    def passed(self) -> bool:
        """Whether what was found is no surprise under the promise."""
        return self.p_value >= self.level


def worst_of_each(checks: Iterable[AuditCheck]) -> tuple[AuditCheck, ...]:
    """Returns for each name the check with the smallest p, times how many bear the name.

    The product bounds the chance that any of them is so small under the promise (Bonferroni).
    """
    of_name: dict[str, list[AuditCheck]] = {}
    for check in checks:
        of_name.setdefault(check.name, []).append(check)
    worst = {name: min(alike, key=lambda one: one.p_value) for name, alike in of_name.items()}
    return tuple(
        replace(check, p_value=min(1.0, check.p_value * len(of_name[name])))
        for name, check in worst.items()
    )


def check_variance(
    noise: Ints | NDArray[np.float64], sigma: float, *, name: str = "size of the noise"
) -> AuditCheck:
    """Compares the noise's deviation with sigma, both in integer units.

    Source: a sum of n squared standard normals is chi-square with n degrees of freedom.
    """
    count = noise.size
    total = float(np.square(noise / sigma).sum())
    low, high = (math.sqrt(total / stats.chi2.ppf(p, count)) for p in (0.995, 0.005))
    p_value = 2 * min(stats.chi2.cdf(total, count), stats.chi2.sf(total, count))
    return AuditCheck(
        name=name,
        found=f"{low:.4f} to {high:.4f} times the promised deviation ({count:,} numbers, 99 %)",
        expected="1",
        p_value=min(1.0, float(p_value)),
    )


def check_every_hospital(noise: Mapping[str, Ints], sigma: float) -> AuditCheck:
    """Compares each hospital's deviation with sigma, and names the one that is furthest off."""
    checks = {site: check_variance(values, sigma) for site, values in noise.items()}
    worst = min(checks, key=lambda site: checks[site].p_value)
    return AuditCheck(
        name="size of each hospital's noise",
        found=f"furthest off: {worst}, {checks[worst].found}",
        expected="1",
        p_value=min(1.0, len(checks) * checks[worst].p_value),
    )


def check_ratio(
    local: NDArray[np.float64], shared: NDArray[np.float64], theory: float, *, name: str
) -> AuditCheck:
    """Compares how much smaller shared noise is than per-site noise with what theory says.

    Args:
        local, shared: the noise of as many sums in each mode, in the same units.
        theory: the ratio of their deviations.

    Source: the ratio of two independent normal samples' variances is F-distributed.
    """
    ratio = math.sqrt(float(np.square(local).sum() / np.square(shared).sum()))
    count = local.size
    law = stats.f(count, count)
    low, high = (ratio / math.sqrt(law.ppf(p)) for p in (0.995, 0.005))
    square = (ratio / theory) ** 2
    return AuditCheck(
        name=name,
        found=f"{ratio:.4f} ({low:.4f} to {high:.4f}, 99 %, {count:,} numbers each), "
        f"{100 * (ratio / theory - 1):+.2f} % off",
        expected=f"{theory:.4f}",
        p_value=min(1.0, 2 * float(min(law.cdf(square), law.sf(square)))),
    )


def check_masks(pairs: Sequence[tuple[NDArray[np.uint32], NDArray[np.uint32]]]) -> AuditCheck:
    """Checks that no two masked vectors of one hospital carry the same mask.

    Args:
        pairs: the beginnings of two masked vectors as 32-bit words, (words,) each.

    The difference of vectors under two masks is uniform, so an eighth of its
    words lies within a sixteenth of the ring around zero. Under one mask what
    is left is the difference of two updates, which is small. A mask of which
    only a part is used twice (one pair's, or a hospital's own) is not seen.
    """
    shares, p_values = [], []
    for first, second in pairs:
        words = (first - second).astype(np.int32).astype(np.int64)
        near = int((np.abs(words) < _NEAR_ZERO).sum())
        shares.append(near / words.size)
        p_values.append(float(stats.binom.sf(near - 1, words.size, 2 * _NEAR_ZERO / 2.0**32)))
    return AuditCheck(
        name="masks of the kept rounds",
        found=f"{len(pairs)} pairs of vectors; at most {max(shares):.1%} of a difference near zero",
        expected=f"{2 * _NEAR_ZERO / 2.0**32:.1%}, but for chance",
        p_value=min(1.0, len(pairs) * min(p_values)),
        level=CHECK_LEVEL**2,
    )


def check_price(signed: Mapping[str, float], prices: Mapping[str, float]) -> AuditCheck:
    """Checks that no hospital signed a smaller epsilon than its own noise and steps cost."""
    worst = min(signed, key=lambda site: signed[site] / prices[site])
    enough = signed[worst] >= prices[worst] * (1 - _PRICE_ROUNDING)
    return AuditCheck(
        name="price of what was signed",
        found=f"{worst} signed epsilon {signed[worst]:.4f}",
        expected=f"at least {prices[worst]:.4f}",
        p_value=1.0 if enough else 0.0,
    )


def check_shape(noise: Ints, sigma: float) -> AuditCheck:
    """Compares counts in 64 cells with the exact discrete Gaussian."""
    edges = np.unique(
        np.ceil(stats.norm.ppf(np.arange(1, _CELLS) / _CELLS) * sigma).astype(np.int64)
    )
    due = cell_chances(sigma, edges) * noise.size
    counts = np.bincount(
        np.searchsorted(edges, noise.ravel(), side="right"), minlength=len(edges) + 1
    )
    statistic = float((np.square(counts - due) / due).sum())
    return AuditCheck(
        name="shape of the noise",
        found=f"chi-square {statistic:.1f} over {len(due)} cells",
        expected=f"about {len(due) - 1}",
        p_value=float(stats.chi2.sf(statistic, len(due) - 1)),
    )


def cell_chances(sigma: float, edges: Ints) -> NDArray[np.float64]:
    """Returns the discrete Gaussian's chance of each cell that the edges cut, both tails included.

    Cell i holds the integers from ``edges[i - 1]`` to below ``edges[i]``.

    >>> cell_chances(3.0, np.array([0, 1])).round(6).tolist()
    [0.43351, 0.132981, 0.43351]

    Source: up to sigma 1000 the sum itself; above, the Euler-Maclaurin formula with its first
    correction, whose error is below 1 / sigma^4.
    """
    if sigma <= _EXACT_SUM:
        reach = math.ceil(40 * sigma) + 1
        weights = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / sigma))
        running = np.concatenate([[0.0], np.cumsum(weights)]) / weights.sum()
        below = running[np.clip(edges + reach, 0, 2 * reach + 1)]
    else:
        t = (edges - 0.5) / sigma
        below = stats.norm.cdf(t) + t * stats.norm.pdf(t) / (24 * sigma * sigma)
    return np.diff(np.concatenate([[0.0], below, [1.0]]))


def check_whole_numbers(released: NDArray[np.float64]) -> AuditCheck:
    """Checks that what was released, in integer units, lies on whole numbers.

    Floating-point noise does not; its rounding tells apart what exact noise hides.
    """
    furthest = float(np.abs(released - np.rint(released)).max(initial=0.0))
    exact = furthest <= _OFF_LATTICE  # False for NaN
    return AuditCheck(
        name="whole numbers only",
        found=f"at most {furthest:.1g} off a whole number",
        expected="0, but for double precision",
        p_value=1.0 if exact else 0.0,
    )


def check_residues(noise: Ints, sigma: float) -> AuditCheck:
    """Checks that the noise's last four bits are uniform: rounded noise misses some.

    Raises:
        ValueError: sigma is below 100, where they need not be uniform.
    """
    if not sigma >= 100:
        raise ValueError(f"residues are uniform from sigma 100 on: {sigma}")
    counts = np.bincount(noise.ravel() % _MODULUS, minlength=_MODULUS)
    due = noise.size / _MODULUS
    statistic = float((np.square(counts - due) / due).sum())
    return AuditCheck(
        name="last bits of the noise",
        found=f"chi-square {statistic:.1f} over {_MODULUS} residues",
        expected=f"about {_MODULUS - 1}",
        p_value=float(stats.chi2.sf(statistic, _MODULUS - 1)),
    )


def check_independence(noise: Ints, sigma: float) -> AuditCheck:
    """Checks that releases have nothing in common: (releases, size), at least two of them.

    Looks for equal or opposite releases, for correlation of releases and of
    neighbouring coordinates, and for a part that all releases share.
    """
    num_releases, size = noise.shape
    scaled = noise / sigma
    repeats = num_releases - len({min(row.tobytes(), (-row).tobytes()) for row in noise})
    lags = [lag for lag in _LAGS if lag < num_releases]
    sums = [(scaled[lag:] * scaled[:-lag]) for lag in lags]
    sums.append(scaled[:, 1:] * scaled[:, :-1])
    normal = [float(part.sum()) / math.sqrt(part.size) for part in sums if part.size]
    common = float(np.square(scaled.sum(axis=0)).sum()) / num_releases
    p_values = [2 * stats.norm.sf(abs(value)) for value in normal]
    p_values.append(2 * min(stats.chi2.sf(common, size), stats.chi2.cdf(common, size)))
    worst = float(min(1.0, min(p_values) * len(p_values)))
    furthest = max(abs(value) / math.sqrt(max(1, noise.size)) for value in normal)
    return AuditCheck(
        name="independence of the releases",
        found=f"{repeats} of {num_releases:,} repeated, largest correlation {furthest:.4f}",
        expected=f"0, below {4.5 / math.sqrt(noise.size):.4f}",
        p_value=0.0 if repeats else worst,
    )


def check_sampling(sizes: Ints, patients: int, rate: float) -> AuditCheck:
    """Compares batch sizes with Poisson sampling: their mean, and how much they vary.

    Some five patients a batch, or more, are needed for the second.
    """
    name, total, trials = "sampling of patients", int(sizes.sum()), patients * len(sizes)
    found = f"{total / trials:.4f} of {trials:,} chances"
    if rate == 1:
        everybody = bool((sizes == patients).all())
        return AuditCheck(name=name, found=found, expected="1", p_value=1.0 if everybody else 0.0)
    often = float(stats.binomtest(total, trials, rate).pvalue)
    variance = patients * rate * (1 - rate)
    spread = float(np.square(sizes - patients * rate).sum() / variance)
    width = 2 + (1 - 6 * rate * (1 - rate)) / variance  # 2 would be the normal law's
    law = stats.gamma(len(sizes) / width, scale=width)  # its mean and variance are the binomial's
    varied = 2 * min(float(law.cdf(spread)), float(law.sf(spread)))
    return AuditCheck(
        name=name,
        found=f"{found}, batch sizes vary {spread / len(sizes):.2f} times as much as they should",
        expected=f"{rate:.4f}, 1",
        p_value=min(1.0, 2 * often, 2 * varied),
    )


def check_inclusion(drawn: Ints, rate: float) -> AuditCheck:
    """Compares how often each patient was drawn with the rate: (steps, patients) times in a step.

    A patient drawn twice in a step fails, and so does one drawn more often in all than chance
    allows. Drawing somebody too rarely costs no privacy, and shows in the batch sizes.
    """
    steps, patients = drawn.shape
    twice = int((drawn > 1).any(axis=0).sum())
    most = int(drawn.sum(axis=0).max(initial=0))
    chance = float(stats.binom.sf(most - 1, steps, rate)) if rate < 1 else 1.0
    return AuditCheck(
        name="inclusion of each patient",
        found=f"{twice} of {patients:,} drawn twice in a step; the most drawn in {most} of {steps}",
        expected=f"0, about {steps * rate:.1f} of {steps}",
        p_value=0.0 if twice else min(1.0, patients * chance),
    )


def check_repeats(drawn: Ints, rate: float) -> AuditCheck:
    """Checks that two steps after each other have no more patients in common than chance gives.

    Args:
        drawn: (steps, patients) how often each was drawn; steps 1 and 2 are compared, 3 and 4, ..
        rate: the sampling rate, below 1.
    """
    pairs = len(drawn) // 2
    first, second = drawn[0 : 2 * pairs : 2] > 0, drawn[1 : 2 * pairs : 2] > 0
    common, trials = int((first & second).sum()), first.size
    p_value = float(stats.binom.sf(common - 1, trials, rate * rate)) if common else 1.0
    return AuditCheck(
        name="samples of two steps",
        found=f"{common} of {trials:,} patients in both",
        expected=f"about {trials * rate * rate:.1f}",
        p_value=p_value,
    )


def check_influence(moved: Mapping[str, float], bound: float) -> AuditCheck:
    """Checks that no patient, whatever its gradient, moves the integer sum by more than the bound.

    Args:
        moved: the norm of the move, in units, for each kind of patient that was tried.
        bound: how many units one patient may move it.
    """
    worst = max(moved, key=lambda kind: math.inf if math.isnan(moved[kind]) else moved[kind])
    return AuditCheck(
        name="one patient's influence on the sum",
        found=f"at most {moved[worst] / bound:.6g} times the bound ({worst})",
        expected="at most 1",
        p_value=1.0 if moved[worst] <= bound else 0.0,  # NaN fails
    )
