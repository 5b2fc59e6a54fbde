"""Planning help: which settings use a hospital's patients best at a given epsilon.

Everything here is arithmetic on public figures: patient counts, epsilon, delta.
No patient's record is read, so it costs nothing.

Figure of merit. After T steps of stochastic gradient descent on a smooth convex
loss, with step size at most 1, the error that is guaranteed to remain is ::

    1 / (2 * size * T) + size * (sampling + parameters * noise**2)

``noise`` is the standard deviation of the privacy noise on the averaged
gradient, in units of the clip; ``sampling`` is (1 - q) / (expected batch). Before
the first step the error is 1/2, so a figure above that promises nothing. The figure
compares plans; it foretells no AUROC: records that are easy to tell apart are
learned under far more noise than it allows for.

Rules:

1. Every noise multiplier comes from ``accounting.calibrate``, so the plan, priced
   again by PLD, keeps its epsilon.
2. Plans are ranked by error x epochs**0.05: twice the work must leave 3.5 % less
   error. Epochs are rate x steps, whatever the number of patients.
3. Noise does not depend on the records, only on counts that a study declares.

Source: Bubeck 2015 (1405.4980), theorem 6.3, for unit smoothness and distance; ``privacy.md``
C.2 and C.4 for the noise of a sum over hospitals.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from compliance.accounting import SampledGaussian, calibrate, epsilon
from compliance.released_metrics import Estimate, auroc_from_histogram
from protocol.evaluation_vector import noise_deviations
from protocol.noise_shares import honest_shares

Mode: TypeAlias = Literal["local", "distributed"]
Calibrate: TypeAlias = Callable[[float, int], float]

RATES = (0.05, 0.1, 0.2, 0.5, 1.0)
STEPS = (5, 10, 20, 50, 100, 200, 500, 1000)
BINS = (32, 16, 8)
#: Above these a sum of every step through the secure aggregation is no longer practical (C.4).
DISTRIBUTED_MOST_PARAMETERS = 10_000_000
DISTRIBUTED_MOST_STEPS = 500
#: The error before the first step.
STARTING_ERROR = 0.5
#: Noise three times as strong as gradients that all reach the clip and all point one way.
DROWNED = 0.3
#: How much better distributed noise must be before it is worth its secure sum in every step.
WORTH_IT = 0.75


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is known before a study: who takes part, and what may be spent.

    ``patients`` counts each hospital's training patients, as a study declares them;
    ``test_fraction`` of all its patients are test patients. ``parameters`` is the size
    of what is trained. ``threshold`` is t, how many hospitals must answer: floor(2n/3) + 1
    unless given; up to ``colluders`` of them may collude. ``spare`` noised gradients are
    paid for beyond the planned ones.

    >>> Question(patients=(2000,) * 8, epsilon=2.0, delta=1e-5, colluders=2).honest
    4

    Raises:
        ValueError: a figure lies outside its range; the message names it.
    """

    patients: tuple[int, ...]
    epsilon: float
    delta: float
    parameters: int = 1000
    colluders: int = 1
    threshold: int | None = None
    test_fraction: float = 0.3
    spare: int = 1

    def __post_init__(self) -> None:
        if len(self.patients) < 3:
            raise ValueError(f"at least three hospitals are needed, got {len(self.patients)}")
        if not 0 < self.epsilon < math.inf:
            raise ValueError(f"epsilon must be finite and above zero: {self.epsilon}")
        if not 0 < self.delta < 1:
            raise ValueError(f"delta must lie in (0, 1): {self.delta}")
        if self.parameters < 1:
            raise ValueError(f"parameters must be at least 1: {self.parameters}")
        if not 0 < self.test_fraction < 1:
            raise ValueError(f"test_fraction must lie in (0, 1): {self.test_fraction}")
        if min(self.patients) < 1:
            raise ValueError(f"a hospital needs a training patient: {min(self.patients)} patients")
        if not self.delta < 1 / max(self.patients):
            raise ValueError(
                f"delta {self.delta:g} must be below 1/{max(self.patients)}: it would allow one "
                "patient's record to be published"
            )
        self._check_threshold()

    def _check_threshold(self) -> None:
        n, t, c = len(self.patients), self.answering, self.colluders
        if not (0 <= c and t <= n and 2 * t > n + c and t - c >= 2):
            raise ValueError(
                f"colluders {c}: {n} hospitals of whom {t} answer cannot bear that many; "
                "2t > n + C and t - C >= 2 must hold"
            )

    @property
    def answering(self) -> int:
        """t: how many hospitals must answer."""
        return self.threshold or 2 * len(self.patients) // 3 + 1

    @property
    def honest(self) -> int:
        """h = t - max(C, 1): how many shares of noise can be relied on."""
        return honest_shares(self.answering, self.colluders)

    @property
    def test_patients(self) -> tuple[int, ...]:
        """Each hospital's test patients, as the split leads one to expect them."""
        share = self.test_fraction / (1 - self.test_fraction)
        return tuple(round(count * share) for count in self.patients)

    def releases(self, steps: int) -> int:
        """How many noised gradients are paid for: the planned ones, and those of spare draws."""
        return steps + self.spare

    def calibrate(self, rate: float, steps: int) -> float:
        """Returns the noise multiplier that keeps epsilon with these settings."""
        return calibrate(epsilon=self.epsilon, delta=self.delta, sampling_rate=rate, steps=steps)


