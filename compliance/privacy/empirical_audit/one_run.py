"""The audit in one run: how well canaries are told in or out, against a whole trade-off function.

Every canary is in or out by a fair coin; the attacker sees what is released and
guesses the most certain ones. Under an f-DP mechanism many right guesses are
unlikely, and how unlikely follows from f alone.

Let q_i be the chance of at least i right guesses, of g among m canaries, and
T = {i, ..., g}. Turning one canary's coin turns a right guess into a wrong one:
f-DP bounds the chance that it is right and the total in T by that of its being
wrong and the total in T - 1. Averaged over the canaries (f is convex):

    sum over j > i of  j p_j / m  <=  1 - f(sum over j >= i of  (g - j) p_j / m)

where p_j = q_j - q_{j+1}. So if q_c were at least some tau, every q_i below is
bounded from below, one after the other; where q_0 would exceed 1, q_c is below
tau. The least such tau is the p-value.

Passing proves nothing: the bound is a lower bound.

Source: Mahloujifar, Melis & Chaudhuri 2024 (arXiv 2410.22235), theorem 9 and algorithm 3, in
chances of "at least" in place of r and h; the game: Steinke, Nasr & Jagielski 2023 (2305.08846).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from compliance.privacy.accounting import epsilon
from compliance.privacy.divergences.trade_off import TradeOff, trade_off
from compliance.privacy.events import SampledGaussian

#: Parts of the canaries that may be guessed; which one is chosen before any score is seen.
_PARTS = (0.1, 0.2, 0.3, 0.5)
#: An attacker that is right this often should be able to contradict the claim.
_RIGHT = 0.97
#: Noise multipliers that are tried, as powers of this over the plan's own.
_STEP, _MIN_POWER, _MAX_POWER = 1.01, -300, 300
_SMALLEST_LOG_CHANCE = -700.0


@dataclass(frozen=True, kw_only=True)
class OneRun:
    """A one-run audit: ``correct`` of ``guesses`` guesses were right, among ``canaries``."""

    canaries: int
    guesses: int
    correct: int

    def __post_init__(self) -> None:
        if not 0 <= self.correct <= self.guesses <= self.canaries:
            raise ValueError(f"0 <= {self.correct} <= {self.guesses} <= {self.canaries} must hold")


def p_value(run: OneRun, limit: TradeOff) -> float:
    """Returns the largest chance of so many right guesses, or more, under a trade-off function.

    >>> from compliance.privacy.divergences.trade_off import GaussianTradeOff
    >>> run = OneRun(canaries=1000, guesses=100, correct=91)
    >>> [round(p_value(run, GaussianTradeOff(separation=mu)), 6) for mu in (0.6, 0.7)]
    [0.032331, 0.105729]
    """
    low, high = _SMALLEST_LOG_CHANCE, 0.0
    if _is_possible(run, 1.0, limit):
        return 1.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if _is_possible(run, math.exp(middle), limit) else (low, middle)
    return math.exp(high)


def _is_possible(run: OneRun, chance: float, limit: TradeOff) -> bool:
    """Whether f-DP lets at least ``correct`` guesses be right with this chance."""
    canaries, guesses = run.canaries, run.guesses
    above, later = chance, 0.0  # q_{i+1}, and the sum of all q beyond it
    for i in range(run.correct - 1, -1, -1):
        right = ((i + 1) * above + later) / canaries
        wrong = limit.false_alarms(min(1.0, right)) * canaries
        here = max(above, (wrong + above + later) / (guesses - i))
        above, later = here, later + above
        if above > 1:
            return False
    return True


def refutes(run: OneRun, event: SampledGaussian, alpha: float) -> bool:
    """Whether so many right guesses have a chance of at most ``alpha`` under a plan."""
    return not _is_possible(run, alpha, trade_off(event))


def lower_bound(run: OneRun, event: SampledGaussian, delta: float, alpha: float) -> float:
    """Returns a lower bound of epsilon at ``delta``; 0 when the guesses say nothing.

    Of plans like this one with more or less noise: the least noise under which so many right
    guesses have a chance of at most ``alpha`` is too much; the bound is its epsilon.

    >>> event = SampledGaussian(noise_multiplier=10.0, sampling_rate=1.0, steps=100)
    >>> run = OneRun(canaries=1000, guesses=100, correct=91)
    >>> round(lower_bound(run, event, 1e-5, 0.05), 1)
    2.6
    """
    low, high = _MIN_POWER, _MAX_POWER

    def at(power: int) -> SampledGaussian:
        return replace(event, noise_multiplier=event.noise_multiplier * _STEP**power)

    if not refutes(run, at(high), alpha):
        return 0.0
    if refutes(run, at(low), alpha):
        return epsilon(at(low), delta)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if refutes(run, at(middle), alpha) else (middle, high)
    return epsilon(at(high), delta)


def planned_guesses(canaries: int, event: SampledGaussian, alpha: float) -> int | None:
    """Returns how many canaries to guess; None where even right guesses could refute nothing.

    The fewest of which 97 % right would contradict the plan; otherwise the most.
    """
    parts = [max(1, int(part * canaries)) for part in _PARTS]
    for guesses in parts:
        run = OneRun(canaries=canaries, guesses=guesses, correct=int(_RIGHT * guesses))
        if refutes(run, event, alpha):
            return guesses
    perfect = OneRun(canaries=canaries, guesses=parts[-1], correct=parts[-1])
    return parts[-1] if refutes(perfect, event, alpha) else None


def max_guesses(canaries: int) -> int:
    """Returns how many canaries are guessed at most."""
    return max(1, int(_PARTS[-1] * canaries))


def guess(scores: NDArray[np.float64], inside: NDArray[np.bool_], guesses: int) -> OneRun:
    """Guesses the most certain canaries: half of them in, half of them out.

    Args:
        scores: (canaries,) the larger, the more likely in.
        inside: (canaries,) what the coins said.
        guesses: how many canaries are guessed; fixed before the scores were seen.
    """
    order = np.argsort(scores, kind="stable")
    half = guesses // 2
    out, into = order[:half], order[len(order) - (guesses - half) :]
    correct = int((~inside[out]).sum() + inside[into].sum())
    return OneRun(canaries=len(scores), guesses=guesses, correct=correct)


def audit_in_runs(
    run: Callable[[int], OneRun], event: SampledGaussian, *, runs: int, alpha: float
) -> tuple[Sequence[OneRun], bool]:
    """Runs an audit several times; returns every run and whether the plan is contradicted.

    ``run`` gets a number, new for every call; each is held against ``alpha / runs``. A run that
    refutes the plan is made again with fresh randomness; only a second refusal counts.
    """
    if runs < 1:
        raise ValueError(f"at least one run is needed: {runs}")
    done: list[OneRun] = []
    contradicted = False
    for number in range(runs):
        done.append(run(number))
        if refutes(done[-1], event, alpha / runs):
            done.append(run(runs + number))
            contradicted |= refutes(done[-1], event, alpha / runs)
    return tuple(done), contradicted