def default_delta(patients: Sequence[int]) -> float:
    """Returns min(1e-6, 1/(10 N)) for N patients in all (ruling 19).

    >>> default_delta([2000, 500, 300])
    1e-06
    """
    return min(1e-6, 1 / (10 * sum(patients)))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Settings and what they are worth; ``noise`` is in units of the clip.

    ``event`` is what is paid for; ``steps`` of it are planned, the rest are spare.
    """

    mode: Mode
    steps: int
    event: SampledGaussian
    expected_batches: tuple[float, ...]
    noise: float
    error: float
    signal_to_noise: float

    @property
    def merit(self) -> float:
        """What plans are ranked by, the least first: the error, dearer with every epoch."""
        return self.error * float((self.event.sampling_rate * self.steps) ** 0.05)

    @property
    def is_drowned(self) -> bool:
        """True when even gradients that all agree would be lost in the noise."""
        return self.signal_to_noise < DROWNED

    @property
    def promises_nothing(self) -> bool:
        """True when the error that is guaranteed is no better than not to train."""
        return self.error >= STARTING_ERROR


def noise_on_average(
    question: Question, event: SampledGaussian, mode: Mode, share: float | None = None
) -> float:
    """Returns the noise deviation on the gradient averaged over all hospitals, over the clip.

    ::

        local          z * sqrt(n)   / (q * N)      each hospital adds full noise
        distributed    z * sqrt(n/h) / (q * N)      each adds its share; all answer

    ``share`` is what one hospital adds when that is more, in units of the clip.

    >>> asked = Question(patients=(2000,) * 8, epsilon=2.0, delta=1e-5, colluders=2)
    >>> event = SampledGaussian(noise_multiplier=2.18, sampling_rate=0.032, steps=1000)
    >>> noise = [noise_on_average(asked, event, mode) for mode in ("local", "distributed")]
    >>> round(noise[0] / noise[1], 9)
    2.0
    """
    n, batch = len(question.patients), event.sampling_rate * sum(question.patients)
    own = event.noise_multiplier / math.sqrt(1 if mode == "local" else question.honest)
    return max(own, share or 0.0) * math.sqrt(n) / batch


def value(
    question: Question,
    event: SampledGaussian,
    mode: Mode,
    *,
    steps: int | None = None,
    share: float | None = None,
) -> Plan:
    """Returns settings with what they are worth.

    Args:
        question: who takes part.
        event: what is paid for.
        mode: whose noise protects.
        steps: how many of the event's steps are planned; all when None.
        share: see ``noise_on_average``.
    """
    noise, count = noise_on_average(question, event, mode, share), steps or event.steps
    return Plan(
        mode=mode,
        steps=count,
        event=event,
        expected_batches=tuple(event.sampling_rate * n for n in question.patients),
        noise=noise,
        error=remaining_error(question, event.sampling_rate, count, noise),
        signal_to_noise=math.sqrt(count / question.parameters) / noise if noise else math.inf,
    )


def remaining_error(question: Question, rate: float, steps: int, noise: float) -> float:
    """Returns the error that is guaranteed to remain, with the best step size up to 1."""
    sampling = (1 - rate) / (rate * sum(question.patients))
    variance = sampling + question.parameters * noise * noise
    size = 1.0 if 2 * steps * variance <= 1 else 1 / math.sqrt(2 * steps * variance)
    return 1 / (2 * size * steps) + size * variance


def best_plan(
    question: Question,
    mode: Mode,
    *,
    rates: Sequence[float] = RATES,
    steps: Sequence[int] = STEPS,
    calibrated: Calibrate | None = None,
) -> Plan:
    """Returns the plan of a grid with the least error for its work; see the module's rules.

    Raises:
        ValueError: the grid is empty, or no noise below 10^6 keeps the epsilon anywhere on it.
    """
    multiplier = calibrated or question.calibrate
    found: Plan | None = None
    for optimistic in _promising_first(question, mode, rates, steps):
        if found is not None and optimistic.merit >= found.merit:
            break  # even with less noise than is needed, no later one is better
        rate, paid = optimistic.event.sampling_rate, optimistic.event.steps
        try:
            event = _event(multiplier(rate, paid), rate, paid)
        except ValueError:
            continue  # out of reach at this rate and number of steps
        plan = value(question, event, mode, steps=optimistic.steps)
        if found is None or plan.merit < found.merit:
            found = plan
    if found is None:
        raise ValueError("no plan on this grid keeps this epsilon: give other rates or steps")
    return found


def _promising_first(
    question: Question, mode: Mode, rates: Sequence[float], steps: Sequence[int]
) -> list[Plan]:
    """Returns the grid with less noise than is needed, the best first."""
    single = question.calibrate(1.0, 1)
    plans = []
    for rate in rates:
        for count in steps:
            paid = question.releases(count)
            event = _event(_optimistic(single, rate, paid), rate, paid)
            plans.append(value(question, event, mode, steps=count))
    return sorted(plans, key=lambda plan: plan.merit)


def _optimistic(single: float, rate: float, steps: int) -> float:
    """The central limit of many steps, less one in a thousand: below what PLD demands.

    Source: Bu, Dong, Long & Su 2020 (1911.11607), corollary 5.4.
    """
    if rate == 1:
        return 0.999 * single * math.sqrt(steps)
    return 0.999 / math.sqrt(math.log1p(1 / (single * rate) ** 2 / steps))


def _event(noise_multiplier: float, rate: float, steps: int) -> SampledGaussian:
    return SampledGaussian(noise_multiplier=noise_multiplier, sampling_rate=rate, steps=steps)


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """The best local plan, the best distributed one where it is practical, and which to take."""

    local: Plan
    distributed: Plan | None

    @property
    def mode(self) -> Mode:
        """Distributed only where it is much better: it needs a secure sum in every step."""
        better = self.distributed and self.distributed.error < WORTH_IT * self.local.error
        return "distributed" if better else "local"

    @property
    def chosen(self) -> Plan:
        """The plan of the suggested mode."""
        if self.mode == "distributed" and self.distributed is not None:
            return self.distributed
        return self.local


def suggest(
    question: Question, *, rates: Sequence[float] = RATES, steps: Sequence[int] = STEPS
) -> Suggestion:
    """Returns what to ask for, over a grid of rates and steps.

    Raises:
        ValueError: see ``best_plan``.
    """
    local = best_plan(question, "local", rates=rates, steps=steps)
    few = [count for count in steps if count <= DISTRIBUTED_MOST_STEPS]
    if not few or question.parameters > DISTRIBUTED_MOST_PARAMETERS:
        return Suggestion(local=local, distributed=None)
    distributed = best_plan(question, "distributed", rates=rates, steps=few)
    return Suggestion(local=local, distributed=distributed)


@dataclass(frozen=True, kw_only=True)
class WhoItHoldsAgainst:
    """Epsilon of a distributed plan, by who looks (``privacy.md`` C.2; ruling 14)."""

    public: float
    colluders: float
    broken: float


def distributed_epsilons(
    question: Question, event: SampledGaussian, delta: float
) -> WhoItHoldsAgainst:
    """Returns the epsilons of distributed noise: all answer; as promised; secure sum broken."""

    def against(factor: float) -> float:
        noise = event.noise_multiplier * factor
        return epsilon(_event(noise, event.sampling_rate, event.steps), delta)

    n, h = len(question.patients), question.honest
    return WhoItHoldsAgainst(
        public=against(math.sqrt(n / h)), colluders=against(1.0), broken=against(1 / math.sqrt(h))
    )


def too_small(question: Question, mode: Mode) -> tuple[int, ...]:
    """Returns the places of hospitals that bring more noise than patients.

    Under local noise each hospital adds as much noise as any other. One that
    has fewer patients than 1 - sqrt(1 - 1/n) of all, about half of an average
    hospital's, makes the common gradient noisier by taking part.

    >>> asked = Question(patients=(2000, 500, 300), epsilon=1.0, delta=1e-6)
    >>> too_small(asked, "local")
    (1, 2)
    """
    if mode == "distributed":
        return ()
    n, total = len(question.patients), sum(question.patients)
    least = (1 - math.sqrt(1 - 1 / n)) * total
    return tuple(i for i, count in enumerate(question.patients) if count < least)


@dataclass(frozen=True, kw_only=True)
class EvaluationForecast:
    """How wide the released AUROC's 95 % interval would be, at an assumed AUROC of 0.8.

    ``deviation`` is the noise in each pooled count, in patients; ``half_width``
    covers patients and noise; ``note`` is what a release would say, or empty.
    """

    test_patients: int
    bins: int
    deviation: float
    table_deviation: float
    by_noise: float
    half_width: float
    note: str


def forecast_evaluation(
    question: Question,
    *,
    budget: float | None = None,
    site_share: float = 0.2,
    attempts: int = 1,
    bins: Iterable[int] = BINS,
) -> EvaluationForecast:
    """Returns what one final evaluation could say.

    Args:
        question: who takes part.
        budget: epsilon of a test patient; the training's when None.
        site_share: the part of it spent on each hospital's own table.
        attempts: how many such releases are paid for.
        bins: the finest wanted first; the first that the noise widens by less
            than half of what the patients drawn do is taken, else the last.
    """
    each = calibrate(
        epsilon=budget or question.epsilon, delta=question.delta, sampling_rate=1.0, steps=attempts
    )
    pooled, table = noise_deviations(each, site_share)
    deviation = pooled * math.sqrt(len(question.patients))
    for count in bins:
        found = _forecast(sum(question.test_patients), deviation, table, count)
        without = _forecast(sum(question.test_patients), 0.0, table, count)
        if not found.note and found.by_noise <= without.half_width / 2:
            break
    return found


def _forecast(patients: int, deviation: float, table: float, bins: int) -> EvaluationForecast:
    estimate = auroc_from_histogram(expected_counts(patients, bins), deviation)
    drawn = auroc_from_histogram(expected_counts(patients, bins), 0.0)
    half, by_patients = _half_width(estimate), _half_width(drawn)
    return EvaluationForecast(
        test_patients=patients,
        bins=bins,
        deviation=deviation,
        table_deviation=table,
        by_noise=math.sqrt(max(0.0, half * half - by_patients * by_patients)),
        half_width=half,
        note=estimate.note,
    )


def _half_width(estimate: Estimate) -> float:
    return 1.0 if estimate.value is None else estimate.value - estimate.low


def expected_counts(patients: float, bins: int, auroc: float = 0.8) -> NDArray[np.float64]:
    """Returns the (2, bins) counts to expect of as many ill as healthy patients.

    Scores of both are normal with deviation 1 and lie apart as far as the
    AUROC says, on the default grid from -4 to 4.
    """
    apart = NormalDist().inv_cdf(auroc) * math.sqrt(2)
    edges = np.linspace(-4, 4, bins + 1)[1:-1]
    rows = []
    for centre in (-apart / 2, apart / 2):
        below = [0.0, *(NormalDist(centre).cdf(float(edge)) for edge in edges), 1.0]
        rows.append(np.diff(below) * patients / 2)
    return np.array(rows)
